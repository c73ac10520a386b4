"""Write the report of the run."""

from pathlib import Path

from covidcxr.logs import step
from covidcxr.report.report import write_report

with step(snakemake.log[0]):
    files = [Path(name) for name in snakemake.input]
    write_report(
        snakemake.output[0],
        config=snakemake.params.config,
        tables={file.stem: file for file in files if file.suffix == ".csv"},
        figures={file.stem: file for file in files if file.suffix == ".png"},
        svgs={file.stem: file for file in files if file.suffix == ".svg"},
        written=[file for file in files if file.suffix == ".json"],
        gradcam={file.parent.name: file for file in files if file.suffix == ".npz"},
    )
