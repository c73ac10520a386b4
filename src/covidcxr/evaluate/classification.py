"""Accuracy, precision, recall and F1 of every model on validation and test images."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from covidcxr.data.tables import write_table
from covidcxr.evaluate.models import of_study
from covidcxr.evaluate.scores import read_scores, wide

SPLITS = ("validation", "test")
METRICS = {"precision": "precision", "recall": "sensitivity", "f1": "f1"}
"""Measures by class, as columns name them and as `scores` does."""


def run(scores: str | Path, table: str | Path, *, classes: Sequence[str]) -> None:
    """Write the measures of all of the run's models.

    Parameters
    ----------
    scores
        `scores.csv` of the run.
    table
        CSV to write: backbone, augmentation, classifier, model, split (`validation` or `test`), and
        the columns of `summary`. The validation row of a fold's model scores that fold, that of the
        ensemble the out-of-fold predictions of all training images.
    classes
        Class names in table order.
    """
    own = of_study(read_scores(scores))
    own = own[own["set"].isin(SPLITS) & (own["group"] == "")]
    found = summary(own, classes).reset_index().rename(columns={"set": "split"})
    write_table(found.drop(columns=["population", "group"]), table)


def summary(scores: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row for each model, set and group of `scores`.

    Returns
    -------
    DataFrame indexed by identity and group: n, accuracy, and precision_, recall_ and f1_<class>, in
    0..1; NaN where a class has no images, and a precision of 0 where none was predicted so, as
    scikit-learn has it.
    """
    values = wide(scores)
    found = {"n": wide(scores, "n")["accuracy"].astype(int), "accuracy": values["accuracy"]}
    for name, metric in METRICS.items():
        for label in classes:
            column = values[f"{metric}_{label}"].fillna(0)
            found[f"{name}_{label}"] = column.where(values[f"sensitivity_{label}"].notna())
    return pd.DataFrame(found)
