"""The report's section on what tells the classes apart without the lungs."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.data.altered import BINS, BORDER, BORDERS, NO_LUNGS, THUMBNAIL, WHOLE
from covidcxr.evaluate.controls import HISTOGRAM, THUMB
from covidcxr.report import facts
from covidcxr.report.content import Notice
from covidcxr.report.facts import Run
from covidcxr.report.formats import Column, Table, count, listing, ratio, share
from covidcxr.report.sections.section import Section, SectionTable

MUCH = 0.5
"""Share of the models' gain over the most frequent class from which a control is a warning."""
TOLD = 0.9
"""Area under the curve from which the report warns that a film gives its source away."""
NAMES = {
    WHOLE: "the whole film",
    NO_LUNGS: "the film with the lungs blacked out",
    BORDERS: f"the outer {100 * BORDER:g} % on each side",
    THUMB: f"{THUMBNAIL} × {THUMBNAIL} pixels",
    HISTOGRAM: f"the histogram of grey ({BINS} ranges)",
}


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the shortcut controls, or None where the run has none."""
    controls, sources = tables.get("controls"), tables.get("told_sources")
    if controls is None or sources is None:
        return None
    best = facts.test_ensembles(run.classification).iloc[0]
    model = f"{best['backbone']} {best['augmentation']}"
    rows = controls.set_index("control")
    altered = rows.drop(index=WHOLE)
    name, row = max(altered.iterrows(), key=lambda pair: float(pair[1]["accuracy"]))
    backbone = run.config["controls"]["backbone"] or run.config["backbones"][0]
    return Section(
        ident="shortcuts",
        title="Shortcut controls",
        paragraphs=[
            f"Without what a radiologist would read, {NAMES[str(name)]} still gives the label with "
            f"an accuracy of {_with_interval(row)}; the most frequent class alone gives "
            f"{ratio(row['majority'])}, the best model ({model}, ensemble) "
            f"{ratio(best['accuracy'])}.",
            "Each control is a logistic regression in the run’s own folds, scored on its test set; "
            f"whole films, films without lungs and borders are read by {backbone}. Lungs are told "
            "in the same way for all films. What is left of a film without lungs shows the chest’s "
            "size and framing, and the black region its lungs’ outline.",
            *_sources_text(sources),
        ],
        notices=_notices(altered, float(best["accuracy"]), model, sources),
        tables=[
            SectionTable(
                "controls",
                "Accuracy on the test set of films from which what a radiologist would read is "
                "taken away (95 % intervals, patients resampled)",
                _controls_table(rows, best, model),
            ),
            *(
                [
                    SectionTable(
                        "told_sources",
                        "How well the source of a film is told, cross-validated by patient",
                        _sources_table(sources),
                    )
                ]
                if len(sources)
                else []
            ),
        ],
    )


def _notices(altered: pd.DataFrame, best: float, model: str, sources: pd.DataFrame) -> list[Notice]:
    found = []
    for name, row in altered.iterrows():
        gain, whole = row["accuracy"] - row["majority"], best - row["majority"]
        if whole > 0 and row["accuracy_low"] > row["majority"] and gain >= MUCH * whole:
            found.append(
                f"{NAMES[str(name)]} {ratio(row['accuracy'])} ({share(gain / whole)} of the gain)"
            )
    notices = []
    if found:
        notices.append(
            Notice(
                "warning",
                "Shortcuts: the label is told without what a radiologist would read. Accuracy with "
                f"{listing(found)}; the best model ({model}) has {ratio(best)}.",
            )
        )
    given_away = sources[sources["scope"].str.startswith("within") & (sources["auc"] >= TOLD)]
    for _, row in given_away.iterrows():
        notices.append(
            Notice(
                "warning",
                f"The source of a film ({row['sources']}) is told {row['scope']} with an area "
                f"under the curve of {ratio(row['auc'])}: the collections differ in more than "
                "disease.",
            )
        )
    return notices


def _sources_text(sources: pd.DataFrame) -> list[str]:
    if sources.empty:
        return ["All films are of one source: there is none to tell."]
    told = listing(
        f"{row['scope']} {_with_interval(row)} (largest source {ratio(row['majority'])})"
        for _, row in sources.iterrows()
    )
    text = f"The source of a film is told from the same features with an accuracy of: {told}."
    if not sources["scope"].str.startswith("within").any():
        text += " No class has films of two sources, so whether it is told within a class is open."
    return [text]


def _with_interval(row: pd.Series) -> str:
    low, high = ratio(row["accuracy_low"]), ratio(row["accuracy_high"])
    return f"{ratio(row['accuracy'])} ({low}–{high})"


def _controls_table(rows: pd.DataFrame, best: pd.Series, model: str) -> Table:
    columns = [
        Column("seen"),
        Column("n", numeric=True),
        Column("accuracy", numeric=True),
        Column("interval", numeric=True),
        Column("most frequent class", numeric=True),
    ]
    cells = [
        [
            NAMES[str(name)],
            count(row["n"]),
            ratio(row["accuracy"]),
            f"{ratio(row['accuracy_low'])}–{ratio(row['accuracy_high'])}",
            ratio(row["majority"]),
        ]
        for name, row in rows.iterrows()
    ]
    cells.append([f"{model}, ensemble", count(best["n"]), ratio(best["accuracy"]), "", ""])
    return Table(columns, cells, frozenset({len(cells) - 1}))


def _sources_table(sources: pd.DataFrame) -> Table:
    columns = [
        Column("scope"),
        Column("sources"),
        Column("n", numeric=True),
        Column("patients", numeric=True),
        Column("accuracy", numeric=True),
        Column("interval", numeric=True),
        Column("largest source", numeric=True),
        Column("balanced accuracy", numeric=True),
        Column("AUC", numeric=True),
    ]
    cells = [
        [
            str(row["scope"]),
            str(row["sources"]),
            count(row["n"]),
            count(row["patients"]),
            ratio(row["accuracy"]),
            f"{ratio(row['accuracy_low'])}–{ratio(row['accuracy_high'])}",
            ratio(row["majority"]),
            ratio(row["balanced_accuracy"]),
            ratio(row["auc"]),
        ]
        for _, row in sources.iterrows()
    ]
    return Table(columns, cells)
