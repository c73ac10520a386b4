"""Regions of images by which estimates of the lungs are judged."""

import numpy as np

from covidcxr.array_types import Mask
from covidcxr.data.lung_shape import Boxes


def filled_boxes(boxes: Boxes, size: int) -> Mask:
    """Fill boxes (float64 [n, 4], shares of the sides): the pixels whose centres lie in one.

    Returns
    -------
    bool [size, size].
    """
    centre = (np.arange(size) + 0.5) / size
    region = np.zeros((size, size), bool)
    for left, top, right, bottom in boxes:
        rows, columns = (centre >= top) & (centre < bottom), (centre >= left) & (centre < right)
        region |= rows[:, None] & columns[None, :]
    return region


def overlap(a: Mask, b: Mask) -> float:
    """Return intersection over union of two regions (Jaccard); 1 where both are empty."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0
