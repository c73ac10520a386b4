"""Figure 6: Grad-CAM for one image of each class."""

from covidcxr.explain.fig6_gradcam import write_fig6_gradcam
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig6_gradcam(
        list(zip(snakemake.params.backbones, snakemake.input, strict=True)),
        snakemake.output.png,
        snakemake.output.svg,
        classes=snakemake.params.classes,
        colormap=snakemake.params.colormap,
        opacity=snakemake.params.opacity,
    )
