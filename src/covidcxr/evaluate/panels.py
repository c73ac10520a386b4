"""A grid of panels, one for each kind of model: backbones down, what is trained on them across."""

from collections.abc import Iterable
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covidcxr.evaluate.models import Kind, model_text

SIDE_INCHES = 2.1
TITLE_INCHES = 0.3
FEWEST_INCHES = 4.4
"""Width that a legend above the panels needs."""
TITLE_LETTERS = 28
"""Letters of a title's line that fit above a panel of `SIDE_INCHES`."""


def panel_grid(
    kinds: Iterable[Kind], *, width: float = SIDE_INCHES, height: float = SIDE_INCHES, **shared: Any
) -> tuple[Figure, dict[Kind, Axes]]:
    """Return a figure and the axes of each kind; places of the grid without a kind stay empty.

    Parameters
    ----------
    width, height
        Of a panel without its title, in inches.
    shared
        `sharex` and `sharey` as `Figure.subplots` takes them, True by default.
    """
    wanted = list(kinds)
    backbones = list(dict.fromkeys(backbone for backbone, *_ in wanted))
    variants = list(dict.fromkeys(tuple(variant) for _, *variant in wanted))
    figure = Figure(
        figsize=(
            max(FEWEST_INCHES, width * len(variants) + 0.5),
            (height + TITLE_INCHES) * len(backbones) + 0.7,
        )
    )
    grid = figure.subplots(
        len(backbones), len(variants), squeeze=False, **({"sharex": True, "sharey": True} | shared)
    )
    axes = {}
    for column, (augmentation, classifier) in enumerate(variants):
        kind = [(backbone, augmentation, classifier) for backbone in backbones]
        shown = [k for k in range(len(backbones)) if kind[k] in wanted]
        for k in range(len(backbones)):
            if k in shown:
                axes[kind[k]] = grid[k, column]
            else:
                grid[k, column].set_axis_off()
        # Below an empty place the numbers of the shared axis would be missing.
        grid[shown[-1], column].tick_params(labelbottom=True)
    return figure, axes


def panel_title(kind: Kind, found: str) -> str:
    """Name a panel's kind of model, and below it what was found."""
    return f"{fill(model_text(*kind), TITLE_LETTERS)}\n{found}"
