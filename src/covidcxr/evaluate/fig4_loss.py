"""Figure 4: training and validation loss of every backbone and augmentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from covidcxr.classify.predictions import NETWORK
from covidcxr.data.tables import read_table
from covidcxr.errors import InputError
from covidcxr.evaluate.models import Kind, model_text
from covidcxr.evaluate.panels import panel_grid
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.report.formats import listing
from covidcxr.report.section import Section, SectionFigure, write_section

COLUMNS = ["epoch", "loss", "val_loss", "best"]
CURVES = {"loss": ("training", PALETTE[0]), "val_loss": ("validation", PALETTE[5])}


def run(
    histories: Sequence[str | Path],
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    models: Sequence[tuple[str, str]],
) -> None:
    """Draw the loss of every fold and their mean, one panel a backbone and augmentation.

    Parameters
    ----------
    histories
        Training history of every fold's network.
    models
        Backbone and augmentation of each of `histories`.

    Raises
    ------
    InputError
        If a history lacks a column or has no epochs.
    """
    read: dict[Kind, list[pd.DataFrame]] = {}
    for (backbone, augmentation), path in zip(models, histories, strict=True):
        history = read_table(path, COLUMNS, COLUMNS)
        if history.empty:
            raise InputError(f"{path} has no epochs: delete it and run again")
        read.setdefault((backbone, augmentation, NETWORK), []).append(history)
    with figure_style():
        save_figure(draw_losses(read), png, svg)
    names = dict.fromkeys(backbone for backbone, *_ in read)
    write_section(
        section,
        Section(
            ident="loss",
            title="Training",
            part="methods",
            folded=True,
            figures=(
                SectionFigure(
                    "fig4_loss",
                    "Training and validation loss: each fold thin, their mean thick, a mark at the "
                    "epoch whose model was kept.",
                    f"Line charts of loss against epoch for {listing(names)}.",
                ),
            ),
        ),
    )


def draw_losses(histories: Mapping[Kind, list[pd.DataFrame]]) -> Figure:
    """Draw a panel for each kind of model from the histories of its folds."""
    figure, axes = panel_grid(histories, width=2.6, height=1.6, sharey="row")
    for kind, ax in axes.items():
        ax.set_title(model_text(*kind))
        _draw_folds(ax, histories[kind])
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
