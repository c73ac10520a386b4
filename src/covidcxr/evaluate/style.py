"""One look for all figures, and how they are saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covidcxr.array_types import Reals
from covidcxr.files import atomic

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's colours, distinct with any form of colour vision."""

DPI = 200
"""Pixels per inch of the PNG files."""


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the project's style within the block; Matplotlib's settings are restored after it.

    Sizes are meant for printing at the figure's own size: no text below 7 points.
    """
    # Whatever the user's `matplotlibrc` says.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "axes.grid": False,
                "axes.labelsize": 9,
                "axes.prop_cycle": cycler(color=PALETTE),
                "axes.spines.right": False,
                "axes.spines.top": False,
                "axes.titlesize": 9,
                "figure.constrained_layout.use": True,
                "figure.dpi": DPI,
                "figure.titlesize": 10,
                "font.family": "DejaVu Sans",
                "font.size": 8,
                "image.cmap": "gray",
                "legend.fontsize": 8,
                "legend.frameon": False,
                "lines.linewidth": 1.2,
                "savefig.dpi": DPI,
                # Text stays text, and element ids do not change from run to run.
                "svg.fonttype": "none",
                "svg.hashsalt": "covidcxr",
                "xtick.labelsize": 8,
                "ytick.labelsize": 8,
            }
        )
        yield


def dots(
    ax: Axes,
    heights: Reals,
    values: Reals,
    number: int,
    label: str,
    *,
    width: float = 1.2,
    size: float = 4,
) -> None:
    """Draw estimates [n, 3] (with low and high) as dots on lines, in colour `number`."""
    colour = PALETTE[number % len(PALETTE)]
    ax.hlines(heights, values[:, 1], values[:, 2], color=colour, linewidth=width)
    ax.plot(values[:, 0], heights, "o", markersize=size, color=colour, label=label)


def bare(ax: Axes) -> None:
    """Take ticks and frame from the axes of an image."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def save_figure(figure: Figure, png: str | Path, svg: str | Path) -> None:
    """Write a figure as PNG and SVG and close it; the same figure gives the same bytes.

    The canvas grows or shrinks to what is drawn, so that nothing is clipped. Call it within
    `figure_style`, whose settings count at the time of saving.
    """
    for path, metadata in ((png, {"Software": None}), (svg, {"Date": None, "Creator": None})):
        with atomic(path) as temporary:
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.05, metadata=metadata)
    plt.close(figure)
