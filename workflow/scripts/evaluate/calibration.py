"""Measure and draw the calibration of the ensembles."""

from covidcxr.evaluate.calibration import write_calibration
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_calibration(
        snakemake.params.models,
        snakemake.input.split,
        snakemake.output.table,
        snakemake.output.bins,
        snakemake.output.png,
        snakemake.output.svg,
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
    )
