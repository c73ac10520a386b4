"""Fetch the table of the COVID-19 Image Data Collection."""

from covidcxr.data.covid_metadata import fetch_covid_metadata
from covidcxr.logs import step

with step(snakemake.log[0]):
    fetch_covid_metadata(
        snakemake.output[0], commit=snakemake.params.commit, mirror=snakemake.params.mirror
    )
