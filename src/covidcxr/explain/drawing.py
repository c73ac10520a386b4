"""Heat maps over images: one overlay, one grid of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from covidcxr.array_types import Floats, Grey, Singles
from covidcxr.evaluate.style import bare
from covidcxr.explain.measures import read_measured, upsample

CELL = 1.5
"""Side of an image in a grid, in inches."""

Caption = Callable[["pd.Series[float]"], str]


@dataclass(frozen=True)
class Look:
    """How a heat map lies over an image: a Matplotlib colour map, and its opacity in [0, 1]."""

    colormap: str = "viridis"
    opacity: float = 0.45


def overlay(image: Grey, heat: Singles, look: Look) -> Floats:
    """Lay a heat map [h, w] in [0, 1] over a grayscale image uint8 [h, w].

    Returns
    -------
    float64 [h, w, 3]
        RGB in [0, 1].
    """
    gray = np.repeat(image[..., None] / 255.0, 3, axis=-1)
    colours = matplotlib.colormaps[look.colormap](heat)[..., :3]
    return np.asarray((1 - look.opacity) * gray + look.opacity * colours)


def read_explained(
    rows: str | Path, maps: str | Path, augmentation: str, image_ids: Sequence[str], look: Look
) -> pd.DataFrame:
    """Read what `covidcxr.explain.explanations` wrote of one ensemble on the given images.

    Returns
    -------
    DataFrame
        Their rows of the table by image_id, with `image` (uint8 [size, size]) and `overlay` (RGB).
    """
    table = read_measured([rows])
    table = table[table["augmentation"] == augmentation]
    places = pd.Index(table["image_id"]).get_indexer(list(image_ids))
    with np.load(maps) as arrays:
        images = arrays["pixels"][places]
        [own] = arrays["maps"][arrays["augmentation"] == augmentation]
        heats = upsample(own[places].astype(np.float32), images.shape[-1])
    laid = [overlay(image, heat, look) for image, heat in zip(images, heats, strict=True)]
    shown = table.iloc[places].set_index("image_id")
    return shown.assign(image=list(images), overlay=laid)


def draw_grid(
    explained: Sequence[pd.DataFrame], title: Caption, caption: Caption, look: Look
) -> Figure:
    """Draw originals under their titles, and below them a row of overlays for each backbone.

    Parameters
    ----------
    explained
        Of each backbone the same images, see `read_explained`.
    title, caption
        A row of the table -> text above an original, text below an overlay.
    """
    shown = explained[0]
    size = (CELL * len(shown) + 0.5, (CELL + 0.25) * (len(explained) + 1))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(explained) + 1, len(shown), squeeze=False)
    for axis in axes.flat:
        bare(axis)
    axes[0, 0].set_ylabel("original")
    for axis, (_, row) in zip(axes[0], shown.iterrows(), strict=True):
        axis.imshow(row["image"], cmap="gray", vmin=0, vmax=255)
        axis.set_title(title(row))
    for line, own in zip(axes[1:], explained, strict=True):
        line[0].set_ylabel(own["backbone"].iloc[0])
        for axis, (_, row) in zip(line, own.iterrows(), strict=True):
            axis.imshow(row["overlay"])
            axis.set_xlabel(caption(row), fontsize=8)
    scale = matplotlib.cm.ScalarMappable(cmap=look.colormap)
    bar = figure.colorbar(scale, ax=axes[1:], ticks=[0, 1], shrink=0.6, aspect=30, pad=0.02)
    bar.set_label("Grad-CAM, mean over folds")
    return figure


def text_only(text: str) -> Figure:
    """Return a figure with nothing but a text, for a run that has nothing to draw."""
    figure = Figure(figsize=(4.5, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure
