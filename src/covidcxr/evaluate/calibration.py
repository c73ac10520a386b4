"""Do the probabilities mean what they say? Reliability, Brier score, temperature scaling."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss
from statsmodels.stats.proportion import proportion_confint

from covidcxr.array_types import Floats, Integers, Mask, Values
from covidcxr.classify.predictions import ENSEMBLE, probabilities_of, read_predictions
from covidcxr.data.tables import class_positions, write_table
from covidcxr.evaluate import bootstrap, models
from covidcxr.evaluate.panels import panel_grid, panel_title
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.logs import progress
from covidcxr.report.formats import THIN, interval_of, p_value, ratio, sample, some, table_of
from covidcxr.report.section import Check, Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator

BINS = 10
"""Bins of equal numbers of images. Bins of equal width would leave most of them empty, since the
confidence of most images is near 1."""

SMALLEST = 1e-12
"""Probabilities below it count as it, so that a logarithm exists."""

TEMPERATURES = (0.05, 20.0)
"""Range in which the temperature is sought."""

RAW, SCALED = "none", "temperature"
SUSPECT = 0.05
"""p below which a model is called miscalibrated."""


def run(
    predictions: str | Path,
    table: str | Path,
    bins: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    classes: Sequence[str],
    seed: int,
) -> None:
    """Measure the calibration of every ensemble on the test set, before and after scaling.

    Parameters
    ----------
    table
        CSV to write: backbone, augmentation, classifier, scaling (`none`, `temperature`),
        temperature, and what `calibration` returns.
    bins
        CSV to write: backbone, augmentation, classifier, scaling, and what `reliability` returns.
    """
    rows, parts = [], []
    own = models.of_study(read_predictions(predictions, classes))
    for kind, frame in progress(list(models.by_kind(own)), desc="calibration", unit="model"):
        frame = frame.sort_values("image_id", kind="stable")
        held_out = models.ensembles(frame[frame["set"] == "validation"])
        temperature = fit_temperature(
            probabilities_of(held_out, classes), class_positions(held_out["label"], classes)
        )
        tested = frame[(frame["set"] == "test") & (frame["model"] != ENSEMBLE)]
        folds = [part for _, part in tested.groupby("model", sort=False)]
        by_fold = np.stack([probabilities_of(part, classes) for part in folds])
        truth = class_positions(folds[0]["label"], classes)
        for scaling, value in ((RAW, 1.0), (SCALED, temperature)):
            test = scaled_ensemble(by_fold, value)
            key: dict[str, Any] = models.named(kind) | {"scaling": scaling}
            measures = calibration(test, truth, folds[0]["patient_id"].to_numpy(), seed)
            rows.append(key | {"temperature": value} | measures)
            parts.append(reliability(test, truth).assign(**key))
    measured, binned = pd.DataFrame(rows), pd.concat(parts, ignore_index=True)
    write_table(measured, table)
    write_table(binned[[*key, *binned.columns.difference(list(key), sort=False)]], bins)
    with figure_style():
        save_figure(draw_reliability(binned, measured), png, svg)
    write_section(section, section_of(measured, models.recommended_of(own)))


def scaled(probabilities: Floats, temperature: float) -> Floats:
    """Divide the logits behind probabilities [..., K] by a temperature.

    The logarithm of a softmax is its logits but for a constant, which the softmax takes away again.
    """
    logits = np.log(np.clip(probabilities, SMALLEST, None)) / temperature
    values = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(values / values.sum(axis=-1, keepdims=True))


def fit_temperature(probabilities: Floats, truth: Integers) -> float:
    """Return the temperature of lowest cross-entropy on held-out images.

    Guo C, Pleiss G, Sun Y, Weinberger KQ. On Calibration of Modern Neural Networks. ICML 2017,
    eq. 9. Above 1: the model was too sure of itself.

    Parameters
    ----------
    probabilities
        float64 [v, K], of images that the model did not train on.
    truth
        int64 [v].
    """
    labels = list(range(probabilities.shape[1]))

    def loss(logarithm: float) -> float:
        return float(log_loss(truth, scaled(probabilities, np.exp(logarithm)), labels=labels))

    bounds = (np.log(TEMPERATURES[0]), np.log(TEMPERATURES[1]))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def scaled_ensemble(folds: Floats, temperature: float) -> Floats:
    """Return the mean over models of their scaled probabilities, float64 [n, K].

    Each model is scaled before the mean: the temperature was fitted on predictions of single
    models, and a mean of them is less sure than they are.
    """
    return scaled(folds, temperature).mean(axis=0)


def brier(probabilities: Floats, truth: Integers) -> Floats:
    """Return each image's Brier score, float64 [n] in 0..2: squared error summed over classes.

    Brier GW. Verification of forecasts expressed in terms of probability. Mon Weather Rev 78, 1
    (1950).
    """
    wanted = np.eye(probabilities.shape[1])[truth]
    return np.asarray(((probabilities - wanted) ** 2).sum(axis=1))


def bins_of(confidence: Floats) -> Integers:
    """Return the bin, 0..`BINS`-1, of each image: equally many in each, by rising confidence."""
    place = np.empty(len(confidence), np.int64)
    place[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
    return place * min(BINS, len(confidence)) // len(confidence)


def calibration_error(confidence: Floats, correct: Mask) -> float:
    """Return the expected calibration error in `BINS` bins of equal numbers, 0..1.

    The mean over images of abs(confidence - accuracy) of their bin; confidence is the probability
    of the predicted class (Guo et al. 2017, eq. 3).
    """
    members = np.eye(BINS)[bins_of(confidence)]
    return float(np.abs((confidence - correct) @ members).sum() / len(confidence))


def errors_if_calibrated(confidence: Floats, rng: np.random.Generator, replicates: int) -> Floats:
    """Return the calibration errors that perfectly calibrated confidences give by chance.

    Outcomes are sampled from the confidences themselves (Bröcker J, Smith LA. Increasing the
    reliability of reliability diagrams. Weather Forecast 22, 651 (2007)). The error is a mean of
    absolute values, so it is above 0 even then; how far, depends on n.

    Returns
    -------
    float64 [replicates].
    """
    members = np.eye(BINS)[bins_of(confidence)]
    outcomes = rng.random((replicates, len(confidence))) < confidence
    return np.asarray(np.abs((confidence - outcomes) @ members).sum(axis=1) / len(confidence))


def calibration(
    probabilities: Floats, truth: Integers, patients: Values, seed: int
) -> dict[str, float]:
    """Measure the calibration of one model on test images.

    Returns
    -------
    n, patients; accuracy and confidence (its mean); brier (0..2) with brier_low and brier_high
    (95 %, by patient); log_loss (nats); ece (0..1), ece_if_calibrated (mean of
    `errors_if_calibrated`) and p_calibrated (share of them that reach ece; takes images as
    independent). The ece has no bootstrap interval: resampling raises it by the bias that it has
    itself, so that the interval may not hold the estimate.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    squares = bootstrap.mean_of(brier(probabilities, truth))
    score = bootstrap.interval(squares, patients, generator(seed, "intervals"))
    error = calibration_error(confidence, correct)
    rng = generator(seed, "calibration")
    chance = errors_if_calibrated(confidence, rng, bootstrap.REPLICATES)
    clipped = np.clip(probabilities, SMALLEST, None)
    labels = list(range(probabilities.shape[1]))
    return {
        "n": len(truth),
        "patients": len(np.unique(patients)),
        "accuracy": float(correct.mean()),
        "confidence": float(confidence.mean()),
        **score.columns("brier"),
        "log_loss": float(
            log_loss(truth, clipped / clipped.sum(axis=1, keepdims=True), labels=labels)
        ),
        "ece": error,
        "ece_if_calibrated": float(chance.mean()),
        "p_calibrated": float((1 + (chance >= error).sum()) / (1 + len(chance))),
    }


def reliability(probabilities: Floats, truth: Integers) -> pd.DataFrame:
    """Return the reliability diagram of the class called.

    Returns
    -------
    DataFrame, a row a bin: bin, n, confidence (mean), accuracy, low and high (95 % Wilson interval,
    images taken as independent).
    """
    confidence = probabilities.max(axis=1)
    frame = pd.DataFrame(
        {
            "bin": bins_of(confidence),
            "confidence": confidence,
            "right": probabilities.argmax(axis=1) == truth,
        }
    )
    bins = frame.groupby("bin", as_index=False).agg(
        n=("right", "size"), confidence=("confidence", "mean"), right=("right", "sum")
    )
    low, high = proportion_confint(bins["right"], bins["n"], alpha=0.05, method="wilson")
    bins["accuracy"] = bins.pop("right") / bins["n"]
    return bins.assign(low=low, high=high)


def draw_reliability(bins: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Draw accuracy against confidence, backbones down and augmentations across.

    Parameters
    ----------
    bins
        backbone, augmentation, classifier, scaling, and what `reliability` returns.
    table
        backbone, augmentation, classifier, scaling, ece.
    """
    errors = table.set_index([*models.KIND, "scaling"])["ece"].to_dict()
    parts = dict(models.by_kind(bins))
    figure, axes = panel_grid(parts)
    for kind, ax in axes.items():
        before, after = (errors[(*kind, name)] for name in (RAW, SCALED))
        ax.set_title(panel_title(kind, f"ECE {before:.3f}, scaled {after:.3f}"))
        _draw_bins(ax, parts[kind])
    figure.supxlabel("confidence: probability of the predicted class", fontsize=9)
    figure.supylabel("accuracy", fontsize=9)
    handles = [Line2D([], [], **style) for style in _STYLES.values()]
    handles.append(Line2D([], [], **_DIAGONAL, label="calibrated"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


_LINE: dict[str, Any] = {"markersize": 3, "linewidth": 0.8}
_STYLES: Mapping[str, dict[str, Any]] = {
    RAW: _LINE | {"label": "as trained", "marker": "s", "color": PALETTE[5]},
    SCALED: _LINE | {"label": "temperature-scaled", "marker": "o", "color": PALETTE[0]},
}
_DIAGONAL: dict[str, Any] = {"color": "0.6", "linewidth": 0.8, "linestyle": "--"}


def _draw_bins(ax: Axes, bins: pd.DataFrame) -> None:
    ax.plot([0, 1], [0, 1], **_DIAGONAL)
    for scaling, style in _STYLES.items():
        own = bins[bins["scaling"] == scaling]
        reach = own["confidence"], own["low"], own["high"]
        ax.vlines(*reach, color=style["color"], linewidth=0.6, alpha=0.6)
        ax.plot(own["confidence"], own["accuracy"], **style)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    ax.grid(alpha=0.25, linewidth=0.5)


METHOD = (
    "Brier score: squared error summed over the classes. Expected calibration error (ECE): mean "
    "distance of confidence and accuracy over ten bins of equally many images. It is a mean of "
    "absolute values and so above 0 even for a perfect model, the more the fewer images; therefore "
    "its value by chance stands beside it, and no interval. The temperature is fitted on "
    "out-of-fold predictions of training images alone, and divides the logits of each fold's model "
    "before their mean is taken."
)


def section_of(table: pd.DataFrame, best: models.Kind) -> Section:
    """Say how well the probabilities of the recommended network are calibrated, and the others'."""
    raw, scaled_ = (table[table["scaling"] == name].reset_index() for name in (RAW, SCALED))
    off, still = (int((part["p_calibrated"] < SUSPECT).sum()) for part in (raw, scaled_))
    better = int((scaled_["brier"] < raw["brier"]).sum())
    place = int(raw["ece"].argmax())
    worst, side = raw.iloc[place], raw["confidence"].iloc[place] - raw["accuracy"].iloc[place]
    own = raw.set_index(models.KIND).loc[[best]].iloc[0]
    found = (
        f"Expected calibration error of {models.model_text(*best)} {ratio(own['ece'])}, by chance "
        f"{ratio(own['ece_if_calibrated'])} (p {p_value(own['p_calibrated'])})."
    )
    rows = models.with_model(table).assign(
        temperature=table["temperature"].where(table["scaling"] != RAW),
        brier=interval_of(table, "brier"),
    )
    columns = ["model", "temperature", "confidence", "accuracy", "brier", "log_loss", "ece"]
    labels = {"brier": "Brier score", "ece": "ECE", "ece_if_calibrated": "ECE by chance"}
    return Section(
        ident="calibration",
        title="Calibration",
        part="performance",
        folded=True,
        paragraphs=(
            f"{found} Of {some(len(raw), 'ensemble')}, {off} as trained and {still} after "
            f"temperature scaling are significantly miscalibrated (p < {SUSPECT}). "
            f"Scaling lowered the Brier score of {better}. Largest error as trained: "
            f"{models.model_text(*worst[models.KIND])}, ECE {ratio(worst['ece'])}, "
            f"{'over' if side > 0 else 'under'}confident by {ratio(abs(side))} on average; scaled "
            f"{ratio(scaled_['ece'].iloc[place])}.",
        ),
        method=(METHOD,),
        checks=(
            Check("Calibration", "warning" if own["p_calibrated"] < SUSPECT else "pass", found),
        ),
        figures=(
            SectionFigure(
                "calibration",
                f"Accuracy against confidence on the test set ({sample(table['n'].iloc[0])}) in "
                f"ten bins of equally many images, with 95{THIN}% Wilson intervals; above the "
                "diagonal a model is right more often than it says. ECE: expected calibration "
                "error.",
                "Reliability diagrams of every ensemble before and after temperature scaling; the "
                "errors stand as numbers in the table of this section.",
            ),
        ),
        tables=(
            SectionTable(
                "calibration",
                "Calibration of the ensembles on the test set, as trained (no temperature) and "
                f"scaled. Brier score: 0 (perfect) to 2, with its 95{THIN}% interval. ECE by "
                "chance: what a perfectly calibrated model of the same confidences would show on "
                "as many images; p: how often it would show as much.",
                table_of(
                    rows[[*columns, "ece_if_calibrated", "p_calibrated"]],
                    labels | {"p_calibrated": "p"},
                    {"p_calibrated": p_value},
                ),
            ),
        ),
    )
