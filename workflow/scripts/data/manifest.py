"""Draw the study's images from the sources, checking each."""

from pathlib import Path

from covidcxr.data.manifest import write_manifest
from covidcxr.logs import step

with step(snakemake.log[0]):
    # Not a parameter: the name of the run would keep runs from sharing results.
    folders = [Path(file).parent for file in snakemake.input if Path(file).name == "images"]
    write_manifest(
        {folder.name: folder for folder in folders},
        snakemake.output.manifest,
        snakemake.output.quarantine,
        snakemake.output.timeline,
        snakemake.output.collections,
        sources=snakemake.params.sources,
        classes=snakemake.params.classes,
        timeline_spec=snakemake.params.timeline,
        seed=snakemake.params.seed,
    )
