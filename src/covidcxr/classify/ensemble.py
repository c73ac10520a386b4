"""The ensemble of the folds' models, from their written predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from covidcxr.data.tables import read_split, read_table, write_table
from covidcxr.errors import InputError


def read_predictions(path: str | Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read a table of predictions: image_id, patient_id, label (str), p_<class> (float).

    Raises
    ------
    InputError
        A column is missing, an image stands twice, or a probability is missing or not in [0, 1].
    """
    scores = [f"p_{name}" for name in classes]
    table = read_table(path, ["image_id", "patient_id", "label", *scores], scores)
    doubles = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(doubles):
        raise InputError(f"{path} predicts image {doubles.iloc[0]} twice; train that fold anew")
    values = table[scores].to_numpy(float)
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)).all(axis=1))
    if len(wrong):
        image = table["image_id"].iloc[wrong[0]]
        raise InputError(f"{path}: image {image} has no probabilities; train that fold anew")
    return table[["image_id", "patient_id", "label", *scores]]


def combine(
    folds: Sequence[pd.DataFrame], split: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Return the ensemble's predictions, in the order of `split`.

    A test image gets the mean of all folds' probabilities. A training image gets the one
    out-of-fold prediction, of the model that did not train on it.

    Parameters
    ----------
    folds
        Predictions of fold 0, 1, ...: the fold's validation images and all test images.
    split
        image_id, split (train or test), fold.
    classes
        Class names; they fix the columns p_<class>.

    Raises
    ------
    InputError
        A fold lacks an image, or predicts one that is not its own; labels contradict each other.
    """
    for k, table in enumerate(folds):
        own = set(split.loc[(split["split"] == "test") | (split["fold"] == k), "image_id"])
        given = set(table["image_id"])
        if own - given:
            raise InputError(
                f"the predictions of fold {k} lack {len(own - given)} images, such as "
                f"{min(own - given)}; train that fold anew"
            )
        if given - own:
            raise InputError(
                f"the predictions of fold {k} hold {len(given - own)} images that are neither test "
                f"images nor of that fold, such as {min(given - own)}; train that fold anew"
            )
    everything = pd.concat(folds, ignore_index=True)
    unpredicted = set(split["image_id"]) - set(everything["image_id"])
    if unpredicted:
        raise InputError(
            f"no fold predicts {len(unpredicted)} images, such as {min(unpredicted)}; "
            f"the split has more folds than the {len(folds)} given"
        )
    grouped = everything.groupby("image_id", sort=False)
    described = grouped[["patient_id", "label"]]
    if (described.nunique() > 1).any(axis=None):
        raise InputError("the folds disagree on an image's patient or label; train them anew")
    scores = [f"p_{name}" for name in classes]
    joined = described.first().join(grouped[scores].mean())
    return joined.loc[split["image_id"]].reset_index()


def write_ensemble(
    fold_predictions: Sequence[str | Path],
    split: str | Path,
    output: str | Path,
    *,
    classes: Sequence[str],
) -> None:
    """Write the ensemble's predictions, see `combine`.

    Parameters
    ----------
    fold_predictions
        `predictions/<backbone>/<augmentation>/fold<k>.csv` for k = 0, 1, ...
    split
        `data/split.csv`.
    output
        CSV image_id, patient_id, label, p_<class>...
    classes
        Class names.
    """
    folds = [read_predictions(path, classes) for path in fold_predictions]
    write_table(combine(folds, read_split(split), classes), output)
