"""All backbones together: the mean of their models' probabilities."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from covidcxr.classify.ensemble import read_predictions
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError


def mean_of_backbones(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Return the mean probability over backbones of each image, in the order of the first table.

    Parameters
    ----------
    tables
        Predictions of the same model (a fold's, or the ensemble) by backbone.

    Raises
    ------
    InputError
        The backbones do not predict the same images.
    """
    scores = [f"p_{name}" for name in classes]
    first, *_ = tables.values()
    for backbone, table in tables.items():
        strangers = set(table["image_id"]) ^ set(first["image_id"])
        if strangers:
            raise InputError(
                f"the backbones do not predict the same images: {backbone} differs in "
                f"{len(strangers)}, such as {min(strangers)}; train that backbone anew"
            )
    mean = pd.concat(tables.values()).groupby("image_id")[scores].mean()
    described = first[["image_id", "patient_id", "label"]]
    return described.join(mean, on="image_id")


def write_all_backbones(
    predictions: Mapping[str, Mapping[str, str | Path]],
    outputs: Mapping[str, str | Path],
    *,
    classes: Sequence[str],
) -> None:
    """Write the mean over backbones for each of the models, see `mean_of_backbones`.

    Parameters
    ----------
    predictions
        Path of the predictions by model (`fold<k>`, `ensemble`) and backbone.
    outputs
        Path to write by model.
    classes
        Class names.
    """
    for model, output in outputs.items():
        tables = {
            backbone: read_predictions(path, classes)
            for backbone, path in predictions[model].items()
        }
        write_table(mean_of_backbones(tables, classes), output)
