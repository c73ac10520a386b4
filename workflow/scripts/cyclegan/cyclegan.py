"""Train the CycleGAN on training images of its two classes."""

from pathlib import Path

from covidcxr.cyclegan.cyclegan import train_cyclegan
from covidcxr.logs import step

fold = snakemake.wildcards.get("fold")
with step(snakemake.log[0]):
    train_cyclegan(
        snakemake.input.images,
        snakemake.input.manifest,
        snakemake.input.holdout,
        snakemake.output.generator,
        snakemake.output.backward,
        snakemake.output.losses,
        snakemake.output.samples,
        snakemake.output.seen,
        left_out_fold=int(fold.removeprefix("fold")) if fold else None,
        # Not a parameter: the name of the run would keep runs from sharing the result.
        checkpoints=Path(snakemake.output.generator).parent / "checkpoints",
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        mixed_precision=snakemake.params.mixed_precision,
        xla=snakemake.params.xla,
    )
