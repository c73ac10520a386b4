"""Leakage audit: patients and near copies that stand on two sides of a division of the images.

Three checks, independent of how the division was made: patients by collection; perceptual hashes of
all pairs; and near copies that a hash misses (crops, small turns), for which features propose each
image's nearest neighbours and registration of the two pictures decides. Cosine similarity alone
cannot decide: measured on 742 films (docs/audits.md), a film and its copy saved as JPEG are no more
alike to the EfficientNetB0 stand-in or to random weights than films of different patients.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.data.examination import HASH_BITS, MAX_DISTANCE, perceptual_hash
from covidcxr.data.source import open_source
from covidcxr.data.tables import read_manifest, read_split, write_table
from covidcxr.logs import progress
from covidcxr.report.formats import count, listing, ratio, some, table_of
from covidcxr.report.section import Check, Section, SectionTable, write_section

NEIGHBOURS = 3
"""Nearest images by features, on other sides, that are proposed for each image."""

REGISTERED = 0.98
"""Correlation of two registered pictures from which they count as one film.

Measured on 742 films (docs/audits.md): copies of 60 of them saved as JPEG (quality 40), halved or
made darker reach 0.984 at least, cropped by 2 % a side or turned by 2 degrees 0.982, cropped by
5 % 0.983 in the middle; the nearest films of other patients 0.963 at most, and the demo's phantoms,
which are more alike, 0.977.
"""
SIDE = 96
"""Side in pixels at which pictures are registered."""

FINDINGS = ["check", "between", "image_a", "image_b", "patient_a", "patient_b", "value", "unit"]
SUMMARY = ["check", "between", "compared", "found"]
PATIENT, HASH, COPY = "patient", "perceptual hash", "registration"
NAMES = {
    PATIENT: "patients on both sides",
    HASH: "pairs with like perceptual hashes",
    COPY: "pairs that register as one image",
}
LISTED = 50
"""Findings that the report lists at most."""
UNITS = {PATIENT: "", HASH: f"of {HASH_BITS} bits differ", COPY: "correlation"}

Pictures = npt.NDArray[np.uint8]
Places = npt.NDArray[np.str_]


class Cohort(NamedTuple):
    """Images of the run and of external sets together.

    Attributes
    ----------
    images
        image_id, person (the patient by collection), place (`test`, `fold 0`, ..., or the external
        set), source.
    pictures
        uint8 [n, size, size].
    features
        float [n, channels].
    """

    images: pd.DataFrame
    pictures: Pictures
    features: npt.NDArray[np.floating]


def between(place_a: str, place_b: str) -> str:
    """Name the boundary that a pair of places crosses."""
    sides = {"training" if place.startswith("fold ") else place for place in (place_a, place_b)}
    if sides == {"training"}:
        return "folds"
    if sides == {"training", "test"}:
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


def similar_hashes(pictures: Pictures, places: Places) -> list[tuple[int, int, float]]:
    """Return rows in different places whose perceptual hashes differ by `MAX_DISTANCE` at most.

    Returns
    -------
    (row, later row, differing bits) of each pair.
    """
    hashes = np.stack([perceptual_hash(picture) for picture in pictures])
    found = []
    for row in range(len(hashes) - 1):
        bits = np.bitwise_count(hashes[row + 1 :] ^ hashes[row]).sum(axis=1, dtype=int)
        near = np.flatnonzero((bits <= MAX_DISTANCE) & (places[row + 1 :] != places[row]))
        found += [(row, row + 1 + int(k), float(bits[k])) for k in near]
    return found


def nearest_elsewhere(
    features: npt.NDArray[np.floating], places: Places, neighbours: int = NEIGHBOURS
) -> list[tuple[int, int]]:
    """Return each row with its nearest rows in other places, by cosine of standardised features."""
    variance = features.var(axis=0)
    # A floor, as in training: features that are all but constant must not decide.
    values = (features - features.mean(axis=0)) / np.sqrt(variance + 1e-3 * variance.mean() + 1e-12)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    pairs = set()
    for row, value in enumerate(values):
        alike = values @ value
        alike[places == places[row]] = -np.inf
        for other in np.argsort(-alike)[:neighbours]:
            if np.isfinite(alike[other]):
                pairs.add((min(row, int(other)), max(row, int(other))))
    return sorted(pairs)


def prepared(picture: Pictures) -> Pictures:
    """Shrink a picture to `SIDE` and even out its contrast, as registration takes it."""
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.createCLAHE(2.0, (4, 4)).apply(small), np.uint8)


def registered_correlation(a: Pictures, b: Pictures) -> float:
    """Register two `prepared` pictures by an affine map; return their correlation, 0 without one.

    Maximises the enhanced correlation coefficient (Evangelidis & Psarakis, IEEE PAMI 30, 1858
    (2008)), which contrast and brightness do not change.
    """
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        value, warp = cv2.findTransformECC(a, b, start, cv2.MOTION_AFFINE, criteria, None, 5)
    except cv2.error:  # no common picture was found
        return 0.0
    area = float(np.linalg.det(warp[:, :2]))
    return float(value) if 0.5 < area < 2 else 0.0


def audit(cohort: Cohort) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look for what stands on two sides.

    Returns
    -------
    findings
        check (`patient`, `perceptual hash`, `registration`), between, image_a, image_b, patient_a,
        patient_b, value (bits or correlation), unit.
    summary
        check, between, compared (patients, or pairs of images), found.
    """
    images = cohort.images.reset_index(drop=True)
    places = images["place"].to_numpy(str)
    patients = shared_patients(images)
    hashes = similar_hashes(cohort.pictures, places)
    proposed = nearest_elsewhere(cohort.features, places)
    small = [prepared(picture) for picture in cohort.pictures]
    copies = [
        (a, b, value)
        for a, b in progress(proposed, desc="registering", unit="pair")
        if (value := registered_correlation(small[a], small[b])) >= REGISTERED
    ]
    found = [(PATIENT, a, b, np.nan) for a, b in patients]
    found += [(HASH, *pair) for pair in hashes] + [(COPY, *pair) for pair in copies]
    rows = [
        {
            "check": check,
            "between": between(places[a], places[b]),
            "image_a": images["image_id"][a],
            "image_b": images["image_id"][b],
            "patient_a": images["person"][a],
            "patient_b": images["person"][b],
            "value": round(value, 3),
            "unit": UNITS[check],
        }
        for check, a, b, value in found
    ]
    findings = pd.DataFrame(rows, columns=FINDINGS)
    return findings, _summary(findings, images, proposed)


def _summary(
    findings: pd.DataFrame, images: pd.DataFrame, proposed: list[tuple[int, int]]
) -> pd.DataFrame:
    sizes = images["place"].value_counts(sort=False)
    people = images.groupby("place", sort=False)["person"].agg(set)
    compared: dict[tuple[str, str], int] = {}
    everyone: dict[str, set[str]] = {}
    for a, b in combinations(sizes.index, 2):
        boundary = between(a, b)
        compared[HASH, boundary] = compared.get((HASH, boundary), 0) + int(sizes[a] * sizes[b])
        everyone.setdefault(boundary, set()).update(people[a] | people[b])
    for boundary, persons in everyone.items():
        compared[PATIENT, boundary] = len(persons)
        compared[COPY, boundary] = 0
    for a, b in proposed:
        compared[COPY, between(images["place"][a], images["place"][b])] += 1
    counts = findings.groupby(["check", "between"]).size().to_dict()
    return pd.DataFrame(
        [
            (check, boundary, compared[check, boundary], counts.get((check, boundary), 0))
            for boundary in everyone
            for check in (PATIENT, HASH, COPY)
        ],
        columns=SUMMARY,
    )


def pooled(features: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return one vector an image: pooled features; of uint8 pictures, a coarse picture."""
    if features.dtype == np.uint8:
        small = [
            cv2.resize(np.asarray(one), (16, 16), interpolation=cv2.INTER_AREA) for one in features
        ]
        return np.stack(small).reshape(len(features), -1).astype(np.float64)
    return np.asarray(features, np.float64).mean(axis=tuple(range(1, features.ndim - 1)))


def run(
    tables: Sequence[str | Path],
    images: Sequence[str | Path],
    features: Sequence[str | Path],
    split: str | Path,
    findings: str | Path,
    summary: str | Path,
    section: str | Path,
    *,
    backbone: str,
    sets: Sequence[str],
    sources: Mapping[str, Mapping[str, Any]],
) -> None:
    """Audit a run and its external sets (`audit`) and write findings and summary.

    Parameters
    ----------
    tables, images, features
        Of the run and of each external set: table of images; uint8 [n, size, size] in its order;
        and features of one backbone in its order.
    split
        Of the run.
    findings, summary, section
        CSV files, and the section of the report, to write.
    backbone
        Whose features they are.
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
    cohort = Cohort(
        everything[["image_id", "person", "place"]],
        np.concatenate([np.load(path) for path in images]),
        np.concatenate([pooled(np.load(path, mmap_mode="r")) for path in features]),
    )
    found, counts = audit(cohort)
    write_table(found, findings)
    write_table(counts, summary)
    write_section(section, section_of(found, counts, backbone))


def section_of(findings: pd.DataFrame, summary: pd.DataFrame, backbone: str) -> Section:
    """Say what the audit found."""
    found = [
        f"between {boundary} "
        + listing(
            f"{count(number)} {NAMES[check]}"
            for check, number in zip(rows["check"], rows["found"], strict=True)
        )
        for boundary, rows in summary[summary["found"] > 0].groupby("between", sort=False)
    ]
    nothing = "No patient and no copy of an image stands on two sides."
    first = f"Leakage: {'; '.join(found)}." if found else nothing
    compared = [
        some(number, "patient" if check == PATIENT else "pair")
        for check, number in zip(summary["check"], summary["compared"], strict=True)
    ]
    more = f" (the first {LISTED} of {count(len(findings))})" if len(findings) > LISTED else ""
    columns = ["between", "check", "image_a", "image_b", "value", "unit"]
    return Section(
        ident="leakage",
        title="Leakage audit",
        part="validity",
        paragraphs=(first,),
        method=(
            "Sides are the test set, each fold and each external set. Patients are compared by "
            "collection, perceptual hashes between all images; for crops and turned copies, which "
            f"a hash misses, each image’s nearest neighbours by {backbone} features are registered "
            f"on it, and a correlation of {ratio(REGISTERED)} counts as one image. Images that "
            "show one patient under two numbers without being copies are not found.",
        ),
        checks=(Check("Leakage", "warning" if found else "pass", first),),
        tables=(
            SectionTable(
                "leakage_summary",
                "What was compared and found",
                table_of(summary[["between", "check", "found"]].assign(compared=compared)),
            ),
            SectionTable(
                "leakage",
                f"Findings of the leakage audit{more}",
                table_of(
                    findings[columns].head(LISTED),
                    {"image_a": "Image", "image_b": "Other image"},
                    {"value": "{:g}".format},
                ),
            ),
        )[: 1 + bool(len(findings))],
    )
