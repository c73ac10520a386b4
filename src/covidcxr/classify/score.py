"""Saved models on images that they did not train on, from features that are computed once."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.arrays import open_rows
from covidcxr.classify.predictions import NETWORK, prediction_table
from covidcxr.classify.train import in_pieces
from covidcxr.data.tables import read_manifest, write_table
from covidcxr.errors import InputError
from covidcxr.features.backbone import cut_layer
from covidcxr.logs import progress
from covidcxr.runtime import configure

ENSEMBLE = "ensemble"
POOLED = "pooled"


def after_cut(model: keras.Model, cut: str) -> keras.Model:
    """Return what follows a layer of a complete model: cached features -> probabilities.

    Parameters
    ----------
    model
        Of `covidcxr.classify.model.complete_model`, as saved by the training.
    cut
        Name of the layer whose output was cached, see `cut_name`.

    Raises
    ------
    InputError
        The model has no such layer.
    """
    for operation in model.operations:
        if operation.name == cut:
            return keras.Model(operation.output, model.output)
    raise InputError(f"model {model.name} has no layer {cut}: it was trained on another backbone")


def cut_name(backbone: keras.Model, trainable: str) -> str:
    """Name the layer of a complete model whose output the feature bank holds."""
    return POOLED if trainable == "head" else cut_layer(backbone, trainable)


def score_features(
    models: Mapping[str, str | Path], features: npt.NDArray[np.generic], cut: str
) -> dict[str, npt.NDArray[np.float32]]:
    """Return each model's probabilities, and under `ensemble` their mean.

    Parameters
    ----------
    models
        Files of complete models, by name.
    features
        [n, *cut], what the backbone's frozen part gives.
    cut
        Layer after which the models go on, see `cut_name`.

    Returns
    -------
    float32 [n, classes] by name.
    """
    scored = {}
    for name, file in progress(list(models.items()), desc="models", unit="model"):
        rest = after_cut(keras.models.load_model(file, compile=False), cut)
        scored[name] = in_pieces(partial(rest, training=False), features)
    return {**scored, ENSEMBLE: np.mean(list(scored.values()), axis=0, dtype=np.float32)}


def write_scores(
    models: Mapping[str, str | Path],
    backbone: str | Path,
    features: str | Path,
    table: str | Path,
    outputs: Mapping[str, str | Path],
    *,
    classes: Sequence[str],
    trainable: str,
    threads: int,
    identity: Mapping[str, str],
) -> None:
    """Write the predictions of saved models, and of their ensemble, on a set of images.

    Parameters
    ----------
    models
        Files of complete models, by name (`fold0`, ...).
    backbone
        `.keras` file of the backbone that made the features.
    features
        `.npy` [n, *cut].
    table
        Of the images, by `MANIFEST`, rows as in `features`.
    outputs
        CSV to write for each model and for `ensemble`: image_id, patient_id, label, p_<class>.
    classes
        Class names in the order of the models' outputs.
    trainable
        Where the features were cut.

    Raises
    ------
    InputError
        Features, table and models do not belong together.
    """
    configure(threads=threads, seed=0)  # nothing here is random
    images = read_manifest(table)
    bank = open_rows(features, table, len(images))
    cut = cut_name(keras.models.load_model(backbone, compile=False), trainable)
    for name, values in score_features(models, np.asarray(bank), cut).items():
        predicted: pd.DataFrame = prediction_table(
            images, values, classes, classifier=NETWORK, model=name, **identity
        )
        write_table(predicted, outputs[name])
