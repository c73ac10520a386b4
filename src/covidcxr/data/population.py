"""The images by which models of one population are trained and then tested on every population."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from covidcxr.data.tables import read_manifest, read_split, write_table
from covidcxr.errors import InputError


def write_population(
    manifest: str | Path,
    split: str | Path,
    output_manifest: str | Path,
    output_split: str | Path,
    *,
    sources: Sequence[str],
) -> None:
    """Write the manifest and split of a population: own training images, all test images.

    The run's split is kept, so a patient who trains a model of one population is in no test set.

    Parameters
    ----------
    sources
        Sources whose training images belong to the population.

    Raises
    ------
    InputError
        If the tables do not fit, or the population lacks a class in training.
    """
    images = read_manifest(manifest)
    sides = read_split(split)
    kept = of_population(images, sides, sources)
    missing = set(images["label"]) - set(kept.loc[kept["split"] == "train", "label"])
    if missing:
        raise InputError(
            f"a population of the sources {', '.join(sources)} has no training image of class "
            f"{', '.join(sorted(missing))}; name a source of each class in `populations`"
        )
    write_table(images[images["image_id"].isin(kept["image_id"])], output_manifest)
    write_table(sides[sides["image_id"].isin(kept["image_id"])], output_split)


def of_population(
    images: pd.DataFrame, split: pd.DataFrame, sources: Sequence[str]
) -> pd.DataFrame:
    """Return the images, with their split, that are for test or of one of the sources."""
    joined = images.merge(split, on="image_id", validate="one_to_one")
    return joined[(joined["split"] == "test") | joined["source"].isin(list(sources))]
