"""Patients over days: their images with Grad-CAM, the class's probability and the map's extent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covidcxr.data.tables import write_table
from covidcxr.evaluate.style import PALETTE, bare, figure_style, save_figure
from covidcxr.explain.drawing import Look, read_explained, text_only
from covidcxr.explain.measures import read_measured, read_severity
from covidcxr.report.formats import some
from covidcxr.report.section import Section, SectionFigure, SectionTable, write_section

NOBODY = "No patient has three or more dated images."
PATIENTS = 10
"""Patients drawn at most: those kept out of training first, then those with most images."""

IMAGES = 5
"""Images drawn of a patient, spread evenly over the dated ones; the curves have all."""

SEVERITY = (
    " Last: the predicted severity with its 90 % interval (grey) and what readers saw (crosses); "
    "an image that they scored is predicted out of fold."
)


def run(
    rows: Sequence[str | Path],
    maps: str | Path,
    severity: Sequence[str | Path],
    table: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    augmentation: str,
    target: str | None,
    look: Mapping[str, Any],
) -> None:
    """Write the course of the dated patients: table, figure and section of the report.

    Parameters
    ----------
    rows
        Tables of images of all backbones, see `covidcxr.explain.explanations`.
    maps
        Of the first of them, which are drawn.
    severity
        Severity of the images, see `covidcxr.severity.severity_of`; none where no score is learned.
    table
        CSV to write: the rows of the dated patients' images, with what `severity` says of them.
    png, svg, section
        Figure and section to write; where no patient has three dated images, a figure that says
        so.
    augmentation
        Whose models are shown.
    target
        The class followed; None follows each patient's own.
    look
        `colormap` and `opacity` of the maps.
    """
    images = read_measured(rows)
    dated = images.loc[images["dated"] == 1].drop(columns="dated")
    if severity:
        dated = dated.merge(read_severity(severity), on="image_id", how="left")
    write_table(dated, table)
    course = dated.loc[dated["augmentation"] == augmentation]
    patients = chosen_patients(course, target)
    with figure_style():
        if patients:
            drawn = course.loc[course["patient_id"].isin(patients), "image_id"].unique()
            style = Look(**look)
            explained = read_explained(rows[0], maps, augmentation, drawn.tolist(), style)
            figure = draw(course, patients, explained["overlay"], target)
        else:
            figure = text_only(NOBODY)
        save_figure(figure, png, svg)
    write_section(section, section_of(dated, len(patients)))


def chosen_patients(course: pd.DataFrame, target: str | None) -> list[str]:
    """Return the patients to draw, those with images of the target class only, if one is given."""
    rows = course.loc[course["label"] == target] if target else course
    counts = rows.groupby("patient_id", sort=True)["image_id"].nunique()
    kept_out = rows.groupby("patient_id", sort=True)["cohort"].first() == "timeline"
    order = pd.DataFrame({"kept_out": kept_out, "count": counts})
    ranked = order.sort_values(["kept_out", "count"], ascending=False, kind="stable")
    return [str(name) for name in ranked.index[:PATIENTS]]


def draw(
    course: pd.DataFrame, patients: Sequence[str], pictures: "pd.Series[float]", target: str | None
) -> Figure:
    """Draw a row per patient.

    Parameters
    ----------
    course
        backbone, patient_id, image_id, day, label, extent, p_<class>, and severity where known; one
        augmentation.
    patients
        To draw, from the top.
    pictures
        RGB images by image_id.
    target
        The class whose probability is drawn; None takes that of the patient's first image.
    """
    figure = Figure(figsize=(7.2, 1.15 * len(patients) + 0.9), layout="constrained")
    backbones = list(dict.fromkeys(course["backbone"]))
    drawn = course.loc[course["patient_id"].isin(patients)]
    columns = min(IMAGES, int(drawn.groupby("patient_id")["image_id"].nunique().max()))
    curves = 3 if "predicted" in course else 2
    axes = figure.subplots(
        len(patients), columns + curves, squeeze=False, width_ratios=[1] * columns + [1.5] * curves
    )
    for row, patient in zip(axes, patients, strict=True):
        own = course.loc[course["patient_id"] == patient]
        one = own.loc[own["backbone"] == backbones[0]].sort_values("day", kind="stable")
        places = np.unique(np.linspace(0, len(one) - 1, min(IMAGES, len(one))).round().astype(int))
        for axis in row[:columns]:
            bare(axis)
        for axis, (_, image) in zip(row, one.iloc[places].iterrows(), strict=False):
            axis.imshow(pictures[image["image_id"]])
            axis.set_title(f"day {image['day']:g}", fontsize=7, pad=2)
        name = patient.split(":", 1)[-1]
        note = {"timeline": "kept out", "test": "test"}.get(str(one["cohort"].iloc[0]), "training")
        row[0].set_ylabel(f"{name[:14]}\n{note}", fontsize=7)
        explained = target or str(one["label"].iloc[0])
        _curves(row[columns], own, backbones, f"p_{explained}")
        _curves(row[columns + 1], own, backbones, "extent")
        if curves > 2:
            _severity(row[columns + 2], one, drawn)
    if curves > 2:
        score = drawn["score"].dropna().iloc[0]
        axes[0, columns + 2].set_title(f"severity: {score}", fontsize=8)
    axes[0, columns].set_title(f"P({target or 'class'})", fontsize=8)
    axes[0, columns + 1].set_title("map's extent", fontsize=8)
    for axis in axes[-1, columns:]:
        axis.set_xlabel("day")
    figure.legend(
        *axes[0, columns].get_legend_handles_labels(), loc="outside lower center", ncols=4
    )
    return figure


def section_of(dated: pd.DataFrame, drawn: int) -> Section:
    """Say what the figure shows, and offer the table."""
    followed = dated["patient_id"].nunique()
    section = Section(
        ident="timelines",
        title="Patients over days",
        part="explanations",
        paragraphs=(NOBODY,),
        folded=True,
    )
    if not followed:
        return section
    return replace(
        section,
        paragraphs=(
            f"{some(followed, 'patient')} with three or more dated images; the figure shows "
            f"{drawn}. A map that moves between days need not follow the disease: position, "
            "exposure and tubes change as well.",
        ),
        figures=(
            SectionFigure(
                "timelines",
                "Grad-CAM by the first backbone, the probability of the class by day, and the "
                "map's extent (share of the image above half the map's maximum). Training images "
                "are explained by the fold's model that did not train on them."
                + (SEVERITY if "predicted" in dated else ""),
                f"Panels of {some(drawn, 'patient')} over days, with curves of probability and "
                "extent of the map.",
            ),
        ),
        tables=(
            SectionTable("timelines", "Probability and map of every dated image, by ensemble."),
        ),
    )


def _curves(axis: Axes, rows: pd.DataFrame, backbones: Sequence[str], column: str) -> None:
    for colour, backbone in zip(PALETTE, backbones, strict=False):
        own = rows.loc[rows["backbone"] == backbone].sort_values("day", kind="stable")
        axis.plot(own["day"], own[column], marker="o", markersize=2.5, color=colour, label=backbone)
    axis.set(ylim=(-0.05, 1.05), yticks=[0, 0.5, 1])
    _days(axis)


def _severity(axis: Axes, rows: pd.DataFrame, everybody: pd.DataFrame) -> None:
    """Draw the score by day with its interval, and what readers saw; one scale for all patients."""
    known = rows.dropna(subset="predicted")
    axis.fill_between(known["day"], known["low"], known["high"], color="0.85")
    axis.plot(known["day"], known["predicted"], marker="o", markersize=2.5, color="0.2")
    axis.plot(known["day"], known["read"], "x", markersize=5, color=PALETTE[5])
    ends = everybody[["low", "high", "read"]].to_numpy(float)
    low, high = np.nanmin(ends), np.nanmax(ends)
    axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    _days(axis)


def _days(axis: Axes) -> None:
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.tick_params(labelsize=7)
