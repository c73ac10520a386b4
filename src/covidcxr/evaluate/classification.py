"""Accuracy, precision, recall and F1 of every model on validation and test images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from covidcxr.classify.predictions import ENSEMBLE
from covidcxr.data.tables import write_table
from covidcxr.evaluate import models
from covidcxr.evaluate.scores import read_scores, wide
from covidcxr.report.formats import NBSP, THIN, interval, ratio, sample, some, table_of
from covidcxr.report.section import KeyRow, Limit, Section, SectionTable, write_section

SPLITS = ("validation", "test")
METRICS = {"precision": "precision", "recall": "sensitivity", "f1": "f1"}
"""Measures by class, as columns name them and as `scores` does."""


def run(
    scores: str | Path, table: str | Path, section: str | Path, *, classes: Sequence[str]
) -> None:
    """Write the measures of all of the run's models.

    Parameters
    ----------
    table
        CSV to write: backbone, augmentation, classifier, model, split (`validation` or `test`), and
        the columns of `summary`. The validation row of a fold's model scores that fold, that of the
        ensemble the out-of-fold predictions of all training images.
    section
        Section of the report to write: the main result.
    """
    own = models.of_study(read_scores(scores))
    own = own[own["set"].isin(SPLITS) & (own["group"] == "")]
    found = summary(own, classes).reset_index().rename(columns={"set": "split"})
    write_table(found.drop(columns=["population", "group"]), table)
    write_section(section, section_of(own, classes))


def summary(scores: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row for each model, set and group of `scores`.

    Returns
    -------
    DataFrame indexed by identity and group: n, accuracy, and precision_, recall_ and f1_<class>, in
    0..1; NaN where a class has no images, and a precision of 0 where none was predicted so, as
    scikit-learn has it.
    """
    values = wide(scores)
    found = {"n": wide(scores, "n")["accuracy"].astype(int), "accuracy": values["accuracy"]}
    for name, metric in METRICS.items():
        for label in classes:
            column = values[f"{metric}_{label}"].fillna(0)
            found[f"{name}_{label}"] = column.where(values[f"sensitivity_{label}"].notna())
    return pd.DataFrame(found)


Measures = Mapping[tuple[str, str], str]
"""Texts by measure and class."""


def section_of(scores: pd.DataFrame, classes: Sequence[str]) -> Section:
    """Say what the recommended model reaches, and show all ensembles beside it.

    Recommended is the network whose ensemble is most accurate out of fold: the test set chooses
    nothing.

    Parameters
    ----------
    scores
        Rows of `scores.csv` of the study's models on validation and test images.
    """
    test = scores[scores["set"] == "test"]
    shown = models.ensembles(test)
    accuracy = shown[shown["metric"] == "accuracy"].set_index(models.KIND)
    inside = scores[(scores["set"] == "validation") & (scores["metric"] == "accuracy")]
    chosen = models.recommended(inside, "estimate")
    tops = accuracy["estimate"]
    best: models.Kind = tops.index[int(tops.argmax())]
    own = texts_of(shown, chosen)
    name, row = (
        models.model_text(*chosen),
        dict(models.by_kind(accuracy.reset_index()))[chosen].iloc[0],
    )
    of_class = shown[(shown["metric"] == "sensitivity")].drop_duplicates("class")
    majority = float(of_class["n"].max() / row["n"])
    finding = (
        f"{name} has an accuracy of {own['accuracy', '']} on {some(row['n'], 'test image')} of "
        f"{some(row['patients'], 'patient')} (95{THIN}% interval); naming the largest class every "
        f"time would have {ratio(majority)}"
    )
    highest = (
        "It is also the most accurate on the test set"
        if best == chosen
        else f"On the test set {models.model_text(*best)} is the most accurate, with "
        f"{texts_of(shown, best)['accuracy', '']}: chosen by the images that score it"
    )
    return Section(
        ident="performance-models",
        title="Performance on the test set",
        part="performance",
        paragraphs=(
            f"{name}, of the networks the most accurate out of fold, is the recommended one, with "
            f"{own['accuracy', '']}. {highest}, of {some(len(accuracy), 'ensemble')}.",
        ),
        method=(
            "An ensemble is the mean probability of the folds' models; all backbones together are "
            "the mean of their probabilities. Other classifiers are fitted on the features of each "
            "backbone, without augmentation, in the same folds. Intervals resample patients; where "
            "all images or none are right, they are exact (Clopper–Pearson) over patients.",
        ),
        finding=finding,
        key_rows=(
            KeyRow("Recommended model, accuracy", own["accuracy", ""], name),
            *(
                KeyRow(
                    f"Sensitivity, specificity of {label}",
                    f"{own['sensitivity', label]}, {own['specificity', label]}",
                    name,
                )
                for label in classes
            ),
            KeyRow("Largest class every time, accuracy", ratio(majority), sample(row["n"])),
        ),
        limits=tuple(Limit(text) for text in _limits(accuracy, chosen)),
        tables=(
            SectionTable(
                "ensembles",
                f"Ensembles on the test set, most accurate first: each measure with its 95{THIN}% "
                "interval, and mean ± standard deviation of the accuracy over single folds.",
                table_of(_ensembles(scores, accuracy, classes)),
            ),
            SectionTable(
                "classification",
                "Every model: each fold on its validation images and on the test set, and the "
                "ensembles.",
            ),
            SectionTable("scores", "Every measure of every model on every set, with its interval."),
        ),
    )


def texts_of(scores: pd.DataFrame, kind: models.Kind) -> Measures:
    """Return each measure of a kind of model with its interval, as text."""
    rows = dict(models.by_kind(scores))[kind]
    return {
        (row["metric"], row["class"]): interval(row["estimate"], row["low"], row["high"])
        for row in rows.to_dict("records")
    }


def _ensembles(
    scores: pd.DataFrame, accuracy: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    single = scores[(scores["model"] != ENSEMBLE) & (scores["metric"] == "accuracy")]
    spread = single.groupby([*models.KIND, "set"])["estimate"].agg(["mean", "std"])
    test = models.ensembles(scores[scores["set"] == "test"])
    rows = []
    for kind in accuracy["estimate"].sort_values(ascending=False, kind="stable").index:
        own = texts_of(test, kind)
        row = {"model": models.model_text(*kind), "accuracy": own["accuracy", ""]}
        for name in SPLITS[::-1]:
            mean, sd = spread.loc[(*kind, name)]
            row[f"folds_{name}"] = f"{ratio(mean)}{NBSP}± {ratio(sd)}"
        for label in classes:
            row[f"Sensitivity, {label}"] = own["sensitivity", label]
            row[f"Precision, {label}"] = own["precision", label]
        rows.append(row)
    return pd.DataFrame(rows).rename(columns={f"folds_{n}": f"Folds, {n}" for n in SPLITS})


def _limits(accuracy: pd.DataFrame, chosen: models.Kind) -> list[str]:
    """Say what the test set cannot show.

    Parameters
    ----------
    accuracy
        Accuracies of the ensembles on the test set, indexed by `KIND`.
    """
    row = dict(models.by_kind(accuracy.reset_index()))[chosen].iloc[0]
    found = [
        f"The test set has {some(row['n'], 'image')} of {some(row['patients'], 'patient')}: the "
        f"interval of the accuracy, by patient, is {ratio(row['high'] - row['low'])} wide."
    ]
    if len(accuracy) > 1 and accuracy["low"].max() <= accuracy["high"].min():
        found.append(
            f"The intervals of all {some(len(accuracy), 'ensemble')} overlap: their order may be "
            "chance."
        )
    return found
