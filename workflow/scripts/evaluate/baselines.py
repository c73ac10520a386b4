"""Score the baselines as the models are scored."""

from covidcxr.evaluate.classification import write_classification
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_classification(
        snakemake.params.models,
        snakemake.input.split,
        snakemake.output[0],
        classes=snakemake.params.classes,
    )
