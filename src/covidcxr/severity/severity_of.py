"""Severity of images of the study, each by a model that did not learn from it."""

from pathlib import Path

import joblib
import keras
import numpy as np

from covidcxr.data.tables import read_table, write_table
from covidcxr.runtime import configure
from covidcxr.severity.severity_features import in_batches, up_to

OUT_OF_FOLD, NEW, FOLLOWED = "out of fold", "new", "patient known"
VALUES = ["predicted", "low", "high"]
OF_COLUMNS = ["image_id", "score", *VALUES, "read", "how"]


def run(
    backbone: str | Path,
    model: str | Path,
    images: str | Path,
    table: str | Path,
    predictions: str | Path,
    severities: str | Path,
    *,
    threads: int,
) -> None:
    """Predict the severity of images.

    Parameters
    ----------
    backbone
        `.keras` file, image -> feature map.
    model, predictions
        As `covidcxr.severity.severity_model` writes them.
    images, table
        uint8 [n, size, size], and their image_id and patient_id.
    severities
        CSV to write, `OF_COLUMNS`: predicted, its 90 % interval, the readers' mean where there is
        one; how: `OUT_OF_FOLD` where the image is scored, `FOLLOWED` where another image of the
        patient is, so that the model learned from it, else `NEW`.
    """
    configure(threads=threads, seed=0)  # nothing here is random
    saved = joblib.load(model)
    rows = read_table(table, ["image_id", "patient_id"])
    own = read_table(predictions, numbers=[*VALUES, "read"])
    frame = rows[["image_id"]].assign(score=saved.score, read=np.nan, how=NEW)
    frame.loc[rows["patient_id"].isin(own["patient_id"]), "how"] = FOLLOWED
    if len(rows):
        network = up_to(keras.models.load_model(backbone), saved.layer)
        found = saved.model.predict(in_batches(network, np.load(images, mmap_mode="r")))
        bounds = saved.model.interval(found.totals)
        frame = frame.assign(**dict(zip(VALUES, [found.totals, *bounds], strict=True)))
    scored = own.groupby("image_id")[[*VALUES, "read"]].mean()
    known = frame["image_id"].isin(scored.index)
    frame.loc[known, [*VALUES, "read"]] = scored.loc[frame.loc[known, "image_id"]].to_numpy()
    frame.loc[known, "how"] = OUT_OF_FOLD
    write_table(frame.reindex(columns=OF_COLUMNS), severities)
