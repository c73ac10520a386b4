"""Pass altered images of the run through a backbone."""

from covidcxr.data.altered import alteration
from covidcxr.features.clean_features import write_clean_features
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_clean_features(
        snakemake.input.backbone,
        snakemake.input.images,
        snakemake.output[0],
        trainable="head",
        threads=snakemake.threads,
        mixed_precision=snakemake.params.mixed_precision,
        altered=alteration(
            snakemake.wildcards.control, snakemake.input.lungs, snakemake.input.lungs_table
        ),
    )
