"""Figure 2: originals beside synthetic images."""

from covidcxr.evaluate.fig2_synthetic import write_fig2_synthetic
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig2_synthetic(
        snakemake.input.manifest,
        snakemake.input.images,
        snakemake.input.synthetic,
        snakemake.input.synthetic_images,
        snakemake.input.holdout,
        snakemake.output.png,
        snakemake.output.svg,
        seed=snakemake.params.seed,
    )
