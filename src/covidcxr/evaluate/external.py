"""Every model on external test sets, scored from written predictions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.classify.ensemble import read_predictions
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import share_interval
from covidcxr.evaluate.classification import predicted_labels, scores
from covidcxr.seeding import generator

EXTERNAL = "external"
SET_COLUMNS = ["set", "class", "images", "patients", "excluded", "reasons"]


class Scored(NamedTuple):
    """Where the predictions of one model on one set stand."""

    set: str
    backbone: str
    augmentation: str
    model: str
    path: str | Path


def external_scores(
    predictions: pd.DataFrame, classes: Sequence[str], rng: np.random.Generator
) -> dict[str, Any]:
    """Score a model on a set that may lack some of the classes.

    Parameters
    ----------
    predictions
        image_id, patient_id, label, p_<class>.
    classes
        Class names in the order of the probabilities.
    rng
        Draws the resamples of the intervals.

    Returns
    -------
    n, accuracy (over the labels present; a film called by an absent class is wrong), accuracy_low
    and accuracy_high (95 %, by patient), precision_, recall_ and f1_<class> (NaN where the class
    has no films, since all are then 0 by definition), and for each class called_<class>, the share
    of films of other classes that are called so, with called_<class>_low and _high.
    """
    predicted = predicted_labels(predictions[[f"p_{c}" for c in classes]].to_numpy(float), classes)
    truth = predictions["label"]
    row: dict[str, Any] = scores(truth, pd.Series(predicted, index=truth.index), classes)
    hits: npt.NDArray[np.bool_] = (truth == predicted).to_numpy()
    found = share_interval(hits, predictions["patient_id"].to_numpy(), rng)
    row |= {"accuracy_low": found.low, "accuracy_high": found.high}
    for name in classes:
        if not (truth == name).any():
            row |= {f"{measure}_{name}": np.nan for measure in ("precision", "recall", "f1")}
    for name in classes:
        others = (truth != name).to_numpy()
        share, low, high = np.nan, np.nan, np.nan
        if others.any():
            share, low, high = share_interval(
                predicted == name, predictions["patient_id"].to_numpy(), rng, among=others
            )
        row |= {
            f"called_{name}": share,
            f"called_{name}_low": low,
            f"called_{name}_high": high,
        }
    return row


def at_threshold(
    predictions: pd.DataFrame, target: str, threshold: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Score a model whose call of a class is that its probability reaches a threshold.

    Returns
    -------
    threshold; at_threshold_sensitivity (share of target films called so) and at_threshold_called
    (share of other films called so), NaN without such films, each with _low and _high (95 %, by
    patient).
    """
    own = (predictions["label"] == target).to_numpy(bool)
    called = predictions[f"p_{target}"].to_numpy(float) >= threshold
    row: dict[str, Any] = {"threshold": threshold}
    for name, among in (("sensitivity", own), ("called", ~own)):
        found: tuple[float, ...] = (np.nan,) * 3
        if among.any():
            found = share_interval(called, predictions["patient_id"].to_numpy(), rng, among=among)
        for end, value in zip(("", "_low", "_high"), found, strict=True):
            row[f"at_threshold_{name}{end}"] = value
    return row


def describe_set(name: str, images: pd.DataFrame, excluded: pd.DataFrame) -> list[dict[str, Any]]:
    """Count a set by class: images, patients, and what was left out, with the reasons."""
    labels = list(dict.fromkeys([*images["label"], *excluded["label"]]))
    rows = []
    for label in labels:
        of_class = images[images["label"] == label]
        reasons = excluded.loc[excluded["label"] == label, "reason"].value_counts()
        rows.append(
            {
                "set": name,
                "class": label,
                "images": len(of_class),
                "patients": of_class["patient_id"].nunique(),
                "excluded": int(reasons.sum()),
                "reasons": "; ".join(f"{count} {reason}" for reason, count in reasons.items()),
            }
        )
    return rows


def write_external_table(
    predictions: Iterable[tuple[str, str, str, str, str | Path]],
    tables: Mapping[str, str | Path],
    excluded: Mapping[str, str | Path],
    points: str | Path,
    output: str | Path,
    output_sets: str | Path,
    *,
    classes: Sequence[str],
    seed: int,
) -> None:
    """Score all models on all external sets.

    Parameters
    ----------
    predictions
        (set, backbone, augmentation, model, path of the predictions).
    tables, excluded
        Of each set, its images and what was left out.
    points
        `tables/operating_point.csv`: the threshold of each ensemble, which its folds share.
    output
        Table to write: set, backbone, augmentation, model, split (`external`), and
        `external_scores` and `at_threshold`.
    output_sets
        Table to write: set, class, images, patients, excluded, reasons.
    classes
        Class names in table order.
    seed
        Of the run.

    Raises
    ------
    InputError
        A file does not predict just the images of its set.
    """
    images = {name: read_manifest(path) for name, path in tables.items()}
    asked = read_table(points, ["backbone", "augmentation", "class"], ["threshold"])
    thresholds = {
        (row["backbone"], row["augmentation"]): (row["class"], float(row["threshold"]))
        for row in asked.to_dict("records")
    }
    rows = []
    for record in (Scored(*entry) for entry in predictions):
        frame = read_predictions(record.path, classes)
        if set(frame["image_id"]) != set(images[record.set]["image_id"]):
            raise InputError(
                f"{record.path} does not predict just the images of the external set "
                f"{record.set}: score it anew"
            )
        # The same resamples for every model of a set, so that models can be compared.
        rng = generator(seed, "external", record.set)
        target, threshold = thresholds[record.backbone, record.augmentation]
        rows.append(
            {
                "set": record.set,
                "backbone": record.backbone,
                "augmentation": record.augmentation,
                "model": record.model,
                "split": EXTERNAL,
                **external_scores(frame, classes, rng),
                **at_threshold(frame, target, threshold, rng),
            }
        )
    counts = [
        row
        for name, table in images.items()
        for row in describe_set(name, table, read_table(excluded[name], ["label", "reason"]))
    ]
    write_table(pd.DataFrame(counts, columns=SET_COLUMNS), output_sets)
    write_table(pd.DataFrame(rows), output)
