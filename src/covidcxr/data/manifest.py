"""From candidates to the images of the study: drawn by seed, examined, listed in the manifest."""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from covidcxr.data.decode import decode_gray
from covidcxr.data.download import file_digest
from covidcxr.data.hash_index import HashIndex
from covidcxr.data.linked import JOIN, merged_names
from covidcxr.data.sources import TEXTS, filter_candidates, read_source
from covidcxr.data.tables import MANIFEST_COLUMNS, write_table
from covidcxr.errors import InputError
from covidcxr.logs import progress
from covidcxr.seeding import seed_sequence

log = logging.getLogger("covidcxr")

QUARANTINE_COLUMNS = ["path", "label", "source", "reason", "detail"]
COLLECTION_COLUMNS = ["source", "diagnosis", "view", "images", "files"]

HASH_SIZE = 16
HASH_BITS = HASH_SIZE**2
MAX_DISTANCE = 24
"""Differing bits up to which two perceptual hashes mean one film.

Measured on 1,625 radiographs (children, adults, COVID-19): copies that were saved as JPEG (quality
75, 40), halved, enlarged by half or made darker or brighter by a tenth or more differ by 18 bits at
the most, one film published twice with another crop and exposure by 22, the nearest two different
films by 40 (two visits of one patient). With the usual 64 bits different films come as near as 4.
"""
BLANK_RANGE = 16
"""Grey levels between the 1st and 99th percentile below which an image shows nothing.

The flattest of the same 1,625 radiographs spans 71.
"""
THREADS = 2
"""Images examined at a time; the decoders release the interpreter lock."""

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Examination:
    """What a file holds.

    Attributes
    ----------
    sha256
        Of the file's bytes; "" where the file is not fit.
    perceptual
        Perceptual hash, uint64 [4]; zeros where the file is not fit.
    reason, detail
        Why the file is not fit (`missing`, `undecodable`, `blank`); "" where it is.
    """

    sha256: str
    perceptual: npt.NDArray[np.uint64]
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Study:
    """The images of a study: `manifest`, `timeline` (both by `MANIFEST`) and `quarantine`."""

    manifest: pd.DataFrame
    timeline: pd.DataFrame
    quarantine: pd.DataFrame


def examine_image(path: str | Path) -> Examination:
    """Decode a file fully and hash it, or say why it is not fit."""
    nothing = np.zeros(HASH_BITS // 64, np.uint64)
    if not Path(path).is_file():
        return Examination("", nothing, "missing", "no such file")
    try:
        gray = decode_gray(path)
    except InputError as error:
        return Examination("", nothing, "undecodable", str(error))
    blank = blankness(gray)
    if blank:
        return Examination("", nothing, "blank", blank)
    return Examination(file_digest(path), perceptual_hash(gray))


def blankness(gray: npt.NDArray[np.uint8]) -> str:
    """Say in what way an image [height, width] is blank; "" if it is not."""
    low, high = np.percentile(gray[::4, ::4], [1, 99])
    if high - low < BLANK_RANGE:
        return f"98 % of it lies between grey {low:.0f} and {high:.0f}"
    return ""


def perceptual_hash(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return the signs of an image's coarse cosine transform about their median (pHash), 256 bits.

    Parameters
    ----------
    gray
        uint8 [height, width].

    Returns
    -------
    uint64 [4].
    """
    bits = imagehash.phash(Image.fromarray(gray), hash_size=HASH_SIZE).hash
    return np.packbits(bits).view(np.uint64)


class SeenImages:
    """The images admitted so far, by bytes (a dictionary) and by perceptual hash (`HashIndex`)."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._by_sha256: dict[str, int] = {}
        self._hashes = HashIndex(HASH_BITS, MAX_DISTANCE)

    def add(self, path: str, found: Examination) -> None:
        """Admit an image; its number is how many were before."""
        self._by_sha256[found.sha256] = len(self._paths)
        self._paths.append(path)
        self._hashes.add(found.perceptual)

    def repeated(self, found: Examination) -> tuple[int, str, str] | None:
        """Return the number of the admitted image that this one repeats, reason and detail."""
        if found.sha256 in self._by_sha256:
            number = self._by_sha256[found.sha256]
            return number, "duplicate_bytes", f"same bytes as {self._paths[number]}"
        nearest = self._hashes.nearest(found.perceptual)
        if nearest is None:
            return None
        number, distance = nearest
        detail = f"looks like {self._paths[number]} ({distance} of {HASH_BITS} bits differ)"
        return number, "duplicate_perceptual", detail

    def duplicate(self, found: Examination) -> tuple[str, str]:
        """Return why an image repeats an admitted one: reason and detail, "" if it does not."""
        _, reason, detail = self.repeated(found) or (0, "", "")
        return reason, detail


def image_ids(source: str, keys: Iterable[str]) -> list[str]:
    """Name the images of a source `<source>-<file stem made safe>`.

    Where stems collide (letter case apart), eight digits of the key's SHA-256 follow, so that a
    name does not depend on which of the images a study draws.
    """
    keys = list(keys)
    stems = [re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(key).stem)[:100] for key in keys]
    uses = Counter(stem.casefold() for stem in stems)
    return [
        f"{source}-{stem}"
        if uses[stem.casefold()] == 1
        else f"{source}-{stem}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        for key, stem in zip(keys, stems, strict=True)
    ]


def draw_order(candidates: pd.DataFrame, source: str, seed: int) -> pd.DataFrame:
    """Return the candidates in a random order in which each has a place of its own.

    An image's place follows from the seed, the source and its key alone: images that come or go
    leave the order of the others as it was, and so do other sources, classes and filters.
    """
    places = [
        int(seed_sequence(seed, "manifest", source, key).generate_state(1, np.uint64)[0])
        for key in candidates["key"]
    ]
    return candidates.assign(_place=places).sort_values(["_place", "key"]).drop(columns="_place")


class _Drawing:
    """One pass over a study's parts: what was examined, admitted and quarantined so far."""

    def __init__(self, examine: Callable[[Sequence[str]], Iterable[Examination]]) -> None:
        self._examine = examine
        self._seen = SeenImages()
        self._patients: list[str] = []
        self.examined: set[tuple[str, str]] = set()
        self.quarantined: list[dict[str, str]] = []
        self.links: set[tuple[str, str]] = set()

    def draw(
        self, ordered: pd.DataFrame, source: str, labels: Sequence[str], count: int | None
    ) -> pd.DataFrame:
        """Admit the first `count` fit rows of `ordered` (all, if None) as images of the study."""
        admitted: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = [
            {str(name): value for name, value in row.items()}
            for row in ordered.assign(label=labels).to_dict("records")
        ]
        wanted = len(rows) if count is None else count
        start = 0
        # Each round examines no more than are wanted still, in threads, and admits them in order.
        while len(admitted) < wanted and start < len(rows):
            batch = rows[start : start + wanted - len(admitted)]
            start += len(batch)
            found = self._examine([row["path"] for row in batch])
            for row, examination in zip(batch, found, strict=True):
                if self._admit(row, source, examination):
                    admitted.append({**row, "source": source, "sha256": examination.sha256})
        return pd.DataFrame(admitted, columns=[*MANIFEST_COLUMNS, "key"])

    def _admit(self, row: Mapping[str, Any], source: str, found: Examination) -> bool:
        self.examined.add((source, row["key"]))
        patient = f"{source}:{row['patient_id']}"
        reason, detail = found.reason, found.detail
        if not reason and (repeated := self._seen.repeated(found)):
            number, reason, detail = repeated
            if (other := self._patients[number]) != patient:
                self.links.add((patient, other))
                detail += f"; its patient {patient} is taken for {other}"
        if reason:
            entry = [row["path"], row["label"], source, reason, detail]
            self.quarantined.append(dict(zip(QUARANTINE_COLUMNS, entry, strict=True)))
            return False
        self._seen.add(row["path"], found)
        self._patients.append(patient)
        return True


def build_manifest(
    candidates: Mapping[str, pd.DataFrame],
    *,
    classes: Mapping[str, Sequence[Part]],
    timeline_spec: Mapping[str, Any] | None,
    seed: int,
    examine: Callable[[Sequence[str]], Iterable[Examination]],
) -> Study:
    """Choose the images of a study; see `_draw_study` for the order.

    Patients with one film in common are one patient (`linked.merged_names`), so that the split
    keeps all their films together; the manifest gives them one `patient_id` of their joined ids.
    One who so turns out to be a patient of the timeline is in no class: then the study is drawn
    again without that patient. Films that were not drawn link nobody.

    Parameters
    ----------
    candidates
        Of each source, as its reader returns them, `with_image_ids`.
    classes
        Parts of each class: `source`, `count` (None takes all), `where`.
    timeline_spec
        `source` and `where` of the dated patients, or None. Images without a day are left out.
    seed
        Of the run.
    examine
        Examines files, in order, as `examine_image` does one.

    Raises
    ------
    InputError
        If a part has fewer fit images than its count; names every such part, with the reasons.
    """
    excluded: set[tuple[str, str]] = set()
    while True:
        study, also = _draw_study(
            candidates, classes, timeline_spec, seed=seed, examine=examine, excluded=excluded
        )
        if not also:
            return study
        log.warning(
            "%s share a film with a patient of the timeline: drawing again without them",
            ", ".join(":".join(patient) for patient in sorted(also)),
        )
        excluded |= also


def _draw_study(
    candidates: Mapping[str, pd.DataFrame],
    classes: Mapping[str, Sequence[Part]],
    timeline_spec: Mapping[str, Any] | None,
    *,
    seed: int,
    examine: Callable[[Sequence[str]], Iterable[Examination]],
    excluded: set[tuple[str, str]],
) -> tuple[Study, set[tuple[str, str]]]:
    """Choose the images of a study without the `excluded` patients, each (source, patient).

    For each part of each class: the source's candidates that pass `where`, without the patients of
    the timeline and what an earlier part examined, in their `draw_order`, until `count` fit
    images are found. Files that are missing, undecodable, blank, or repeat an image of the study go
    to the quarantine and the next in order takes the place.

    Returns
    -------
    study
        As drawn.
    also
        Patients of its manifest that are one with a patient of the timeline, to be excluded.
    """
    drawing = _Drawing(examine)
    dated, followed = _draw_timeline(drawing, candidates, classes, timeline_spec)
    left_out = followed | excluded
    chosen, shortages = [], []
    for label, parts in classes.items():
        drawn = []
        for part in parts:
            source, count = part["source"], part.get("count")
            passed = filter_candidates(candidates[source], part.get("where") or {})
            free = pd.Series(
                [
                    (source, patient) not in left_out and (source, key) not in drawing.examined
                    for key, patient in zip(passed["key"], passed["patient_id"], strict=True)
                ],
                index=passed.index,
                dtype=bool,
            )
            before = len(drawing.quarantined)
            ordered = draw_order(passed[free], source, seed)
            rows = drawing.draw(ordered, source, [label] * len(ordered), count)
            drawn.append(rows)
            if len(rows) < (count or 1):
                reasons = Counter(entry["reason"] for entry in drawing.quarantined[before:])
                shortages.append(
                    _shortage(
                        label, part, candidates[source], len(passed), sum(free), len(rows), reasons
                    )
                )
        chosen.append(pd.concat(drawn).sort_values("image_id"))
    if shortages:
        raise InputError("\n".join(shortages))
    manifest = _as_manifest(pd.concat(chosen))
    timeline = _as_manifest(dated.sort_values(["patient_id", "day", "image_id"]))
    names = merged_names(
        [*manifest["patient_id"], *(":".join(patient) for patient in followed)], drawing.links
    )
    shown = {names.get(":".join(patient), ":".join(patient)) for patient in followed}
    merged = manifest["patient_id"].map(lambda name: names.get(name, name))
    also = manifest.loc[merged.isin(shown), ["source", "patient_id"]]
    study = Study(
        manifest=manifest.assign(patient_id=merged),
        timeline=timeline.assign(
            patient_id=timeline["patient_id"].map(lambda name: names.get(name, name))
        ),
        quarantine=pd.DataFrame(drawing.quarantined, columns=QUARANTINE_COLUMNS),
    )
    return study, {
        (source, patient.removeprefix(f"{source}:"))
        for source, patient in also.itertuples(index=False)
    }


def _draw_timeline(
    drawing: _Drawing,
    candidates: Mapping[str, pd.DataFrame],
    classes: Mapping[str, Sequence[Part]],
    spec: Mapping[str, Any] | None,
) -> tuple[pd.DataFrame, set[tuple[str, str]]]:
    """Return the timeline's images, and its patients as (source, patient)."""
    if spec is None:
        return pd.DataFrame(columns=[*MANIFEST_COLUMNS, "key"]), set()
    source = spec["source"]
    passed = filter_candidates(candidates[source], spec.get("where") or {})
    dated = passed[passed["day"].notna()].sort_values(["patient_id", "day", "key"])
    if dated.empty:
        log.warning("timeline: no image of source %s with a day passes its filter", source)
    labels = [_label_of(diagnosis, source, classes) for diagnosis in dated["diagnosis"]]
    rows = drawing.draw(dated, source, labels, None)
    return rows, {(source, patient) for patient in passed["patient_id"]}


def _label_of(diagnosis: str, source: str, classes: Mapping[str, Sequence[Part]]) -> str:
    """Return the class that takes this diagnosis from the source, in whatever view; else itself."""
    for label, parts in classes.items():
        for part in parts:
            where = part.get("where") or {}
            if part["source"] == source and diagnosis in where.get("diagnosis", [diagnosis]):
                return label
    return diagnosis


def _shortage(
    label: str,
    part: Part,
    candidates: pd.DataFrame,
    passed: int,
    free: int,
    good: int,
    reasons: Mapping[str, int],
) -> str:
    count = part.get("count")
    text = (
        f"class {label}: source {part['source']} has {good} fit images, "
        f"{'at least 1' if count is None else count} asked for. Of its {len(candidates)} images "
        f"{passed} pass the filter"
    )
    if passed > free:
        text += f", {passed - free} of these are in the timeline's or another part"
    if reasons:
        counts = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
        text += f", {sum(reasons.values())} were quarantined ({counts})"
    if not passed:
        for column in (column for column in part.get("where") or {} if column in TEXTS):
            values = candidates[column].value_counts().index[:8]
            text += f"; values of {column} there: {', '.join(map(repr, values))}"
    return f"{text}. Lower its `count` or widen its `where`"


def _as_manifest(rows: pd.DataFrame) -> pd.DataFrame:
    patients = rows["source"].astype(str) + ":" + rows["patient_id"].astype(str)
    return rows.assign(patient_id=patients)[MANIFEST_COLUMNS].reset_index(drop=True)


def count_collection(source: str, candidates: pd.DataFrame) -> pd.DataFrame:
    """Count a collection's images by diagnosis and view, and those whose files are present."""
    present = pd.Series([Path(path).is_file() for path in candidates["path"]], dtype=int)
    counts = (
        candidates.assign(files=present.to_numpy())
        .groupby(["diagnosis", "view"], as_index=False)
        .agg(images=("key", "size"), files=("files", "sum"))
    )
    return counts.assign(source=source)[COLLECTION_COLUMNS]


def write_manifest(
    roots: Mapping[str, str | Path],
    output_manifest: str | Path,
    quarantine: str | Path,
    timeline: str | Path,
    collections: str | Path,
    *,
    sources: Mapping[str, Mapping[str, Any]],
    classes: Mapping[str, Sequence[Part]],
    timeline_spec: Mapping[str, Any] | None,
    seed: int,
) -> None:
    """Read the sources, choose the images of the study (`build_manifest`) and write its tables.

    Parameters
    ----------
    roots
        Folder of each source's files (see `sources.read_source`); type `csv` needs none.
    output_manifest, quarantine, timeline, collections
        Tables to write.
    sources, classes, timeline_spec, seed
        As in the config.

    Raises
    ------
    InputError
        If a source cannot be read, or has too few fit images.
    """
    candidates = {
        name: with_image_ids(name, read_source(options, roots.get(name, ".")))
        for name, options in sources.items()
    }
    with ThreadPoolExecutor(THREADS) as pool, progress(desc="examining", unit=" images") as bar:

        def examine(paths: Sequence[str]) -> Iterator[Examination]:
            for examination in pool.map(examine_image, paths):
                bar.update()
                yield examination

        study = build_manifest(
            candidates, classes=classes, timeline_spec=timeline_spec, seed=seed, examine=examine
        )
    for label, number in study.manifest["label"].value_counts(sort=False).items():
        log.info("%s: %d images", label, number)
    for reason, number in study.quarantine["reason"].value_counts().items():
        log.warning("%d files quarantined as %s, see %s", number, reason, quarantine)
    for name in sorted({name for name in study.manifest["patient_id"] if JOIN in name}):
        log.warning("%s: one patient for the split, as a film is published under each", name)
    counts = [count_collection(name, frame) for name, frame in candidates.items()]
    write_table(study.quarantine, quarantine)
    write_table(pd.concat(counts), collections)
    write_table(study.timeline, timeline)
    write_table(study.manifest, output_manifest)


def with_image_ids(source: str, candidates: pd.DataFrame) -> pd.DataFrame:
    """Add the column `image_id` to a source's candidates."""
    return candidates.assign(image_id=image_ids(source, candidates["key"]))
