"""Compare every synthetic image with the image that it was made from."""

from covidcxr.evaluate.audit_changes import write_audit_changes
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_audit_changes(
        snakemake.input.manifest,
        snakemake.input.holdout,
        snakemake.input.images,
        snakemake.input.synthetic,
        snakemake.input.synthetic_images,
        snakemake.input.lungs,
        snakemake.input.lungs_table,
        snakemake.output.table,
        snakemake.output.summary,
        snakemake.output.png,
        snakemake.output.svg,
        size=snakemake.params.size,
        seed=snakemake.params.seed,
    )
