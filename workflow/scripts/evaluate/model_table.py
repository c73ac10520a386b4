"""Sizes and parameter counts of the saved models."""

from covidcxr.evaluate.model_table import write_model_table
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_model_table(snakemake.params.models, snakemake.output[0])
