"""Draw the study's images from the sources, checking each."""

from covidcxr.data.manifest import write_manifest
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_manifest(
        snakemake.params.roots,
        snakemake.output.manifest,
        snakemake.output.quarantine,
        snakemake.output.timeline,
        snakemake.output.collections,
        sources=snakemake.params.sources,
        classes=snakemake.params.classes,
        timeline_spec=snakemake.params.timeline,
        seed=snakemake.params.seed,
    )
