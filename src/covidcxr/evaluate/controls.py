"""Shortcut controls: the label predicted from images without lungs, and by simple baselines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from covidcxr.array_types import Floats
from covidcxr.arrays import open_rows
from covidcxr.classify import classifiers
from covidcxr.classify.classifier import examples_of
from covidcxr.classify.weights import sample_weights
from covidcxr.data.altered import (
    BINS,
    BORDER,
    BORDERS,
    NO_LUNGS,
    THUMBNAIL,
    WHOLE,
    histogram,
    thumbnail,
)
from covidcxr.data.tables import read_manifest, read_split, read_table, write_table
from covidcxr.evaluate.bootstrap import share_interval
from covidcxr.evaluate.models import KIND, by_kind, ensembles, model_text, networks, recommended
from covidcxr.features.bank import pooled
from covidcxr.logs import progress
from covidcxr.report.formats import interval, interval_of, listing, ratio, share, table_of
from covidcxr.report.section import Check, KeyRow, Limit, Section, SectionTable, write_section
from covidcxr.seeding import generator

THUMB, HISTOGRAM = "thumbnail", "histogram"
ACCURACY = ["accuracy", "accuracy_low", "accuracy_high", "majority"]
CONTROLS = ["control", "n", *ACCURACY, "penalty"]
SOURCES = ["scope", "sources", "n", "patients", *ACCURACY, "balanced_accuracy", "auc"]
PENALTY = 0.01
"""C of the regression that predicts sources: one value, so that nothing is chosen by its score."""
FOLDS = 5
MUCH = 0.5
"""Share of the network's gain over the most frequent class from which a control is a warning."""
GIVEN_AWAY = 0.9
"""Area under the curve from which the report warns that an image gives its source away."""
NAMES = {
    WHOLE: "the whole image",
    NO_LUNGS: "the image with the lungs blacked out",
    BORDERS: f"the outer {100 * BORDER:g} % on each side",
    THUMB: f"{THUMBNAIL} × {THUMBNAIL} pixels",
    HISTOGRAM: f"the histogram of grey ({BINS} ranges)",
}
BLIND = (NO_LUNGS, BORDERS)
"""Controls that lack what a radiologist would read."""


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
    the class most frequent in training), penalty (the median C of the folds).
    """
    test = (images["split"] == "test").to_numpy()
    examples, folds = examples_of(images, features, classes)
    labels = examples.classes
    models = classifiers.fit_folds(classifiers.logistic, examples, folds)
    predicted = [classifiers.probabilities(model, features[test], len(classes)) for model in models]
    hits = np.mean(predicted, axis=0).argmax(axis=1) == labels[test]
    patients = images.loc[test, "patient_id"].to_numpy(str)
    # The same resamples for every control, so that they can be compared.
    found = share_interval(hits, patients, generator(seed, "controls"))
    most = np.bincount(labels[~test]).argmax()
    return {
        "n": int(test.sum()),
        **found.columns("accuracy"),
        "majority": float((labels[test] == most).mean()),
        "penalty": classifiers.chosen_penalty(models),
    }


def predict_source(features: Floats, images: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Predict the source of images by logistic regression, cross-validated by patient.

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
    predicted = np.zeros((len(images), len(names)))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    for training, left_out in folds.split(features, source, patients):
        own = source[training]
        weights = sample_weights(own, own, by_class=True, by_source=False)
        examples = classifiers.Examples(features[training], own, patients[training], weights)
        model = classifiers.fitted(classifiers.regression(PENALTY), examples)
        predicted[left_out] = classifiers.probabilities(model, features[left_out], len(names))
    called = predicted.argmax(axis=1)
    found = share_interval(called == source, patients, generator(seed, "sources"))
    if len(names) == 2:
        auc = roc_auc_score(source, predicted[:, 1])
    else:
        shares = predicted / predicted.sum(axis=1, keepdims=True)
        auc = roc_auc_score(source, shares, multi_class="ovo", average="macro")
    return {
        "n": len(images),
        "patients": len(set(patients)),
        **found.columns("accuracy"),
        "majority": float(np.bincount(source).max() / len(source)),
        "balanced_accuracy": float(balanced_accuracy_score(source, called)),
        "auc": float(auc),
    }


def predicted_sources(features: Floats, images: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Predict the source within each class that has several, and over all images.

    A source counts where it has at least `FOLDS` patients.
    """
    scopes = [("all images", np.ones(len(images), bool))]
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
            found = predict_source(features[within], images[within], seed)
            rows.append({"scope": scope, "sources": names, **found})
    return rows


def run(
    tables: Sequence[str | Path],
    split: str | Path,
    images: str | Path,
    whole: Sequence[str | Path],
    altered: Sequence[str | Path],
    classification: str | Path,
    table: str | Path,
    sources: str | Path,
    section: str | Path,
    settings: Mapping[str, Any],
) -> None:
    """Score the controls, and predict the sources of images.

    Parameters
    ----------
    tables, whole
        Table of images of the run and of each external set (more sources), and the features of its
        unaltered images by one backbone, [n, *cut].
    split, images
        Of the run.
    altered
        Features of the run's images without lungs, and of their borders.
    classification
        `classification.csv` of the run.
    table
        CSV to write: control, and `control_score`; `thumbnail` and `histogram` need no features.
    sources
        CSV to write: scope (`all images`, `within <class>`), sources, and `predict_source`.
    settings
        classes, seed, and backbone, that of the features.
    """
    classes, backbone, seed = (settings[name] for name in ("classes", "backbone", "seed"))
    own, *external = (read_manifest(path) for path in tables)
    vectors = [pooled(np.load(path, mmap_mode="r")) for path in whole]
    run_images = own.merge(read_split(split), on="image_id", validate="one_to_one")
    pictures = open_rows(images, tables[0], len(own))
    blind = (pooled(np.load(path, mmap_mode="r")) for path in altered)
    controls = {
        WHOLE: vectors[0],
        **dict(zip(BLIND, blind, strict=True)),
        THUMB: np.stack([thumbnail(np.asarray(picture)) for picture in pictures]),
        HISTOGRAM: np.stack([histogram(np.asarray(picture)) for picture in pictures]),
    }
    # Several jobs that each start a BLAS thread per core wait for one another for minutes.
    with threadpool_limits(1):
        rows = [
            {"control": name, **control_score(values, run_images, classes, seed)}
            for name, values in progress(list(controls.items()), desc="controls", unit="control")
        ]
        everything = pd.concat([own, *external], ignore_index=True)
        found = predicted_sources(np.concatenate(vectors), everything, seed)
    scored, by_source = pd.DataFrame(rows, columns=CONTROLS), pd.DataFrame(found, columns=SOURCES)
    write_table(scored, table)
    write_table(by_source, sources)
    models = networks(read_table(classification, [*KIND, "model", "split"], ["n", "accuracy"]))
    chosen = recommended(models[models["split"] == "validation"])
    best = dict(by_kind(ensembles(models[models["split"] == "test"])))[chosen].iloc[0]
    write_section(section, section_of(scored, by_source, best, backbone))


def section_of(
    controls: pd.DataFrame, sources: pd.DataFrame, best: "pd.Series[Any]", backbone: str
) -> Section:
    """Say what predicts the label without the lungs, and how well the source is predicted.

    Parameters
    ----------
    controls, sources
        The tables that `run` writes.
    best
        Row of `classification.csv` of the recommended network on the test set.
    """
    rows = controls.set_index("control")
    blind, kept = rows.loc[list(BLIND)], rows.loc[[THUMB, HISTOGRAM]]
    row = blind.iloc[int(blind["accuracy"].argmax())]
    name, model = NAMES[str(row.name)], model_text(*best[KIND])
    shown = rows.drop(columns="penalty").assign(accuracy=interval_of(rows, "accuracy"))
    shown = shown.reset_index()[["control", "n", "accuracy", "majority"]]
    shown["control"] = shown["control"].map(NAMES)
    shown.loc[len(shown)] = [f"{model}, ensemble", best["n"], ratio(best["accuracy"]), np.nan]
    return Section(
        ident="shortcuts",
        title="Shortcut controls",
        part="validity",
        paragraphs=(
            f"Accuracy without the lungs, from {name}: {_accuracy(row)}; {model} has "
            f"{ratio(best['accuracy'])}, the most frequent class {ratio(row['majority'])}. Simple "
            "baselines that keep the lungs: "
            + ", ".join(f"{NAMES[str(n)]} {_accuracy(one)}" for n, one in kept.iterrows())
            + ".",
        ),
        method=(
            _sources_text(sources),
            "Each control is a logistic regression in the run’s own folds, scored on its test set; "
            f"whole images, images without lungs and borders are read by {backbone}. Lungs are "
            "found in the same way for all images. What is left of an image without lungs shows "
            "the chest’s size and framing, and the black region its lungs’ outline.",
        ),
        checks=(check(blind, float(best["accuracy"]), model),),
        limits=tuple(source_limits(sources)),
        key_rows=(KeyRow("Best shortcut control, accuracy", _accuracy(row), name),),
        tables=(
            SectionTable(
                "controls",
                "Test accuracy of controls that lack the lungs, and of simple baselines (95 % "
                "intervals by patient)",
                table_of(
                    shown,
                    {"control": "Seen", "majority": "Most frequent class"},
                    {"accuracy": str},
                    emphasised=[len(shown) - 1],
                ),
            ),
            SectionTable(
                "sources",
                "How well the source of an image is predicted, cross-validated by patient",
                table_of(
                    sources.assign(accuracy=interval_of(sources, "accuracy")).drop(
                        columns=ACCURACY[1:3]
                    ),
                    {"majority": "Largest source", "auc": "AUC"},
                    {"accuracy": str},
                ),
                folded=True,
            ),
        )[: 1 + bool(len(sources))],
    )


def check(blind: pd.DataFrame, best: float, model: str) -> Check:
    """Warn where images without lungs give much of what the recommended network gains.

    Parameters
    ----------
    blind
        The controls `BLIND`, indexed by name.
    best
        Accuracy of that network.
    """
    found = []
    for name, row in blind.iterrows():
        gain, whole = row["accuracy"] - row["majority"], best - row["majority"]
        if row["accuracy_low"] > row["majority"] and gain >= MUCH * whole:
            much = "all" if gain >= whole else share(gain / whole)
            found.append(f"{NAMES[str(name)]} {ratio(row['accuracy'])} ({much} of the gain)")
    row = blind.iloc[int(blind["accuracy"].argmax())]
    if found:
        text = f"Accuracy without the lungs: {listing(found)}"
    else:
        text = f"Accuracy without the lungs: {ratio(row['accuracy'])} at most"
    text += f"; {model} {ratio(best)}, the most frequent class {ratio(row['majority'])}."
    return Check("Shortcuts", "warning" if found else "pass", text)


def source_limits(sources: pd.DataFrame) -> list[Limit]:
    """Return a limit where an image gives its source away within a class."""
    within = sources[sources["scope"].str.startswith("within") & (sources["auc"] >= GIVEN_AWAY)]
    if within.empty:
        return []
    found = listing(f"{row['scope']} {ratio(row['auc'])}" for _, row in within.iterrows())
    return [
        Limit(
            "The collections differ in more than disease: AUC with which an image gives its "
            f"source away {found}."
        )
    ]


def _sources_text(sources: pd.DataFrame) -> str:
    if sources.empty:
        return "All images are of one source: there is none to predict."
    found = listing(f"{row['scope']} {_accuracy(row)}" for _, row in sources.iterrows())
    text = f"Accuracy with which the same features predict the source: {found}."
    if not sources["scope"].str.startswith("within").any():
        text += " No class has images of two sources, so within a class it is open."
    return text


def _accuracy(row: "pd.Series[Any]") -> str:
    return interval(row["accuracy"], row["accuracy_low"], row["accuracy_high"])
