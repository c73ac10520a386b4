"""From candidates to the images of the study: sampled by seed, examined, listed in the manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from covidcxr.data import sampling
from covidcxr.data.examination import Examiner
from covidcxr.data.linked import JOIN, merged_names
from covidcxr.data.source import check_filters, filter_candidates
from covidcxr.data.tables import MANIFEST_COLUMNS, write_table
from covidcxr.files import is_there
from covidcxr.logs import log

COLLECTION_COLUMNS = ["source", "diagnosis", "view", "images", "files"]


@dataclass(frozen=True)
class Study:
    """The images of a study: `manifest`, `timeline` (both by `MANIFEST`) and `quarantine`."""

    manifest: pd.DataFrame
    timeline: pd.DataFrame
    quarantine: pd.DataFrame


def run(
    folders: Sequence[str | Path],
    manifest: str | Path,
    quarantine: str | Path,
    timeline: str | Path,
    collections: str | Path,
    *,
    sources: Mapping[str, Mapping[str, Any]],
    classes: sampling.Classes,
    followed: Mapping[str, Any] | None,
    seed: int,
) -> None:
    """Read the sources, choose the images of the study (`build_manifest`) and write its tables.

    Parameters
    ----------
    folders
        Of the sources whose files the workflow fetches or makes, each named as its source.
    manifest, quarantine, timeline, collections
        Tables to write.
    sources, classes, seed
        As in the config.
    followed
        The config's `timeline`.

    Raises
    ------
    InputError
        If a source cannot be read, or has too few fit images.
    """
    candidates = sampling.list_candidates(sources, folders, sources)
    parts = [part for several in classes.values() for part in several]
    for name, frame in candidates.items():
        wheres = [part.get("where") or {} for part in parts if part["source"] == name]
        check_filters(frame, wheres, name)
    with sampling.shortages_listed(quarantine):
        study = build_manifest(
            candidates, classes=classes, followed=followed, seed=seed, examine=Examiner()
        )
    for label, number in study.manifest["label"].value_counts(sort=False).items():
        log.info("%s: %d images", label, number)
    for name in sorted({name for name in study.manifest["patient_id"] if JOIN in name}):
        log.warning("%s: one patient for the split, as an image is published under each", name)
    sampling.write_excluded(study.quarantine, quarantine)
    counts = [count_collection(name, candidates[name]) for name in sources]
    write_table(pd.concat(counts), collections)
    write_table(study.timeline, timeline)
    write_table(study.manifest, manifest)


def build_manifest(
    candidates: Mapping[str, pd.DataFrame],
    *,
    classes: sampling.Classes,
    followed: Mapping[str, Any] | None,
    seed: int,
    examine: Examiner,
) -> Study:
    """Choose the images of a study; see `sampling.sample_classes` for the order.

    Patients with one image in common are one patient (`linked.merged_names`), so that the split
    keeps all their images together; the manifest gives them one `patient_id` of their joined ids.
    Patients of the timeline, and who so turns out to be one of them, are in no class. Images that
    were not sampled link nobody.

    Parameters
    ----------
    candidates
        Of each source, see `sampling.list_candidates`.
    classes, seed
        As in the config.
    followed
        `source` and `where` of the dated patients, or None. Images without a day are left out.
    examine
        Examines files.

    Raises
    ------
    InputError
        If a part has fewer fit images than its count; names every such part, with the reasons.
    """
    first = sampling.Sampler(examine)
    dated, shown = _sample_timeline(first, candidates, classes, followed)
    left_out = set(shown)

    def of_others(_: sampling.Sampler, free: pd.DataFrame) -> pd.DataFrame:
        return sampling.without(free, "patient_id", left_out)

    while True:
        sampled, sampler = sampling.sample_classes(
            candidates,
            classes,
            seed=seed,
            examine=examine,
            known=sampling.records(dated),
            known_reason="",
            usable=of_others,
        )
        followed_names = {":".join(patient) for patient in shown}
        patients = sampled["source"] + ":" + sampled["patient_id"]
        names = merged_names([*patients, *followed_names], first.links | sampler.links)
        shown_names = {names.get(name, name) for name in followed_names}
        one_of_them = sampled[[names.get(name, name) in shown_names for name in patients]]
        if one_of_them.empty:
            break
        new = set(zip(one_of_them["source"], one_of_them["patient_id"], strict=True))
        log.warning(
            "%s share an image with a patient of the timeline: sampling again without them",
            ", ".join(":".join(patient) for patient in sorted(new)),
        )
        left_out |= new
    return Study(
        manifest=sampling.as_manifest(sampled, names),
        timeline=sampling.as_manifest(dated.sort_values(["patient_id", "day", "image_id"]), names),
        quarantine=pd.concat([first.left_out(), sampler.left_out()], ignore_index=True),
    )


def _sample_timeline(
    sampler: sampling.Sampler,
    candidates: Mapping[str, pd.DataFrame],
    classes: sampling.Classes,
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
    rows = sampler.sample(dated.assign(label=pd.Series(labels, dated.index, dtype="str")))
    return rows, {(source, patient) for patient in passed["patient_id"]}


def _label_of(diagnosis: str, source: str, classes: sampling.Classes) -> str:
    """Return the class that takes this diagnosis from the source, in whatever view; else itself."""
    for label, parts in classes.items():
        for part in parts:
            where = part.get("where") or {}
            if part["source"] == source and diagnosis in where.get("diagnosis", [diagnosis]):
                return label
    return diagnosis


def count_collection(source: str, candidates: pd.DataFrame) -> pd.DataFrame:
    """Count a collection's images by diagnosis and view, and those whose files are present."""
    present = pd.Series([is_there(path) for path in candidates["path"]], dtype=int)
    counts = (
        candidates.assign(files=present.to_numpy())
        .groupby(["diagnosis", "view"], as_index=False)
        .agg(images=("key", "size"), files=("files", "sum"))
    )
    return counts.assign(source=source)[COLLECTION_COLUMNS]
