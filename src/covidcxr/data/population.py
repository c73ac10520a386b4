"""The images by which models of one population are trained and then tested on every population."""

from collections.abc import Sequence

import pandas as pd

from covidcxr.data.split import assign_folds
from covidcxr.data.tables import SPLIT, read_manifest, read_split, write_table
from covidcxr.errors import InputError


def run(
    manifest: str,
    split: str,
    chosen: str,
    *,
    sources: Sequence[str] | None,
    folds: int | None = None,
    seed: int = 0,
) -> None:
    """Write the split of a population: its own training images, all test images.

    The run's split is kept, so a patient who trains a model of one population is in no test set.

    Parameters
    ----------
    manifest, split
        `data/manifest.csv` and `data/split.csv`.
    chosen
        CSV to write: image_id, split, fold, rows of `split`.
    sources
        Sources whose training images belong to the population; None for all of them.
    folds
        Divide the training images again by patient into so many folds; None keeps the run's.

    Raises
    ------
    InputError
        If the tables do not fit, or the population lacks a class in training.
    """
    images = read_manifest(manifest)
    sides = read_split(split)
    if folds is not None:
        training = images[images["image_id"].map(sides.set_index("image_id")["split"]) == "train"]
        fold = assign_folds(training, unit="patient", folds=folds, seed=seed)
        sides["fold"] = sides["image_id"].map(fold.set_axis(training["image_id"])).astype("Int64")
    if sources is None:
        return write_table(sides, chosen)
    kept = of_population(images, sides, sources)
    missing = set(images["label"]) - set(kept.loc[kept["split"] == "train", "label"])
    if missing:
        raise InputError(
            f"a population of the sources {', '.join(sources)} has no training image of class "
            f"{', '.join(sorted(missing))}; name a source of each class in `populations`"
        )
    return write_table(kept[list(SPLIT.columns)], chosen)


def of_population(
    images: pd.DataFrame, split: pd.DataFrame, sources: Sequence[str]
) -> pd.DataFrame:
    """Return the images, with their split, that are for test or of one of the sources."""
    joined = split.merge(images, on="image_id", validate="one_to_one")
    return joined[(joined["split"] == "test") | joined["source"].isin(list(sources))]
