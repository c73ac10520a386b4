"""Unpack Kermany's archive, or copy a mirror's unpacked folder."""

from covidcxr.data.kermany_images import extract_kermany_images
from covidcxr.logs import step

with step(snakemake.log[0]):
    archive = snakemake.input[0] if snakemake.input else None
    extract_kermany_images(archive, snakemake.output[0], mirror=snakemake.params.mirror)
