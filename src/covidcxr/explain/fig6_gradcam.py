"""Figure 6: Grad-CAM for one test image of each class, originals above, a row per backbone."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from covidcxr.evaluate.style import figure_style, save_figure
from covidcxr.explain.maps import Explained, read_gradcam

CELL = 1.5
"""Side of an image in the figure, in inches."""


def overlay(
    image: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32], colormap: str, opacity: float
) -> npt.NDArray[np.float64]:
    """Lay a heat map over a grayscale image.

    Parameters
    ----------
    image
        uint8 [h, w].
    heat
        [h, w] in [0, 1].
    colormap
        Name of a Matplotlib colour map.
    opacity
        Of the heat map, in [0, 1].

    Returns
    -------
    float64 [h, w, 3]
        RGB in [0, 1].
    """
    gray = np.repeat(image[..., None] / 255.0, 3, axis=-1)
    colours = matplotlib.colormaps[colormap](heat)[..., :3]
    return np.asarray((1 - opacity) * gray + opacity * colours)


def draw_grid(
    explained: Sequence[tuple[str, Explained]],
    titles: Sequence[str],
    captions: Sequence[Sequence[str]],
    *,
    colormap: str,
    opacity: float,
) -> Figure:
    """Draw originals in the top row and below them one row of overlays per backbone.

    Parameters
    ----------
    explained
        (backbone, n images with maps); the images are the same for all.
    titles
        n texts above the originals.
    captions
        For each backbone n texts below its overlays.
    """
    first = explained[0][1]
    columns = len(titles)
    figure = Figure(
        figsize=(CELL * columns + 0.5, (CELL + 0.25) * (len(explained) + 1)), layout="constrained"
    )
    axes = figure.subplots(len(explained) + 1, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, image, title in zip(axes[0], first.images, titles, strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title)
    axes[0, 0].set_ylabel("original")
    for row, (name, maps), texts in zip(axes[1:], explained, captions, strict=True):
        row[0].set_ylabel(name)
        for axis, image, heat, text in zip(row, maps.images, maps.maps, texts, strict=True):
            axis.imshow(overlay(image, heat, colormap, opacity))
            axis.set_xlabel(text, fontsize=8)
    scale = matplotlib.cm.ScalarMappable(cmap=colormap)
    bar = figure.colorbar(scale, ax=axes[1:], ticks=[0, 1], shrink=0.6, aspect=30, pad=0.02)
    bar.set_label("Grad-CAM, mean over folds")
    return figure


def write_fig6_gradcam(
    gradcam: Sequence[tuple[str, str | Path]],
    png: str | Path,
    svg: str | Path,
    *,
    classes: Sequence[str],
    colormap: str = "jet",
    opacity: float = 0.45,
) -> None:
    """Write figure 6.

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
    explained = [(name, read_gradcam(path).of_cohort("test")) for name, path in gradcam]
    captions = [
        [
            _prediction(row, index, classes)
            for row, index in zip(maps.probabilities, maps.class_index, strict=True)
        ]
        for _, maps in explained
    ]
    with figure_style():
        figure = draw_grid(
            explained,
            [str(label) for label in explained[0][1].label],
            captions,
            colormap=colormap,
            opacity=opacity,
        )
        save_figure(figure, png, svg)


def _prediction(
    probabilities: npt.NDArray[np.float32], class_index: int, classes: Sequence[str]
) -> str:
    """Tell the probability of the explained class, and the predicted class where it is another."""
    predicted = int(probabilities.argmax())
    text = f"{classes[class_index]} {probabilities[class_index]:.2f}"
    if predicted != class_index:
        text += f"\ncalled {classes[predicted]} {probabilities[predicted]:.2f}"
    return text
