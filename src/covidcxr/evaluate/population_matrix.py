"""Cross-population matrix: models of each population on the test images of every other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covidcxr.data.tables import write_table
from covidcxr.evaluate.models import KIND, ensembles, model_text, variant_text, with_model
from covidcxr.evaluate.scores import read_scores, wide
from covidcxr.evaluate.style import figure_style, save_figure
from covidcxr.report.formats import interval_of, ratio, share, some, table_of
from covidcxr.report.section import Section, SectionFigure, SectionTable, write_section

POPULATION, GROUP, EXTERNAL = "population", "group", "external"
GOOD_TO_BAD = "Reds"
BOUNDS = ("", "_low", "_high")


def run(
    scores: str | Path,
    table: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    populations: Sequence[str],
    target: str,
) -> None:
    """Write the matrix as a table and as a figure (of the first backbone).

    Parameters
    ----------
    table
        CSV to write, see `matrix_of`.
    populations
        Names of the populations.
    target
        The class of `sensitivity` and `false_target`.
    """
    matrix = matrix_of(read_scores(scores), populations, target)
    write_table(matrix, table)
    with figure_style():
        save_figure(draw(matrix, target), png, svg)
    write_section(section, section_of(matrix, target))


def matrix_of(scores: pd.DataFrame, populations: Sequence[str], target: str) -> pd.DataFrame:
    """Return what the ensembles of each population reach on every group of test images.

    Kinds of model that a population lacks (with synthetic images) are left out.

    Returns
    -------
    DataFrame: backbone, augmentation, classifier, trained_on, tested_on, kind, n, patients, and
    with `_low` and `_high` (95 %, by patient) accuracy, balanced_accuracy (over the classes there),
    sensitivity (share of target images predicted so) and false_target (share of other images
    predicted to be target); NaN where there are no such images. `kind` is `population` (its test
    images), `group` (test images of one source and class) or `external`.
    """
    own = ensembles(scores[scores["population"].isin(list(populations))])
    own = own[(own["group"] != "") | ~own["set"].isin(["validation", "test"])]
    everywhere = own.groupby(KIND)["population"].transform("nunique") == len(populations)
    own = own[everywhere]
    estimate, low, high = (wide(own, value) for value in ("estimate", "low", "high"))
    found = estimate.index.to_frame(index=False)
    external = found["group"] == ""
    whole = found["group"].isin(list(populations))
    matrix = found[KIND].assign(
        trained_on=found["population"],
        tested_on=found["set"].where(external, found["group"]),
        kind=np.select([external, whole], [EXTERNAL, POPULATION], GROUP),
        n=wide(own, "n")["accuracy"].to_numpy(int),
        patients=wide(own, "patients")["accuracy"].to_numpy(int),
    )
    for name in ("accuracy", "balanced_accuracy", f"sensitivity_{target}"):
        for end, values in zip(BOUNDS, (estimate, low, high), strict=True):
            matrix[name.removesuffix(f"_{target}") + end] = values[name].to_numpy()
    for end, values in zip(BOUNDS, (estimate, high, low), strict=True):
        matrix[f"false_target{end}"] = 1 - values[f"specificity_{target}"].to_numpy()
    return matrix


def draw(matrix: pd.DataFrame, target: str) -> Figure:
    """Draw the matrices of the first backbone's models: accuracy, and what they take for target."""
    backbone = matrix["backbone"].iloc[0]
    first = matrix[matrix["backbone"] == backbone]
    blocks = list(first.groupby(["augmentation", "classifier"], sort=False))
    rows = list(dict.fromkeys(matrix["trained_on"]))
    names = [
        list(dict.fromkeys(matrix.loc[here, "tested_on"]))
        for here in (matrix["kind"] == POPULATION, matrix["kind"] != POPULATION)
    ]
    widths = [len(columns) for columns in names]
    height = 0.8 + len(blocks) * (0.5 + 0.48 * len(rows))
    figure = Figure(figsize=(1.6 + 0.72 * sum(widths), 0.7 + height))
    grid = figure.subplots(len(blocks), 2, width_ratios=widths, squeeze=False)
    for (left, right), (variant, shown) in zip(grid, blocks, strict=True):
        _block(left, right, shown, rows, names)
        left.set_ylabel(f"{variant_text(*variant)}\ntrained on")
        last = left is grid[-1, 0]
        for axes in (left, right):
            axes.tick_params(labelbottom=last)
    grid[0, 0].set_title("Balanced accuracy")
    grid[0, 1].set_title(f"Share of images predicted {target}")
    for axes in grid[-1]:
        axes.set_xlabel("tested on")
    figure.suptitle(f"{backbone}: the darker, the more is wrong")
    return figure


def _block(
    left: Axes, right: Axes, shown: pd.DataFrame, rows: list[str], names: list[list[str]]
) -> None:
    """Draw one model's accuracy and what it takes for target, for each training population."""
    populations = shown[shown["kind"] == POPULATION]
    groups = shown[shown["kind"] != POPULATION].assign(
        called=lambda t: t["sensitivity"].fillna(t["false_target"]),
        wrong=lambda t: (1 - t["sensitivity"]).fillna(t["false_target"]),
    )
    # An external set may hold the target and other images; then only the latter stand there.
    both = groups["sensitivity"].notna() & groups["false_target"].notna()
    groups.loc[both, "called"] = groups.loc[both, "wrong"] = groups.loc[both, "false_target"]
    axes = {"index": "trained_on", "columns": "tested_on"}
    accuracy = populations.pivot(**axes, values="balanced_accuracy").loc[rows, names[0]]
    _panel(left, accuracy, 1 - accuracy, "{:.2f}")
    called, wrong = (
        groups.pivot(**axes, values=name).loc[rows, names[1]] for name in ("called", "wrong")
    )
    _panel(right, 100 * called, wrong, "{:.0f} %")
    right.set_yticks([])


def _panel(axes: Axes, values: pd.DataFrame, wrong: pd.DataFrame, form: str) -> None:
    """Draw values as a table of cells coloured by the share that is wrong, 0..1."""
    shades = wrong.to_numpy(float)
    axes.imshow(shades, cmap=GOOD_TO_BAD, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy(float)):
        colour = "white" if shades[row, column] > 0.6 else "black"
        text = form.format(value) if np.isfinite(value) else "–"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)
    labels = [str(name).replace(" (", "\n(") for name in values.columns]
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(values)), list(values.index))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def section_of(matrix: pd.DataFrame, target: str) -> Section:
    """Say how the models of each population fare on the others."""
    first = matrix[matrix["backbone"] == matrix["backbone"].iloc[0]]
    texts = [text(rows, target) for _, rows in first.groupby([*KIND[1:], "trained_on"], sort=False)]
    measures = ("accuracy", "balanced_accuracy", "sensitivity", "false_target")
    rows = with_model(matrix).assign(**{name: interval_of(matrix, name) for name in measures})
    columns = ["model", "trained_on", "tested_on", "n", "patients", *measures]
    return Section(
        ident="matrix",
        title="Trained on one population, tested on another",
        part="validity",
        paragraphs=tuple(texts),
        method=(
            "All populations share one split, so no patient trains and tests, and one set of "
            "cached features; each model is the ensemble of its folds. Populations differ in "
            "size, too.",
        ),
        figures=(
            SectionFigure(
                "matrix",
                "The first backbone's models, block by block. Left: balanced accuracy of models "
                "(rows) on the test images of each population. "
                f"Right: what share of each kind of image they predict {target}. The darker a "
                "cell, the more is wrong.",
                " ".join(texts),
            ),
        ),
        tables=(
            SectionTable(
                "matrix",
                f"The matrix, with 95 % intervals. Sensitivity is the share of {target} images "
                "predicted so, false target the share of other images predicted so.",
                table_of(rows[columns]),
                folded=True,
            ),
        ),
    )


def text(rows: pd.DataFrame, target: str) -> str:
    """Say how one kind of model, trained on a population, fares on its own and on other images."""
    name = rows["trained_on"].iloc[0]
    populations = rows[rows["kind"] == POPULATION]
    own = populations[populations["tested_on"] == name].iloc[0]
    groups = rows[(rows["kind"] != POPULATION) & rows["false_target"].notna()]
    worst = groups.nlargest(1, "false_target").iloc[0]
    return (
        f"Trained on {name} ({model_text(*rows[KIND].iloc[0])}): balanced accuracy "
        f"{ratio(own['balanced_accuracy'])} on its own test images, "
        f"{ratio(populations['balanced_accuracy'].min())} on the least like them; sensitivity "
        f"{ratio(own['sensitivity'])}; most often predicted {target} without being it: "
        f"{worst['tested_on']}, {share(worst['false_target'])} of {some(worst['n'], 'image')}."
    )
