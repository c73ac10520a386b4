"""What was measured of the Grad-CAM maps, backbones and augmentations side by side."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from covidcxr.data.tables import read_table
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure

CHANCE: dict[str, Any] = {"marker": "|", "color": "0.35", "markersize": 11, "linestyle": "none"}
PANELS = (
    ("lungs", "map in the lungs", "share of the map"),
    ("lesion", "map in the lesion", "share of the map"),
    ("deletion", "deletion (low is good)", "mean probability"),
    ("insertion", "insertion (high is good)", "mean probability"),
)
STAGES = {"head": "o", "last_block": "s", "all": "^"}


def draw_explanations(table: pd.DataFrame) -> Figure:
    """Draw a panel for each measure of the run: a row per backbone, a colour per augmentation.

    Parameters
    ----------
    table
        As `covidcxr.explain.explanation_table.write_explanation_table` writes it.
    """
    panels = [
        panel for panel in PANELS if panel[0] not in ("lungs", "lesion") or _any(table, panel)
    ]
    backbones = list(dict.fromkeys(table["backbone"]))
    augmentations = list(dict.fromkeys(table["augmentation"]))
    columns = 2 if len(panels) == 3 else 3
    rows = -(-(len(panels) + 1) // columns)
    height = 0.9 + rows * (0.75 + 0.28 * len(backbones) * max(1, len(augmentations) / 2))
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    offsets = np.linspace(-0.18, 0.18, len(augmentations)) if len(augmentations) > 1 else [0.0]
    for axis, (name, title, unit) in zip(axes, panels, strict=False):
        axis.set(title=title, xlabel=unit, xlim=(0, 1))
        for colour, augmentation, offset in zip(PALETTE, augmentations, offsets, strict=False):
            for place, backbone in enumerate(backbones):
                row = _row(table, backbone, augmentation)
                _point(axis, name, row, place + offset, colour)
    last = axes[len(panels)]
    last.set(
        title="map of the randomised network",
        xlabel="rank correlation",
        xlim=(-1, 1),
        xticks=(-1, -0.5, 0, 0.5, 1),
    )
    last.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    for colour, augmentation, offset in zip(PALETTE, augmentations, offsets, strict=False):
        for place, backbone in enumerate(backbones):
            row = _row(table, backbone, augmentation)
            for stage, marker in STAGES.items():
                last.plot(
                    row[f"correlation_{stage}"],
                    place + offset,
                    marker=marker,
                    color=colour,
                    markersize=4.5,
                    fillstyle="none" if stage != "all" else "full",
                )
    for axis in axes[: len(panels) + 1]:
        axis.set(yticks=range(len(backbones)), yticklabels=backbones)
        axis.set_ylim(len(backbones) - 0.5, -0.5)
    for axis in axes[len(panels) + 1 :]:
        axis.set_axis_off()
    handles = [
        Line2D([], [], marker="o", linestyle="none", color=colour, label=name)
        for colour, name in zip(PALETTE, augmentations, strict=False)
    ]
    handles.append(Line2D([], [], **CHANCE, label="chance: region's share, or random map"))
    words = {"head": "head", "last_block": "and last block", "all": "all of it"}
    handles += [
        Line2D(
            [],
            [],
            marker=marker,
            linestyle="none",
            color="0.35",
            fillstyle="none" if stage != "all" else "full",
            label=f"randomised: {words[stage]}",
        )
        for stage, marker in STAGES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def write_fig_explanations(table: str | Path, png: str | Path, svg: str | Path) -> None:
    """Write the figure of `tables/explanations.csv`."""
    measured = read_table(table, ["backbone", "augmentation"])
    for name in measured.columns.drop(["backbone", "augmentation"]):
        measured[name] = pd.to_numeric(measured[name], errors="coerce")
    with figure_style():
        save_figure(draw_explanations(measured), png, svg)


def _any(table: pd.DataFrame, panel: tuple[str, str, str]) -> bool:
    return bool(table[f"{panel[0]}_share"].notna().any())


def _row(table: pd.DataFrame, backbone: str, augmentation: str) -> "pd.Series[float]":
    rows = table.loc[(table["backbone"] == backbone) & (table["augmentation"] == augmentation)]
    return rows.iloc[0]


def _point(axis: Axes, name: str, row: "pd.Series[float]", place: float, colour: str) -> None:
    """Draw a measure with what chance gives, and its interval where there is one."""
    if name in ("lungs", "lesion"):
        value, chance = row[f"{name}_share"], row[f"{name}_area"]
        axis.plot([row[f"{name}_low"], row[f"{name}_high"]], [place, place], color=colour)
    else:
        value, chance = row[name], row[f"{name}_random"]
    axis.plot(chance, place, **CHANCE)
    axis.plot(value, place, marker="o", color=colour, markersize=5)
