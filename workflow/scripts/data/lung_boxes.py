"""Fetch the radiologists' boxes of lungs of the COVID-19 Image Data Collection."""

from covidcxr.data.lung_boxes import fetch_lung_boxes
from covidcxr.logs import step

with step(snakemake.log[0]):
    fetch_lung_boxes(
        snakemake.output[0], commit=snakemake.params.commit, mirror=snakemake.params.mirror
    )
