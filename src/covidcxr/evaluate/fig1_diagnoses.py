"""Figure 1: the diagnoses in the raw collections, by view."""

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from covidcxr.data.tables import read_manifest, read_table
from covidcxr.errors import InputError
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.report.formats import count
from covidcxr.report.section import Section, SectionFigure, write_section

AP, PA, LATERAL, CT, OTHER = "frontal, AP", "frontal, PA", "lateral", "CT", "view unknown"
VIEW_COLOURS = {
    AP: PALETTE[0],
    PA: PALETTE[4],
    LATERAL: PALETTE[1],
    CT: PALETTE[3],
    OTHER: "#BBBBBB",
}
LABEL_WIDTH = 34
BAR_INCHES = 0.19


def run(
    collections: str | Path,
    manifest: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
) -> None:
    """Draw how many images of each diagnosis and view the raw collections list.

    Parameters
    ----------
    collections
        `collections.csv`: source, diagnosis, view, images (listed), files (present).
    manifest
        `manifest.csv`; says how many images of each source the run uses.

    Raises
    ------
    InputError
        If the collections hold nothing.
    """
    table = read_table(
        collections, ["source", "diagnosis", "view", "images", "files"], ["images", "files"]
    )
    if table.empty:
        raise InputError(f"{collections} lists no images: check `sources` in the config")
    sampled = read_manifest(manifest)["source"].value_counts()
    with figure_style():
        save_figure(draw_diagnoses(table, sampled), png, svg)
    write_section(
        section,
        Section(
            ident="diagnoses",
            title="Diagnoses in the collections",
            part="data",
            figures=(
                SectionFigure(
                    "fig1_diagnoses",
                    "Diagnoses in the raw collections, by view.",
                    listed_text(table),
                    folded=True,
                ),
            ),
        ),
    )


def draw_diagnoses(table: pd.DataFrame, sampled: "pd.Series[int]") -> Figure:
    """Draw one panel a source, one bar a diagnosis, stacked by view.

    Parameters
    ----------
    table
        source, diagnosis, view (str), images, files (counts).
    sampled
        Images that the run uses, by source.
    """
    table = table.assign(group=table["view"].map(view_group))
    panels = {str(source): panel for source, panel in table.groupby("source", sort=False)}
    lines = [
        sum(_label(diagnosis).count("\n") + 1 for diagnosis in panel["diagnosis"].unique())
        for panel in panels.values()
    ]
    figure = Figure(figsize=(6.5, sum(BAR_INCHES * n + 0.55 for n in lines) + 0.4))
    axes = figure.subplots(
        len(panels), 1, height_ratios=[BAR_INCHES * n + 0.2 for n in lines], squeeze=False
    )
    for ax, (source, panel) in zip(axes[:, 0], panels.items(), strict=True):
        _draw_panel(ax, panel)
        ax.set_title(
            f"{source}: {panel['images'].sum():,.0f} images listed, "
            f"{panel['files'].sum():,.0f} present, {sampled.get(source, 0):,} in this run",
            loc="left",
        )
    axes[-1, 0].set_xlabel("images listed (of them present, where fewer)")
    figure.legend(
        handles=[
            Patch(color=colour, label=group)
            for group, colour in VIEW_COLOURS.items()
            if group in set(table["group"])
        ],
        loc="outside upper center",
        ncols=len(VIEW_COLOURS),
    )
    return figure


def view_group(view: str) -> str:
    """Return the group of a view: `AP`, `AP Supine` and the like are frontal AP, and so on."""
    name = view.strip().lower()
    if name.startswith("ap"):
        return AP
    if name.startswith("pa"):
        return PA
    if name in ("l", "ll", "rl", "lateral"):
        return LATERAL
    if name in ("axial", "coronal", "sagittal"):
        return CT
    return OTHER


def _label(diagnosis: str) -> str:
    return textwrap.fill(diagnosis or "unknown", LABEL_WIDTH)


def _draw_panel(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the diagnoses of one source, stacked by `group`, the most frequent on top."""
    totals = table.groupby("diagnosis")[["images", "files"]].sum()
    totals = totals.sort_values("images", kind="stable")
    order = totals.index
    images = table.pivot_table(
        index="diagnosis", columns="group", values="images", aggfunc="sum", fill_value=0
    ).loc[order]
    left = pd.Series(0.0, order)
    for group, colour in VIEW_COLOURS.items():
        if group in images:
            ax.barh(range(len(order)), images[group], left=left, color=colour, height=0.75)
            left += images[group]
    ax.set_yticks(range(len(order)), [_label(diagnosis) for diagnosis in order])
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0)
    ax.set_xlim(0, max(left.max(), 1) * 1.18)
    for row, (total, here) in enumerate(zip(left, totals["files"], strict=True)):
        text = f"{total:,.0f}" if here == total else f"{total:,.0f} ({here:,.0f})"
        ax.annotate(text, (total, row), (3, 0), textcoords="offset points", va="center", fontsize=7)


def listed_text(table: pd.DataFrame) -> str:
    """Say what each raw collection lists, how much is there, and its commonest diagnosis."""
    sentences = []
    for source, part in table.groupby("source", sort=False):
        by_diagnosis = part.groupby("diagnosis")["images"].sum().sort_values(ascending=False)
        sentences.append(
            f"{source}: {count(part['images'].sum())} images listed, "
            f"{count(part['files'].sum())} files present, most often {by_diagnosis.index[0]} "
            f"({count(by_diagnosis.iloc[0])})."
        )
    return " ".join(sentences)
