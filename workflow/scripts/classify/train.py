"""Train the classifier of one backbone, augmentation and fold."""

from pathlib import Path

from covidcxr.classify.train import train_fold
from covidcxr.logs import step

with step(snakemake.log[0]):
    synthetic = snakemake.input.get("synthetic")
    train_fold(
        Path(snakemake.input.clean).parent,
        snakemake.input.backbone,
        snakemake.input.manifest,
        snakemake.input.split,
        snakemake.output.model,
        snakemake.output.history,
        snakemake.output.predictions,
        population=snakemake.wildcards.get("population", "study"),
        classes=snakemake.params.classes,
        fold=int(snakemake.wildcards.fold.removeprefix("fold")),
        backbone=snakemake.wildcards.backbone,
        augmentation=snakemake.wildcards.augmentation,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        synthetic=synthetic,
        synthetic_features=Path(snakemake.input.synthetic_clean).parent if synthetic else None,
        n_synthetic=snakemake.params.synthetic,
        mixed_precision=snakemake.params.mixed_precision,
        xla=snakemake.params.xla,
        **snakemake.params.settings,
    )
