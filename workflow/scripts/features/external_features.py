"""Pass the images of an external test set through a backbone, once."""

from covidcxr.features.clean_features import write_clean_features
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_clean_features(
        snakemake.input.backbone,
        snakemake.input.images,
        snakemake.output[0],
        trainable=snakemake.params.trainable,
        threads=snakemake.threads,
        mixed_precision=snakemake.params.mixed_precision,
    )
