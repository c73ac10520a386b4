"""Draw a source of chest phantoms."""

from covidcxr.data.phantoms import write_phantoms
from covidcxr.logs import step

with step(snakemake.log[0]):
    settings = snakemake.params.settings
    write_phantoms(
        snakemake.output.table,
        snakemake.output.images,
        patients=settings["patients"],
        image_size=settings["image_size"],
        difficulty=settings["difficulty"],
        seed=snakemake.params.seed,
    )
