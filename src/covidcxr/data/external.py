"""Images that no model of the run has seen: an external test set, free of the run's patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from covidcxr.data import sampling
from covidcxr.data.examination import Examiner
from covidcxr.data.linked import separated
from covidcxr.data.source import open_source
from covidcxr.data.tables import read_manifest, write_table
from covidcxr.logs import log

IN_RUN = "patient_in_run"
LIKE_RUN = "image_in_run"


@dataclass(frozen=True)
class ExternalSet:
    """An external test set: `images` by `MANIFEST`, and what was `excluded`, with the reason."""

    images: pd.DataFrame
    excluded: pd.DataFrame


def run(
    folders: Sequence[str | Path],
    manifest: str | Path,
    timeline: str | Path,
    table: str | Path,
    excluded: str | Path,
    *,
    sources: Mapping[str, Mapping[str, Any]],
    classes: sampling.Classes,
    seed: int,
) -> None:
    """Read the sources, choose an external set (`build_external`), write it and what it left out.

    Parameters
    ----------
    folders
        Of the set's sources whose files the workflow fetches or makes, each named as its source.
    manifest, timeline
        The run's images.
    table
        Table to write, by `MANIFEST`.
    excluded
        Table to write: path, label, source, reason, detail.
    sources
        As in the config, those of the run and of the set.
    classes
        The set's parts of each class.
    """
    used = {part["source"] for parts in classes.values() for part in parts}
    candidates = sampling.list_candidates(sources, folders, used)
    run_images = pd.concat([read_manifest(manifest), read_manifest(timeline)], ignore_index=True)
    with sampling.shortages_listed(excluded):
        found = build_external(
            candidates,
            classes=classes,
            run_images=run_images,
            sources=sources,
            seed=seed,
            examine=Examiner(),
        )
    for label, number in found.images["label"].value_counts(sort=False).items():
        log.info("%s: %d images", label, number)
    sampling.write_excluded(found.excluded, excluded)
    write_table(found.images, table)


def known_patients(
    run_images: pd.DataFrame, sources: Mapping[str, Mapping[str, Any]]
) -> set[tuple[str, str]]:
    """Return the run's patients as (collection, patient), see `Source.collection`."""
    collection = {name: open_source(options).collection for name, options in sources.items()}
    return {
        (collection[source], patient)
        for name in run_images["patient_id"].unique()
        for source, patient in separated(name, sources)
    }


def build_external(
    candidates: Mapping[str, pd.DataFrame],
    *,
    classes: sampling.Classes,
    run_images: pd.DataFrame,
    sources: Mapping[str, Mapping[str, Any]],
    seed: int,
    examine: Examiner,
) -> ExternalSet:
    """Choose the images of an external test set.

    Left out, with the reason: images of patients of the run (`patient_in_run`), images that are or
    repeat one of the run (`image_in_run`), and what `sampling.sample_classes` leaves out of a run.
    A part's `count` is filled from what is left, in the order in which a run would sample.

    Parameters
    ----------
    candidates
        Of each source, see `sampling.list_candidates`.
    classes
        Parts of each class.
    run_images
        Rows of `manifest.csv` and `timeline.csv`.
    sources
        The config's sources, those of the run included.
    seed
        Of the run.
    examine
        Examines files.

    Raises
    ------
    InputError
        A part has fewer images left than its count, or none.
    """
    patients = known_patients(run_images, sources)
    images = set(run_images["image_id"])
    collection = {name: open_source(sources[name]).collection for name in candidates}

    def not_in_run(sampler: sampling.Sampler, free: pd.DataFrame) -> pd.DataFrame:
        for row in sampling.records(free):
            if row["image_id"] in images:
                sampler.exclude(row, LIKE_RUN, "the run has sampled it")
            elif (collection[row["source"]], row["patient_id"]) in patients:
                sampler.exclude(row, IN_RUN, f"patient {row['patient_id']} has images in the run")
        return sampling.without(free, "key", sampler.examined)

    try:
        table, sampler = sampling.sample_classes(
            candidates,
            classes,
            seed=seed,
            examine=examine,
            known=sampling.records(run_images),
            known_reason=LIKE_RUN,
            usable=not_in_run,
        )
    except sampling.ShortageError as error:
        raise sampling.ShortageError(f"external set, {error}", error.excluded) from None
    return ExternalSet(sampling.as_manifest(table, {}), sampler.left_out())
