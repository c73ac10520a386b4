"""Are two models really different on the test set? McNemar's test, and the paired difference."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from covidcxr.data.tables import read_split, write_table
from covidcxr.evaluate.bootstrap import REPLICATES, Statistic, interval, share_of
from covidcxr.evaluate.classification import ENSEMBLE, Predictions, read_predictions
from covidcxr.logs import progress
from covidcxr.seeding import generator

Model = tuple[str, str]
"""Backbone and augmentation."""

COLUMNS = (
    "first_backbone",
    "first_augmentation",
    "second_backbone",
    "second_augmentation",
    "n",
    "patients",
    "both_right",
    "only_first",
    "only_second",
    "both_wrong",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
)


def write_comparisons(
    ensembles: Iterable[tuple[str, str, str | Path]],
    split: str | Path,
    output: str | Path,
    *,
    classes: Sequence[str],
    seed: int,
    replicates: int = REPLICATES,
) -> None:
    """Compare every pair of ensembles on the test set.

    Parameters
    ----------
    ensembles
        (backbone, augmentation, path of the predictions).
    split
        `split.csv` of the run.
    output
        Table to write, see `compare`.
    classes
        Class names in table order.
    seed
        The run's seed.

    Raises
    ------
    InputError
        If predictions are missing, double or faulty.
    """
    folds = read_split(split)
    correct: dict[Model, npt.NDArray[np.bool_]] = {}
    patients = np.zeros(0, object)
    for backbone, augmentation, path in ensembles:
        frame = read_predictions(
            Predictions(backbone, augmentation, ENSEMBLE, path), folds, classes
        ).set_index("image_id")
        test = frame[frame["split"] == "test"].sort_index()
        correct[backbone, augmentation] = (test["label"] == test["predicted"]).to_numpy(bool)
        patients = test["patient_id"].to_numpy()
    write_table(compare(correct, patients, seed=seed, replicates=replicates), output)


def difference_of(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Statistic:
    """Return the statistic: share of `first` minus share of `second`, on the same images."""
    gain, loss = share_of(first), share_of(second)
    return lambda weights: gain(weights) - loss(weights)


def compare(
    correct: dict[Model, npt.NDArray[np.bool_]],
    patients: npt.NDArray[np.generic],
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """Compare every pair of models by the images that one gets right and the other wrong.

    Parameters
    ----------
    correct
        Whether each test image is right, bool [n], by model.
    patients
        Patient of each image, [n].

    Returns
    -------
    DataFrame with `COLUMNS`, a row for each pair: images that both, one or none gets right;
    difference of the accuracies (first - second) with its 95 % patient-clustered interval (both
    models on the same resamples); p of McNemar's exact test (the binomial test of only_first
    against only_second; McNemar Q. Psychometrika 12, 153 (1947)), which takes images as
    independent, and p_holm, corrected for all pairs by Holm's method.
    """
    rows = []
    pairs = list(combinations(correct, 2))
    for first, second in progress(pairs, desc="comparisons", unit="pair"):
        a, b = correct[first], correct[second]
        table = [
            [int((a & b).sum()), int((a & ~b).sum())],
            [int((~a & b).sum()), int((~a & ~b).sum())],
        ]
        found = interval(
            difference_of(a, b), patients, generator(seed, "intervals"), replicates=replicates
        )
        p = float(mcnemar(table, exact=True).pvalue)
        rows.append(
            (*first, *second, len(a), len(np.unique(patients)), *table[0], *table[1], *found, p)
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    frame["p_holm"] = multipletests(frame["p"], method="holm")[1] if len(frame) else []
    return frame
