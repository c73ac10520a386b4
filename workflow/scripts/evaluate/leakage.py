"""Look for patients and near copies on both sides of a division."""

from covidcxr.evaluate.leakage import write_leakage
from covidcxr.logs import step

with step(snakemake.log[0]):
    external = zip(
        snakemake.input.tables,
        snakemake.input.set_images,
        snakemake.input.set_features,
        strict=True,
    )
    write_leakage(
        snakemake.input.manifest,
        snakemake.input.split,
        snakemake.input.images,
        snakemake.input.features,
        dict(zip(snakemake.params.sets, external, strict=True)),
        snakemake.output.findings,
        snakemake.output.summary,
        sources=snakemake.params.sources,
    )
