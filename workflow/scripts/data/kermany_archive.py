"""Fetch Kermany's archive."""

from covidcxr.data.kermany_archive import fetch_kermany_archive
from covidcxr.logs import step

with step(snakemake.log[0]):
    fetch_kermany_archive(snakemake.output[0], mirror=snakemake.params.mirror)
