"""Confounding audit: how well what is not the disease predicts the label."""

from covidcxr.evaluate.confounding import write_confounding
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_confounding(
        snakemake.input.attributes,
        snakemake.params.models,
        snakemake.output.table,
        snakemake.output.png,
        snakemake.output.svg,
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
    )
