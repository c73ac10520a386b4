"""All exported models in one table, beside the published sizes, and their section of the report."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from covidcxr.data.tables import read_table, write_table
from covidcxr.report.formats import decimal, interval, listing, table_of
from covidcxr.report.section import Section, SectionTable, write_section

MEASURES = (
    *("n", "accuracy", "low", "high", "agreement", "largest_difference", "changed"),
    *("size_mb", "milliseconds"),
)
CHANGED = "†"
LABELS = {
    "size_mb": "MB",
    "published_mb": "MB published",
    "accuracy": "Accuracy (95 % interval)",
    "same_class_as_keras": "Same class as Keras",
    "ms_an_image": "ms an image",
}


def run(
    tables: Sequence[str | Path], published: str | Path, table: str | Path, section: str | Path
) -> None:
    """Write `export.csv` (backbone, augmentation, format, the measures, published_mb), its section.

    Parameters
    ----------
    tables
        Of `covidcxr.deploy.export_model`, one of each model.
    published
        Published results with `backbone` and `size_mb`.
    """
    known = read_table(published, ["backbone", "size_mb"], ["size_mb"]).dropna(subset="size_mb")
    sizes = known.drop_duplicates("backbone").set_index("backbone")["size_mb"]
    named = ["backbone", "augmentation", "format"]
    rows = pd.concat([read_table(path, named, MEASURES) for path in tables], ignore_index=True)
    exported = rows.assign(published_mb=rows["backbone"].map(sizes))
    write_table(exported, table)
    write_section(section, section_of(exported))


def section_of(exported: pd.DataFrame) -> Section:
    """Say whether an export changes the accuracy, and set the table."""
    rows = exported.to_dict("records")
    changed = [f"{row['backbone']} {row['format']}" for row in rows if row["changed"]]
    verdict = (
        f"{listing(changed)}: the accuracy leaves the 95 % interval of the Keras model "
        f"({CHANGED}); do not use."
        if changed
        else "No export changes the accuracy beyond the 95 % interval of the Keras model. That is "
        "a weak test on few images: see also how many images keep their class."
    )
    shown = exported[["backbone", "augmentation", "format", "size_mb", "published_mb"]].assign(
        accuracy=[interval(row["accuracy"], row["low"], row["high"]) for row in rows],
        same_class_as_keras=exported["agreement"],
        ms_an_image=exported["milliseconds"],
        format=[row["format"] + f" {CHANGED}" * bool(row["changed"]) for row in rows],
    )
    forms = dict.fromkeys(("size_mb", "published_mb", "ms_an_image"), decimal)
    return Section(
        ident="export",
        title="Models for other devices",
        part="methods",
        paragraphs=(verdict,),
        method=(
            "The ensemble of each backbone as LiteRT (TensorFlow Lite): float32, float16 weights, "
            "and int8 with ranges from up to 100 training images. Milliseconds are the median for "
            "one image alone on the processor of this run; on another they differ.",
        ),
        tables=(
            SectionTable(
                "export",
                "Size on disk, accuracy on the test set, and speed of the exported models.",
                table_of(shown, LABELS, forms),
            ),
        ),
        folded=True,
    )
