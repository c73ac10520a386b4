"""Which images train, validate and test a fold's model, and how much each counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from covidcxr.array_types import Floats, Integers
from covidcxr.classify.weights import MADE, sample_weights
from covidcxr.data.tables import class_positions
from covidcxr.errors import InputError


@dataclass(frozen=True)
class Sample:
    """Named images and their classes; `classes` holds int positions in the list of classes."""

    ids: list[str]
    classes: Integers


def weights_of(
    samples: Sequence[Sample], table: pd.DataFrame, *, by_class: bool, by_source: bool
) -> Floats:
    """Return the weights of all images of samples; who is not in the manifest is synthetic."""
    source = table.set_index("image_id")["source"]
    ids = [image for sample in samples for image in sample.ids]
    return sample_weights(
        np.concatenate([sample.classes for sample in samples]),
        source.reindex(ids).fillna(MADE).to_numpy(str),
        by_class=by_class,
        by_source=by_source,
    )


def divide(table: pd.DataFrame, classes: Sequence[str], fold: int) -> tuple[Sample, Sample, Sample]:
    """Return the training, validation and test images of a fold.

    Parameters
    ----------
    table
        See `covidcxr.data.tables.read_images`.

    Raises
    ------
    InputError
        An image has no split or an unknown class, or a part or a training class is empty.
    """
    if table["split"].isna().any():
        missing = table.loc[table["split"].isna(), "image_id"].iloc[0]
        raise InputError(f"the split lacks image {missing} of the manifest: make the split again")
    unknown = set(table["label"]) - set(classes)
    if unknown:
        raise InputError(f"the manifest holds classes {sorted(unknown)} that are not in {classes}")
    tests = table["split"] == "test"
    validates = ~tests & (table["fold"] == fold).fillna(False)
    samples = []
    parts = {"training": ~tests & ~validates, "validation": validates, "test": tests}
    for part, where in parts.items():
        chosen = table.loc[where]
        if chosen.empty:
            raise InputError(f"the split has no {part} images for fold {fold}")
        absent = set(classes) - set(chosen["label"])
        if part == "training" and absent:
            raise InputError(f"fold {fold} has no training images of {sorted(absent)} in the split")
        samples.append(sample_of(chosen, classes))
    return samples[0], samples[1], samples[2]


def sample_of(table: pd.DataFrame, classes: Sequence[str]) -> Sample:
    """Return the images of a table (image_id, label)."""
    return Sample(table["image_id"].tolist(), class_positions(table["label"], classes))


def usable_synthetic(
    synthetic: pd.DataFrame,
    count: int,
    *,
    validation_patients: set[str],
    test_images: set[str],
    classes: Sequence[str],
) -> Sample:
    """Choose the synthetic images that may train beside a validation fold.

    Parameters
    ----------
    synthetic
        image_id, label, source_image_id, patient_id (of the source image).
    count
        The first so many rows are considered.
    validation_patients
        Patients whose translated images are left out, as they would carry the patient's anatomy
        into training.
    test_images
        Images that must not have been translated.

    Raises
    ------
    InputError
        There are fewer than `count`, one stems from a test image, or a label is no class.
    """
    if len(synthetic) < count:
        raise InputError(f"{count} synthetic images are asked for, there are {len(synthetic)}")
    first = synthetic.iloc[:count]
    leaked = first.loc[first["source_image_id"].isin(list(test_images))]
    if not leaked.empty:
        raise InputError(
            f"synthetic image {leaked['image_id'].iloc[0]} was made from the test image "
            f"{leaked['source_image_id'].iloc[0]}: make the synthetic images again for this split"
        )
    unknown = set(first["label"]) - set(classes)
    if unknown:
        raise InputError(f"synthetic images have the labels {sorted(unknown)}, not in {classes}")
    return sample_of(first[~first["patient_id"].isin(list(validation_patients))], classes)
