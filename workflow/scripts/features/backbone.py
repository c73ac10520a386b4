"""Build a backbone with its preprocessing and weights."""

from covidcxr.features.backbone import write_backbone
from covidcxr.logs import step

with step(snakemake.log[0]):
    write_backbone(
        snakemake.output[0],
        name=snakemake.wildcards.backbone,
        weights=snakemake.input[0] if snakemake.input else "random",
        size=snakemake.params.size,
        seed=snakemake.params.seed,
        pooled_layers=snakemake.params.pooled_layers,
    )
