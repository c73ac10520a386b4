"""Choose the images of an external test set."""

from pathlib import Path

from covidcxr.data.external import write_external
from covidcxr.logs import step

with step(snakemake.log[0]):
    # Not a parameter: the name of the run would keep runs from sharing results.
    folders = [Path(file).parent for file in snakemake.input.raw if Path(file).name == "images"]
    write_external(
        {folder.name: folder for folder in folders},
        snakemake.input.manifest,
        snakemake.input.timeline,
        snakemake.output.table,
        snakemake.output.excluded,
        sources=snakemake.params.sources,
        parts=snakemake.params.parts,
        seed=snakemake.params.seed,
    )
