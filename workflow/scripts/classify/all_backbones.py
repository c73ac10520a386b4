"""Average the backbones' probabilities."""

from covidcxr.classify.all_backbones import write_all_backbones
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_all_backbones(
        snakemake.params.predictions,
        dict(zip(snakemake.params.models, snakemake.output, strict=True)),
        classes=snakemake.params.classes,
    )
