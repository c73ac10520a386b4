"""Fetch the films of the NIH subset that the run selects from."""

from covidcxr.data.nih_subset_images import fetch_nih_subset_images
from covidcxr.logs import step

with step(snakemake.log[0]):
    fetch_nih_subset_images(
        snakemake.output[0],
        select=snakemake.params.select,
        commit=snakemake.params.commit,
        mirror=snakemake.params.mirror,
    )
