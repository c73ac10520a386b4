"""Score the saved models of a backbone and augmentation on an external test set."""

from covidcxr.classify.score import ENSEMBLE, write_scores
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_scores(
        dict(zip(snakemake.params.folds, snakemake.input.models, strict=True)),
        snakemake.input.backbone,
        snakemake.input.features,
        snakemake.input.table,
        dict(zip([*snakemake.params.folds, ENSEMBLE], snakemake.output, strict=True)),
        identity={
            "population": snakemake.wildcards.get("population", "study"),
            "backbone": snakemake.wildcards.backbone,
            "augmentation": snakemake.wildcards.augmentation,
            "set": snakemake.wildcards.set,
        },
        classes=snakemake.params.classes,
        trainable=snakemake.params.trainable,
        threads=snakemake.threads,
    )
