"""Pass a cohort's images and their augmented views through a backbone, once."""

from covidcxr.features.features import write_features
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_features(
        snakemake.input.backbone,
        snakemake.input.images,
        snakemake.input.table,
        snakemake.input.get("holdout") or None,
        snakemake.output.clean,
        snakemake.output.views,
        snakemake.output.rows,
        trainable=snakemake.params.trainable,
        views=snakemake.params.views,
        transform=snakemake.params.transform,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        mixed_precision=snakemake.params.mixed_precision,
        function=snakemake.params.function,
    )
