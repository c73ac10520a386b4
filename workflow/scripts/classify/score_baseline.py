"""Score a baseline of a backbone on an external test set."""

from covidcxr.classify.score_baseline import ENSEMBLE, write_baseline_scores
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_baseline_scores(
        snakemake.input.models,
        snakemake.input.features,
        snakemake.input.table,
        dict(zip([*snakemake.params.folds, ENSEMBLE], snakemake.output, strict=True)),
        identity={
            "population": snakemake.wildcards.get("population", "study"),
            "backbone": snakemake.wildcards.backbone,
            "classifier": snakemake.wildcards.baseline,
            "set": snakemake.wildcards.set,
        },
        classes=snakemake.params.classes,
    )
