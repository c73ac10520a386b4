"""Set the results beside the published ones (tables 1 and 2 of the paper)."""

from covidcxr.evaluate.published import write_published
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_published(
        snakemake.input.classification,
        snakemake.input.published,
        snakemake.input.models,
        snakemake.output.accuracy,
        snakemake.output.comparison,
    )
