"""Figure 5: confusion matrices of the ensembles on the test set."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from covidcxr.array_types import Integers, Texts
from covidcxr.classify.predictions import read_predictions
from covidcxr.evaluate.models import Kind, by_kind, ensembles, model_text, networks, of_study
from covidcxr.evaluate.panels import panel_grid, panel_title
from covidcxr.evaluate.style import figure_style, save_figure
from covidcxr.report.formats import ratio, sample
from covidcxr.report.section import Section, SectionFigure, write_section

LABEL_WIDTH = 14
LETTER_INCHES = 0.075
"""Width of a letter of the tick labels (8 points), roughly."""

TITLE_INCHES = 2.0


def run(
    predictions: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    classes: Sequence[str],
) -> None:
    """Draw the confusion matrix of every network's ensemble on the test set."""
    own = ensembles(networks(of_study(read_predictions(predictions, classes))))
    matrices = {
        kind: confusion(test["label"].to_numpy(), test["predicted"].to_numpy(), classes)
        for kind, test in by_kind(own[own["set"] == "test"])
    }
    with figure_style():
        save_figure(draw_matrices(matrices, classes), png, svg)
    n = int(next(iter(matrices.values())).sum())
    texts = [
        f"{model_text(*kind)}: {ratio(np.trace(matrix) / n)} of {n} right"
        for kind, matrix in matrices.items()
    ]
    write_section(
        section,
        Section(
            ident="confusion",
            title="Confusion matrices",
            part="performance",
            figures=(
                SectionFigure(
                    "fig5_confusion",
                    f"Confusion matrices of the ensembles on the test set ({sample(n)}). Rows: "
                    "predicted class; columns: true class; cells: images. Above each, its overall "
                    "accuracy.",
                    "; ".join(texts),
                    folded=False,
                ),
            ),
        ),
    )


def confusion(truth: Texts, predicted: Texts, classes: Sequence[str]) -> Integers:
    """Count images: int64 [predicted class, true class]."""
    return confusion_matrix(predicted, truth, labels=list(classes)).astype(np.int64)


def draw_matrices(matrices: Mapping[Kind, Integers], classes: Sequence[str]) -> Figure:
    """Draw a grid of matrices, backbones down and augmentations across.

    Parameters
    ----------
    matrices
        int64 [predicted, true] by kind of model.
    classes
        Class names in the order of the matrices.
    """
    side = _side(len(classes))
    figure, axes = panel_grid(matrices, width=max(side, TITLE_INCHES) + 0.2, height=side)
    for kind, ax in axes.items():
        matrix = matrices[kind]
        right, total = int(np.trace(matrix)), int(matrix.sum())
        ax.set_title(panel_title(kind, f"accuracy {right / total:.3f} ({right:,} of {total:,})"))
        _draw_matrix(ax, matrix, classes)
    figure.supxlabel("true class", fontsize=9)
    figure.supylabel("predicted class", fontsize=9)
    return figure


def _draw_matrix(ax: Axes, matrix: Integers, classes: Sequence[str]) -> None:
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
