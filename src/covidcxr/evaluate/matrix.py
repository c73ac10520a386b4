"""Cross-population matrix: models of each population on the test films of every other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covidcxr.classify.ensemble import read_predictions
from covidcxr.data.tables import read_manifest, read_split, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import Floats, interval, share_interval
from covidcxr.evaluate.classification import predicted_labels
from covidcxr.evaluate.style import figure_style, save_figure
from covidcxr.seeding import generator

POPULATION, GROUP, EXTERNAL = "population", "group", "external"
GOOD_TO_BAD = "Reds"


class Predicted(NamedTuple):
    """Predictions of the ensemble of a population: on all test images, or on an external set."""

    trained_on: str
    backbone: str
    augmentation: str
    set: str
    path: str | Path


def write_matrix(
    manifest: str | Path,
    split: str | Path,
    predictions: Sequence[tuple[str, str, str, str, str | Path]],
    output: str | Path,
    png: str | Path,
    svg: str | Path,
    *,
    populations: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    target: str,
    seed: int,
) -> None:
    """Write the matrix as a table and as a figure (of the first backbone).

    Parameters
    ----------
    manifest, split
        Of the whole run.
    predictions
        (trained on, backbone, augmentation, external set or "", path) of every ensemble.
    output
        CSV to write: backbone, augmentation, trained_on, tested_on, kind, n, patients, and with
        `_low` and `_high` (95 %, by patient) accuracy, balanced_accuracy (over the classes there),
        sensitivity (share of target films called so) and false_target (share of other films called
        target); NaN where there are no such films. `kind` is `population` (its test images),
        `group` (test images of one source and class) or `external`.
    png, svg
        Figure to write.
    populations
        Sources of each population.
    classes
        Class names.
    target
        The class of `sensitivity` and `false_target`.
    seed
        The run's seed.

    Raises
    ------
    InputError
        If the predictions are not of the run's test images, or a patient trains and tests.
    """
    images = read_manifest(manifest).merge(read_split(split), on="image_id", validate="one_to_one")
    require_disjoint(images)
    test = images[images["split"] == "test"].set_index("image_id")
    rows = []
    for record in (Predicted(*record) for record in predictions):
        table = read_predictions(record.path, classes)
        scores = table[[f"p_{label}" for label in classes]].to_numpy(np.float64)
        table = table.assign(called=predicted_labels(scores, classes))
        named = {
            "backbone": record.backbone,
            "augmentation": record.augmentation,
            "trained_on": record.trained_on,
        }
        if record.set:
            cells = [(record.set, EXTERNAL, table)]
        else:
            table = table[table["image_id"].isin(test.index)]
            if len(table) != len(test):
                raise InputError(f"{record.path} does not predict all test images; train anew")
            table = table.assign(source=table["image_id"].map(test["source"]))
            cells = [
                (name, POPULATION, table[table["source"].isin(list(sources))])
                for name, sources in populations.items()
            ] + [
                (f"{label} ({source})", GROUP, table[(table["label"] == label) & here])
                for label in classes
                for source in dict.fromkeys(images["source"])
                for here in [table["source"] == source]
                if ((table["label"] == label) & here).any()
            ]
        rows += [
            named | {"tested_on": name, "kind": kind} | cell(frame, target, seed)
            for name, kind, frame in cells
        ]
    matrix = pd.DataFrame(rows)
    write_table(matrix, output)
    with figure_style():
        save_figure(draw(matrix, target), png, svg)


def require_disjoint(images: pd.DataFrame) -> None:
    """Raise an InputError if a patient has training and test images; `images` has `split`."""
    sides = images.groupby("patient_id")["split"].nunique()
    if (sides > 1).any():
        raise InputError(
            f"patient {sides.index[sides > 1][0]} has training and test images: the matrix needs "
            "split.unit: patient"
        )


def cell(table: pd.DataFrame, target: str, seed: int) -> dict[str, Any]:
    """Score a table with patient_id, label and called; see `write_matrix`."""
    labels, called = table["label"].to_numpy(str), table["called"].to_numpy(str)
    patients = table["patient_id"].to_numpy(str)
    own, right = labels == target, labels == called
    found: dict[str, Any] = {"n": len(table), "patients": len(np.unique(patients))}
    # One seed for all: models are compared on the same resamples of patients.
    measures: dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]] = {
        "accuracy": (right, np.ones_like(own)),
        "sensitivity": (called == target, own),
        "false_target": (called == target, ~own),
    }
    for name, (hits, among) in measures.items():
        values: tuple[float, ...] = (np.nan,) * 3
        if among.any():
            rng = generator(seed, "matrix")
            values = share_interval(hits, patients, rng, among=among)
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    several = len(set(labels)) > 1
    values = (
        interval(balanced_accuracy(labels, right), patients, generator(seed, "matrix"))
        if several
        else (np.nan,) * 3
    )
    names = ("balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high")
    return found | dict(zip(names, values, strict=True))


def balanced_accuracy(labels: npt.NDArray[np.str_], right: npt.NDArray[np.bool_]) -> Any:
    """Return the statistic: mean over the classes in `labels` of the share that is right."""

    def statistic(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.mean(
                [
                    weights @ ((labels == label) & right) / (weights @ (labels == label))
                    for label in np.unique(labels)
                ],
                axis=0,
            )

    return statistic


def draw(matrix: pd.DataFrame, target: str) -> Figure:
    """Draw the matrices of the first backbone's models: how right, and what they call target."""
    backbone = matrix["backbone"].iloc[0]
    blocks = list(matrix[matrix["backbone"] == backbone].groupby("augmentation", sort=False))
    rows = list(dict.fromkeys(matrix["trained_on"]))
    names = [
        list(dict.fromkeys(matrix.loc[here, "tested_on"]))
        for here in (matrix["kind"] == POPULATION, matrix["kind"] != POPULATION)
    ]
    widths = [len(columns) for columns in names]
    height = 0.8 + len(blocks) * (0.5 + 0.48 * len(rows))
    figure = Figure(figsize=(1.6 + 0.72 * sum(widths), 0.7 + height))
    grid = figure.subplots(len(blocks), 2, width_ratios=widths, squeeze=False)
    for (left, right), (augmentation, shown) in zip(grid, blocks, strict=True):
        _block(left, right, shown, rows, names)
        left.set_ylabel(f"{str(augmentation).replace('_', ' ')}\ntrained on")
        last = left is grid[-1, 0]
        for axes in (left, right):
            axes.tick_params(labelbottom=last)
    grid[0, 0].set_title("Balanced accuracy")
    grid[0, 1].set_title(f"Share of films called {target}")
    for axes in grid[-1]:
        axes.set_xlabel("tested on")
    figure.suptitle(f"{backbone}: the darker, the more is wrong")
    return figure


def _block(
    left: Axes, right: Axes, shown: pd.DataFrame, rows: list[str], names: list[list[str]]
) -> None:
    """Draw one model's accuracy and share of films called target, for each training population."""
    populations = shown[shown["kind"] == POPULATION]
    groups = shown[shown["kind"] != POPULATION].assign(
        called=lambda t: t["sensitivity"].fillna(t["false_target"]),
        wrong=lambda t: (1 - t["sensitivity"]).fillna(t["false_target"]),
    )
    # An external set may hold the target and other films; then only the latter stand there.
    both = groups["sensitivity"].notna() & groups["false_target"].notna()
    groups.loc[both, "called"] = groups.loc[both, "wrong"] = groups.loc[both, "false_target"]
    accuracy = populations.pivot(
        index="trained_on", columns="tested_on", values="balanced_accuracy"
    ).loc[rows, names[0]]
    _panel(left, accuracy, 1 - accuracy, "{:.2f}")
    called, wrong = (
        groups.pivot(index="trained_on", columns="tested_on", values=name).loc[rows, names[1]]
        for name in ("called", "wrong")
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
