"""What the confounding audit holds beside the image models, and how the two compare."""

from typing import NamedTuple

import pandas as pd

SINGLE: dict[str, tuple[str, ...]] = {
    "source": ("source",),
    "view": ("view",),
    "age group": ("age_group",),
    "age as told": ("age",),
    "sex": ("sex",),
    "image size": ("width", "height"),
    "image shape": ("aspect",),
    "file type": ("file_type",),
    "black margins": ("margin_left", "margin_right", "margin_top", "margin_bottom"),
    "mean intensity": ("intensity_mean",),
    "spread of intensity": ("intensity_sd",),
    "sharpness": ("sharpness",),
    "burnt-in marks": ("marks", "mark_area"),
}
"""Columns of `attributes.csv` behind each attribute."""
SOURCE_AND_AGE = "source and age group"
EVERYTHING = "all together"
TOGETHER: dict[str, tuple[str, ...]] = {
    SOURCE_AND_AGE: ("source", "age_group"),
    "all but the source": tuple(
        column for name, columns in SINGLE.items() if name != "source" for column in columns
    ),
    EVERYTHING: tuple(column for columns in SINGLE.values() for column in columns),
}
TEXTS = ("source", "view", "age_group", "sex", "file_type")
CHANCE = "chance"


class Gain(NamedTuple):
    """Accuracy of a predictor `alone`, by `chance`, and of the best image `model`.

    `share` is what the predictor gains over chance as a share of what the model gains: above 1
    where it beats the model, NaN where the model gains nothing.
    """

    chance: float
    alone: float
    model: float
    share: float


def gain(audit: pd.DataFrame, predictor: str) -> Gain:
    """Compare a predictor with the best image model of an audit (`confounding.csv`)."""
    accuracy = audit.set_index("predictor")["accuracy"]
    base, alone = float(accuracy[CHANCE]), float(accuracy[predictor])
    best = float(audit.loc[audit["kind"] == "model", "accuracy"].max())
    share = (alone - base) / (best - base) if best > base else float("nan")
    return Gain(base, alone, best, share)
