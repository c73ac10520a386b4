"""Figure 7: Grad-CAM over one patient's days."""

from covidcxr.explain.fig7_timeline import write_fig7_timeline
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig7_timeline(
        list(zip(snakemake.params.backbones, snakemake.input, strict=True)),
        snakemake.output.png,
        snakemake.output.svg,
        classes=snakemake.params.classes,
        colormap=snakemake.params.colormap,
        opacity=snakemake.params.opacity,
    )
