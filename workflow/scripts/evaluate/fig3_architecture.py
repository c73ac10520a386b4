"""Figure 3: architecture."""

from covidcxr.evaluate.fig3_architecture import write_fig3_architecture
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_fig3_architecture(
        list(zip(snakemake.params.backbones, snakemake.input, strict=True)),
        snakemake.output.png,
        snakemake.output.svg,
    )
