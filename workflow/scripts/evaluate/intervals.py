"""Write the patient-clustered intervals of every model."""

from covidcxr.evaluate.intervals import write_intervals
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_intervals(
        snakemake.params.models,
        snakemake.input.split,
        snakemake.output[0],
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
    )
