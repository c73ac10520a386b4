"""Images sampled from sources, class by class: in random order, each examined, until enough fit."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from covidcxr.data.examination import Examination, Examiner, SeenImages
from covidcxr.data.source import TEXTS, filter_candidates, open_source
from covidcxr.data.tables import MANIFEST_COLUMNS, write_table
from covidcxr.errors import InputError
from covidcxr.logs import log
from covidcxr.seeding import seed_sequence

EXCLUDED_COLUMNS = ["path", "label", "source", "reason", "detail"]
CONFLICT = "conflicting_labels"

Part = Mapping[str, Any]
Classes = Mapping[str, Sequence[Part]]
"""Parts of each class: `source`, `count` (None takes all) and `where`."""
Row = dict[str, Any]


def image_ids(source: str, keys: Iterable[str]) -> list[str]:
    """Name the images of a source `<source>-<file stem made safe>`.

    Where stems collide (letter case apart), eight digits of the key's SHA-256 follow, so that a
    name does not depend on which of the images a study samples.
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


def list_candidates(
    sources: Mapping[str, Mapping[str, Any]], folders: Sequence[str | Path], names: Iterable[str]
) -> dict[str, pd.DataFrame]:
    """List the candidates of the named sources, each with the columns `image_id` and `source`.

    A source that names no site of an image is its site.

    Parameters
    ----------
    sources
        As in the config.
    folders
        Of the sources whose files the workflow fetches or makes, each named as its source.

    Raises
    ------
    InputError
        If a source cannot be read.
    """
    found = {}
    folder_of = {Path(folder).name: folder for folder in folders}
    for name in sorted(set(names)):
        frame = open_source(sources[name], folder_of.get(name, "")).candidates()
        found[name] = frame.assign(
            image_id=image_ids(name, frame["key"]),
            source=name,
            site=frame["site"].mask(frame["site"] == "", name),
        )
    return found


def sampling_order(candidates: pd.DataFrame, source: str, seed: int) -> pd.DataFrame:
    """Return the candidates in a random order in which each has a place of its own.

    An image's place follows from the seed, the source and its key alone: images that come or go
    leave the order of the others as it was, and so do other sources, classes and filters.
    """
    places = [
        int(seed_sequence(seed, "manifest", source, key).generate_state(1, np.uint64)[0])
        for key in candidates["key"]
    ]
    return candidates.assign(_place=places).sort_values(["_place", "key"]).drop(columns="_place")


class ShortageError(InputError):
    """A class has too few fit images; `excluded` has the columns `EXCLUDED_COLUMNS`."""

    def __init__(self, message: str, excluded: pd.DataFrame) -> None:
        super().__init__(message)
        self.excluded = excluded


class Sampler:
    """One pass over sources: what was seen so far, and what was left out and why."""

    def __init__(self, examine: Examiner) -> None:
        self._examine = examine
        self._seen = SeenImages(examine)
        self._rows: list[Row] = []
        self._reasons: list[str | None] = []
        self.examined: set[tuple[str, str]] = set()
        self.excluded: list[dict[str, str]] = []
        self.links: set[tuple[str, str]] = set()
        self.conflicts: list[tuple[Row, Row]] = []

    def know(self, rows: Sequence[Row], reason: str | None = None) -> None:
        """Take images for seen; what repeats one is left out for `reason`, "" as a duplicate."""
        for row, found in zip(rows, self._examine([row["path"] for row in rows]), strict=True):
            self._remember(row, found, reason)

    def sample(self, ordered: pd.DataFrame, count: int | None = None) -> pd.DataFrame:
        """Take the first `count` fit rows of `ordered` (all, if None).

        `ordered` has the columns of `list_candidates`, and `label`. What repeats an image is left
        out as a duplicate; with another label as conflicting, and both images are in `conflicts`.
        """
        rows = records(ordered)
        taken: list[Row] = []
        wanted, start = len(rows) if count is None else count, 0
        # Each round examines no more than are wanted still, in threads, and takes them in order.
        while len(taken) < wanted and start < len(rows):
            batch = rows[start : start + wanted - len(taken)]
            start += len(batch)
            found = self._examine([row["path"] for row in batch])
            for row, examination in zip(batch, found, strict=True):
                if reason := self._unfit(row, examination):
                    self.exclude(row, *reason)
                    continue
                self._remember(row, examination, None)
                self.examined.add((row["source"], row["key"]))
                taken.append({**row, "sha256": examination.sha256})
        return pd.DataFrame(taken, columns=[*MANIFEST_COLUMNS, "key"])

    def left_out(self) -> pd.DataFrame:
        """Return the images left out: `EXCLUDED_COLUMNS`."""
        return pd.DataFrame(self.excluded, columns=EXCLUDED_COLUMNS)

    def exclude(self, row: Row, reason: str, detail: str) -> None:
        """Leave an image out for a reason."""
        self.examined.add((row["source"], row["key"]))
        entry = (row["path"], row["label"], row["source"], reason, detail)
        self.excluded.append(dict(zip(EXCLUDED_COLUMNS, entry, strict=True)))

    def exclude_conflict(self, first: Row, other: Row) -> None:
        """Leave out two images that are one under two labels, and whatever repeats them."""
        for row, twin in ((first, other), (other, first)):
            if (row["source"], row["key"]) not in self.examined:
                self.exclude(
                    row, CONFLICT, f"the same image as {twin['path']}, labelled {twin['label']}"
                )
                self.know([row], CONFLICT)
        self._link(first, other)

    def _unfit(self, row: Row, found: Examination) -> tuple[str, str] | None:
        if found.reason:
            return found.reason, found.detail
        repeated = self._seen.repeated(found)
        if repeated is None:
            return None
        number, reason, detail = repeated
        first = self._rows[number]
        if self._reasons[number] is None and first["label"] != row["label"]:
            self.conflicts.append((first, row))
        # Known images of a finished table have the names of their patients already.
        if "key" in first and self._link(row, first):
            detail += f"; its patient {_patient(row)} is taken for {_patient(first)}"
        return self._reasons[number] or reason, detail

    def _link(self, row: Row, other: Row) -> bool:
        pair = _patient(row), _patient(other)
        if pair[0] != pair[1]:
            self.links.add(pair)
        return pair[0] != pair[1]

    def _remember(self, row: Row, found: Examination, reason: str | None) -> None:
        self._seen.add(row["path"], found)
        self._rows.append(row)
        self._reasons.append(reason)


def _patient(row: Row) -> str:
    return f"{row['source']}:{row['patient_id']}"


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a table."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def without(rows: pd.DataFrame, column: str, values: Collection[tuple[str, str]]) -> pd.DataFrame:
    """Return the rows whose source and value of `column` are not among `values`."""
    pairs = zip(rows["source"], rows[column], strict=True)
    return rows[np.array([pair not in values for pair in pairs], bool)]


def sample_classes(
    candidates: Mapping[str, pd.DataFrame],
    classes: Classes,
    *,
    seed: int,
    examine: Examiner,
    known: Sequence[Row],
    known_reason: str,
    usable: Callable[[Sampler, pd.DataFrame], pd.DataFrame],
) -> tuple[pd.DataFrame, Sampler]:
    """Sample the images of every class, part by part.

    For each part: the source's candidates that pass `where`, without what an earlier part examined,
    in their `sampling_order`, until `count` fit images are found. Files that are missing, cannot be
    read, are blank or repeat an image are left out, and the next in order takes the place. An image
    under two labels is left out under both.

    Parameters
    ----------
    candidates
        Of each source, see `list_candidates`.
    known, known_reason
        Images of which no copy may be sampled, and the reason, see `Sampler.know`.
    usable
        Returns which of a part's candidates may be sampled; may leave some out with a reason.

    Returns
    -------
    The images, classes in order and sorted by id (`MANIFEST` and `key`; patients without their
    source), and the sampler that says what was left out.

    Raises
    ------
    InputError
        If a part has fewer fit images than its count; names every such part, with the reasons.
    """
    conflicts: list[tuple[Row, Row]] = []
    while True:
        sampler = Sampler(examine)
        sampler.know(known, known_reason)
        for pair in conflicts:
            sampler.exclude_conflict(*pair)
        chosen, shortages = [], []
        for label, parts in classes.items():
            sampled = []
            for part in parts:
                source, count = part["source"], part.get("count")
                passed = filter_candidates(candidates[source], part.get("where") or {})
                labelled = passed.assign(label=label)
                free = without(labelled, "key", sampler.examined)
                before = len(sampler.excluded)
                free = usable(sampler, free)
                rows = sampler.sample(sampling_order(free, source, seed), count)
                sampled.append(rows)
                if len(rows) < (count or 1):
                    left_out = sampler.excluded[before:]
                    shortages.append(
                        _shortage(label, part, candidates[source], passed, free, rows, left_out)
                    )
            chosen.append(pd.concat(sampled).sort_values("image_id"))
        if not sampler.conflicts:
            break
        conflicts += sampler.conflicts
    if shortages:
        raise ShortageError("\n".join(shortages), sampler.left_out())
    return pd.concat(chosen), sampler


def _shortage(
    label: str,
    part: Part,
    candidates: pd.DataFrame,
    passed: pd.DataFrame,
    free: pd.DataFrame,
    sampled: pd.DataFrame,
    excluded: Sequence[Mapping[str, str]],
) -> str:
    count = part.get("count")
    reasons = Counter(entry["reason"] for entry in excluded)
    text = (
        f"class {label}: source {part['source']} has {len(sampled)} fit images, "
        f"{'at least 1' if count is None else count} asked for. Of its {len(candidates)} images "
        f"{len(passed)} pass the filter"
    )
    if len(passed) > len(free):
        text += f", {len(passed) - len(free)} of these are in use elsewhere (another part, the "
        text += "timeline or the run) or conflict"
    if reasons:
        counts = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
        text += f", {sum(reasons.values())} were left out ({counts})"
    if not len(passed):
        for column in (column for column in part.get("where") or {} if column in TEXTS):
            values = candidates[column].value_counts().index[:8]
            text += f"; values of {column} there: {', '.join(map(repr, values))}"
    missing = [entry["path"] for entry in excluded if entry["reason"] == "missing"]
    if missing:
        return f"{text}. Looked for {', '.join(missing[:3])}: correct the paths in the table"
    return f"{text}. Lower its `count` or widen its `where`"


def as_manifest(rows: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return sampled images by `MANIFEST`; a patient is `<source>:<patient>`, or as in `names`."""
    patients = rows["source"].astype(str) + ":" + rows["patient_id"].astype(str)
    people = [names.get(name, name) for name in patients]
    return rows.assign(patient_id=people)[MANIFEST_COLUMNS].reset_index(drop=True)


def write_excluded(excluded: pd.DataFrame, path: str | Path) -> None:
    """Write the images left out, and say how many for which reason."""
    for reason, number in excluded["reason"].value_counts().items():
        log.warning("%d images left out as %s, see %s", number, reason, path)
    write_table(excluded, path)


@contextmanager
def shortages_listed(excluded: str | Path) -> Iterator[None]:
    """Where a class has too few images, list those left out in `logs/`, which a failure leaves."""
    try:
        yield
    except ShortageError as error:
        place = Path(excluded)
        data = next(folder for folder in place.parents if folder.name == "data")
        listed = data.with_name("logs") / place.relative_to(data)
        write_table(error.excluded, listed)
        raise InputError(f"{error}. {listed} lists each image left out, and why") from None
