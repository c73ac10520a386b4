"""Figure 1: diagnoses in the collections."""

from covidcxr.evaluate.fig1_diagnoses import write_fig1_diagnoses
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig1_diagnoses(
        snakemake.input.collections,
        snakemake.input.manifest,
        snakemake.output.png,
        snakemake.output.svg,
    )
