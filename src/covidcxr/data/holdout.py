"""The fixed test set, chosen before anything is trained."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from covidcxr.data.assignment import choose_groups
from covidcxr.data.linked import merged_names
from covidcxr.data.tables import read_manifest, write_table
from covidcxr.errors import InputError
from covidcxr.logs import log
from covidcxr.seeding import generator

Unit = Literal["patient", "image", "site"]
MOST = 0.5
"""Share of a class above which a site is not left out whole: too little of it would train."""


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
    holdout
        Table to write, rows in the manifest's order.
    unit
        What is kept together: `patient`, `site`, or nothing (`image`), see `groups_of`.
    test
        Test images of each class, or one share (0..1) for all classes.

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

    `images` needs the columns image_id, label, patient_id and site.
    """
    sizes = images["label"].value_counts(sort=False)
    targets = test_counts(sizes, test)
    groups = groups_of(images, unit)
    counts = pd.crosstab(groups, images["label"])
    chosen = choose_groups(counts, targets, generator(seed, "holdout"))
    split = groups.isin(chosen).map({True: "test", False: "train"})
    for label, size in sizes.items():
        number = int((split[images["label"] == label] == "test").sum())
        if number in (0, size):
            side = "test" if number == 0 else "training"
            number = groups[images["label"] == label].nunique()
            raise InputError(
                f"class {label} is left without {side} images: {targets[str(label)]} test images "
                f"were asked, and its {size} images are of {number} {unit}s; sample more {unit}s "
                "or change split.test or split.unit"
            )
    tested = images.loc[split == "test", "label"].value_counts(sort=False)
    log.info("test set: %s", ", ".join(f"{number} {label}" for label, number in tested.items()))
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


def groups_of(images: pd.DataFrame, unit: Unit) -> "pd.Series[str]":
    """Return the group of each image, which is wholly in the test set or in one fold.

    With `unit="site"` it is the site, joined with others that share a patient. A site that holds
    more than `MOST` of a class cannot be left out: there it is the patient.

    Parameters
    ----------
    images
        image_id, patient_id; for sites also label and site.

    Raises
    ------
    InputError
        No site can be left out.
    """
    if unit != "site":
        return images[{"patient": "patient_id", "image": "image_id"}[unit]]
    shares = pd.crosstab(images["site"], images["label"], normalize="columns")
    large = shares.index[(shares > MOST).any(axis=1)]
    if shares.index.isin(large).all():
        raise InputError(
            "split.unit 'site': each site has more than half of a class, so none can be left out; "
            "give the images' sites (column `site`), more sites, or split.unit 'patient'"
        )
    group = images["site"].mask(images["site"].isin(large), images["patient_id"])
    first = group.groupby(images["patient_id"]).transform("first")
    names = merged_names(group, set(zip(first, group, strict=True)))
    return group.map(lambda name: names.get(name, name))
