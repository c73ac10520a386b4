"""The six zones of the lungs, and features pooled in them."""

import numpy as np

from covidcxr.array_types import Floats, Reals, Singles
from covidcxr.data.lung_shape import Boxes

ZONES = (
    "right upper",
    "right middle",
    "right lower",
    "left upper",
    "left middle",
    "left lower",
)
"""Of the patient's lungs, whose right one is on the viewer's left; zones A to F of the Brixia score
(Borghesi A, Maroldi R. Radiol Med 125, 509 (2020))."""

LEVELS = 3
"""Zones of a lung, from its apex down."""

COLUMNS = tuple(f"zone_{k + 1}" for k in range(len(ZONES)))
"""Columns of tables that hold a value for each of `ZONES`."""


def zone_boxes(boxes: Boxes) -> Boxes:
    """Cut the boxes of both lungs into thirds of their height.

    The score's own borders are the aortic arch and the hilar veins; thirds come near them.

    Parameters
    ----------
    boxes
        float64 [2, 4] as `covidcxr.data.lung_shape.Boxes`.

    Returns
    -------
    float64 [6, 4]: left, top, right, bottom of `ZONES`, as shares of the image's sides.
    """
    left, top, right, bottom = (edge[:, None] for edge in boxes.T)
    height = (bottom - top) / LEVELS
    level = np.arange(LEVELS)
    edges = (left + 0 * level, top + level * height, right + 0 * level, top + (level + 1) * height)
    return np.stack(edges, axis=-1).reshape(-1, 4)


def coverage(cells: int, low: Reals, high: Reals) -> Reals:
    """Return how much of each of `cells` equal parts of [0, 1] lies in [low, high]; [n, cells]."""
    edges = np.arange(cells + 1) / cells
    inside = np.minimum(edges[1:], high[:, None]) - np.maximum(edges[:-1], low[:, None])
    return np.asarray(np.clip(inside, 0, None) * cells)


def pool(feature_map: Reals, boxes: Boxes) -> Singles:
    """Average a feature map in boxes, cells at their edges by the share that lies inside.

    Parameters
    ----------
    feature_map
        [h, w, channels], over the whole image.
    boxes
        float64 [n, 4], shares of the image's sides. One that misses the image takes all of it.

    Returns
    -------
    float32 [n, channels].
    """
    rows = coverage(feature_map.shape[0], boxes[:, 1], boxes[:, 3])
    columns = coverage(feature_map.shape[1], boxes[:, 0], boxes[:, 2])
    weights = rows[:, :, None] * columns[:, None, :]
    missed = weights.sum(axis=(1, 2)) < 1e-9
    weights[missed] = 1
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    return np.asarray(np.tensordot(weights, feature_map, 2), np.float32)


def zone_features(feature_maps: Reals, boxes: Floats) -> Singles:
    """Pool feature maps in the six zones, and take signed square roots, which even out channels.

    Parameters
    ----------
    feature_maps
        [n, h, w, channels].
    boxes
        Of each image's lungs, float64 [n, 2, 4].

    Returns
    -------
    float32 [n, 6, channels].
    """
    pooled = np.stack(
        [pool(one, zone_boxes(box)) for one, box in zip(feature_maps, boxes, strict=True)]
    )
    return np.asarray(np.sign(pooled) * np.sqrt(np.abs(pooled)), np.float32)
