"""How good a heat map is, as numbers: where its energy lies, and what becomes of the prediction."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from covidcxr.array_types import Floats, Grey, Mask, Reals, Singles
from covidcxr.data.tables import read_table

BLUR = 0.05
"""Standard deviation of the blur that insertion starts from, as a share of the image's side."""

GRADCAM, RANDOM = "Grad-CAM", "random"
"""Kinds of map whose curves are compared."""

TEXTS = (
    *("backbone", "augmentation", "image_id", "patient_id", "label", "cohort", "model", "map"),
    "stage",
)
"""Columns of measured tables that hold no numbers."""


def read_measured(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read tables that `covidcxr.explain.explanations` wrote as one, numbers as float."""
    tables = [read_table(path, ["backbone", "augmentation", "image_id"]) for path in paths]
    table = pd.concat(tables, ignore_index=True)
    numbers = table.columns.drop(list(TEXTS), errors="ignore")
    return table.assign(**{name: pd.to_numeric(table[name]) for name in numbers})


def read_severity(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read image_id, score, predicted, low, high, read, how of `covidcxr.severity.severity_of`."""
    numbers = ["predicted", "low", "high", "read"]
    tables = [read_table(path, ["image_id", "score", *numbers, "how"], numbers) for path in paths]
    return pd.concat(tables).drop_duplicates("image_id")


def energy_share(heat: Reals, region: Mask) -> float:
    """Return the share of a map's sum that lies in a region, NaN for a map or region of nothing.

    The energy-based pointing game (Wang et al. 2020, Score-CAM, section 4.2). A map without any
    preference scores the region's share of the image.

    Parameters
    ----------
    heat
        [size, size], not negative.
    region
        bool [size, size].
    """
    total = float(heat.sum(dtype=np.float64))
    if total <= 0 or not region.any():
        return float("nan")
    return float(heat[region].sum(dtype=np.float64)) / total


def extent(heat: Reals) -> float:
    """Return the share of the image where a map exceeds half its maximum; 0 for a map of zeros."""
    peak = heat.max()
    return float((heat > peak / 2).mean()) if peak > 0 else 0.0


def upsample(maps: Singles, size: int) -> Singles:
    """Enlarge maps [n, h, w] to float32 [n, size, size] by bilinear interpolation."""
    larger = [cv2.resize(one, (size, size), interpolation=cv2.INTER_LINEAR) for one in maps]
    return np.array(larger, np.float32).reshape(len(maps), size, size)


def random_map(shape: tuple[int, ...], size: int, rng: np.random.Generator) -> Reals:
    """Return noise of a map's own grain [size, size], the control of the curves.

    Parameters
    ----------
    shape
        Height and width of the maps at the resolution of their layer.
    """
    noise = rng.random(shape, dtype=np.float32)
    return np.asarray(cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR))


def perturbed(image: Grey, heat: Reals, steps: int, rng: np.random.Generator) -> tuple[Grey, Grey]:
    """Return an image with its most important pixels deleted, and a blurred one with them inserted.

    Deleted pixels take the image's mean grey; insertion starts from the image blurred by `BLUR`
    (Petsiuk et al. 2018, RISE, section 4.3). Among pixels of equal heat the order is random.

    Parameters
    ----------
    image
        uint8 [size, size].
    heat
        [size, size].
    steps
        Step k = 0..steps changes the share k / steps of the pixels.

    Returns
    -------
    deleted, inserted
        uint8 [steps + 1, size, size] each.
    """
    order = np.lexsort((rng.random(heat.size), -heat.ravel()))
    rank = np.empty(heat.size, np.int64)
    rank[order] = np.arange(heat.size)
    limits = np.rint(np.linspace(0, heat.size, steps + 1)).astype(np.int64)
    changed = (rank[None] < limits[:, None]).reshape(steps + 1, *image.shape)
    grey = np.uint8(round(float(image.mean())))
    blurred = cv2.GaussianBlur(
        image, (0, 0), BLUR * image.shape[0], borderType=cv2.BORDER_REPLICATE
    )
    return np.where(changed, grey, image), np.where(changed, image, blurred)


def area_under(curve: Reals) -> Floats:
    """Return the area under curves [..., steps + 1] over [0, 1], by the trapezoid rule."""
    return np.asarray(np.trapezoid(curve, dx=1 / (curve.shape[-1] - 1), axis=-1), np.float64)


def rank_correlation(one: Reals, other: Reals) -> float:
    """Return Spearman's correlation of two maps; NaN where one is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one.ravel(), other.ravel()).statistic)
