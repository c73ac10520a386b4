"""Figure 4: training loss."""

from covidcxr.evaluate.fig4_loss import write_fig4_loss
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig4_loss(snakemake.params.models, snakemake.output.png, snakemake.output.svg)
