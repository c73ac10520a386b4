"""Compare every pair of ensembles."""

from covidcxr.evaluate.comparisons import write_comparisons
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_comparisons(
        snakemake.params.ensembles,
        snakemake.input.split,
        snakemake.output[0],
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
    )
