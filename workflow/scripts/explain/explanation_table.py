"""The measures of the maps of all backbones."""

from covidcxr.explain.explanation_table import write_explanation_table
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_explanation_table(
        list(
            zip(
                snakemake.params.backbones,
                snakemake.input.images,
                snakemake.input.curves,
                snakemake.input.randomised,
                strict=True,
            )
        ),
        snakemake.output.table,
        snakemake.output.timelines,
        seed=snakemake.params.seed,
    )
