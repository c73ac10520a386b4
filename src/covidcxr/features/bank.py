"""Cached features of images: found by image, in views, pooled and standardised."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from covidcxr.array_types import Floats, Integers, Reals, Values
from covidcxr.data.tables import read_table
from covidcxr.errors import InputError

SPREAD_FLOOR = 1e-3
"""Share of the mean variance that is added to each feature's."""


@dataclass(frozen=True)
class Bank:
    """Cached features of images, on disk.

    Attributes
    ----------
    clean
        [n, *cut], features of the images as they are.
    views
        [m, views, *cut], features of the augmented views of m of the images.
    rows
        Index image_id; columns clean_row and view_row (missing where there are no views).
    """

    clean: Values
    views: Values
    rows: pd.DataFrame

    def clean_of(self, ids: Sequence[str]) -> Values:
        """Return the features [len(ids), *cut] of images as they are."""
        return np.asarray(self.clean[positions(self.rows["clean_row"], ids)])

    def epoch_of(self, ids: Sequence[str], epoch: int) -> Values:
        """Return the features [len(ids), *cut] that epoch 0.. trains on.

        Epochs go round the images as they are and their augmented views. The images themselves take
        part because their features are there anyway, and because a frozen backbone answers to views
        a little differently: a head that saw views only would not fit what it is tested on.
        """
        turn = epoch % (self.views.shape[1] + 1)
        if turn == 0:
            return self.clean_of(ids)
        return np.asarray(self.views[positions(self.rows["view_row"], ids), turn - 1])


def positions(rows: "pd.Series[float]", ids: Sequence[str]) -> Integers:
    """Return the rows of images, by a series of row numbers with the index image_id.

    Raises
    ------
    InputError
        An image has none.
    """
    found = rows.reindex(list(ids))
    if found.isna().any():
        raise InputError(
            f"the feature bank has no {rows.name} for {int(found.isna().sum())} images, such as "
            f"{found.index[found.isna()][0]}: make the features again for this split"
        )
    return np.asarray(found, np.int64)


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read `rows.csv` of a bank: index image_id, clean_row, view_row."""
    return read_table(path, ["image_id"], ["clean_row", "view_row"]).set_index("image_id")


def read_bank(clean: str | Path, views: str | Path, rows: str | Path) -> Bank:
    """Open a feature bank (`clean.npy`, `views.npy`, `rows.csv`), memory-mapped."""
    return Bank(np.load(clean, mmap_mode="r"), np.load(views, mmap_mode="r"), read_rows(rows))


def read_pooled(clean: str | Path, rows: str | Path, images: Sequence[str]) -> Floats:
    """Read the pooled features of images from a feature bank, see `pooled`.

    Parameters
    ----------
    clean, rows
        `clean.npy` and `rows.csv` of the bank.
    images
        Image ids.

    Raises
    ------
    InputError
        An image has no features.
    """
    found = positions(read_rows(rows)["clean_row"], images)
    return pooled(np.load(clean, mmap_mode="r")[found])


def pooled(values: Values) -> Floats:
    """Average features [n, ..., channels] over height and width, if they have some.

    Returns
    -------
    float64 [n, channels].
    """
    return values.astype(np.float64).mean(axis=tuple(range(1, values.ndim - 1)))


def standardisation(features: Reals) -> tuple[Floats, Floats]:
    """Return mean and variance of each feature, both float64 [channels].

    To each variance `SPREAD_FLOOR` times the mean variance is added: a feature that is all but
    constant on the training images would otherwise be blown up on others.
    """
    values = features.astype(np.float64)
    variance = values.var(axis=0)
    # A bank of constant features has no spread at all; any positive number leaves them at 0.
    floor = SPREAD_FLOOR * variance.mean() or 1.0
    return values.mean(axis=0), variance + floor
