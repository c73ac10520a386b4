"""Translate training images into synthetic ones of the target class."""

from covidcxr.cyclegan.synthesize import synthesize
from covidcxr.logs import step

fold = snakemake.wildcards.get("fold")
with step(snakemake.log[0]):
    synthesize(
        snakemake.input.generator,
        snakemake.input.frames,
        snakemake.input.frames_table,
        snakemake.input.images,
        snakemake.input.manifest,
        snakemake.input.holdout,
        snakemake.output.table,
        snakemake.output.images,
        snakemake.output.pictures,
        left_out_fold=int(fold.removeprefix("fold")) if fold else None,
        count=snakemake.params.images,
        source_class=snakemake.params.source_class,
        target_class=snakemake.params.target_class,
        gan_size=snakemake.params.gan_size,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
