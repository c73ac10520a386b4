"""Check from the files what each CycleGAN was fed."""

from covidcxr.cyclegan.lineage import write_lineage
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_lineage(
        snakemake.input.images,
        snakemake.input.frames,
        snakemake.input.manifest,
        snakemake.input.split,
        snakemake.input.seen,
        snakemake.input.synthetic,
        snakemake.output[0],
        names=snakemake.params.names,
        by_patient=snakemake.params.by_patient,
    )
