"""Cut what the CycleGAN sees out of every film."""

from covidcxr.cyclegan.frames import write_frames
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_frames(
        snakemake.input.images,
        snakemake.input.manifest,
        snakemake.input.lungs,
        snakemake.input.lungs_table,
        snakemake.output.images,
        snakemake.output.table,
        region=snakemake.params.region,
    )
