"""One score learned on one backbone: predictions out of fold, and the model of all images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from covidcxr.array_types import Mask, Reals
from covidcxr.arrays import open_rows
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.seeding import integer_seed
from covidcxr.severity.regression import ScoredImages, SeverityModel, fit, half_width, out_of_fold
from covidcxr.severity.scores import TOTAL, reference
from covidcxr.severity.severity_images import SCORE_COLUMNS
from covidcxr.severity.zones import COLUMNS, ZONES

REPEATS = 5
"""Times that patients are divided into folds again."""


@dataclass(frozen=True)
class SavedSeverity:
    """A severity model with what is needed to use it.

    Attributes
    ----------
    score
        Its name.
    backbone, layer
        Network and layer whose map is pooled; None is the last map.
    size
        Side of the images in pixels.
    images, patients
        How many it learned from.
    model
        Features of the zones -> score.
    """

    score: str
    backbone: str
    layer: str | None
    size: int
    images: int
    patients: int
    model: SeverityModel


def run(
    features: str | Path,
    images: str | Path,
    scores: str | Path,
    predictions: str | Path,
    model: str | Path,
    *,
    wildcards: Mapping[str, str],
    spec: Mapping[str, Any],
    layer: str | None,
    size: int,
    seed: int,
) -> None:
    """Learn a score: by cross-validation over patients, several times, and from all images.

    Parameters
    ----------
    features
        float32 [n, 6, channels] of the images.
    images, scores
        As `covidcxr.severity.severity_images` writes them.
    predictions
        CSV to write: score, backbone, repeat, image_id, patient_id, read (mean of the readers),
        predicted, low, high (90 % prediction interval) and, where zones are learned, the predicted
        zones `zone_1`... in the order of `ZONES`.
    model
        `.joblib` to write, a `SavedSeverity`.
    wildcards
        `score` and `backbone`.
    spec
        The score's entry in the config; `learned_with` names another score that has zones.
    size
        Side of the images in pixels.

    Raises
    ------
    InputError
        Too few patients are scored.
    """
    name, backbone = wildcards["score"], wildcards["backbone"]
    rows = read_manifest(images)
    values = np.asarray(open_rows(features, images, len(rows)))
    kept, scored = scored_images(rows, values, scores, name, spec)
    limits, zone_limits = tuple(spec["range"]), tuple(spec["zone_range"])
    known = np.isfinite(scored.totals)
    table = rows.loc[kept, ["image_id", "patient_id"]][known].assign(read=scored.totals[known])
    parts = []
    for repeat in progress(range(REPEATS), desc="repeats"):
        split_seed = integer_seed(seed, "severity", name, repeat)
        found = out_of_fold(scored, limits, zone_limits, split_seed)
        part = table.assign(repeat=repeat, predicted=found.totals[known])
        if found.zones is not None:
            part[list(COLUMNS)] = found.zones[known]
        parts.append(part)
    every = pd.concat(parts).assign(score=name, backbone=backbone)
    errors = (every["predicted"] - every["read"]).to_numpy(np.float64)
    width = half_width(errors, every["patient_id"].to_numpy(str))
    final = fit(scored, limits, zone_limits, integer_seed(seed, "severity", name))
    final = replace(final, half_width=width)
    low, high = final.interval(every["predicted"].to_numpy(np.float64))
    every = every.assign(low=low, high=high)
    first = ["score", "backbone", "repeat", "image_id", "patient_id", "read", "predicted"]
    zones = [column for column in COLUMNS if column in every]
    write_table(every[[*first, "low", "high", *zones]], predictions)
    saved = SavedSeverity(
        name, backbone, layer, size, len(table), table["patient_id"].nunique(), final
    )
    with atomic(model) as temporary:
        joblib.dump(saved, temporary, compress=3)


def scored_images(
    rows: pd.DataFrame, features: Reals, scores: str | Path, name: str, spec: Mapping[str, Any]
) -> tuple[Mask, ScoredImages]:
    """Return which of the images a score is learned from, and these with their values."""
    table = read_table(scores, SCORE_COLUMNS, ["value"])
    own = _reference_of(table, name, rows)
    teacher = name if spec["zones"] else spec["learned_with"]
    totals = own[TOTAL].to_numpy(np.float64)
    zones = None
    if teacher is not None:
        read = _reference_of(table, teacher, rows).reindex(columns=list(ZONES))
        zones = read.to_numpy(np.float64)
    kept = np.isfinite(totals)
    if zones is not None:
        kept |= np.isfinite(zones).all(axis=1)
    patients = rows["patient_id"].to_numpy(str)
    if len(np.unique(patients[kept & np.isfinite(totals)])) < 3:
        raise InputError(f"score {name!r}: fewer than three patients are scored; see {scores}")
    scored = ScoredImages(features, patients, totals, zones, bool(spec["zones"]))
    return kept, scored.take(np.flatnonzero(kept))


def _reference_of(table: pd.DataFrame, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    own = reference(table[table["score"] == name])
    return own.reindex(index=rows["image_id"], columns=list(dict.fromkeys([*own, TOTAL])))
