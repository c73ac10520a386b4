"""Fit the support vector machine of a backbone in the run's folds."""

from covidcxr.classify.support_vector import write_support_vector
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_support_vector(
        snakemake.input.clean,
        snakemake.input.rows,
        snakemake.input.manifest,
        snakemake.input.split,
        snakemake.output.models,
        snakemake.output.folds,
        snakemake.output.ensemble,
        population=snakemake.wildcards.get("population", "study"),
        backbone=snakemake.wildcards.backbone,
        classes=snakemake.params.classes,
        class_weights=snakemake.params.class_weights,
        source_weights=snakemake.params.source_weights,
    )
