"""Score every model's predictions on the external test sets."""

from covidcxr.evaluate.external import write_external_table
from covidcxr.logs import step

with step(snakemake.log[0]):
    sets = snakemake.params.sets
    write_external_table(
        snakemake.params.models,
        dict(zip(sets, snakemake.input.tables, strict=True)),
        dict(zip(sets, snakemake.input.excluded, strict=True)),
        snakemake.input.points,
        snakemake.output.scores,
        snakemake.output.sets,
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
    )
