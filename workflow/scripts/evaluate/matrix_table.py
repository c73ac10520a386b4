"""Test the models of each population on every population."""

from covidcxr.evaluate.matrix import write_matrix
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_matrix(
        snakemake.input.manifest,
        snakemake.input.split,
        snakemake.params.models,
        snakemake.output.table,
        snakemake.output.png,
        snakemake.output.svg,
        populations=snakemake.params.populations,
        classes=snakemake.params.classes,
        target=snakemake.params.target,
        seed=snakemake.params.seed,
    )
