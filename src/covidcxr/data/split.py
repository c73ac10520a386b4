"""The training images divided into folds for cross-validation."""

from pathlib import Path

import pandas as pd

from covidcxr.data.assignment import partition_groups
from covidcxr.data.holdout import Unit, groups_of
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.seeding import generator


def run(
    manifest: str | Path,
    holdout: str | Path,
    split: str | Path,
    *,
    unit: Unit,
    folds: int,
    seed: int,
) -> None:
    """Divide the training images into folds and write `split.csv` (image_id, split, fold).

    Parameters
    ----------
    holdout
        `holdout.csv` of the same manifest.
    split
        Table to write, rows in the manifest's order; fold is 0..folds-1, empty for test images.
    unit
        What is kept together: `patient`, `site`, or nothing (`image`), see `groups_of`.
    folds
        Number of folds, >= 2.

    Raises
    ------
    InputError
        If a class has fewer training patients (images, sites) than folds, or the holdout table is
        not of this manifest.
    """
    images = read_manifest(manifest)
    sides = read_table(holdout, ["image_id", "split"]).set_index("image_id")["split"]
    if sides.index.duplicated().any() or set(sides.index) != set(images["image_id"]):
        raise InputError(
            f"{holdout} does not list the images of {manifest} once each: delete it, "
            "so that it is made again"
        )
    side = images["image_id"].map(sides)
    training = images[side == "train"]
    fold = assign_folds(training, unit=unit, folds=folds, seed=seed)
    write_table(
        pd.DataFrame(
            {
                "image_id": images["image_id"],
                "split": side,
                "fold": fold.reindex(images.index).astype("Int64"),
            }
        ),
        split,
    )


def assign_folds(images: pd.DataFrame, *, unit: Unit, folds: int, seed: int) -> "pd.Series[int]":
    """Return the fold (0..folds-1) of every training image, on the index of `images`.

    `images` needs the columns image_id, label, patient_id and site; see `run`.
    """
    groups = groups_of(images, unit)
    for label, count in groups.groupby(images["label"]).nunique().items():
        if count < folds:
            raise InputError(
                f"class {label} has {count} training {unit}s, fewer than split.folds ({folds}): "
                "some fold would have none to validate on; ask fewer folds, or sample more images"
            )
    counts = pd.crosstab(groups, images["label"])
    return groups.map(partition_groups(counts, folds, generator(seed, "split")))
