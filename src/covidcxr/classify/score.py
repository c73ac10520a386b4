"""All models of a backbone on sets of images that they did not train on, from cached features."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
import keras
import numpy as np
import pandas as pd

from covidcxr.arrays import open_rows
from covidcxr.classify.card import read_card
from covidcxr.classify.classifier import UNAUGMENTED
from covidcxr.classify.classifiers import probabilities
from covidcxr.classify.fitting import in_pieces
from covidcxr.classify.predictions import NETWORK, prediction_table
from covidcxr.data.tables import read_manifest, write_table
from covidcxr.errors import InputError
from covidcxr.features.bank import pooled
from covidcxr.logs import progress
from covidcxr.runtime import configure


def run(
    heads: Sequence[str],
    classifiers: Sequence[str],
    features: Sequence[str],
    tables: Sequence[str],
    predictions: str,
    *,
    classes: Sequence[str],
    sets: Sequence[str],
    population: str,
    backbone: str,
    threads: int,
) -> None:
    """Write the predictions of a backbone's networks and classifiers on external sets.

    Parameters
    ----------
    heads
        What the networks' training wrote; their cards name augmentation and fold.
    classifiers
        What the fits of classifiers wrote, `<classifier>.joblib`. Reading one runs code.
    features, tables
        Of each of `sets`: `.npy` [n, *cut], and its images by `MANIFEST`, rows alike.
    predictions
        CSV to write, see `covidcxr.classify.predictions.prediction_table`.
    population, backbone
        Of the models.

    Raises
    ------
    InputError
        Features and table do not belong together, or a head has no card.
    """
    configure(threads=threads, seed=0)  # nothing here is random
    images = {name: read_manifest(table) for name, table in zip(sets, tables, strict=True)}
    banks = {
        name: open_rows(file, table, len(images[name]))
        for name, file, table in zip(sets, features, tables, strict=True)
    }
    frames = []

    def add(predicted: Mapping[str, np.ndarray], **known: str) -> None:
        for name, values in predicted.items():
            own = known | {"population": population, "backbone": backbone, "set": name}
            frames.append(prediction_table(images[name], values, classes, **own))

    for file in progress(heads, desc=f"{backbone} heads", unit="head"):
        card = read_card(file)
        if card is None:
            raise InputError(f"{file} has no card: train that fold again")
        head = keras.models.load_model(file, compile=False)
        predicted = {name: in_pieces(head, bank) for name, bank in banks.items()}
        add(predicted, augmentation=card.augmentation, classifier=NETWORK, model=card.model)
    vectors = {name: pooled(bank) for name, bank in banks.items()} if classifiers else {}
    for file in classifiers:
        for model, fitted in joblib.load(file).items():
            scores = {n: probabilities(fitted, v, len(classes)) for n, v in vectors.items()}
            add(scores, augmentation=UNAUGMENTED, classifier=Path(file).stem, model=model)
    write_table(pd.concat(frames), predictions)
