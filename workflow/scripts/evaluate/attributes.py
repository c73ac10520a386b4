"""Measure what is not the disease on every image of the manifest."""

from covidcxr.evaluate.attributes import write_attributes
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_attributes(
        snakemake.input.manifest,
        snakemake.input.images,
        snakemake.output[0],
        age_groups=snakemake.params.age_groups,
    )
