"""Score the shortcut controls and tell the sources of films."""

from covidcxr.data.altered import WHOLE
from covidcxr.evaluate.controls import write_controls
from covidcxr.logs import step

with step(snakemake.log[0]):
    external = zip(snakemake.input.tables, snakemake.input.set_features, strict=True)
    write_controls(
        snakemake.input.manifest,
        snakemake.input.split,
        snakemake.input.images,
        dict(zip(snakemake.params.controls, snakemake.input.features, strict=True)),
        dict(zip(snakemake.params.sets, external, strict=True)),
        snakemake.output.controls,
        snakemake.output.sources,
        whole=WHOLE,
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
    )
