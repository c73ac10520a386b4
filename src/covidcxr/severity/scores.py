"""Readers' scores and outcomes of images, from the public tables and from anybody's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from covidcxr.data.spreadsheet import UNKNOWN, numbers, read_spreadsheet, refuse_rows
from covidcxr.errors import InputError
from covidcxr.logs import log
from covidcxr.severity.zones import ZONES

TOTAL = "total"
ANSWERS = {"y": 1.0, "yes": 1.0, "n": 0.0, "no": 0.0}
"""Cells of an outcome, in small letters."""


@dataclass(frozen=True)
class ScoreTable:
    """Where the scores of images stand, and what values they can have.

    Attributes
    ----------
    key
        Column that names the image.
    readers
        Column of each reader's score.
    zones
        Columns of each reader's six zones, in the order of `ZONES`; empty where zones are not
        scored.
    range, zone_range
        Lowest and highest value of the score, and of a zone.
    """

    key: str
    readers: Mapping[str, str]
    range: tuple[float, float]
    zones: Mapping[str, Sequence[str]] = field(default_factory=dict)
    zone_range: tuple[float, float] = (0, 3)


def read_scores(path: str | Path, layout: ScoreTable) -> pd.DataFrame:
    """Read the scores of images.

    An empty cell is a score that was not given; an image without any is left out.

    Returns
    -------
    DataFrame: key (str), reader (str), zone (`total` or one of `ZONES`), value (float), one row a
    score.

    Raises
    ------
    InputError
        The table cannot be read, lacks a column, names an image twice or none, or holds a value
        that is no number or lies outside its range; names the rows.
    """
    columns = {(reader, TOTAL): (column, layout.range) for reader, column in layout.readers.items()}
    for reader, names in layout.zones.items():
        for zone, column in zip(ZONES, names, strict=True):
            columns[reader, zone] = (column, layout.zone_range)
    rows = _of_images(path, layout.key, [column for column, _ in columns.values()])
    keys = rows[layout.key]
    parts = [
        pd.DataFrame(
            {"key": keys, "reader": reader, "zone": zone}
            | {"value": numbers(rows[column], path, *limits)}
        )
        for (reader, zone), (column, limits) in columns.items()
    ]
    return pd.concat(parts).dropna(subset="value").reset_index(drop=True)


def read_outcome(path: str | Path, key: str, column: str) -> pd.DataFrame:
    """Read an outcome that a table answers with Y(es) or N(o).

    Any other answer is none; it is counted in the log.

    Returns
    -------
    As `read_scores`, the column as reader, 1 for yes and 0 for no.

    Raises
    ------
    InputError
        The table cannot be read, lacks a column, names an image twice or none, or answers nothing.
    """
    rows = _of_images(path, key, [column])
    answers = rows[column].str.lower()
    if not answers.isin(list(ANSWERS)).any():
        raise InputError(f"{path}: no row of {column} holds Y or N, so it is no outcome")
    others = rows.loc[~answers.isin([*ANSWERS, *UNKNOWN]), column].value_counts()
    for value, number in others.items():
        log.warning("%s: %s is %r of %d images, and taken for unknown", path, column, value, number)
    found = pd.DataFrame({"key": rows[key], "reader": column, "zone": TOTAL})
    return found.assign(value=answers.map(ANSWERS)).dropna(subset="value").reset_index(drop=True)


def _of_images(path: str | Path, key: str, columns: Sequence[str]) -> pd.DataFrame:
    """Read columns of a table in which each row names another image in `key`."""
    rows = read_spreadsheet(path, list(dict.fromkeys([key, *columns])))
    refuse_rows(rows[key] == "", path, f"{key} is empty")
    problem = f"{key} {{}} is an image that an earlier row names"
    refuse_rows(rows[key].duplicated(), path, problem, rows[key])
    return rows


def match_images(scores: pd.DataFrame, candidates: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Give the scores of a source's images their ids; others are left out, and counted.

    An image is named by its key in the source, or by the name of its file where that is unique.

    Parameters
    ----------
    scores
        As `read_scores` returns them.
    candidates
        The source's images, `key` and `image_id`.

    Returns
    -------
    `scores` with `image_id` in place of `key`.

    Raises
    ------
    InputError
        No score is of an image of the source, or two rows are of one image.
    """
    by_name = candidates.assign(name=[Path(key).name for key in candidates["key"]])
    by_name = by_name[~by_name["name"].duplicated(keep=False)]
    ids = dict(zip(by_name["name"], by_name["image_id"], strict=True))
    ids |= dict(zip(candidates["key"], candidates["image_id"], strict=True))
    found = scores["key"].map(ids)
    if found.isna().all():
        example = scores["key"].iloc[0] if len(scores) else "none"
        raise InputError(
            f"{path}: no row names an image of its source (the first names {example!r}); name "
            "images as the source does, or by their files' names"
        )
    lost = scores.loc[found.isna(), "key"].unique()
    if len(lost):
        log.warning(
            "%s: %d images are not in the source or pass no filter, and are left out (%s, ...)",
            path,
            len(lost),
            lost[0],
        )
    matched = scores.assign(image_id=found).dropna(subset="image_id")
    twice = matched.duplicated(["image_id", "reader", "zone"])
    if twice.any():
        raise InputError(
            f"{path}: {matched.loc[twice, 'key'].iloc[0]!r} and another row name the same image; "
            "keep one of them"
        )
    return matched[["image_id", "reader", "zone", "value"]].reset_index(drop=True)


def reference(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over the readers of each image's score.

    Parameters
    ----------
    scores
        image_id, reader, zone, value of one score.

    Returns
    -------
    DataFrame: a row an image (index image_id), columns `total` and, with scored zones, `ZONES`.
    """
    mean = scores.groupby(["image_id", "zone"])["value"].mean().unstack("zone")
    return mean[[column for column in (TOTAL, *ZONES) if column in mean]]
