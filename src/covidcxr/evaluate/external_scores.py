"""Every model on external test sets: images of which no model of the run has seen any."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from covidcxr.classify.predictions import ENSEMBLE
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.evaluate import models
from covidcxr.evaluate.classification import summary
from covidcxr.evaluate.scores import read_scores, wide
from covidcxr.report.formats import (
    Column,
    Table,
    interval,
    interval_of,
    listing,
    ratio,
    share,
    some,
    table_of,
)
from covidcxr.report.section import Check, KeyRow, Section, SectionTable, write_section

SET_COLUMNS = ["set", "class", "images", "patients", "excluded", "reasons"]
FALL = 0.05
"""Fall of accuracy from the run's own test set to an external one from which the report warns."""
BOUNDS = ("", "_low", "_high")


def run(
    scores: str | Path,
    points: str | Path,
    images: Sequence[str | Path],
    excluded: Sequence[str | Path],
    table: str | Path,
    counts: str | Path,
    section: str | Path,
    *,
    sets: Sequence[str],
    classes: Sequence[str],
) -> None:
    """Put together what all models reach on all external sets.

    Parameters
    ----------
    points
        `operating_point.csv` of the run.
    images, excluded
        Of each of `sets`, its images and what was left out.
    table
        CSV to write, see `external_table`.
    counts
        CSV to write, see `describe_set`.
    """
    everything = models.of_study(read_scores(scores))
    own = everything[everything["set"].isin(list(sets))]
    shares = [f"{name}{end}" for name in ("sensitivity", "specificity") for end in BOUNDS]
    thresholds = read_table(points, [*models.KIND, "set", "threshold"], ["threshold", *shares])
    found = external_table(own, thresholds, classes)
    write_table(found, table)
    rows = [
        row
        for name, own_images, left_out in zip(sets, images, excluded, strict=True)
        for row in describe_set(
            name, read_manifest(own_images), read_table(left_out, ["label", "reason"])
        )
    ]
    described = pd.DataFrame(rows, columns=SET_COLUMNS)
    write_table(described, counts)
    overall = everything[(everything["group"] == "") & (everything["metric"] == "accuracy")]
    internal = overall[overall["set"] == "test"].set_index([*models.KIND, "model"])["estimate"]
    best = models.recommended(overall[overall["set"] == "validation"], "estimate")
    write_section(section, section_of(with_internal(found, internal), described, classes, best))


def external_table(
    scores: pd.DataFrame, points: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Return a row for each model and external set, which may lack some of the classes.

    Parameters
    ----------
    scores
        Rows of `scores.csv` of the study's models on external sets.
    points
        `operating_point.csv`.

    Returns
    -------
    DataFrame: set, backbone, augmentation, classifier, model; the columns of
    `classification.summary` (accuracy is over the labels present: an image predicted to be of an
    absent class is wrong); accuracy_low and accuracy_high (95 %, by patient); for each class
    called_<class> with _low and _high, the share of images of other classes that are predicted so;
    and of ensembles threshold, at_threshold_sensitivity and at_threshold_called (share of the
    operating point's class and of others whose probability reaches it), each with _low and _high.
    """
    found = summary(scores, classes)
    low, high = wide(scores, "low"), wide(scores, "high")
    found["accuracy_low"], found["accuracy_high"] = low["accuracy"], high["accuracy"]
    right = wide(scores)
    for name in classes:
        column = f"specificity_{name}"
        for end, values in zip(BOUNDS, (right, high, low), strict=True):
            found[f"called_{name}{end}"] = 1 - values[column]
    found = found.reset_index().drop(columns=["population", "group"])
    at = points[[*models.KIND, "set", "threshold"]].assign(
        model=ENSEMBLE,
        **{f"at_threshold_sensitivity{end}": points[f"sensitivity{end}"] for end in BOUNDS},
        **{
            f"at_threshold_called{end}": 1 - points[f"specificity{other}"]
            for end, other in zip(BOUNDS, ("", "_high", "_low"), strict=True)
        },
    )
    key = ["set", *models.KIND, "model"]
    joined = found.merge(at, on=key, how="left", validate="one_to_one")
    order = joined.columns.drop(key)
    return joined[[*key, *order]].sort_values(
        "set", key=lambda names: pd.factorize(names)[0], kind="stable", ignore_index=True
    )


def describe_set(name: str, images: pd.DataFrame, excluded: pd.DataFrame) -> list[dict[str, Any]]:
    """Count a set by class: images, patients, and what was left out, with the reasons."""
    labels = list(dict.fromkeys([*images["label"], *excluded["label"]]))
    rows = []
    for label in labels:
        of_class = images[images["label"] == label]
        reasons = excluded.loc[excluded["label"] == label, "reason"].value_counts()
        rows.append(
            {
                "set": name,
                "class": label,
                "images": len(of_class),
                "patients": of_class["patient_id"].nunique(),
                "excluded": int(reasons.sum()),
                "reasons": "; ".join(f"{count} {reason}" for reason, count in reasons.items()),
            }
        )
    return rows


def with_internal(table: pd.DataFrame, internal: "pd.Series[float]") -> pd.DataFrame:
    """Add internal: each model's accuracy on the run's own test set, given by `KIND` and model."""
    return table.join(internal.rename("internal"), on=[*models.KIND, "model"])


def section_of(
    table: pd.DataFrame, counts: pd.DataFrame, classes: Sequence[str], kind: models.Kind
) -> Section:
    """Set the models' accuracy on external sets beside the one on the run's own test set.

    Parameters
    ----------
    table
        `external_table` with `with_internal`.
    counts
        `describe_set` of all sets.
    kind
        The recommended model: no test set chooses it.
    """
    shown = models.ensembles(table)
    best = dict(models.by_kind(shown))[kind].set_index("set")
    texts = [
        _text(str(name), row, counts[counts["set"] == name], classes)
        for name, row in best.iterrows()
    ]
    fallen = best[best["internal"] - best["accuracy"] >= FALL]
    named = listing(f"{ratio(row['accuracy'])} on {name}" for name, row in best.iterrows())
    first = best.iloc[0]
    ends = best.sort_values("accuracy").iloc[[0, -1] if len(best) > 1 else [0]]
    return Section(
        ident="external",
        title="External test",
        part="validity",
        paragraphs=(
            f"Accuracy of the recommended {models.model_text(*first[models.KIND])}, "
            f"{ratio(first['internal'])} on the run’s own test set: {'; '.join(texts)}.",
        ),
        method=(
            "No model was trained, stopped or chosen on these images. Where a class has no images "
            "in a set, accuracy is over the labels present, and predicting the absent class is an "
            "error.",
        ),
        checks=(
            Check(
                "External validity",
                "warning" if len(fallen) else "pass",
                f"Accuracy of {models.model_text(*first[models.KIND])}: "
                f"{ratio(first['internal'])} on the run’s own test set, {named}.",
            ),
        ),
        key_rows=(
            KeyRow(
                f"{'Worst and best' if len(ends) > 1 else 'The'} external set, accuracy",
                ", ".join(interval_of(ends, "accuracy")),
                ", ".join(map(str, ends.index)),
            ),
        ),
        tables=(
            SectionTable(
                "external",
                "Accuracy on the run’s own test set and on external sets (95 % intervals by "
                "patient), and images of other classes predicted as each class",
                _beside(shown, classes),
                folded=True,
            ),
            SectionTable(
                "external_sets",
                "Images of the external sets",
                table_of(
                    counts.assign(reasons=counts["reasons"].str.replace("_", " ")),
                    {"reasons": "Why"},
                ),
                folded=True,
            ),
        ),
    )


def _text(name: str, row: "pd.Series[Any]", counts: pd.DataFrame, classes: Sequence[str]) -> str:
    """Say what a model reaches on one external set, and of what absent class it finds most."""
    present = counts.loc[counts["images"] > 0, "class"].tolist()
    text = (
        f"{name} ({some(row['n'], 'image')} of {listing(present)}) "
        f"{interval(*(row[f'accuracy{end}'] for end in BOUNDS))}"
    )
    absent = [label for label in classes if label not in present]
    if absent:
        most = max(absent, key=lambda label: float(row[f"called_{label}"]))
        called, low, high = (row[f"called_{most}{end}"] for end in BOUNDS)
        text += (
            f", {interval(called, low, high, share)} predicted {most}, of which no image is there"
        )
    return text


def _beside(shown: pd.DataFrame, classes: Sequence[str]) -> Table:
    shares = {f"called_{label}": label for label in classes}
    at = {"at_threshold_sensitivity": "sensitivity", "at_threshold_called": "called"}
    rows = models.with_model(shown).assign(accuracy=interval_of(shown, "accuracy"))
    columns = ["set", "model", "internal", "accuracy", *shares, *at]
    plain = table_of(rows[columns], forms=dict.fromkeys([*shares, *at], share))
    headings = [
        Column("Set"),
        Column("Model"),
        Column("own test", "accuracy", numeric=True),
        Column("external", "accuracy", numeric=True),
        *(Column(label, "predicted so, of other classes", numeric=True) for label in classes),
        *(Column(name, "at the operating point’s threshold", numeric=True) for name in at.values()),
    ]
    return Table(headings, plain.rows)
