"""One classifier of the registry on the pooled features of a backbone, fold by fold."""

from collections.abc import Mapping, Sequence

import joblib
import numpy as np
import pandas as pd

from covidcxr.array_types import Integers
from covidcxr.classify.classifiers import CLASSIFIERS, TEST, Examples, fit_folds, probabilities
from covidcxr.classify.predictions import SET_OF, prediction_table
from covidcxr.classify.weights import sample_weights
from covidcxr.data.tables import class_positions, read_images, write_table
from covidcxr.errors import InputError
from covidcxr.features.bank import read_pooled
from covidcxr.files import atomic
from covidcxr.logs import log

UNAUGMENTED = "none"
"""Augmentation of a classifier that sees clean features only."""


def run(
    clean: str,
    rows: str,
    images: Sequence[str],
    models: str,
    predictions: str,
    *,
    classes: Sequence[str],
    by_class: bool,
    by_source: bool,
    wildcards: Mapping[str, str],
) -> None:
    """Fit a classifier in each fold; predict its validation images and the test images.

    Parameters
    ----------
    clean, rows
        `clean.npy` and `rows.csv` of the backbone's feature bank; views are not used.
    images
        `manifest.csv`, and the split of the population.
    models
        Joblib file to write: fitted pipelines by `fold<k>`. Reading it runs code: only one's own.
    predictions
        CSV to write, see `covidcxr.classify.predictions.prediction_table`.
    by_class, by_source
        See `covidcxr.classify.weights.sample_weights`. Each fold's weights are of all training
        images: folds have all but the same shares.
    wildcards
        population, backbone, classifier.

    Raises
    ------
    InputError
        Manifest, split and features do not belong together, or a class has one patient.
    """
    table = read_images(*images)
    examples, folds = examples_of(
        table, read_pooled(clean, rows, table["image_id"].tolist()), classes
    )
    trains = folds != TEST
    weights = np.ones(len(table))
    weights[trains] = sample_weights(
        table.loc[trains, "label"],
        table.loc[trains, "source"],
        by_class=by_class,
        by_source=by_source,
    )
    weighed = Examples(examples.features, examples.classes, examples.patients, weights)
    fitted = fit_folds(CLASSIFIERS[wildcards["classifier"]], weighed, folds)
    frames = []
    for k, model in enumerate(fitted):
        own = np.isin(folds, [k, TEST])
        frames.append(
            prediction_table(
                table.loc[own],
                probabilities(model, examples.features[own], len(classes)),
                classes,
                **wildcards,
                augmentation=UNAUGMENTED,
                model=f"fold{k}",
                set=table.loc[own, "split"].map(SET_OF),
            )
        )
        log.info("fold %d: %s", k, model.steps[-1][1])
    with atomic(models) as temporary:
        joblib.dump({f"fold{k}": model for k, model in enumerate(fitted)}, temporary, compress=3)
    write_table(pd.concat(frames), predictions)


def examples_of(
    table: pd.DataFrame, features: np.ndarray, classes: Sequence[str]
) -> tuple[Examples, Integers]:
    """Return images as examples, and the fold of each (`TEST` for a test image).

    Parameters
    ----------
    table
        label, patient_id, fold.
    features
        Of its rows.

    Raises
    ------
    InputError
        An image has no class of `classes`.
    """
    unknown = table.loc[~table["label"].isin(list(classes))]
    if len(unknown):
        first = unknown.iloc[0]
        raise InputError(
            f"image {first['image_id']} is of class {first['label']!r}, none of {list(classes)}"
        )
    folds = table["fold"].fillna(TEST).to_numpy(np.int64)
    patients = table["patient_id"].to_numpy(str)
    return Examples(features, class_positions(table["label"], classes), patients), folds
