"""Figure 4: training and validation loss of every backbone and augmentation."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from covidcxr.data.tables import read_table
from covidcxr.errors import InputError
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure

COLUMNS = ["epoch", "loss", "val_loss", "best"]
CURVES = {"loss": ("training", PALETTE[0]), "val_loss": ("validation", PALETTE[5])}

Histories = Mapping[tuple[str, str], list[pd.DataFrame]]
"""Histories of the folds, by backbone and augmentation."""


def write_fig4_loss(
    histories: Iterable[tuple[str, str, str | Path]], png: str | Path, svg: str | Path
) -> None:
    """Draw the loss of every fold and their mean, one panel a backbone and augmentation.

    Parameters
    ----------
    histories
        (backbone, augmentation, path of the training history) of every fold's model.
    png, svg
        Figures to write.

    Raises
    ------
    InputError
        If a history lacks a column or has no epochs.
    """
    read: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for backbone, augmentation, path in histories:
        history = read_table(path, COLUMNS, COLUMNS)
        if history.empty:
            raise InputError(f"{path} has no epochs: train that fold anew")
        read.setdefault((backbone, augmentation), []).append(history)
    with figure_style():
        save_figure(draw_losses(read), png, svg)


def draw_losses(histories: Histories) -> Figure:
    """Draw a grid of panels, backbones down and augmentations across."""
    backbones = list(dict.fromkeys(backbone for backbone, _ in histories))
    augmentations = list(dict.fromkeys(augmentation for _, augmentation in histories))
    figure = Figure(figsize=(max(4.0, 2.6 * len(augmentations) + 0.6), 1.9 * len(backbones) + 0.6))
    axes = figure.subplots(
        len(backbones),
        len(augmentations),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for line, backbone in zip(axes, backbones, strict=True):
        for ax, augmentation in zip(line, augmentations, strict=True):
            if (backbone, augmentation) not in histories:
                ax.set_axis_off()
                continue
            ax.set_title(f"{backbone} {augmentation}")
            _draw_folds(ax, histories[backbone, augmentation])
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("cross-entropy loss", fontsize=9)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=2)
    return figure


def _draw_folds(ax: Axes, folds: list[pd.DataFrame]) -> None:
    """Draw each fold thin, the mean of the folds thick, and a mark at each fold's kept epoch."""
    for column, (_, colour) in CURVES.items():
        for fold in folds:
            ax.plot(fold["epoch"], fold[column], color=colour, linewidth=0.5, alpha=0.5)
        mean = pd.concat(folds).groupby("epoch")[column].mean()
        ax.plot(mean.index, mean, color=colour, linewidth=1.8)
    for fold in folds:
        best = fold[fold["best"] == 1]
        ax.plot(best["epoch"], best["val_loss"], **_MARK)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.25, linewidth=0.5)


_MARK: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 4.0,
    "markerfacecolor": "white",
    "markeredgecolor": CURVES["val_loss"][1],
}


def _legend() -> list[Line2D]:
    means = [
        Line2D([], [], color=colour, linewidth=1.8, label=f"{name}, mean of folds")
        for name, colour in CURVES.values()
    ]
    fold = Line2D([], [], color="0.4", linewidth=0.5, label="one fold")
    # Columns fill downwards: means left, the rest right.
    return [*means, fold, Line2D([], [], label="kept epoch of a fold", **_MARK)]
