"""Export of a model to LiteRT in three precisions."""

from covidcxr.deploy.litert import FORMATS, write_litert
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_litert(
        snakemake.input.model,
        snakemake.input.manifest,
        snakemake.input.images,
        snakemake.input.split,
        {name: snakemake.output[name] for name in FORMATS},
        snakemake.output.table,
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
