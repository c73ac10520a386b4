"""Fetch the images of the COVID-19 Image Data Collection that the run selects from."""

from covidcxr.data.covid_images import fetch_covid_images
from covidcxr.logs import step

with step(snakemake.log[0]):
    fetch_covid_images(
        snakemake.input[0],
        snakemake.output[0],
        select=snakemake.params.select,
        commit=snakemake.params.commit,
        mirror=snakemake.params.mirror,
    )
