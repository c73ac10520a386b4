"""Decode a cohort's images into one array."""

from covidcxr.data.images import write_images
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_images(
        snakemake.input[0],
        snakemake.output[0],
        size=snakemake.params.size,
        threads=snakemake.threads,
    )
