"""Compare training with synthetic images against training without, and against other remedies."""

from covidcxr.evaluate.synthetic_effect import write_synthetic_effect
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_synthetic_effect(
        dict(zip(snakemake.params.backbones, snakemake.input, strict=True)),
        snakemake.output.table,
        snakemake.output.repeats,
        snakemake.output.detectable,
        snakemake.output.png,
        snakemake.output.svg,
        classes=snakemake.params.classes,
        target_class=snakemake.params.target_class,
        synthetic_arms=snakemake.params.synthetic_arms,
        seed=snakemake.params.seed,
    )
