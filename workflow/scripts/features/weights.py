"""Fetch the ImageNet weights of a backbone."""

from covidcxr.features.weights import fetch_weights
from covidcxr.logs import step

with step(snakemake.log[0]):
    fetch_weights(snakemake.wildcards.backbone, snakemake.output[0], mirror=snakemake.params.mirror)
