"""Table of the exported models."""

from covidcxr.deploy.export_table import write_export_table
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_export_table(
        [
            (*key, path)
            for key, path in zip(snakemake.params.models, snakemake.input.tables, strict=True)
        ],
        snakemake.input.published,
        snakemake.output[0],
    )
