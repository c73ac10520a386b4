"""Divide the training images into cross-validation folds."""

from covidcxr.data.split import write_split
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_split(
        snakemake.input.manifest,
        snakemake.input.holdout,
        snakemake.output[0],
        unit=snakemake.params.unit,
        folds=snakemake.params.folds,
        seed=snakemake.params.seed,
    )
