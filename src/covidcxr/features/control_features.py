"""Features of images from which what a radiologist would read is taken away."""

from covidcxr.data.altered import alteration
from covidcxr.features import external_features


def run(
    network: str,
    images: str,
    lungs: str,
    lungs_table: str,
    features: str,
    *,
    control: str,
    mixed_precision: bool,
    threads: int,
    shard: str | None = None,
) -> None:
    """Pass altered images of the run through a backbone, to its pooled features.

    Parameters
    ----------
    lungs, lungs_table
        Of the images, see `covidcxr.data.altered.alteration`.
    control
        `whole`, `no_lungs` or `borders`.
    network, images, features, mixed_precision, threads, shard
        See `covidcxr.features.external_features.run`.
    """
    external_features.run(
        network,
        images,
        features,
        trainable="head",
        mixed_precision=mixed_precision,
        threads=threads,
        shard=shard,
        altered=alteration(control, lungs, lungs_table),
    )
