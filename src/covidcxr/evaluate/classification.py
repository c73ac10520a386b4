"""Accuracy, precision, recall and F1 of every model, scored only from written predictions."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from covidcxr.classify.ensemble import read_predictions as read_probabilities
from covidcxr.data.tables import read_split, write_table
from covidcxr.errors import InputError

ENSEMBLE = "ensemble"


class Predictions(NamedTuple):
    """Where the predictions of one model stand; `model` is `fold<k>` or `ensemble`."""

    backbone: str
    augmentation: str
    model: str
    path: str | Path


def write_classification(
    predictions: Iterable[tuple[str, str, str, str | Path]],
    split: str | Path,
    output: str | Path,
    *,
    classes: Sequence[str],
) -> None:
    """Score the written predictions of all models and write `classification.csv`.

    Parameters
    ----------
    predictions
        (backbone, augmentation, model, path of the predictions) of every model.
    split
        `split.csv` of the run.
    output
        Table to write: backbone, augmentation, model, split (`validation` or `test`), n, accuracy,
        and precision, recall and F1 of each class, all in 0..1. The rows keep the given order of
        backbones, augmentations and models. The validation row of a fold's model scores that fold,
        that of the ensemble the out-of-fold predictions of all training images.
    classes
        Class names in table order.

    Raises
    ------
    InputError
        If a model of a backbone and augmentation is missing or given twice, or a file predicts an
        image twice, not at all, or that is not the model's to predict.
    """
    records = [Predictions(*record) for record in predictions]
    folds = read_split(split)
    _require_complete(records, sorted(folds["fold"].dropna().unique()))
    table = pd.DataFrame(
        [
            {
                "backbone": record.backbone,
                "augmentation": record.augmentation,
                "model": record.model,
                "split": part,
                **scores(frame["label"], frame["predicted"], classes),
            }
            for record in records
            for part, frame in read_predictions(record, folds, classes).groupby(
                "split", sort=False, observed=False
            )
        ]
    )
    write_table(table, output)


def scores(truth: "pd.Series[str]", predicted: "pd.Series[str]", classes: Sequence[str]) -> dict:
    """Return n, accuracy, and precision_, recall_ and f1_ of each class.

    Precision is 0 for a class that is never predicted, recall 0 for one that never occurs.
    """
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=list(classes), zero_division=0
    )
    by_class = {
        f"{name}_{label}": float(value)
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1))
        for label, value in zip(classes, values, strict=True)
    }
    accuracy = float((truth == predicted).mean())
    return {"n": len(truth), "accuracy": accuracy, **by_class}


def read_predictions(
    record: Predictions, split: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Read one model's predictions, checked to hold just the images that the model must predict.

    A fold's model predicts the validation images of its fold and all test images, the ensemble all
    images.

    Parameters
    ----------
    record
        The model and its file.
    split
        What `read_split` returns.
    classes
        Class names in the order of the probabilities.

    Returns
    -------
    DataFrame with image_id, patient_id, label, p_<class> (float, 0..1), predicted (the class of the
    highest probability, the first of equals) and split (`validation`, then `test`).

    Raises
    ------
    InputError
        On gaps, doubles, strangers, unknown labels and values that are no probabilities.
    """
    frame = read_probabilities(record.path, classes)
    expected = _expected(record, split)
    _require_same_images(record.path, frame["image_id"], expected.index)
    unknown = frame[~frame["label"].isin(list(classes))]
    if len(unknown):
        raise InputError(
            f"{record.path}: image {unknown['image_id'].iloc[0]} is labelled "
            f"{unknown['label'].iloc[0]!r}; the classes are {', '.join(classes)}"
        )
    probabilities = frame[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    parts = pd.Categorical(frame["image_id"].map(expected), ["validation", "test"])
    return frame.assign(predicted=predicted_labels(probabilities, classes), split=parts)


def predicted_labels(
    probabilities: npt.NDArray[np.floating], classes: Sequence[str]
) -> npt.NDArray[np.str_]:
    """Return the class of the highest probability in each row [n, classes]; the first of equals."""
    return np.array(classes)[probabilities.argmax(axis=1)]


def _expected(record: Predictions, split: pd.DataFrame) -> "pd.Series[str]":
    """Return `validation` or `test` by image_id, for the images the model must predict."""
    part = split.set_index("image_id")["split"].map({"train": "validation", "test": "test"})
    if record.model == ENSEMBLE:
        return part
    fold = split.set_index("image_id")["fold"].map("fold{}".format, na_action="ignore")
    return part[(part == "test") | (fold == record.model).fillna(False)]


def _require_complete(records: Sequence[Predictions], folds: Sequence[int]) -> None:
    """Raise where a backbone and augmentation lacks a model, has one twice, or one too many."""
    wanted = [f"fold{k}" for k in folds] + [ENSEMBLE]
    given: dict[tuple[str, str], list[str]] = {}
    for record in records:
        given.setdefault((record.backbone, record.augmentation), []).append(record.model)
    for (backbone, augmentation), models in given.items():
        problems = {
            "lacks": [model for model in wanted if model not in models],
            "has more than once": sorted({m for m in models if models.count(m) > 1}),
            "has, of no fold of the split,": [model for model in models if model not in wanted],
        }
        for problem, names in problems.items():
            if names:
                raise InputError(
                    f"{backbone} {augmentation} {problem} predictions of {', '.join(names)}; "
                    "give each fold and the ensemble once"
                )


def _require_same_images(
    path: str | Path, found: "pd.Series[str]", expected: "pd.Index[str]"
) -> None:
    problems = {
        "not predicted": sorted(set(expected) - set(found)),
        "predicted that are not this model's to predict": sorted(set(found) - set(expected)),
    }
    for problem, images in problems.items():
        if images:
            raise InputError(
                f"{path}: {len(images)} images {problem}, {images[0]} among them; predict anew"
            )
