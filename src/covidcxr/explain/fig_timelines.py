"""Patients over days: their images with Grad-CAM, the class's probability and the map's extent."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covidcxr.data.tables import read_table
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.explain.fig6_gradcam import overlay
from covidcxr.explain.maps import upsample

PATIENTS = 10
"""Patients drawn at most: those kept out of training first, then those with most images."""

IMAGES = 5
"""Images drawn of a patient, spread evenly over the dated ones; the curves have all."""


def chosen_patients(course: pd.DataFrame, target: str | None) -> list[str]:
    """Return the patients to draw, those with images of the target class only, if one is given."""
    rows = course.loc[course["label"] == target] if target else course
    counts = rows.groupby("patient_id", sort=True)["image_id"].nunique()
    kept_out = rows.groupby("patient_id", sort=True)["cohort"].first() == "timeline"
    order = pd.DataFrame({"kept_out": kept_out, "count": counts})
    ranked = order.sort_values(["kept_out", "count"], ascending=False, kind="stable")
    return [str(name) for name in ranked.index[:PATIENTS]]


def draw_timelines(
    course: pd.DataFrame,
    patients: Sequence[str],
    pictures: dict[str, npt.NDArray[np.float64]],
    target: str | None,
) -> Figure:
    """Draw a row per patient.

    Parameters
    ----------
    course
        backbone, patient_id, image_id, day, label, extent, p_<class>; one augmentation.
    patients
        To draw, from the top.
    pictures
        RGB image by image_id.
    target
        The class whose probability is drawn; None takes that of the patient's first image.
    """
    figure = Figure(figsize=(7.2, 1.15 * len(patients) + 0.9), layout="constrained")
    backbones = list(dict.fromkeys(course["backbone"]))
    drawn = course.loc[course["patient_id"].isin(patients)]
    columns = min(IMAGES, int(drawn.groupby("patient_id")["image_id"].nunique().max()))
    axes = figure.subplots(
        len(patients), columns + 2, squeeze=False, width_ratios=[1] * columns + [1.5, 1.5]
    )
    for row, patient in zip(axes, patients, strict=True):
        own = course.loc[course["patient_id"] == patient]
        one = own.loc[own["backbone"] == backbones[0]].sort_values("day", kind="stable")
        places = np.unique(np.linspace(0, len(one) - 1, min(IMAGES, len(one))).round().astype(int))
        shown = one.iloc[places]
        for axis in row[:columns]:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, (_, image) in zip(row, shown.iterrows(), strict=False):
            axis.imshow(pictures[str(image["image_id"])])
            axis.set_title(f"day {image['day']:g}", fontsize=7, pad=2)
        name = patient.split(":", 1)[-1]
        note = {"timeline": "kept out", "test": "test"}.get(str(one["cohort"].iloc[0]), "training")
        row[0].set_ylabel(f"{name[:14]}\n{note}", fontsize=7)
        explained = target or str(one["label"].iloc[0])
        _curves(row[columns], own, backbones, f"p_{explained}")
        _curves(row[columns + 1], own, backbones, "extent")
    axes[0, columns].set_title(f"P({target or 'class'})", fontsize=8)
    axes[0, columns + 1].set_title("map's extent", fontsize=8)
    for axis in axes[-1, columns:]:
        axis.set_xlabel("day")
    figure.legend(
        *axes[0, columns].get_legend_handles_labels(), loc="outside lower center", ncols=4
    )
    return figure


def write_fig_timelines(
    table: str | Path,
    maps: str | Path,
    png: str | Path,
    svg: str | Path,
    *,
    augmentation: str,
    target: str | None,
    colormap: str = "jet",
    opacity: float = 0.45,
) -> None:
    """Write the figure; where no patient has three dated images, one that says so.

    Parameters
    ----------
    table
        `tables/timelines.csv`.
    maps
        The maps of the first backbone, see `covidcxr.explain.explanations`.
    augmentation
        Whose models are shown.
    target
        The class followed; None follows each patient's own.
    """
    course = read_table(table, ["backbone", "patient_id", "label", "cohort", "augmentation"])
    for name in ["day", "extent", *course.filter(regex="^p_").columns]:
        course[name] = pd.to_numeric(course[name], errors="coerce")
    course = course.loc[course["augmentation"] == augmentation]
    patients = chosen_patients(course, target)
    with figure_style():
        if not patients:
            figure = Figure(figsize=(4.5, 1.0))
            figure.text(
                0.5, 0.5, "No patient has three or more dated images.", ha="center", va="center"
            )
        else:
            with np.load(maps) as arrays:
                names = arrays["image_id"].tolist()
                pixels = arrays["pixels"]
                heats = upsample(
                    arrays[f"maps_{augmentation}"].astype(np.float32), pixels.shape[-1]
                )
            wanted = set(course.loc[course["patient_id"].isin(patients), "image_id"])
            pictures = {
                name: overlay(image, heat, colormap, opacity)
                for name, image, heat in zip(names, pixels, heats, strict=True)
                if name in wanted
            }
            figure = draw_timelines(course, patients, pictures, target)
        save_figure(figure, png, svg)


def _curves(axis: Axes, rows: pd.DataFrame, backbones: Sequence[str], column: str) -> None:
    for colour, backbone in zip(PALETTE, backbones, strict=False):
        own = rows.loc[rows["backbone"] == backbone].sort_values("day", kind="stable")
        axis.plot(own["day"], own[column], marker="o", markersize=2.5, color=colour, label=backbone)
    axis.set(ylim=(-0.05, 1.05), yticks=[0, 0.5, 1])
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.tick_params(labelsize=7)
