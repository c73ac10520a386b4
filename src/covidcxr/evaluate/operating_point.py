"""One class against the others: a threshold chosen on validation, applied once to the test set."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.metrics import roc_curve

from covidcxr.data.tables import read_split, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import REPLICATES, Floats, share_interval
from covidcxr.evaluate.classification import ENSEMBLE, Predictions, read_predictions
from covidcxr.evaluate.panels import Kind, panel_grid, panel_title
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.logs import progress
from covidcxr.seeding import generator

PREVALENCES = (0.01, 0.05, 0.20)
JOINT_LEVEL = 0.975
"""Level of sensitivity and specificity from whose bounds those of predictive values follow: both
hold together in at least 95 of 100 (Bonferroni)."""

Curve = tuple[Floats, Floats]
"""Share of the other images called the class (1 - specificity), and sensitivity, both rising."""


def write_operating_point(
    ensembles: Iterable[tuple[str, str, str | Path]],
    split: str | Path,
    output_points: str | Path,
    output_values: str | Path,
    png: str | Path,
    svg: str | Path,
    *,
    classes: Sequence[str],
    target: str,
    sensitivity: float,
    seed: int,
    specificity: float | None = None,
    replicates: int = REPLICATES,
) -> None:
    """Choose each ensemble's threshold on out-of-fold predictions and apply it to the test set.

    Parameters
    ----------
    ensembles
        (backbone, augmentation, path of the ensemble's predictions).
    split
        `split.csv` of the run.
    output_points
        Table to write: backbone, augmentation, class, asked, asked_of (sensitivity or
        specificity), and what `applied` returns.
    output_values
        Table to write: backbone, augmentation, class, and what `predictive_values` returns.
    png, svg
        Figures to write.
    classes
        Class names in table order.
    target
        The class to be found.
    sensitivity
        Asked of the threshold on the out-of-fold predictions, in (0, 1].
    seed
        The run's seed.
    specificity
        Asked instead of a sensitivity, in (0, 1].

    Raises
    ------
    InputError
        If predictions are missing, double or faulty, or `target` is no class.
    """
    if target not in classes:
        raise InputError(f"operating_point: {target!r} is no class; they are {', '.join(classes)}")
    places = read_split(split)
    asked = sensitivity if specificity is None else specificity
    asked_of = "sensitivity" if specificity is None else "specificity"
    choose = threshold_for if specificity is None else threshold_of_specificity
    points, values, curves = [], [], {}
    for backbone, augmentation, path in progress(list(ensembles), desc="models", unit="model"):
        record = Predictions(backbone, augmentation, ENSEMBLE, path)
        frame = read_predictions(record, places, classes)
        key = {"backbone": backbone, "augmentation": augmentation, "class": target}
        point, joint = applied(frame, target, asked, seed, choose=choose, replicates=replicates)
        points.append(key | {"asked": asked, "asked_of": asked_of} | point)
        values += [key | row for row in joint]
        test = frame[frame["split"] == "test"]
        curves[backbone, augmentation] = curve(
            test[f"p_{target}"].to_numpy(float), (test["label"] == target).to_numpy(bool)
        )
    table = pd.DataFrame(points)
    write_table(table, output_points)
    write_table(pd.DataFrame(values), output_values)
    with figure_style():
        save_figure(draw_curves(curves, table, target), png, svg)


def threshold_for(scores: Floats, positive: npt.NDArray[np.bool_], sensitivity: float) -> float:
    """Return the highest threshold that calls at least that share of the positive images.

    An image is called where its score reaches the threshold.

    Raises
    ------
    InputError
        No image is positive.
    """
    found = np.sort(scores[positive])[::-1]
    if not len(found):
        raise InputError("no validation image is of the class whose threshold is to be chosen")
    # Without the allowance 0.95 of 60 images could come out as a hair above 57.
    wanted = max(1, math.ceil(sensitivity * len(found) - 1e-9))
    return float(found[wanted - 1])


def threshold_of_specificity(
    scores: Floats, positive: npt.NDArray[np.bool_], specificity: float
) -> float:
    """Return the lowest threshold at which at least that share of the other images is not called.

    An image is called where its score reaches the threshold.

    Raises
    ------
    InputError
        All images are positive.
    """
    others = np.sort(scores[~positive])[::-1]
    if not len(others):
        raise InputError("no validation image is of another class than the one to be found")
    called = math.floor((1 - specificity) * len(others) + 1e-9)
    return float(np.nextafter(others[called], np.inf)) if called < len(others) else 0.0


def applied(
    frame: pd.DataFrame,
    target: str,
    asked: float,
    seed: int,
    *,
    choose: Callable[[Floats, npt.NDArray[np.bool_], float], float] = threshold_for,
    replicates: int = REPLICATES,
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Choose the threshold on the validation rows and apply it to the test rows.

    Parameters
    ----------
    frame
        patient_id, label, split (`validation`, `test`) and p_<target> of one ensemble.
    asked, choose
        Sensitivity or specificity, and how the threshold follows: `threshold_for` or
        `threshold_of_specificity`.

    Returns
    -------
    point
        threshold; validation_sensitivity, validation_specificity, validation_n; sensitivity and
        specificity on the test set, each with _low and _high (95 %, patient-clustered; exact where
        no image is wrong), _n and _patients.
    values
        `predictive_values` at each of `PREVALENCES`.
    """
    scores = frame[f"p_{target}"].to_numpy(np.float64)
    positive = (frame["label"] == target).to_numpy(bool)
    validation = (frame["split"] == "validation").to_numpy(bool)
    threshold = choose(scores[validation], positive[validation], asked)
    called = scores >= threshold
    point: dict[str, float] = {
        "threshold": threshold,
        "validation_sensitivity": float(called[validation & positive].mean()),
        "validation_specificity": float((~called)[validation & ~positive].mean()),
        "validation_n": int(validation.sum()),
    }
    patients = frame["patient_id"].to_numpy()[~validation]
    bounds = {}
    for name, right, among in (
        ("sensitivity", called, positive),
        ("specificity", ~called, ~positive),
    ):
        hits, base = right[~validation], among[~validation]
        found, joint = (
            share_interval(
                hits,
                patients,
                generator(seed, "intervals"),
                among=base,
                replicates=replicates,
                level=level,
            )
            for level in (0.95, JOINT_LEVEL)
        )
        bounds[name] = joint
        point |= {
            name: found.estimate,
            f"{name}_low": found.low,
            f"{name}_high": found.high,
            f"{name}_n": int(base.sum()),
            f"{name}_patients": len(np.unique(patients[base])),
        }
    return point, [
        predictive_values(bounds["sensitivity"], bounds["specificity"], prevalence)
        for prevalence in PREVALENCES
    ]


def predictive_values(
    sensitivity: tuple[float, float, float],
    specificity: tuple[float, float, float],
    prevalence: float,
) -> dict[str, float]:
    """Return what a call is worth where the class has another prevalence, by Bayes' rule.

    Parameters
    ----------
    sensitivity, specificity
        Estimate, lower and upper bound, each at `JOINT_LEVEL`.
    prevalence
        Share of the class among those examined, in (0, 1).

    Returns
    -------
    prevalence; ppv and npv, each with _low and _high: both rise with sensitivity and with
    specificity, so their bounds are their values at the bounds, and hold in at least 95 of 100.
    """
    found = {"prevalence": prevalence}
    for name in ("ppv", "npv"):
        for end, se, sp in zip(("", "_low", "_high"), sensitivity, specificity, strict=True):
            if name == "ppv":
                right, wrong = se * prevalence, (1 - sp) * (1 - prevalence)
            else:
                right, wrong = sp * (1 - prevalence), (1 - se) * prevalence
            found[f"{name}{end}"] = right / (right + wrong) if right + wrong > 0 else math.nan
    return found


def curve(scores: Floats, positive: npt.NDArray[np.bool_]) -> Curve:
    """Return the ROC curve: 1 - specificity and sensitivity, float64 [points] each."""
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    return false, true


def draw_curves(curves: Mapping[Kind, Curve], points: pd.DataFrame, target: str) -> Figure:
    """Draw sensitivity against 1 - specificity on the test set, a panel for each ensemble.

    Parameters
    ----------
    curves
        `curve` of each ensemble.
    points
        backbone, augmentation; sensitivity and specificity with _low and _high, at the threshold.
    target
        The class to be found.
    """
    figure, axes = panel_grid(curves)
    rows = {(str(row["backbone"]), str(row["augmentation"])): row for _, row in points.iterrows()}
    for kind, ax in axes.items():
        row = rows[kind]
        ax.set_title(
            f"{panel_title(kind)}\nsens. {row['sensitivity']:.3f}, spec. {row['specificity']:.3f}"
        )
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
        ax.plot(*curves[kind], color=PALETTE[0], drawstyle="steps-post")
        ax.errorbar(
            1 - row["specificity"],
            row["sensitivity"],
            xerr=_reach(row, "specificity")[::-1],
            yerr=_reach(row, "sensitivity"),
            elinewidth=0.9,
            clip_on=False,
            zorder=3,
            **_POINT,
        )
        # A margin, so that a curve along the edge is told from the axis.
        ax.set_xlim(-0.04, 1.04)
        ax.set_ylim(-0.04, 1.04)
        ax.set_aspect("equal")
        ax.grid(alpha=0.25, linewidth=0.5)
    figure.supxlabel(f"1 − specificity: share of other images called {target}", fontsize=9)
    figure.supylabel(f"sensitivity for {target}", fontsize=9)
    figure.legend(
        handles=[
            Line2D([], [], color=PALETTE[0], label="test set"),
            Line2D([], [], linestyle="none", label="threshold from validation", **_POINT),
            Line2D([], [], color="0.6", linewidth=0.8, linestyle="--", label="chance"),
        ],
        loc="outside upper center",
        ncols=3,
    )
    return figure


_POINT: dict[str, Any] = {
    "color": PALETTE[5],
    "marker": "o",
    "markersize": 4.5,
    "markerfacecolor": "white",
}


def _reach(row: "pd.Series[Any]", name: str) -> Floats:
    """Return how far the interval reaches down and up, float64 [2, 1]."""
    down, up = row[name] - row[f"{name}_low"], row[f"{name}_high"] - row[name]
    return np.array([[down], [up]])
