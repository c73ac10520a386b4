"""Figure 7: Grad-CAM of dated images of a patient, one column per image, one row per backbone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from covidcxr.evaluate.style import figure_style, save_figure
from covidcxr.explain.fig6_gradcam import draw_grid
from covidcxr.explain.maps import read_gradcam


def write_fig7_timeline(
    gradcam: Sequence[tuple[str, str | Path]],
    png: str | Path,
    svg: str | Path,
    *,
    classes: Sequence[str],
    colormap: str = "jet",
    opacity: float = 0.45,
) -> None:
    """Write figure 7; without dated images, a figure that says so.

    Parameters
    ----------
    gradcam
        (backbone, file of `covidcxr.explain.gradcam.write_gradcam`) for each row.
    png, svg
        Files to write.
    classes
        Class names, in the order of the models' outputs.
    colormap, opacity
        Of the heat maps.
    """
    explained = [(name, read_gradcam(path).of_cohort("timeline")) for name, path in gradcam]
    first = explained[0][1]
    with figure_style():
        if len(first.image_id) == 0:
            figure = _say("This run has no dated images\n(config: timeline).")
        else:
            figure = draw_grid(
                explained,
                ["day unknown" if np.isnan(day) else f"day {day:g}" for day in first.day],
                [
                    [
                        f"{classes[index]} {row[index]:.2f}"
                        for row, index in zip(maps.probabilities, maps.class_index, strict=True)
                    ]
                    for _, maps in explained
                ],
                colormap=colormap,
                opacity=opacity,
            )
        save_figure(figure, png, svg)


def _say(text: str) -> Figure:
    """Return a figure with nothing but a text."""
    figure = Figure(figsize=(4, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure
