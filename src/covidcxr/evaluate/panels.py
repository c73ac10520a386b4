"""A grid of panels, one for each model: backbones down, augmentations across."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Kind = tuple[str, str]
"""Backbone and augmentation."""

SIDE_INCHES = 2.1
TITLE_INCHES = 0.3
FEWEST_INCHES = 4.4
"""Width that a legend above the panels needs."""


def panel_grid(kinds: Iterable[Kind]) -> tuple[Figure, dict[Kind, Axes]]:
    """Return a figure and the axes of each kind; places of the grid without a kind stay empty."""
    wanted = list(kinds)
    backbones = list(dict.fromkeys(backbone for backbone, _ in wanted))
    augmentations = list(dict.fromkeys(augmentation for _, augmentation in wanted))
    width = max(FEWEST_INCHES, SIDE_INCHES * len(augmentations) + 0.5)
    height = (SIDE_INCHES + TITLE_INCHES) * len(backbones) + 0.7
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(
        len(backbones), len(augmentations), sharex=True, sharey=True, squeeze=False
    )
    axes = {}
    for column, augmentation in enumerate(augmentations):
        shown = [k for k, backbone in enumerate(backbones) if (backbone, augmentation) in wanted]
        for k, backbone in enumerate(backbones):
            if k in shown:
                axes[backbone, augmentation] = grid[k, column]
            else:
                grid[k, column].set_axis_off()
        # Below an empty place the numbers of the shared axis would be missing.
        grid[shown[-1], column].tick_params(labelbottom=True)
    return figure, axes


def panel_title(kind: Kind) -> str:
    """Name the model of a panel."""
    backbone, augmentation = kind
    return f"{'all backbones' if backbone == 'all' else backbone} {augmentation}"
