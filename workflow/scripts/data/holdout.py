"""Choose the fixed test set."""

from covidcxr.data.holdout import write_holdout
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_holdout(
        snakemake.input[0],
        snakemake.output[0],
        unit=snakemake.params.unit,
        test=snakemake.params.test,
        seed=snakemake.params.seed,
    )
