"""Compare image-level with patient-disjoint splits."""

from covidcxr.evaluate.split_comparison import Bank, write_split_comparison
from covidcxr.logs import step

with step(snakemake.log[0]):
    places = (snakemake.input.clean, snakemake.input.rows, snakemake.input.choices)
    write_split_comparison(
        [Bank(*bank) for bank in zip(snakemake.params.backbones, *places, strict=True)],
        snakemake.input.manifest,
        snakemake.output.summary,
        snakemake.output.repeats,
        classes=snakemake.params.classes,
        test=snakemake.params.test,
        repeats=snakemake.params.repeats,
        class_weights=snakemake.params.class_weights,
        source_weights=snakemake.params.source_weights,
        seed=snakemake.params.seed,
    )
