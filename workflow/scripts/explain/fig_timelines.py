"""Figure of the dated patients."""

from covidcxr.explain.fig_timelines import write_fig_timelines
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig_timelines(
        snakemake.input.table,
        snakemake.input.maps,
        snakemake.output.png,
        snakemake.output.svg,
        augmentation=snakemake.params.augmentation,
        target=snakemake.params.target,
        colormap=snakemake.params.colormap,
        opacity=snakemake.params.opacity,
    )
