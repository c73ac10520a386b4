"""Images from which what a radiologist would read is taken away, for the shortcut controls."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from covidcxr.array_types import Floats, Grey, Mask
from covidcxr.data.lungs import consistent_lungs

WHOLE, NO_LUNGS, BORDERS = "whole", "no_lungs", "borders"
BORDER = 0.125
"""Width of the border that is kept, as a share of the side, on each side."""
THUMBNAIL = 16
BINS = 64


def without(picture: Grey, region: Mask) -> Grey:
    """Return a copy with `region` (bool, of the picture's shape) black."""
    return np.where(region, np.uint8(0), picture)


def border_only(picture: Grey) -> Grey:
    """Return a copy of which only the outer `BORDER` is left; the middle is black."""
    height, width = picture.shape
    top, left = round(BORDER * height), round(BORDER * width)
    result = picture.copy()
    result[top : height - top, left : width - left] = 0
    return result


def thumbnail(picture: Grey) -> Floats:
    """Return the picture at 16 x 16 pixels, float64 [256], grey values."""
    small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64).ravel()


def histogram(picture: Grey) -> Floats:
    """Return the share of pixels in each of 64 equal ranges of grey, float64 [64]."""
    counts = np.bincount(picture.ravel() // (256 // BINS), minlength=BINS)
    return counts / picture.size


def alteration(name: str, lungs: str | Path, table: str | Path) -> Callable[[int, Grey], Grey]:
    """Return the alteration of a control: row and picture -> picture.

    Parameters
    ----------
    name
        `whole`, `no_lungs` or `borders`.
    lungs
        `images/lungs.npy`, bool [n, size, size].
    table
        `data/lungs.csv`.
    """
    if name == WHOLE:
        return lambda _, picture: picture
    if name == BORDERS:
        return lambda _, picture: border_only(picture)
    region = consistent_lungs(lungs, table)
    return lambda row, picture: without(picture, region(row, picture))
