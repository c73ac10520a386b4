"""Leakage audit: patients and copies of images that stand on two sides of a division of the images.

Independent of how the division was made: patients are compared by collection, and images with
`data.same_image`.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from covidcxr.array_types import Grey
from covidcxr.data.same_image import SAME, same_images
from covidcxr.data.source import open_source
from covidcxr.data.tables import read_manifest, read_split, write_table
from covidcxr.report.formats import count, listing, ratio, some, table_of
from covidcxr.report.section import Check, Section, SectionTable, first_sentence, write_section

FINDINGS = ["check", "between", "image_a", "image_b", "patient_a", "patient_b", "likeness"]
SUMMARY = ["check", "between", "compared", "found"]
PATIENT, COPY = "patient", "copy"
FOLDS, TRAINING, TEST = "folds", "training", "test"
"""Sides of the run; others are external sets."""
NAMES = {PATIENT: "patient", COPY: "image"}
LISTED = 50
"""Findings that the report lists at most."""


def between(place_a: str, place_b: str) -> str:
    """Name the boundary that a pair of places crosses."""
    sides = {TRAINING if place.startswith("fold ") else place for place in (place_a, place_b)}
    if sides == {TRAINING}:
        return FOLDS
    if sides == {TRAINING, TEST}:
        return "training and test"
    return " and ".join(sorted(sides))


def shared_patients(images: pd.DataFrame) -> list[tuple[int, int]]:
    """Return a pair of rows for every patient and pair of places in which he has images."""
    pairs = []
    first = images.reset_index(drop=True).reset_index(names="row")
    first = first.drop_duplicates(["person", "place"])
    for _, rows in first.groupby("person", sort=False)["row"]:
        pairs += list(combinations(rows.tolist(), 2))
    return pairs


def audit(images: pd.DataFrame, pictures: Sequence[Grey]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look for what stands on two sides.

    Parameters
    ----------
    images
        Images of the run and of external sets together: image_id, person (the patient by
        collection), place (`test`, `fold 0`, ..., or the external set).
    pictures
        Each uint8 [height, width].

    Returns
    -------
    findings
        check (`patient`, `copy`), between, image_a, image_b, patient_a, patient_b, likeness (of
        copies).
    summary
        check, between, compared (patients, or pairs of images), found.
    """
    images = images.reset_index(drop=True)
    places = images["place"]
    found = [(PATIENT, a, b, np.nan) for a, b in shared_patients(images)]
    found += [
        (COPY, pair.first, pair.second, round(pair.likeness, 3))
        for pair in same_images(pictures)
        if places[pair.first] != places[pair.second]
    ]
    named = images[["image_id", "person"]].to_numpy()
    rows = [
        (check, between(places[a], places[b]), *named[[a, b]].T.ravel(), likeness)
        for check, a, b, likeness in found
    ]
    findings = pd.DataFrame(rows, columns=FINDINGS)
    return findings, _summary(findings, images)


def _summary(findings: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    sizes = images["place"].value_counts(sort=False)
    people = images.groupby("place", sort=False)["person"].agg(set)
    pairs: dict[str, int] = {}
    persons: dict[str, set[str]] = {}
    for a, b in combinations(sizes.index, 2):
        boundary = between(a, b)
        pairs[boundary] = pairs.get(boundary, 0) + int(sizes[a] * sizes[b])
        persons.setdefault(boundary, set()).update(people[a] | people[b])
    counts = findings.groupby(["check", "between"]).size().to_dict()
    return pd.DataFrame(
        [
            (check, boundary, compared, counts.get((check, boundary), 0))
            for boundary in pairs
            for check, compared in ((PATIENT, len(persons[boundary])), (COPY, pairs[boundary]))
        ],
        columns=SUMMARY,
    )


def run(
    tables: Sequence[str | Path],
    images: Sequence[str | Path],
    split: str | Path,
    findings: str | Path,
    summary: str | Path,
    section: str | Path,
    *,
    sets: Sequence[str],
    sources: Mapping[str, Mapping[str, Any]],
) -> None:
    """Audit a run and its external sets (`audit`) and write findings and summary.

    Parameters
    ----------
    tables, images
        Of the run and of each external set: table of images, and uint8 [n, size, size] in its
        order.
    split
        Of the run.
    findings, summary, section
        CSV files, and the section of the report, to write.
    sets
        Names of the external sets.
    sources
        The config's sources, by which a patient's collection is known.
    """
    own, *external = (read_manifest(path) for path in tables)
    own = own.merge(read_split(split), on="image_id", validate="one_to_one")
    own["place"] = [
        "test" if part == "test" else f"fold {fold}"
        for part, fold in zip(own["split"], own["fold"], strict=True)
    ]
    named = [table.assign(place=name) for name, table in zip(sets, external, strict=True)]
    everything = pd.concat([own, *named], ignore_index=True)
    everything["person"] = [
        f"{open_source(sources[source]).collection}:{patient.removeprefix(f'{source}:')}"
        for source, patient in zip(everything["source"], everything["patient_id"], strict=True)
    ]
    pictures = [picture for path in images for picture in np.load(path, mmap_mode="r")]
    found, counts = audit(everything[["image_id", "person", "place"]], pictures)
    write_table(found, findings)
    write_table(counts, summary)
    write_section(section, section_of(found, counts))


def section_of(findings: pd.DataFrame, summary: pd.DataFrame) -> Section:
    """Say what the audit found; external sets may share images, of which none trains."""
    shared = {
        str(boundary): f"between {boundary} "
        + listing(
            f"{some(number, NAMES[check])} on both sides"
            for check, number in zip(rows["check"], rows["found"], strict=True)
        )
        for boundary, rows in summary[summary["found"] > 0].groupby("between", sort=False)
    }
    found = any({FOLDS, TRAINING, TEST} & {*side.split(" and ")} for side in shared)
    first = "" if found else "No patient and no copy of an image stands on two sides of the run."
    if shared:
        first = f"{first} {'Leakage' if found else 'Shared'}: {'; '.join(shared.values())}.".strip()
    compared = [
        some(number, "patient" if check == PATIENT else "pair")
        for check, number in zip(summary["check"], summary["compared"], strict=True)
    ]
    more = f" (the first {LISTED} of {count(len(findings))})" if len(findings) > LISTED else ""
    columns = ["between", "check", "image_a", "image_b", "likeness"]
    return Section(
        ident="leakage",
        title="Leakage audit",
        part="validity",
        paragraphs=(first,),
        method=(
            "Sides are the test set, each fold and each external set. Patients are compared by "
            "collection. Images are the same where they register on each other with a median "
            f"correlation of {ratio(SAME)} or more: scaled, re-encoded, cropped or mirrored. "
            "Images that show one patient under two numbers without being copies are not found.",
        ),
        checks=(Check("Leakage", "warning" if found else "pass", first_sentence(first)),),
        tables=(
            SectionTable(
                "leakage_summary",
                "What was compared and found",
                table_of(summary[["between", "check", "found"]].assign(compared=compared)),
                folded=True,
            ),
            SectionTable(
                "leakage",
                f"Findings of the leakage audit{more}",
                table_of(
                    findings[columns].head(LISTED),
                    {"image_a": "Image", "image_b": "Other image"},
                    {"likeness": ratio},
                ),
                folded=True,
            ),
        )[: 1 + bool(len(findings))],
    )
