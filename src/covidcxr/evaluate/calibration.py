"""Do the probabilities mean what they say? Reliability, Brier score, temperature scaling."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss
from statsmodels.stats.proportion import proportion_confint

from covidcxr.data.tables import read_split, write_table
from covidcxr.evaluate.bootstrap import REPLICATES, Floats, Statistic, interval
from covidcxr.evaluate.classification import ENSEMBLE, Predictions, read_predictions
from covidcxr.evaluate.metrics import Integers, class_positions
from covidcxr.evaluate.panels import Kind, panel_grid, panel_title
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.logs import progress
from covidcxr.seeding import generator

BINS = 10
"""Bins of equal numbers of images. Bins of equal width would leave most of them empty, since the
confidence of most images is near 1."""

SMALLEST = 1e-12
"""Probabilities below it count as it, so that a logarithm exists."""

TEMPERATURES = (0.05, 20.0)
"""Range in which the temperature is sought."""

RAW, SCALED = "none", "temperature"


@dataclass(frozen=True)
class Scores:
    """Predictions of one ensemble.

    Attributes
    ----------
    validation, validation_truth
        float64 [v, K] and int64 [v]: each training image by the model that did not train on it.
    folds
        float64 [folds, n, K]: the test images by each fold's model.
    truth, patients
        int64 [n] and [n]: class and patient of the test images.
    """

    validation: Floats
    validation_truth: Integers
    folds: Floats
    truth: Integers
    patients: npt.NDArray[np.generic]


def write_calibration(
    predictions: Iterable[tuple[str, str, str, str | Path]],
    split: str | Path,
    output_table: str | Path,
    output_bins: str | Path,
    png: str | Path,
    svg: str | Path,
    *,
    classes: Sequence[str],
    seed: int,
    replicates: int = REPLICATES,
) -> None:
    """Measure the calibration of every ensemble on the test set, before and after scaling.

    Parameters
    ----------
    predictions
        (backbone, augmentation, model, path of the predictions) of every fold and ensemble.
    split
        `split.csv` of the run.
    output_table
        Table to write: backbone, augmentation, scaling (`none`, `temperature`), temperature, and
        what `calibration` returns.
    output_bins
        Table to write: backbone, augmentation, scaling, and what `reliability` returns.
    png, svg
        Figures to write.
    classes
        Class names in table order.
    seed
        The run's seed.

    Raises
    ------
    InputError
        If predictions are missing, double or faulty.
    """
    rows, bins = [], []
    for kind, scores in progress(
        list(read_scores(predictions, split, classes).items()), desc="calibration", unit="model"
    ):
        temperature = fit_temperature(scores.validation, scores.validation_truth)
        for scaling, value in ((RAW, 1.0), (SCALED, temperature)):
            test = scaled_ensemble(scores.folds, value)
            key = {"backbone": kind[0], "augmentation": kind[1], "scaling": scaling}
            rows.append(
                key
                | {"temperature": value}
                | calibration(test, scores.truth, scores.patients, seed, replicates)
            )
            bins.append(reliability(test, scores.truth).assign(**key))
    table, binned = pd.DataFrame(rows), pd.concat(bins, ignore_index=True)
    write_table(table, output_table)
    write_table(binned[[*key, *binned.columns.difference(list(key), sort=False)]], output_bins)
    with figure_style():
        save_figure(draw_reliability(binned, table), png, svg)


def read_scores(
    predictions: Iterable[tuple[str, str, str, str | Path]],
    split: str | Path,
    classes: Sequence[str],
) -> dict[Kind, Scores]:
    """Read the predictions of every fold and ensemble, test images in one order."""
    places = read_split(split)
    parts: dict[Kind, dict[str, pd.DataFrame]] = {}
    for record in (Predictions(*values) for values in predictions):
        frame = read_predictions(record, places, classes)
        kind = parts.setdefault((record.backbone, record.augmentation), {})
        kind[record.model] = frame.set_index("image_id").sort_index()
    columns = [f"p_{name}" for name in classes]

    def numbers(frame: pd.DataFrame) -> Floats:
        return frame[columns].to_numpy(np.float64)

    found = {}
    for key, frames in parts.items():
        ensemble = frames.pop(ENSEMBLE)
        held_out, test = (ensemble[ensemble["split"] == name] for name in ("validation", "test"))
        found[key] = Scores(
            numbers(held_out),
            class_positions(held_out["label"].tolist(), classes),
            np.stack([numbers(frame.loc[test.index]) for frame in frames.values()]),
            class_positions(test["label"].tolist(), classes),
            test["patient_id"].to_numpy(),
        )
    return found


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


def bins_of(confidence: Floats, bins: int = BINS) -> Integers:
    """Return the bin, 0..bins-1, of each image: equally many in each, by rising confidence."""
    place = np.empty(len(confidence), np.int64)
    place[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
    return place * min(bins, len(confidence)) // len(confidence)


def calibration_error(confidence: Floats, correct: npt.NDArray[np.bool_]) -> Statistic:
    """Return the statistic: expected calibration error in `BINS` bins of equal numbers.

    The mean over images of abs(confidence - accuracy) of their bin; confidence is the probability
    of the class called (Guo et al. 2017, eq. 3).
    """
    members = np.eye(BINS)[bins_of(confidence)]
    gaps = members * (confidence - correct)[:, None]

    def statistic(weights: Floats) -> Floats:
        return np.asarray(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1))

    return statistic


def errors_if_calibrated(
    confidence: Floats, rng: np.random.Generator, replicates: int = REPLICATES
) -> Floats:
    """Return the calibration errors that perfectly calibrated confidences give by chance.

    Outcomes are drawn from the confidences themselves (Bröcker J, Smith LA. Increasing the
    reliability of reliability diagrams. Weather Forecast 22, 651 (2007)). The error is a mean of
    absolute values, so it is above 0 even then; how far, depends on n.

    Returns
    -------
    float64 [replicates].
    """
    members = np.eye(BINS)[bins_of(confidence)]
    drawn = rng.random((replicates, len(confidence))) < confidence
    return np.asarray(np.abs((confidence - drawn) @ members).sum(axis=1) / len(confidence))


def calibration(
    probabilities: Floats,
    truth: Integers,
    patients: npt.NDArray[np.generic],
    seed: int,
    replicates: int = REPLICATES,
) -> dict[str, float]:
    """Measure the calibration of one model on test images.

    Returns
    -------
    n, patients; accuracy and confidence (its mean); brier (0..2) and ece (0..1), each with _low and
    _high, 95 % patient-clustered; log_loss (nats); ece_if_calibrated (mean) and p_calibrated (share
    of `errors_if_calibrated` that reach ece; takes images as independent).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    squares = brier(probabilities, truth)
    found: dict[str, float] = {
        "n": len(truth),
        "patients": len(np.unique(patients)),
        "accuracy": float(correct.mean()),
        "confidence": float(confidence.mean()),
    }
    for name, statistic in (
        ("brier", lambda weights: weights @ squares / weights.sum(axis=1)),
        ("ece", calibration_error(confidence, correct)),
    ):
        result = interval(statistic, patients, generator(seed, "intervals"), replicates=replicates)
        found |= {name: result.estimate, f"{name}_low": result.low, f"{name}_high": result.high}
    chance = errors_if_calibrated(confidence, generator(seed, "calibration"), replicates)
    clipped = np.clip(probabilities, SMALLEST, None)
    labels = list(range(probabilities.shape[1]))
    return found | {
        "log_loss": float(
            log_loss(truth, clipped / clipped.sum(axis=1, keepdims=True), labels=labels)
        ),
        "ece_if_calibrated": float(chance.mean()),
        "p_calibrated": float((1 + (chance >= found["ece"]).sum()) / (1 + replicates)),
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
        n=("right", "size"),
        confidence=("confidence", "mean"),
        right=("right", "sum"),
    )
    low, high = proportion_confint(bins["right"], bins["n"], alpha=0.05, method="wilson")
    bins["accuracy"] = bins.pop("right") / bins["n"]
    return bins.assign(low=low, high=high)


def draw_reliability(bins: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Draw accuracy against confidence, backbones down and augmentations across.

    Parameters
    ----------
    bins
        backbone, augmentation, scaling, and what `reliability` returns.
    table
        backbone, augmentation, scaling, ece, ece_if_calibrated.
    """
    errors = table.set_index(["backbone", "augmentation", "scaling"])["ece"].to_dict()
    parts = {
        (str(backbone), str(augmentation)): part
        for (backbone, augmentation), part in bins.groupby(["backbone", "augmentation"], sort=False)
    }
    figure, axes = panel_grid(parts)
    for kind, ax in axes.items():
        before, after = (errors[(*kind, name)] for name in (RAW, SCALED))
        ax.set_title(f"{panel_title(kind)}\nECE {before:.3f}, scaled {after:.3f}")
        _draw_bins(ax, parts[kind])
    figure.supxlabel("confidence: probability of the class called", fontsize=9)
    figure.supylabel("accuracy", fontsize=9)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=3)
    return figure


_STYLES: Mapping[str, tuple[str, str, str]] = {
    RAW: ("as trained", "s", PALETTE[5]),
    SCALED: ("temperature-scaled", "o", PALETTE[0]),
}


def _draw_bins(ax: Axes, bins: pd.DataFrame) -> None:
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
    for scaling, (_, marker, colour) in _STYLES.items():
        own = bins[bins["scaling"] == scaling]
        ax.vlines(
            own["confidence"], own["low"], own["high"], color=colour, linewidth=0.6, alpha=0.6
        )
        ax.plot(
            own["confidence"],
            own["accuracy"],
            color=colour,
            marker=marker,
            markersize=3,
            linewidth=0.8,
        )
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal")
    ax.grid(alpha=0.25, linewidth=0.5)


def _legend() -> list[Line2D]:
    lines = [
        Line2D([], [], color=colour, marker=marker, markersize=3, linewidth=0.8, label=label)
        for label, marker, colour in _STYLES.values()
    ]
    return [*lines, Line2D([], [], color="0.6", linestyle="--", linewidth=0.8, label="calibrated")]
