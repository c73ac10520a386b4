"""How sure each measure of each model is: patient-clustered intervals, spread over folds."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.data.tables import read_split, write_table
from covidcxr.evaluate import metrics
from covidcxr.evaluate.bootstrap import (
    REPLICATES,
    Floats,
    estimate_of,
    exact_bounds,
    percentile_bounds,
    resampled,
)
from covidcxr.evaluate.classification import ENSEMBLE, Predictions, read_predictions
from covidcxr.logs import progress
from covidcxr.seeding import generator

COLUMNS = (
    "backbone",
    "augmentation",
    "model",
    "metric",
    "class",
    "estimate",
    "low",
    "high",
    "n",
    "patients",
    "method",
    "fold_mean",
    "fold_sd",
)
KEY = ["backbone", "augmentation", "metric", "class"]
OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
BY_CLASS = ("sensitivity", "specificity", "precision", "auc")
SHARES = ("accuracy", "sensitivity", "specificity", "precision")
"""Measures that are a share of images, for which exact bounds exist where all or none count."""


def write_intervals(
    predictions: Iterable[tuple[str, str, str, str | Path]],
    split: str | Path,
    output: str | Path,
    *,
    classes: Sequence[str],
    seed: int,
    replicates: int = REPLICATES,
) -> None:
    """Write every model's measures on the test set with 95 % patient-clustered intervals.

    All models are scored on the same resamples of patients.

    Parameters
    ----------
    predictions
        (backbone, augmentation, model, path of the predictions) of every model.
    split
        `split.csv` of the run.
    output
        Table to write, `COLUMNS`, a row for each model, measure and class; `class` is empty for
        accuracy, balanced accuracy and macro F1. See `measured`; `fold_mean` and `fold_sd` stand in
        the ensembles' rows: mean and standard deviation of the same measure over the folds' models
        on the test set.
    classes
        Class names in table order.
    seed
        The run's seed.
    replicates
        Resamples.

    Raises
    ------
    InputError
        If predictions are missing, double or faulty.
    """
    folds = read_split(split)
    records = [Predictions(*record) for record in predictions]
    parts = []
    for record in progress(records, desc="intervals", unit="model"):
        frame = read_predictions(record, folds, classes)
        rows = measured(
            frame[frame["split"] == "test"],
            classes,
            generator(seed, "intervals"),
            replicates=replicates,
        )
        rows.insert(0, "backbone", record.backbone)
        rows.insert(1, "augmentation", record.augmentation)
        rows.insert(2, "model", record.model)
        parts.append(rows)
    write_table(with_folds(pd.concat(parts, ignore_index=True))[list(COLUMNS)], output)


def measured(
    test: pd.DataFrame,
    classes: Sequence[str],
    rng: np.random.Generator,
    *,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """Return each measure of one model with its interval.

    Parameters
    ----------
    test
        patient_id, label, predicted and p_<class> of the test images.
    rng
        Draws the patients.

    Returns
    -------
    DataFrame: metric, class, estimate, low, high (all in 0..1), n and patients (images that the
    measure counts, and their patients: for the sensitivity of a class those of the class, for its
    specificity the others, for its precision those called so), and method. `bootstrap`: percentiles
    of resampled patients. `exact`: Clopper-Pearson bounds over patients, for a share of 0 or 1,
    where resamples do not differ. Empty: no interval, since resamples do not differ (an AUC of 1)
    or the measure is undefined.
    """
    truth = metrics.class_positions(test["label"].tolist(), classes)
    called = metrics.class_positions(test["predicted"].tolist(), classes)
    scores = test[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    patients = test["patient_id"].to_numpy()

    def statistic(weights: Floats) -> Floats:
        return _vector(weights, truth, called, scores)

    estimates = estimate_of(statistic, len(test))
    low, high = percentile_bounds(resampled(statistic, patients, rng, replicates))
    everything = np.ones(len(test), bool)
    counted = [everything] * len(OVERALL) + [
        where
        for k in range(len(classes))
        for where in (truth == k, truth != k, called == k, everything)
    ]
    names = [(metric, "") for metric in OVERALL] + [
        (metric, name) for name in classes for metric in BY_CLASS
    ]
    rows = []
    for (metric, name), estimate, lowest, highest, where in zip(
        names, estimates, low, high, counted, strict=True
    ):
        seen = len(np.unique(patients[where]))
        bounds, method = _bounds(metric, float(estimate), float(lowest), float(highest), seen)
        rows.append((metric, name, estimate, *bounds, int(where.sum()), seen, method))
    return pd.DataFrame(rows, columns=list(COLUMNS[3:11]))


def with_folds(table: pd.DataFrame) -> pd.DataFrame:
    """Add fold_mean and fold_sd to the ensembles' rows of a table of intervals."""
    single = table[table["model"] != ENSEMBLE]
    spread = single.groupby(KEY, sort=False)["estimate"].agg(fold_mean="mean", fold_sd="std")
    joined = table.join(spread, on=KEY)
    joined.loc[joined["model"] != ENSEMBLE, ["fold_mean", "fold_sd"]] = np.nan
    return joined


def _vector(
    weights: Floats,
    truth: npt.NDArray[np.int64],
    called: npt.NDArray[np.int64],
    scores: Floats,
) -> Floats:
    """Return all measures side by side, in the order of `measured`: [resamples, measures]."""
    count = scores.shape[1]
    matrices = metrics.confusions(weights, truth, called, count)
    areas = np.stack([metrics.auc(weights, scores[:, k], truth == k) for k in range(count)], axis=1)
    by_class = np.stack(
        [
            metrics.sensitivity(matrices),
            metrics.specificity(matrices),
            metrics.precision(matrices),
            areas,
        ],
        axis=2,
    )
    overall = np.stack(
        [
            metrics.accuracy(matrices),
            metrics.balanced_accuracy(matrices),
            metrics.macro_f1(matrices),
        ],
        axis=1,
    )
    return np.concatenate([overall, by_class.reshape(len(weights), -1)], axis=1)


def _bounds(
    metric: str, estimate: float, low: float, high: float, patients: int
) -> tuple[tuple[float, float], str]:
    if metric in SHARES and estimate in (0.0, 1.0):
        return exact_bounds(estimate, patients), "exact"
    if np.isnan(estimate) or low == high:
        return (np.nan, np.nan), ""
    return (low, high), "bootstrap"
