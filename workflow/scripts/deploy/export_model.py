"""Export of a model to LiteRT in three precisions.

The name is not `litert`: TensorFlow imports a module of that name, and would find this script.
"""

from covidcxr.deploy.export_model import FORMATS, write_export
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_export(
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
