"""Translate images there and back."""

from covidcxr.cyclegan.cycle_error import write_cycle_error
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_cycle_error(
        snakemake.input.generator,
        snakemake.input.backward,
        snakemake.input.images,
        snakemake.input.manifest,
        snakemake.input.holdout,
        snakemake.input.synthetic,
        snakemake.output[0],
        source_class=snakemake.params.source_class,
        gan_size=snakemake.params.gan_size,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
