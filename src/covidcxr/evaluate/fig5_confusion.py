"""Figure 5: confusion matrices of the ensembles on the test set."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from covidcxr.data.tables import read_split
from covidcxr.evaluate.classification import ENSEMBLE, Predictions, read_predictions
from covidcxr.evaluate.style import figure_style, save_figure

LABEL_WIDTH = 14
LETTER_INCHES = 0.075
"""Width of a letter of the tick labels (8 points), roughly."""

TITLE_INCHES = 2.0


def write_fig5_confusion(
    ensembles: Iterable[tuple[str, str, str | Path]],
    split: str | Path,
    png: str | Path,
    svg: str | Path,
    *,
    classes: Sequence[str],
) -> None:
    """Draw the confusion matrix of every ensemble on the test set.

    Parameters
    ----------
    ensembles
        (backbone, augmentation, path of the ensemble's predictions).
    split
        `split.csv` of the run.
    png, svg
        Figures to write.
    classes
        Class names in table order.

    Raises
    ------
    InputError
        If predictions are missing, double or faulty.
    """
    folds = read_split(split)
    matrices = {}
    for backbone, augmentation, path in ensembles:
        frame = read_predictions(
            Predictions(backbone, augmentation, ENSEMBLE, path), folds, classes
        )
        test = frame[frame["split"] == "test"]
        matrices[backbone, augmentation] = confusion(
            test["label"].to_numpy(), test["predicted"].to_numpy(), classes
        )
    with figure_style():
        save_figure(draw_matrices(matrices, classes), png, svg)


def confusion(
    truth: npt.NDArray[np.str_], predicted: npt.NDArray[np.str_], classes: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Count images: int64 [predicted class, true class]."""
    return confusion_matrix(predicted, truth, labels=list(classes)).astype(np.int64)


def draw_matrices(
    matrices: Mapping[tuple[str, str], npt.NDArray[np.int64]], classes: Sequence[str]
) -> Figure:
    """Draw a grid of matrices, backbones down and augmentations across.

    Parameters
    ----------
    matrices
        int64 [predicted, true] by backbone and augmentation.
    classes
        Class names in the order of the matrices.
    """
    backbones = list(dict.fromkeys(backbone for backbone, _ in matrices))
    augmentations = list(dict.fromkeys(augmentation for _, augmentation in matrices))
    side = _side(len(classes))
    figure = Figure(
        figsize=(
            (max(side, TITLE_INCHES) + 0.2) * len(augmentations) + 1.2,
            (side + 0.5) * len(backbones) + 0.9,
        )
    )
    axes = figure.subplots(
        len(backbones),
        len(augmentations),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for line, backbone in zip(axes, backbones, strict=True):
        for ax, augmentation in zip(line, augmentations, strict=True):
            if (backbone, augmentation) not in matrices:
                ax.set_axis_off()
                continue
            matrix = matrices[backbone, augmentation]
            right, total = int(np.trace(matrix)), int(matrix.sum())
            ax.set_title(
                f"{backbone} {augmentation}\naccuracy {right / total:.3f} ({right:,} of {total:,})"
            )
            _draw_matrix(ax, matrix, classes)
    figure.supxlabel("true class", fontsize=9)
    figure.supylabel("predicted class", fontsize=9)
    return figure


def _draw_matrix(ax: Axes, matrix: npt.NDArray[np.int64], classes: Sequence[str]) -> None:
    """Draw counts in cells shaded by the share of the true class (column)."""
    share = matrix / np.maximum(matrix.sum(axis=0), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        ax.text(
            column, row, f"{count:,}", ha="center", va="center", fontsize=9,
            color="white" if share[row, column] > 0.6 else "black",
        )  # fmt: skip
    names = [textwrap.fill(name.replace("_", " "), LABEL_WIDTH) for name in classes]
    longest = max(len(line) for name in names for line in name.split("\n"))
    crowded = longest * LETTER_INCHES > _side(len(classes)) / len(classes)
    ax.set_xticks(range(len(classes)), names, rotation=90 if crowded else 0)
    ax.set_yticks(range(len(classes)), names)
    ax.tick_params(length=0)
    ax.spines[["top", "right"]].set_visible(True)


def _side(classes: int) -> float:
    """Return the side of a matrix in inches: cells shrink as their number grows."""
    return min(0.7 * classes, 1.2 + 0.3 * classes)
