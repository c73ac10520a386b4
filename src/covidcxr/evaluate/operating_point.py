"""One class against the others: a threshold chosen on validation, applied once to the test set."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.metrics import roc_curve

from covidcxr.array_types import Floats, Mask
from covidcxr.classify.predictions import read_predictions
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError
from covidcxr.evaluate import models
from covidcxr.evaluate.bootstrap import LEVEL, Interval, share_interval
from covidcxr.evaluate.panels import panel_grid, panel_title
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.logs import progress
from covidcxr.report.formats import THIN, Table, interval, interval_of, ratio, share, some, table_of
from covidcxr.report.section import Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator

PREVALENCES = (0.01, 0.05, 0.20)
SIDES = ("sensitivity", "specificity")
JOINT_LEVEL = 0.975
"""Level of sensitivity and specificity from whose bounds those of predictive values follow: both
hold together in at least 95 of 100 (Bonferroni)."""

Curve = tuple[Floats, Floats]
"""Share of the other images called the class (1 - specificity), and sensitivity, both rising."""


def run(
    predictions: str | Path,
    points: str | Path,
    predictive: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    classes: Sequence[str],
    target: str,
    goal: Mapping[str, float | None],
    seed: int,
) -> None:
    """Choose each ensemble's threshold on out-of-fold predictions and apply it to all other sets.

    Parameters
    ----------
    points
        CSV to write: backbone, augmentation, classifier, class, set (`test` and external ones),
        asked, asked_of (sensitivity or specificity), threshold, validation_sensitivity,
        validation_specificity, validation_n, and what `applied` returns.
    predictive
        CSV to write: backbone, augmentation, classifier, class, and what `predictive_values`
        returns for the test set.
    target
        The class to be found.
    goal
        `sensitivity`, or if it is not None `specificity`, asked of the threshold on the out-of-fold
        predictions, in (0, 1].

    Raises
    ------
    InputError
        If `target` is no class.
    """
    if target not in classes:
        raise InputError(f"operating_point: {target!r} is no class; they are {', '.join(classes)}")
    asked_of = "sensitivity" if goal.get("specificity") is None else "specificity"
    asked = goal[asked_of]
    assert asked is not None
    choose = threshold_for if asked_of == "sensitivity" else threshold_of_specificity
    rows, values, curves = [], [], {}
    own = models.ensembles(models.of_study(read_predictions(predictions, classes)))
    for kind, frame in progress(list(models.by_kind(own)), desc="models", unit="model"):
        parts = {str(name): part for name, part in frame.groupby("set", sort=False)}
        scores, positive = binary(parts["validation"], target)
        threshold = choose(scores, positive, asked)
        chosen = {
            "threshold": threshold,
            "validation_sensitivity": float((scores >= threshold)[positive].mean()),
            "validation_specificity": float((scores < threshold)[~positive].mean()),
            "validation_n": len(scores),
        }
        key = models.named(kind) | {"class": target}
        for name, part in parts.items():
            if name != "validation":
                point, joint = applied(part, target, threshold, seed)
                asked_for = {"set": name, "asked": asked, "asked_of": asked_of}
                rows.append(key | asked_for | chosen | point)
                values += [key | row for row in joint] if name == "test" else []
        scores, positive = binary(parts["test"], target)
        curves[kind] = roc_curve(positive, scores, drop_intermediate=False)[:2]
    table, worth = pd.DataFrame(rows), pd.DataFrame(values)
    write_table(table, points)
    write_table(worth, predictive)
    of_test = table[table["set"] == "test"]
    with figure_style():
        save_figure(draw_curves(curves, of_test, target), png, svg)
    write_section(section, section_of(of_test, worth, models.recommended_of(own)))


def binary(frame: pd.DataFrame, target: str) -> tuple[Floats, Mask]:
    """Return each image's probability of a class, float64 [n], and whether it is its own, bool."""
    return frame[f"p_{target}"].to_numpy(np.float64), (frame["label"] == target).to_numpy(bool)


def threshold_for(scores: Floats, positive: Mask, sensitivity: float) -> float:
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
    wanted = max(1, ceil(sensitivity * len(found) - 1e-9))
    return float(found[wanted - 1])


def threshold_of_specificity(scores: Floats, positive: Mask, specificity: float) -> float:
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
    called = floor((1 - specificity) * len(others) + 1e-9)
    return float(np.nextafter(others[called], np.inf)) if called < len(others) else 0.0


def applied(
    frame: pd.DataFrame, target: str, threshold: float, seed: int
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Apply a threshold to the images of one set.

    Parameters
    ----------
    frame
        patient_id, label and p_<target> of one ensemble.

    Returns
    -------
    point
        sensitivity and specificity, each with _low and _high (95 %, patient-clustered; exact where
        no image is wrong), _n and _patients; NaN where the set has no such images.
    values
        `predictive_values` at each of `PREVALENCES`.
    """
    scores, positive = binary(frame, target)
    predicted = scores >= threshold
    patients = frame["patient_id"].to_numpy()
    point: dict[str, float] = {}
    bounds = []
    for name, hits, among in zip(
        SIDES, (predicted, ~predicted), (positive, ~positive), strict=True
    ):
        found, joint = (
            share_interval(hits, patients, generator(seed, "intervals"), among=among, level=level)
            for level in (LEVEL, JOINT_LEVEL)
        )
        bounds.append(joint)
        point |= found.columns(name) | {
            f"{name}_n": int(among.sum()),
            f"{name}_patients": len(np.unique(patients[among])),
        }
    return point, [predictive_values(bounds[0], bounds[1], p) for p in PREVALENCES]


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
    others = 1 - prevalence
    pairs = list(zip(sensitivity, specificity, strict=True))
    calls = {
        "ppv": [(se * prevalence, (1 - sp) * others) for se, sp in pairs],
        "npv": [(sp * others, (1 - se) * prevalence) for se, sp in pairs],
    }
    found = {"prevalence": prevalence}
    for name, values in calls.items():
        shares = [right / (right + wrong) if right + wrong > 0 else nan for right, wrong in values]
        found |= Interval(*shares).columns(name)
    return found


def draw_curves(curves: Mapping[models.Kind, Curve], points: pd.DataFrame, target: str) -> Figure:
    """Draw sensitivity against 1 - specificity on the test set, a panel for each ensemble.

    Parameters
    ----------
    curves
        Of each ensemble.
    points
        backbone, augmentation, classifier; sensitivity and specificity at the threshold, with _low
        and _high.
    target
        The class to be found.
    """
    figure, axes = panel_grid(curves)
    rows = {kind: part.iloc[0] for kind, part in models.by_kind(points)}
    for kind, ax in axes.items():
        row = rows[kind]
        found = f"sens. {row['sensitivity']:.3f}, spec. {row['specificity']:.3f}"
        ax.set_title(panel_title(kind, found))
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
        # A margin, so that a curve along the edge is distinct from the axis.
        ax.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
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


def section_of(points: pd.DataFrame, values: pd.DataFrame, best: models.Kind) -> Section:
    """Say what the threshold of the most accurate network reaches on the test set."""
    target, asked_of = str(points["class"].iloc[0]), str(points["asked_of"].iloc[0])
    asked = float(points["asked"].iloc[0])
    labels = {
        "validation_sensitivity": "Validation, sensitivity",
        "validation_specificity": "Validation, specificity",
        "sensitivity": f"Test, sensitivity (95{THIN}%)",
        "specificity": f"Test, specificity (95{THIN}%)",
    }
    rows = models.with_model(points).assign(**{name: interval_of(points, name) for name in SIDES})
    return Section(
        ident="operating-point",
        title=f"Operating point for {target}",
        part="performance",
        folded=True,
        paragraphs=(
            _found(
                dict(models.by_kind(points))[best].iloc[0], dict(models.by_kind(values))[best], best
            ),
        ),
        method=(_method(target, asked, asked_of),),
        figures=(
            SectionFigure(
                "operating_point",
                f"Sensitivity for {target} against 1 − specificity on the test set, and the "
                f"threshold chosen on out-of-fold predictions with its 95{THIN}% intervals.",
                f"ROC curves for {target} of every ensemble with the chosen operating points, "
                "which stand as numbers in the table of this section.",
            ),
        ),
        tables=(
            SectionTable(
                "operating_point",
                f"The threshold of each ensemble: chosen for a {asked_of} of {ratio(asked)} on "
                "the out-of-fold predictions, applied once to the test set.",
                table_of(rows[["model", "threshold", *labels]], labels),
            ),
            SectionTable(
                "predictive_values",
                f"What a prediction of {target} (positive predictive value) or of another class "
                "(negative) is worth at these thresholds, by prevalence, if sensitivity and "
                f"specificity stayed as on the test set; intervals of at least 95{THIN}%.",
                _values_table(values),
            ),
        ),
    )


def _found(point: "pd.Series[Any]", values: pd.DataFrame, best: models.Kind) -> str:
    rarest, target = values.iloc[0], point["class"]
    shown = {name: interval(*point[[name, f"{name}_low", f"{name}_high"]]) for name in SIDES}
    sizes = {
        name: f"{some(point[f'{name}_n'], 'image')} of {some(point[f'{name}_patients'], 'patient')}"
        for name in SIDES
    }
    worth = (
        "no value is defined"
        if pd.isna(rarest["ppv"])
        else f"between {share(rarest['ppv_low'])} and {share(rarest['ppv_high'])} of those "
        f"predicted {target} would have it"
    )
    return (
        f"{models.model_text(*best)}, the recommended network: sensitivity "
        f"{shown['sensitivity']} ({sizes['sensitivity']}), specificity {shown['specificity']} "
        f"({sizes['specificity']}). Were {share(rarest['prevalence'])} of those examined {target}, "
        f"{worth}: so wide is what this test set leaves open, even if everything else were as in "
        "it."
    )


def _method(target: str, asked: float, asked_of: str) -> str:
    rule = (
        f"The threshold is the highest on the probability of {target} at which {share(asked)} of "
        f"the {target} images"
        if asked_of == "sensitivity"
        else f"The threshold is the lowest on the probability of {target} at which no more than "
        f"{share(1 - asked)} of the images of other classes"
    )
    return (
        f"{rule} among the training images are predicted {target} by the models that did not train "
        "on them. Those are single models; on the test set their mean is compared with the same "
        "threshold. The specificity is that against the other classes of these collections: where "
        "they differ in more than disease (age, hospital, framing), it says nothing about patients "
        "whom anyone would examine, and neither do the predictive values."
    )


def _values_table(values: pd.DataFrame) -> Table:
    """Set predictive values with a column for each prevalence."""
    cells = models.with_model(values)[["model", "prevalence"]].assign(
        ppv=interval_of(values, "ppv"), npv=interval_of(values, "npv")
    )
    table = cells.pivot(index="model", columns="prevalence", values=["ppv", "npv"])
    table = table.loc[cells["model"].unique()]
    names = [(name, p) for name in ("ppv", "npv") for p in cells["prevalence"].unique()]
    table = table[names].set_axis(
        [f"{name.upper()} at {100 * p:g}{THIN}%" for name, p in names], axis="columns"
    )
    return table_of(table.reset_index(), {name: name for name in table.columns})
