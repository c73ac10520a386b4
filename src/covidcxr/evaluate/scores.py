"""Every measure of every model on every set, with its interval: one long table behind all others.

`classification`, `external_scores` and `population_matrix` are views of it. K is the number of
classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from covidcxr.array_types import Floats, Integers, Mask, Values
from covidcxr.classify.predictions import ENSEMBLE, IDENTITY, probabilities_of, read_predictions
from covidcxr.data.tables import class_positions, read_manifest, read_table, write_table
from covidcxr.evaluate import metrics
from covidcxr.evaluate.bootstrap import estimate_of, exact_bounds, percentile_bounds, resampled
from covidcxr.logs import progress
from covidcxr.seeding import generator

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
BY_CLASS = ("sensitivity", "specificity", "precision", "f1", "auc")
SHARES = ("accuracy", "sensitivity", "specificity", "precision")
"""Measures that are a share of images, for which exact bounds exist where all or none count."""
NUMBERS = ["estimate", "low", "high", "n", "patients"]
COLUMNS = [*IDENTITY, "group", "metric", "class", *NUMBERS, "method"]


def run(
    predictions: str | Path,
    manifest: str | Path,
    table: str | Path,
    *,
    classes: Sequence[str],
    populations: Mapping[str, Sequence[str] | None],
    seed: int,
) -> None:
    """Score all models on all sets.

    Parameters
    ----------
    table
        CSV to write, see `scores`.
    populations
        Sources of each population, see `cells`.
    """
    groups = cells(read_manifest(manifest), populations, classes)
    frame = read_predictions(predictions, classes)
    write_table(scores(frame, classes, seed=seed, groups=groups), table)


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read what `scores` returns: identity, group, metric, class and method str, the rest float."""
    return read_table(path, COLUMNS, NUMBERS)


def cells(
    manifest: pd.DataFrame, populations: Mapping[str, Sequence[str] | None], classes: Sequence[str]
) -> dict[str, set[str]]:
    """Return the images of each group of a run with populations; none without.

    A group is the images of a population's sources (None: all), under the population's name, or
    those of one class and source, under `<class> (<source>)`.

    Parameters
    ----------
    manifest
        image_id, label, source.
    """
    if not populations:
        return {}
    found = {
        name: set(
            manifest["image_id"]
            if sources is None
            else manifest.loc[manifest["source"].isin(list(sources)), "image_id"]
        )
        for name, sources in populations.items()
    }
    for label in classes:
        own = manifest[manifest["label"] == label]
        for source in dict.fromkeys(manifest["source"]):
            found[f"{label} ({source})"] = set(own.loc[own["source"] == source, "image_id"])
    return found


def scores(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    seed: int,
    groups: Mapping[str, Iterable[str]] | None = None,
) -> pd.DataFrame:
    """Score every model on every set, and the ensembles on groups of the test set.

    All models are scored on the same resamples of a set's patients.

    Parameters
    ----------
    predictions
        What `read_predictions` returns.
    groups
        Images of each group by name.

    Returns
    -------
    DataFrame with `COLUMNS`: the model's identity, the group (empty: the whole set), and what
    `measured` returns.
    """
    parts = []
    models = list(_parts(predictions, groups or {}))
    for (*identity, group), part in progress(models, desc="scores", unit="model"):
        found = measured_on(part, classes, seed)
        parts.append(found.assign(**dict(zip(IDENTITY, identity, strict=True)), group=group))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _parts(
    predictions: pd.DataFrame, groups: Mapping[str, Iterable[str]]
) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """Yield identity and group, and the rows, of all that is scored."""
    for key, part in predictions.groupby(IDENTITY, sort=False):
        identity = tuple(map(str, key))
        yield (*identity, ""), part
        if identity[-2:] == (ENSEMBLE, "test"):
            for group, images in groups.items():
                own = part[part["image_id"].isin(list(images))]
                if len(own):
                    yield (*identity, group), own


def measured_on(images: pd.DataFrame, classes: Sequence[str], seed: int) -> pd.DataFrame:
    """Return what `measured` does of rows of `read_predictions`, all on the same resamples."""
    return measured(
        class_positions(images["label"], classes),
        class_positions(images["predicted"], classes),
        images["patient_id"].to_numpy(),
        generator(seed, "intervals"),
        classes=classes,
        probabilities=probabilities_of(images, classes),
    )


def measured(
    truth: Integers,
    predicted: Integers,
    patients: Values,
    rng: np.random.Generator,
    *,
    classes: Sequence[str],
    probabilities: Floats | None = None,
) -> pd.DataFrame:
    """Return each measure of one model with its 95 % patient-clustered interval.

    Parameters
    ----------
    truth, predicted
        int64 [n], 0..K-1: class of each image, and the class that it is predicted to be.
    patients
        Patient of each image, [n].
    rng
        Draws the patients.
    classes
        Names of the K classes.
    probabilities
        float64 [n, K]; without them there is no AUC.

    Returns
    -------
    DataFrame: metric, class (empty for `OVERALL`), estimate, low, high (all in 0..1), n and
    patients (images that the measure counts, and their patients: for the sensitivity of a class
    those of the class, for its specificity the others, for its precision those predicted so, for
    its F1 either), and method. Balanced accuracy is the mean sensitivity of the classes there.
    `bootstrap`: percentiles of resampled patients. `exact`: Clopper-Pearson bounds over patients,
    for a share of 0 or 1, where resamples do not differ. Empty: no interval, since resamples do not
    differ (an AUC of 1) or the measure is undefined (NaN: the class is absent, or nothing was
    predicted so).
    """

    def statistic(weights: Floats) -> Floats:
        matrices = metrics.confusions(weights, truth, predicted, len(classes))
        by_class = [getattr(metrics, name)(matrices) for name in BY_CLASS if name != "auc"]
        if probabilities is not None:
            areas = [metrics.auc(weights, p, truth == k) for k, p in enumerate(probabilities.T)]
            by_class.append(np.stack(areas, axis=1))
        overall = [getattr(metrics, name)(matrices) for name in OVERALL]
        flat = np.stack(by_class, axis=2).reshape(len(weights), -1)
        return np.concatenate([np.stack(overall, axis=1), flat], axis=1)

    estimates = estimate_of(statistic, len(truth))
    low, high = percentile_bounds(resampled(statistic, patients, rng))
    rows = []
    measures = _counted(truth, predicted, classes, probabilities is not None)
    for (metric, name, counted), estimate, lowest, highest in zip(
        measures, estimates.tolist(), low.tolist(), high.tolist(), strict=True
    ):
        seen = len(np.unique(patients[counted]))
        bounds, method = _bounds(metric, estimate, lowest, highest, seen)
        rows.append((metric, name, estimate, *bounds, int(counted.sum()), seen, method))
    return pd.DataFrame(rows, columns=["metric", "class", *NUMBERS, "method"])


def _counted(
    truth: Integers, predicted: Integers, classes: Sequence[str], areas: bool
) -> Iterator[tuple[str, str, Mask]]:
    """Yield each measure, its class and the images that it counts, in the order of `measured`."""
    everything = np.ones(len(truth), bool)
    for metric in OVERALL:
        yield metric, "", everything
    for k, name in enumerate(classes):
        own, so = truth == k, predicted == k
        counted = (own, ~own, so, own | so, everything)
        for metric, images in zip(BY_CLASS, counted, strict=True):
            if areas or metric != "auc":
                yield metric, name, images


def _bounds(
    metric: str, estimate: float, low: float, high: float, patients: int
) -> tuple[tuple[float, float], str]:
    if metric in SHARES and estimate in (0.0, 1.0):
        return exact_bounds(estimate, patients), "exact"
    if np.isnan(estimate) or low == high:
        return (np.nan, np.nan), ""
    return (low, high), "bootstrap"


def wide(scores: pd.DataFrame, value: str = "estimate") -> pd.DataFrame:
    """Return one row for each model, set and group, in their order.

    Returns
    -------
    DataFrame indexed by identity and group, with a column of `value` for each measure: `accuracy`,
    and so on, and `<metric>_<class>`.
    """
    names = scores["metric"] + np.where(scores["class"] == "", "", "_" + scores["class"])
    key = [*IDENTITY, "group"]
    rows = pd.MultiIndex.from_frame(scores[key].drop_duplicates())
    table = scores.assign(name=names).pivot(index=key, columns="name", values=value)
    return table.reindex(index=rows, columns=list(dict.fromkeys(names)))
