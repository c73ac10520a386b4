"""Images that no model of the run has seen: an external test set, free of the run's patients."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from covidcxr.data.linked import separated
from covidcxr.data.manifest import (
    QUARANTINE_COLUMNS,
    THREADS,
    Examination,
    Part,
    SeenImages,
    draw_order,
    examine_image,
    with_image_ids,
)
from covidcxr.data.sources import filter_candidates, read_source
from covidcxr.data.tables import MANIFEST_COLUMNS, read_manifest, write_table
from covidcxr.errors import InputError
from covidcxr.logs import progress

log = logging.getLogger("covidcxr")

IN_RUN = "patient_in_run"
LIKE_RUN = "image_in_run"

Examine = Callable[[Sequence[str]], Iterable[Examination]]


@dataclass(frozen=True)
class ExternalSet:
    """An external test set: `images` by `MANIFEST`, and what was `excluded`, with the reason."""

    images: pd.DataFrame
    excluded: pd.DataFrame


def population(options: Mapping[str, Any]) -> str:
    """Name the collection of a source: two sources of one collection share its patients.

    A table of one's own is known by its place; of the other types there is one collection each.
    """
    if options["type"] == "csv":
        return str(Path(options["table"]).resolve())
    # The published subset of NIH's films keeps the patients' numbers.
    return str(options["type"]).removesuffix("_subset")


def known_patients(
    run_images: pd.DataFrame, sources: Mapping[str, Mapping[str, Any]]
) -> set[tuple[str, str]]:
    """Return the run's patients as (collection, patient), the collections by `population`."""
    return {
        (population(sources[source]), patient)
        for name in run_images["patient_id"].unique()
        for source, patient in separated(name, sources)
    }


class _Choosing:
    """What was chosen and excluded so far."""

    def __init__(self, patients: set[tuple[str, str]], images: set[str], examine: Examine) -> None:
        self.of_run, self._of_set = SeenImages(), SeenImages()
        self._patients, self._images, self._examine = patients, images, examine
        self._examined: set[tuple[str, str]] = set()
        self.chosen: list[dict[str, Any]] = []
        self.excluded: list[dict[str, str]] = []

    def draw(self, ordered: pd.DataFrame, collection: str, count: int | None) -> int:
        """Take the first `count` usable rows (all, if None); return how many there were."""
        waiting: list[dict[str, Any]] = []
        for record in ordered.to_dict("records"):
            row = {str(name): value for name, value in record.items()}
            if (row["source"], row["key"]) in self._examined:
                continue
            if row["image_id"] in self._images:
                self._exclude(row, LIKE_RUN, "the run has drawn it")
            elif (collection, row["patient_id"]) in self._patients:
                self._exclude(row, IN_RUN, f"patient {row['patient_id']} has images in the run")
            else:
                waiting.append(row)
        wanted, kept, start = len(waiting) if count is None else count, 0, 0
        while kept < wanted and start < len(waiting):
            batch = waiting[start : start + wanted - kept]
            start += len(batch)
            found = self._examine([row["path"] for row in batch])
            for row, examination in zip(batch, found, strict=True):
                kept += self._admit(row, examination)
        return kept

    def _admit(self, row: dict[str, Any], found: Examination) -> bool:
        self._examined.add((row["source"], row["key"]))
        reason, detail = found.reason, found.detail
        if not reason and (detail := self.of_run.duplicate(found)[1]):
            reason = LIKE_RUN
        if not reason:
            reason, detail = self._of_set.duplicate(found)
        if reason:
            self._exclude(row, reason, detail)
            return False
        self._of_set.add(row["path"], found)
        self.chosen.append({**row, "sha256": found.sha256})
        return True

    def _exclude(self, row: dict[str, Any], reason: str, detail: str) -> None:
        entry = (row["path"], row["label"], row["source"], reason, detail)
        self.excluded.append(dict(zip(QUARANTINE_COLUMNS, entry, strict=True)))


def build_external(
    candidates: Mapping[str, pd.DataFrame],
    *,
    parts: Mapping[str, Sequence[Part]],
    run_images: pd.DataFrame,
    sources: Mapping[str, Mapping[str, Any]],
    seed: int,
    examine: Examine,
) -> ExternalSet:
    """Choose the images of an external test set.

    Left out, with the reason: images of patients of the run (`patient_in_run`), images that are or
    repeat one of the run (`image_in_run`), and what a run's own images are held against too:
    missing, undecodable, blank, duplicate. A part's `count` is filled from what is left, in the
    order in which a run would draw.

    Parameters
    ----------
    candidates
        Of each source, as its reader returns them, `with_image_ids`.
    parts
        Parts of each class: `source`, `count` (None takes all), `where`.
    run_images
        Rows of `manifest.csv` and `timeline.csv`.
    sources
        The config's sources, those of the run included.
    seed
        Of the run.
    examine
        Examines files, in order, as `examine_image` does one.

    Raises
    ------
    InputError
        A part has fewer images left than its count, or none.
    """
    own = run_images["path"].tolist()
    choosing = _Choosing(known_patients(run_images, sources), set(run_images["image_id"]), examine)
    for path, found in zip(own, examine(own), strict=True):
        choosing.of_run.add(path, found)
    for label, several in parts.items():
        for part in several:
            source = part["source"]
            passed = filter_candidates(candidates[source], part.get("where") or {})
            before = len(choosing.excluded)
            kept = choosing.draw(
                draw_order(passed, source, seed).assign(label=label, source=source),
                population(sources[source]),
                part.get("count"),
            )
            if kept < (part.get("count") or 1):
                reasons = Counter(entry["reason"] for entry in choosing.excluded[before:])
                raise InputError(
                    f"external set, class {label}: source {source} has {kept} usable images, "
                    f"{part.get('count') or 'at least 1'} asked for. Of its "
                    f"{len(candidates[source])} images {len(passed)} pass the filter; excluded: "
                    f"{', '.join(f'{n} {name}' for name, n in sorted(reasons.items())) or 'none'}. "
                    "Lower its `count` or widen its `where`"
                )
    table = pd.DataFrame(choosing.chosen, columns=[*MANIFEST_COLUMNS, "key"])
    names = table["source"].astype(str) + ":" + table["patient_id"].astype(str)
    order = {label: place for place, label in enumerate(parts)}
    table = table.assign(patient_id=names, _class=table["label"].map(order))
    table = table.sort_values(["_class", "image_id"])[MANIFEST_COLUMNS].reset_index(drop=True)
    return ExternalSet(table, pd.DataFrame(choosing.excluded, columns=QUARANTINE_COLUMNS))


def write_external(
    roots: Mapping[str, str | Path],
    manifest: str | Path,
    timeline: str | Path,
    output: str | Path,
    excluded: str | Path,
    *,
    sources: Mapping[str, Mapping[str, Any]],
    parts: Mapping[str, Sequence[Part]],
    seed: int,
) -> None:
    """Read the sources, choose an external set (`build_external`), write it and what it left out.

    Parameters
    ----------
    roots
        Folder of each source's files (see `sources.read_source`); type `csv` needs none.
    manifest, timeline
        The run's images.
    output
        Table to write, by `MANIFEST`.
    excluded
        Table to write: path, label, source, reason, detail.
    sources, parts, seed
        As in the config; `sources` those of the run and of the set.
    """
    wanted = {part["source"] for several in parts.values() for part in several}
    candidates = {
        name: with_image_ids(name, read_source(sources[name], roots.get(name, ".")))
        for name in sources
        if name in wanted
    }
    run_images = pd.concat([read_manifest(manifest), read_manifest(timeline)], ignore_index=True)
    with ThreadPoolExecutor(THREADS) as pool, progress(desc="examining", unit=" images") as bar:

        def examine(paths: Sequence[str]) -> Iterator[Examination]:
            for examination in pool.map(examine_image, paths):
                bar.update()
                yield examination

        found = build_external(
            candidates,
            parts=parts,
            run_images=run_images,
            sources=sources,
            seed=seed,
            examine=examine,
        )
    for label, number in found.images["label"].value_counts(sort=False).items():
        log.info("%s: %d images", label, number)
    for reason, number in found.excluded["reason"].value_counts().items():
        log.warning("%d images excluded as %s, see %s", number, reason, excluded)
    write_table(found.excluded, excluded)
    write_table(found.images, output)
