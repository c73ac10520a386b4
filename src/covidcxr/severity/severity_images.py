"""The images that readers have scored, or whose outcome is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from covidcxr.data.examination import Examiner
from covidcxr.data.linked import merged_names
from covidcxr.data.sampling import Sampler, as_manifest, list_candidates, write_excluded
from covidcxr.data.source import filter_candidates
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError
from covidcxr.logs import log
from covidcxr.severity.scores import ScoreTable, match_images, read_outcome, read_scores

SCORE_COLUMNS = ["image_id", "score", "reader", "zone", "value"]
UNKNOWN = "unknown"

Spec = Mapping[str, Any]


def run(
    folders: Sequence[str | Path],
    images: str | Path,
    scores: str | Path,
    excluded: str | Path,
    *,
    sources: Mapping[str, Spec],
    specs: Mapping[str, Spec],
    outcomes: Mapping[str, Spec],
) -> None:
    """Find the images of all scores and outcomes, examine them, write them and what is known.

    Parameters
    ----------
    folders
        Of the sources whose files the workflow fetches or makes, each named as its source.
    images
        Table to write, by `MANIFEST`; `label` is the diagnosis. An image that repeats another is
        left out, and patients who share an image are one, as in the study.
    scores
        Table to write: image_id, score, reader, zone (`total` or a zone), value; of an outcome the
        column as reader, 1 or 0 as value.
    excluded
        Table to write: images left out, with the reason.
    sources
        As in the config.
    specs
        The config's `scores`, `table` being the path of each and `key` its column.
    outcomes
        Of each outcome by source: `column`, `where`, `table` and `key`.

    Raises
    ------
    InputError
        A table cannot be read or does not fit its source, or no image is left.
    """
    candidates = list_candidates(sources, folders, sources)
    read = [
        (name, spec, spec["source"], read_scores(spec["table"], layout_of(spec)))
        for name, spec in specs.items()
    ]
    read += [
        (name, spec, source, read_outcome(spec["table"], spec["key"], spec["column"]))
        for name, by_source in outcomes.items()
        for source, spec in by_source.items()
    ]
    found = []
    for name, spec, source, values in read:
        listed = filter_candidates(candidates[source], spec["where"])
        found.append(match_images(values, listed, spec["table"]).assign(score=name))
    scored = pd.concat(found)
    wanted = set(scored["image_id"])
    every = pd.concat(candidates.values())
    rows = every[every["image_id"].isin(wanted)]
    rows = rows.assign(label=rows["diagnosis"].mask(rows["diagnosis"] == "", UNKNOWN))
    sampler = Sampler(Examiner())
    fit = sampler.sample(rows)
    write_excluded(sampler.left_out(), excluded)
    if fit.empty:
        raise InputError(f"no image with a score can be used; {excluded} says why")
    patients = fit["source"] + ":" + fit["patient_id"]
    fit = as_manifest(fit, merged_names(patients, sampler.links))
    log.info("%d images of %d patients", len(fit), fit["patient_id"].nunique())
    usable = scored["image_id"].isin(set(fit["image_id"]))
    write_table(scored.loc[usable, SCORE_COLUMNS], scores)
    write_table(fit, images)


def layout_of(spec: Spec) -> ScoreTable:
    """Return where the scores of an entry of the config's `scores` stand."""
    names = ("key", "readers", "range", "zones", "zone_range")
    return ScoreTable(**{name: spec[name] for name in names})
