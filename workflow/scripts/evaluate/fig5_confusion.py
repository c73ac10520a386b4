"""Figure 5: confusion matrices of the ensembles on the test set."""

from covidcxr.evaluate.fig5_confusion import write_fig5_confusion
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig5_confusion(
        snakemake.params.models,
        snakemake.input.split,
        snakemake.output.png,
        snakemake.output.svg,
        classes=snakemake.params.classes,
    )
