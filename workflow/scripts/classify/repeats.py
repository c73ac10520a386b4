"""Repeat the study of one backbone with other seeds and folds, and against simpler remedies."""

from pathlib import Path

from covidcxr.classify.repeats import write_repeats
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_repeats(
        Path(snakemake.input.clean).parent,
        Path(snakemake.input.synthetic_clean).parent,
        snakemake.input.manifest,
        snakemake.input.holdout,
        snakemake.input.synthetic,
        snakemake.output[0],
        classes=snakemake.params.classes,
        backbone=snakemake.wildcards.backbone,
        augmentations=snakemake.params.augmentations,
        settings=snakemake.params.settings,
        unit=snakemake.params.unit,
        folds=snakemake.params.folds,
        repeats=snakemake.params.repeats,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
