"""Shortcut controls: the label told from films without what a radiologist would read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from covidcxr.arrays import open_rows
from covidcxr.classify.logistic import TEST, Cohort, cross_validate, fit_predict
from covidcxr.classify.weights import sample_weights
from covidcxr.data.altered import histogram, thumbnail
from covidcxr.data.tables import read_manifest, read_split, write_table
from covidcxr.evaluate.bootstrap import share_interval
from covidcxr.evaluate.leakage import pooled
from covidcxr.logs import progress
from covidcxr.seeding import generator

THUMB, HISTOGRAM = "thumbnail", "histogram"
CONTROLS = ["control", "n", "accuracy", "accuracy_low", "accuracy_high", "majority", "penalty"]
SOURCES = [
    "scope",
    "sources",
    "n",
    "patients",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "majority",
    "balanced_accuracy",
    "auc",
]
PENALTY = 0.01
"""C of the regression that tells sources: one value, so that nothing is chosen on what it tells."""
FOLDS = 5

Floats = npt.NDArray[np.float64]


def control_score(
    features: Floats, images: pd.DataFrame, classes: Sequence[str], seed: int
) -> dict[str, Any]:
    """Fit the logistic baseline in the run's folds; score the folds' mean on the run's test set.

    Parameters
    ----------
    features
        float64 [n, channels], rows as `images`.
    images
        label, patient_id, split, fold.

    Returns
    -------
    n (test images), accuracy with its 95 % interval by patient, majority (the test set's share of
    the class most frequent in training), penalty (the C chosen by the folds).
    """
    test = (images["split"] == "test").to_numpy()
    labels = np.array([list(classes).index(label) for label in images["label"]], np.int64)
    folds = images["fold"].fillna(TEST).to_numpy(np.int64)
    models, choice = cross_validate(Cohort(features, labels, folds), count=len(classes))
    fitted = [model.probabilities(features[test]) for model in models]
    hits = np.mean(fitted, axis=0).argmax(axis=1) == labels[test]
    patients = images.loc[test, "patient_id"].to_numpy(str)
    # The same resamples for every control, so that they can be compared.
    found = share_interval(hits, patients, generator(seed, "controls"))
    most = np.bincount(labels[~test]).argmax()
    return {
        "n": int(test.sum()),
        "accuracy": found.estimate,
        "accuracy_low": found.low,
        "accuracy_high": found.high,
        "majority": float((labels[test] == most).mean()),
        "penalty": float(choice.loc[choice["chosen"] == 1, "C"].iloc[0]),
    }


def tell_source(features: Floats, images: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Tell the source of films by logistic regression, cross-validated by patient.

    Parameters
    ----------
    features
        float64 [n, channels], rows as `images`.
    images
        source, patient_id; at least two sources with `FOLDS` patients each.

    Returns
    -------
    n, patients, accuracy with its 95 % interval by patient, majority (share of the largest source),
    balanced_accuracy, auc (one against one, averaged).
    """
    names, source = np.unique(images["source"].to_numpy(str), return_inverse=True)
    patients = images["patient_id"].to_numpy(str)
    probabilities = np.zeros((len(images), len(names)))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    for training, left_out in folds.split(features, source, patients):
        probabilities[left_out] = fit_predict(
            features[training],
            source[training].astype(np.int64),
            features[left_out],
            [PENALTY],
            count=len(names),
            weights=sample_weights(
                source[training], source[training], by_class=True, by_source=False
            ),
        )[0]
    called = probabilities.argmax(axis=1)
    found = share_interval(called == source, patients, generator(seed, "sources"))
    if len(names) == 2:
        auc = roc_auc_score(source, probabilities[:, 1])
    else:
        shares = probabilities / probabilities.sum(axis=1, keepdims=True)
        auc = roc_auc_score(source, shares, multi_class="ovo", average="macro")
    return {
        "n": len(images),
        "patients": len(set(patients)),
        "accuracy": found.estimate,
        "accuracy_low": found.low,
        "accuracy_high": found.high,
        "majority": float(np.bincount(source).max() / len(source)),
        "balanced_accuracy": float(balanced_accuracy_score(source, called)),
        "auc": float(auc),
    }


def told_sources(features: Floats, images: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Tell the source within each class that has several, and over all films.

    A source counts where it has at least `FOLDS` patients.
    """
    scopes = [("all films", np.ones(len(images), bool))]
    scopes += [
        (f"within {label}", (images["label"] == label).to_numpy())
        for label in dict.fromkeys(images["label"])
    ]
    rows = []
    for scope, chosen in scopes:
        patients = images[chosen].groupby("source")["patient_id"].nunique()
        enough = patients.index[patients >= FOLDS]
        within = chosen & images["source"].isin(enough).to_numpy()
        if len(enough) > 1:
            names = ", ".join(sorted(enough))
            told = tell_source(features[within], images[within], seed)
            rows.append({"scope": scope, "sources": names, **told})
    return rows


def write_controls(
    manifest: str | Path,
    split: str | Path,
    images: str | Path,
    features: Mapping[str, str | Path],
    external: Mapping[str, tuple[str | Path, str | Path]],
    output: str | Path,
    output_sources: str | Path,
    *,
    whole: str,
    classes: Sequence[str],
    seed: int,
) -> None:
    """Score the controls, and tell the sources of films.

    Parameters
    ----------
    manifest, split, images
        Of the run.
    features
        Features of one backbone by control: `whole` (unaltered) and altered films, [n, *cut].
    external
        Table and features (same backbone, unaltered) of each external set: more sources.
    output
        Table to write: control, and `control_score`; `thumbnail` and `histogram` need no features.
    output_sources
        Table to write: scope (`all films`, `within <class>`), sources, and `tell_source`.
    whole
        Name of the unaltered films in `features`.
    """
    run = read_manifest(manifest).merge(read_split(split), on="image_id", validate="one_to_one")
    pictures = open_rows(images, manifest, len(run))
    vectors = {name: pooled(np.load(path, mmap_mode="r")) for name, path in features.items()}
    vectors[THUMB] = np.stack([thumbnail(np.asarray(picture)) for picture in pictures])
    vectors[HISTOGRAM] = np.stack([histogram(np.asarray(picture)) for picture in pictures])
    # Several jobs that each start a BLAS thread per core wait for one another for minutes.
    with threadpool_limits(1):
        rows = [
            {"control": name, **control_score(values, run, classes, seed)}
            for name, values in progress(list(vectors.items()), desc="controls", unit="control")
        ]
    tables, known = [run], [vectors[whole]]
    for table, path in external.values():
        tables.append(read_manifest(table))
        known.append(pooled(np.load(path, mmap_mode="r")))
    everything = pd.concat(tables, ignore_index=True)
    with threadpool_limits(1):
        told = told_sources(np.concatenate(known), everything, seed)
    write_table(pd.DataFrame(told, columns=SOURCES), output_sources)
    write_table(pd.DataFrame(rows, columns=CONTROLS), output)
