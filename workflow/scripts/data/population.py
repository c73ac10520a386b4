"""Choose the images that train and test the models of a population."""

from covidcxr.data.population import write_population
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_population(
        snakemake.input.manifest,
        snakemake.input.split,
        snakemake.output.manifest,
        snakemake.output.split,
        sources=snakemake.params.sources,
    )
