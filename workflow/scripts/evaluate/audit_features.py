"""Audit the synthetic images in the backbones' feature space."""

from covidcxr.evaluate.audit_features import write_audit_features
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_audit_features(
        {
            backbone: (real, synthetic)
            for backbone, real, synthetic in zip(
                snakemake.params.backbones,
                snakemake.input.features,
                snakemake.input.synthetic_features,
                strict=True,
            )
        },
        snakemake.input.manifest,
        snakemake.input.holdout,
        snakemake.input.synthetic,
        snakemake.output.table,
        snakemake.output.neighbours,
        snakemake.output.png,
        snakemake.output.svg,
        seed=snakemake.params.seed,
    )
