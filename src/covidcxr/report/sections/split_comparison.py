"""How much of the accuracy comes from patients on both sides of a split."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report.facts import Run, records
from covidcxr.report.formats import (
    THIN,
    Table,
    count,
    difference,
    listing,
    share,
    some,
    table_of,
)
from covidcxr.report.sections.section import Section, SectionTable

TEXTS = {
    "splits": "image-level against patient-disjoint splits",
    "matched": "same test images, with and without their patients in training",
}


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run has not compared splits."""
    if "split_comparison" not in tables:
        return None
    table = tables["split_comparison"]
    return Section(
        ident="split-comparison",
        title="What an image-level split would have added",
        paragraphs=[_found(table), _patients(run, table), METHOD],
        tables=[
            SectionTable(
                "split_comparison",
                "Mean test accuracy of a logistic regression on pooled features with and without "
                f"patients on both sides, and their difference with its 95{THIN}% interval over "
                "the draws.",
                _table(table),
            )
        ],
    )


METHOD = (
    "Two comparisons. Splits: images drawn one by one, as the published study did, against whole "
    "patients, in equal numbers. Matched: on the test images of an image-level split, a training "
    "set that lacks all tested patients against one of the same size and classes that keeps them; "
    "since only that differs, it is the sharper one. Intervals are Student's over the draws, so "
    "they hold for these images. What is measured is leakage through patients; leakage through "
    "source, age or framing is the same in both kinds of split and stays."
)


def _found(table: pd.DataFrame) -> str:
    rows = records(table[table["comparison"] == "matched"])
    texts = [
        f"{row['backbone']} {difference(row['difference'])} ({difference(row['low'])} to "
        f"{difference(row['high'])})"
        for row in rows
    ]
    above = [row["backbone"] for row in rows if row["low"] > 0]
    return (
        "Accuracy that patients on both sides of the split add, matched comparison over "
        f"{some(table['repeats'].iloc[0], 'draw')}: {listing(texts)}. "
        + (
            f"It is above 0 for {listing(above)}."
            if above
            else "For no backbone is the interval above 0."
        )
    )


def _patients(run: Run, table: pd.DataFrame) -> str:
    images = run.manifest.groupby("patient_id").size()
    several = images[images > 1]
    by_class = []
    for label in run.classes:
        own = run.manifest.loc[run.manifest["label"] == label, "patient_id"]
        by_class.append(f"{label} {share(own.isin(several.index).mean())}")
    return (
        f"{count(len(several))} of {some(len(images), 'patient')} have several images, "
        f"{count(several.sum())} of {some(images.sum(), 'image')} (share of images by class: "
        f"{', '.join(by_class)}). In an image-level split {share(table['shared'].mean())} of the "
        "test images are of a patient who also trains; only on these can leakage act, which bounds "
        "what it can add."
    )


def _table(table: pd.DataFrame) -> Table:
    rows = [
        {
            "backbone": row["backbone"],
            "comparison": TEXTS.get(row["comparison"], row["comparison"]),
            "leaky": row["leaky"],
            "clean": row["clean"],
            "difference": row["difference"],
            "interval": f"{difference(row['low'])} to {difference(row['high'])}",
        }
        for row in records(table)
    ]
    labels = {
        "leaky": "Patients on both sides",
        "clean": "Patient-disjoint",
        "interval": f"95{THIN}% interval",
    }
    return table_of(pd.DataFrame(rows), labels, {"interval": str})
