"""Tell the approximate lung region of every image."""

from covidcxr.data.lungs import write_lungs
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_lungs(
        snakemake.input.manifest,
        snakemake.input.images,
        snakemake.output.regions,
        snakemake.output.table,
        masked=dict(zip(snakemake.params.phantoms, snakemake.input.masked, strict=True)),
        boxed=dict(zip(snakemake.params.collections, snakemake.input.boxed, strict=True)),
    )
