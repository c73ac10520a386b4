"""Average the folds of a backbone and augmentation."""

from covidcxr.classify.ensemble import write_ensemble
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_ensemble(
        snakemake.input.predictions,
        snakemake.input.split,
        snakemake.output[0],
        classes=snakemake.params.classes,
    )
