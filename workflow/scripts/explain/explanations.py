"""Grad-CAM of the test images and dated patients, and its measures."""

from covidcxr.explain.explanations import write_explanations
from covidcxr.logs import step

with step(snakemake.log[0]):
    files = iter(snakemake.input.models)
    write_explanations(
        [
            (name, [next(files) for _ in range(snakemake.params.folds)])
            for name in snakemake.params.augmentations
        ],
        snakemake.input.manifest,
        snakemake.input.images,
        snakemake.input.split,
        snakemake.input.lungs,
        snakemake.input.timeline,
        snakemake.input.timeline_images,
        snakemake.output.maps,
        snakemake.output.images,
        snakemake.output.curves,
        snakemake.output.randomised,
        classes=snakemake.params.classes,
        phantoms=dict(zip(snakemake.params.phantoms, snakemake.input.masked, strict=True)),
        count=snakemake.params.sampled,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
