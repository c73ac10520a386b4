"""Internal and external test side by side."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.content import Notice
from covidcxr.report.facts import ENSEMBLE, Run
from covidcxr.report.formats import MISSING, Column, Table, count, listing, ratio, share, some
from covidcxr.report.sections.section import Section, SectionTable

AT_THRESHOLD = "at the operating point’s threshold"
FALL = 0.05
"""Fall of accuracy from the run's own test set to an external one from which the report warns."""


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Set the models' accuracy on external sets beside the one on the run's own test set."""
    if "external" not in tables or "external_sets" not in tables:
        return None
    scores, sets = tables["external"], tables["external_sets"]
    ensembles = scores[scores["model"] == ENSEMBLE]
    paragraphs, notices = [], []
    for name, rows in ensembles.groupby("set", sort=False):
        best = _best(run, rows)
        told, warning = _verdict(run, str(name), best, sets[sets["set"] == name])
        paragraphs.append(told)
        if warning:
            notices.append(Notice("warning", warning))
    paragraphs.append(
        "No model was trained, stopped or chosen on these films. Where a class has no films in a "
        "set, accuracy is over the labels present, and calling the absent class is an error."
    )
    return Section(
        ident="external",
        title="External test",
        paragraphs=paragraphs,
        notices=notices,
        tables=[
            SectionTable(
                "external_beside",
                "Accuracy on the run’s own test set and on external sets (95 % intervals, patients "
                "resampled), and the share of films of other classes called each class",
                _beside(run, ensembles),
            ),
            SectionTable("external_films", "Films of the external sets", _films(sets)),
            SectionTable(
                "external_folds", "Every fold’s model on external sets", _folds(scores), folded=True
            ),
        ],
    )


def _internal(run: Run, backbone: str, augmentation: str) -> pd.Series:
    rows = pd.concat([run.classification, run.baselines], ignore_index=True)
    chosen = rows[
        (rows["backbone"] == backbone)
        & (rows["augmentation"] == augmentation)
        & (rows["model"] == ENSEMBLE)
        & (rows["split"] == "test")
    ]
    return chosen.iloc[0]


def _best(run: Run, rows: pd.DataFrame) -> pd.Series:
    """Return the row of the ensemble that was best on the run's own test set.

    Nobody may choose by the external one.
    """
    internal = [
        _internal(run, backbone, augmentation)["accuracy"]
        for backbone, augmentation in zip(rows["backbone"], rows["augmentation"], strict=True)
    ]
    return rows.iloc[pd.Series(internal).argmax()]


def _verdict(run: Run, name: str, row: pd.Series, films: pd.DataFrame) -> tuple[str, str | None]:
    inside = _internal(run, row["backbone"], row["augmentation"])["accuracy"]
    model = (
        f"the ensemble of {facts.model_text(row['backbone'], row['augmentation'])}, the best on "
        "the run’s own test set,"
    )
    present = films.loc[films["images"] > 0, "class"].tolist()
    told = (
        f"On {name} ({some(row['n'], 'film')} of {listing(present)}) {model} reaches an accuracy "
        f"of {ratio(row['accuracy'])} ({ratio(row['accuracy_low'])}–{ratio(row['accuracy_high'])})"
        f"; on the run’s own test set it is {ratio(inside)}."
    )
    absent = [label for label in run.classes if label not in present]
    for label in absent:
        value = row[f"called_{label}"]
        told += (
            f" It calls {share(value)} ({share(row[f'called_{label}_low'])}–"
            f"{share(row[f'called_{label}_high'])}) of them {label}, a class without a film there."
        )
    if inside - row["accuracy"] < FALL:
        return told, None
    warning = (
        f"External test: accuracy falls from {ratio(inside)} on the run’s own test set to "
        f"{ratio(row['accuracy'])} on {name}, for the ensemble of "
        f"{facts.model_text(row['backbone'], row['augmentation'])}."
    )
    if absent:
        worst = max(absent, key=lambda label: float(row[f"called_{label}"]))
        warning += f" {share(row[f'called_{worst}'])} of its films are called {worst}; none is."
    return told, warning


def _beside(run: Run, ensembles: pd.DataFrame) -> Table:
    columns = [
        Column("set"),
        Column("backbone"),
        Column("augmentation"),
        Column("own test", "accuracy", numeric=True),
        Column("external", "accuracy", numeric=True),
        Column("interval", "accuracy", numeric=True),
        *(Column(label, "called, of other classes’ films", numeric=True) for label in run.classes),
        Column("sensitivity", AT_THRESHOLD, numeric=True),
        Column("called", AT_THRESHOLD, numeric=True),
    ]
    rows = []
    for _, row in ensembles.iterrows():
        called = [row[f"called_{label}"] for label in run.classes]
        called += [row["at_threshold_sensitivity"], row["at_threshold_called"]]
        rows.append(
            [
                str(row["set"]),
                str(row["backbone"]),
                facts.augmentation_text(row["augmentation"]),
                ratio(_internal(run, row["backbone"], row["augmentation"])["accuracy"]),
                ratio(row["accuracy"]),
                f"{ratio(row['accuracy_low'])}–{ratio(row['accuracy_high'])}",
                *(MISSING if pd.isna(value) else share(value) for value in called),
            ]
        )
    return Table(columns, rows)


def _films(sets: pd.DataFrame) -> Table:
    columns = [
        Column("set"),
        Column("class"),
        Column("films", numeric=True),
        Column("patients", numeric=True),
        Column("excluded", numeric=True),
        Column("why"),
    ]
    rows = [
        [
            str(row["set"]),
            str(row["class"]),
            count(row["images"]),
            count(row["patients"]),
            count(row["excluded"]),
            str(row["reasons"]).replace("_", " ") if row["excluded"] else MISSING,
        ]
        for _, row in sets.iterrows()
    ]
    return Table(columns, rows)


def _folds(scores: pd.DataFrame) -> Table:
    columns = [
        Column("set"),
        Column("backbone"),
        Column("augmentation"),
        Column("model"),
        Column("n", numeric=True),
        Column("accuracy", numeric=True),
        Column("interval", numeric=True),
    ]
    rows = [
        [
            str(row["set"]),
            str(row["backbone"]),
            facts.augmentation_text(row["augmentation"]),
            str(row["model"]),
            count(row["n"]),
            ratio(row["accuracy"]),
            f"{ratio(row['accuracy_low'])}–{ratio(row['accuracy_high'])}",
        ]
        for _, row in scores.iterrows()
    ]
    return Table(columns, rows)
