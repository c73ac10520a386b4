"""Choose a threshold for one class and apply it to the test set."""

from covidcxr.evaluate.operating_point import write_operating_point
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_operating_point(
        snakemake.params.ensembles,
        snakemake.input.split,
        snakemake.output.points,
        snakemake.output.predictive,
        snakemake.output.png,
        snakemake.output.svg,
        classes=snakemake.params.classes,
        target=snakemake.params.target,
        sensitivity=snakemake.params.sensitivity,
        specificity=snakemake.params.specificity,
        seed=snakemake.params.seed,
    )
