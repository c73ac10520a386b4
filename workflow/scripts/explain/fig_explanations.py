"""Figure of the measures of the maps."""

from covidcxr.explain.fig_explanations import write_fig_explanations
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig_explanations(snakemake.input[0], snakemake.output.png, snakemake.output.svg)
