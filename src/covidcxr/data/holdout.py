"""The fixed test set, chosen before anything is trained."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from covidcxr.data.assignment import choose_groups
from covidcxr.data.tables import read_manifest, write_table
from covidcxr.errors import InputError
from covidcxr.seeding import generator

Unit = Literal["patient", "image"]

log = logging.getLogger("covidcxr")


def run(
    manifest: str | Path,
    holdout: str | Path,
    *,
    unit: Unit,
    test: float | Mapping[str, int],
    seed: int,
) -> None:
    """Draw the test set of a run and write `holdout.csv` (image_id, split: `train` or `test`).

    Parameters
    ----------
    manifest
        `manifest.csv`.
    holdout
        Table to write, rows in the manifest's order.
    unit
        `patient` keeps every patient wholly on one side; `image` samples images one by one.
    test
        Test images of each class, or one share (0..1) for all classes.
    seed
        The run's seed.

    Raises
    ------
    InputError
        If `test` names other classes than the manifest, or a class is left without training or
        without test images.
    """
    images = read_manifest(manifest)
    write_table(choose_holdout(images, unit=unit, test=test, seed=seed), holdout)


def choose_holdout(
    images: pd.DataFrame, *, unit: Unit, test: float | Mapping[str, int], seed: int
) -> pd.DataFrame:
    """Return image_id and split (`train` or `test`) of every image; see `run`.

    `images` needs the columns image_id, label and patient_id.
    """
    sizes = images["label"].value_counts(sort=False)
    targets = test_counts(sizes, test)
    counts = count_by_group(images, unit)
    chosen = choose_groups(counts, targets, generator(seed, "holdout"))
    split = images[group_column(unit)].isin(chosen).map({True: "test", False: "train"})
    for label, size in sizes.items():
        tested = int((split[images["label"] == label] == "test").sum())
        if tested in (0, size):
            side = "test" if tested == 0 else "training"
            groups = images.loc[images["label"] == label, group_column(unit)].nunique()
            raise InputError(
                f"class {label} is left without {side} images: {targets[str(label)]} test images "
                f"were asked, and its {size} images are of {groups} {unit}s; sample more {unit}s "
                "or change split.test or split.unit"
            )
    log.info("test set: %s", ", ".join(f"{n} {c}" for c, n in _count(images, split).items()))
    return pd.DataFrame({"image_id": images["image_id"], "split": split})


def test_counts(sizes: "pd.Series[int]", test: float | Mapping[str, int]) -> dict[str, int]:
    """Return the test images asked of each class.

    Parameters
    ----------
    sizes
        Images of each class (index).
    test
        Counts by class, or a share of every class, rounded to the nearest image and at least one.

    Raises
    ------
    InputError
        If the classes of `test` and `sizes` differ, or a class has no image to spare for training.
    """
    if isinstance(test, Mapping):
        if set(test) != set(sizes.index):
            raise InputError(
                f"split.test gives counts for {', '.join(sorted(test))}; the classes are "
                f"{', '.join(map(str, sizes.index))}: give one count each"
            )
        asked = {str(label): int(test[str(label)]) for label in sizes.index}
    else:
        asked = {str(label): max(1, math.floor(n * test + 0.5)) for label, n in sizes.items()}
    for label, count in asked.items():
        if count >= sizes[label]:
            raise InputError(
                f"split.test asks {count} test images of class {label}, which has {sizes[label]}: "
                "none would be left to train on; ask fewer, or sample more images of the class"
            )
    return asked


def group_column(unit: Unit) -> str:
    """Return the manifest column whose values are kept together: patient_id or image_id."""
    return {"patient": "patient_id", "image": "image_id"}[unit]


def count_by_group(images: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Count images per group (index: patient_id or image_id) and class (columns), int64."""
    return pd.crosstab(images[group_column(unit)], images["label"])


def _count(images: pd.DataFrame, split: "pd.Series[str]") -> "pd.Series[int]":
    return images.loc[split == "test", "label"].value_counts(sort=False)
