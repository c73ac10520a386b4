"""The models exported for other devices."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report.facts import Run, records
from covidcxr.report.formats import MISSING, Column, Table, decimal, listing, ratio
from covidcxr.report.sections.section import Section, SectionTable

CHANGED = "†"


def section(_: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run exports no model."""
    if "export" not in tables or tables["export"].empty:
        return None
    rows = records(tables["export"])
    changed = [f"{row['backbone']} {row['format']}" for row in rows if row["changed"]]
    verdict = (
        f"{listing(changed)}: the accuracy leaves the 95 % interval of the Keras model "
        f"({CHANGED}); do not use."
        if changed
        else "No export changes the accuracy beyond the 95 % interval of the Keras model. That is "
        "a weak test on few images: see also how many images keep their class."
    )
    columns = [
        Column("Backbone"),
        Column("Augmentation"),
        Column("Format"),
        Column("here", "MB", True),
        Column("published", "MB", True),
        Column("Accuracy (95 % interval)", "", True),
        Column("Same class as Keras", "", True),
        Column("ms an image", "", True),
    ]
    cells = [
        [
            row["backbone"],
            row["augmentation"],
            row["format"] + (f" {CHANGED}" if row["changed"] else ""),
            decimal(row["size_mb"]),
            MISSING if pd.isna(row["published_mb"]) else decimal(row["published_mb"]),
            f"{ratio(row['accuracy'])} ({ratio(row['low'])}–{ratio(row['high'])})",
            ratio(row["agreement"]),
            decimal(row["milliseconds"]),
        ]
        for row in rows
    ]
    return Section(
        ident="export",
        title="Models for other devices",
        paragraphs=[
            verdict,
            "Fold 0's model of each backbone as LiteRT (TensorFlow Lite): float32, float16 "
            "weights, and int8 with ranges from up to 100 training images. Milliseconds are the "
            "median for one image alone on the processor of this run; on another they differ.",
        ],
        tables=[
            SectionTable(
                "export",
                "Size on disk, accuracy on the test set, and speed of the exported models.",
                Table(columns, cells),
            )
        ],
    )
