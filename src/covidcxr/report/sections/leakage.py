"""The report's section on patients and copies that stand on two sides."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.evaluate.leakage import COPY, HASH, PATIENT, REGISTERED
from covidcxr.report.content import Notice
from covidcxr.report.facts import Run
from covidcxr.report.formats import MISSING, Column, Table, count, listing, ratio, some
from covidcxr.report.sections.section import Section, SectionTable

LISTED = 50
NAMES = {
    PATIENT: "patients on both sides",
    HASH: "pairs with like perceptual hashes",
    COPY: "pairs that register as one film",
}


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the leakage audit, or None where the run has none."""
    findings, summary = tables.get("leakage"), tables.get("leakage_summary")
    if findings is None or summary is None:
        return None
    notices = []
    for boundary, rows in summary[summary["found"] > 0].groupby("between", sort=False):
        told = listing(
            f"{count(row['found'])} {NAMES[str(row['check'])]}" for _, row in rows.iterrows()
        )
        notices.append(Notice("warning", f"Leakage between {boundary}: {told}."))
    if summary["found"].sum():
        first = f"The audit found leakage: {some(len(findings), 'finding')}, listed below."
    else:
        first = "The audit found no patient and no copy of a film on two sides."
    return Section(
        ident="leakage",
        title="Leakage audit",
        paragraphs=[
            first,
            "Sides are the test set, each fold and each external set. Patients are compared by "
            "collection, perceptual hashes between all films; for crops and turned copies, which a "
            f"hash misses, each film’s nearest neighbours by {run.config['backbones'][0]} features "
            f"are registered on it, and a correlation of {ratio(REGISTERED)} counts as one film. "
            "Films that show one patient under two numbers without being copies are not found.",
        ],
        notices=notices,
        tables=[
            SectionTable("leakage_summary", "What was compared and found", _summary(summary)),
            *(
                [SectionTable("leakage_findings", _caption(findings), _findings(findings))]
                if len(findings)
                else []
            ),
        ],
    )


def _caption(findings: pd.DataFrame) -> str:
    more = f" (the first {LISTED} of {count(len(findings))})" if len(findings) > LISTED else ""
    return f"Findings of the leakage audit{more}"


def _summary(summary: pd.DataFrame) -> Table:
    columns = [
        Column("between"),
        Column("check"),
        Column("compared", numeric=True),
        Column("found", numeric=True),
    ]
    rows = [
        [
            str(row["between"]),
            str(row["check"]),
            f"{count(row['compared'])} {'patients' if row['check'] == PATIENT else 'pairs'}",
            count(row["found"]),
        ]
        for _, row in summary.iterrows()
    ]
    return Table(columns, rows)


def _findings(findings: pd.DataFrame) -> Table:
    columns = [
        Column("between"),
        Column("check"),
        Column("image"),
        Column("other image"),
        Column("value", numeric=True),
        Column("unit"),
    ]
    rows = [
        [
            str(row["between"]),
            str(row["check"]),
            str(row["image_a"]),
            str(row["image_b"]),
            MISSING if pd.isna(row["value"]) else f"{row['value']:g}",
            "" if pd.isna(row["unit"]) else str(row["unit"]),
        ]
        for _, row in findings.head(LISTED).iterrows()
    ]
    return Table(columns, rows)
