"""Baselines on images that they did not train on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
import numpy as np

from covidcxr.arrays import open_rows
from covidcxr.classify.logistic import Fitted, pooled
from covidcxr.classify.predictions import prediction_table
from covidcxr.data.tables import read_manifest, write_table

ENSEMBLE = "ensemble"


def write_baseline_scores(
    models: str | Path,
    features: str | Path,
    table: str | Path,
    outputs: Mapping[str, str | Path],
    *,
    classes: Sequence[str],
    identity: Mapping[str, str],
) -> None:
    """Write the predictions of the folds' models, and of their ensemble, on a set of images.

    Parameters
    ----------
    models
        Of `covidcxr.classify.logistic.write_models`. Joblib files run code: only the run's own.
    features
        `.npy` [n, *cut].
    table
        Of the images, by `MANIFEST`, rows as in `features`.
    outputs
        CSV to write for each fold's model, in their order, and for `ensemble` (the mean
        probability): image_id, patient_id, label, p_<class>.
    classes
        Class names in the order of the models' outputs.

    Raises
    ------
    InputError
        Features and table do not belong together.
    """
    images = read_manifest(table)
    values = pooled(open_rows(features, table, len(images)))
    fitted: list[Fitted] = joblib.load(models)
    names = [name for name in outputs if name != ENSEMBLE]
    scored = {name: model.probabilities(values) for name, model in zip(names, fitted, strict=True)}
    scored[ENSEMBLE] = np.mean(list(scored.values()), axis=0)
    for name, path in outputs.items():
        predicted = prediction_table(
            images, scored[name], classes, augmentation="none", model=name, **identity
        )
        write_table(predicted, path)
