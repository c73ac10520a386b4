"""Grad-CAM maps of the figures' images."""

from covidcxr.explain.gradcam import write_gradcam
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_gradcam(
        snakemake.input.models,
        snakemake.input.images,
        snakemake.input.manifest,
        snakemake.input.split,
        snakemake.input.timeline_images,
        snakemake.input.timeline,
        snakemake.output[0],
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
