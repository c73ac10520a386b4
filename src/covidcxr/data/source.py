"""A source of images: what every type of source can do, and how one is opened.

A type is a module of `covidcxr.data.sources` that bears its name and holds a subclass of `Source`
in `SOURCE`; the configuration's schema describes its options. Nothing else knows the types.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from covidcxr.data.spreadsheet import plain
from covidcxr.errors import InputError
from covidcxr.logs import log

if TYPE_CHECKING:
    import pandas as pd

    from covidcxr.data.lung_shape import Boxes

Where = Mapping[str, Any]
"""Conditions on the columns of candidates, see `filter_candidates`."""

TEXTS = ["diagnosis", "patient_id", "site", "view", "sex", "subtype", "license"]
NUMBERS = ["day", "age"]
CANDIDATE_COLUMNS = ["key", "path", *TEXTS, *NUMBERS]


@dataclass(frozen=True)
class Source:
    """A source of images as its entry in the configuration describes it.

    Attributes
    ----------
    options
        The entry: `type`, and what that type takes.
    folder
        Its files, where the workflow fetches or makes them: `images/`, and what else the type has.
    """

    options: Mapping[str, Any]
    folder: Path = Path()

    place: ClassVar[Literal["fetched", "made", "own"]] = "fetched"
    """Whether the workflow fetches its files for all runs, makes them for one, or reads the user's
    own where they lie."""
    mirrored: ClassVar[Sequence[str]] = ()
    """What it reads of a local mirror, as paths in it."""
    alone: ClassVar[bool] = False
    """Whether a run may have one source of this `collection` only, as patients stand in each."""

    @property
    def collection(self) -> str:
        """Name of what its patients' ids are from: sources of one collection share patients."""
        return str(self.options["type"])

    def candidates(self) -> pd.DataFrame:
        """List its images, see `as_candidates`.

        Raises
        ------
        InputError
            If its files cannot be read, or hold no images.
        """
        raise NotImplementedError

    def check(self, key: str) -> None:
        """Check that the user's files which it reads exist; errors name `key` in the config."""

    def own_files(self) -> list[Path]:
        """Return the user's files that make its list."""
        return []

    def fingerprint(self, cache: Path) -> str:
        """Return a digest of the images that are read where they lie; see `data.fingerprint`."""
        return ""

    def fetch(self, folder: Path, *, select: Sequence[Where], mirror: str | None) -> None:
        """Fetch its files into `folder`, which may hold some of an attempt that was cut short.

        Parameters
        ----------
        select
            Filters, see `filter_candidates`; images that pass none of them may be left out.
        mirror
            Folder or http(s) address of local copies, or None.

        Raises
        ------
        InputError
            If a file that exists cannot be had, or there is none.
        """
        raise NotImplementedError

    def lung_mask(self, path: str) -> Path | None:
        """Return the file that shows the lungs of the image at `path`, white on black."""
        return None

    def lung_boxes(self) -> Mapping[str, Boxes]:
        """Return the boxes around the lungs, by file name, that somebody has drawn."""
        return {}


def open_source(options: Mapping[str, Any], folder: str | Path = "") -> Source:
    """Return the source that an entry of the configuration describes; see `Source`."""
    kind: type[Source] = import_module(f"covidcxr.data.sources.{options['type']}").SOURCE
    return kind(options, Path(folder))


def as_candidates(rows: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Return a source's images, one row each, from `rows`, which `columns` replace or add to.

    Returns
    -------
    DataFrame with the columns `CANDIDATE_COLUMNS`:

    - `key`: names the image within its source, unique; stays the same wherever the files lie;
    - `path`: of the file, which need not exist;
    - `diagnosis`, `patient_id`, `view`, `sex`, `subtype`, `license`: text, "" where unknown;
    - `site`: hospital or place that the image is from, "" where the source is one site;
    - `day`: days since onset or admission, float, NaN where unknown;
    - `age`: years, float, NaN where unknown.
    """
    frame = rows.assign(**columns).reset_index(drop=True)
    for column in TEXTS:
        frame[column] = frame[column].astype("str").str.strip() if column in frame else ""
    for column in NUMBERS:
        frame[column] = frame[column].astype(float) if column in frame else float("nan")
    return frame[CANDIDATE_COLUMNS].astype(dict.fromkeys(["key", "path", *TEXTS], "str"))


def filter_candidates(candidates: pd.DataFrame, where: Where) -> pd.DataFrame:
    """Return the candidates that pass every condition of `where`.

    Parameters
    ----------
    where
        For a text column the list of values that pass; `age_min` and `age_max` in years, both
        inclusive, which no image of unknown age passes.

    Raises
    ------
    InputError
        If a condition is on no column.
    """
    import pandas as pd

    passed = pd.Series(True, index=candidates.index)
    for column, condition in where.items():
        if column == "age_min":
            passed &= candidates["age"] >= condition
        elif column == "age_max":
            passed &= candidates["age"] <= condition
        elif column in TEXTS:
            passed &= candidates[column].isin([str(value) for value in condition])
        else:
            raise InputError(
                f"`where` filters on {column!r}, which is no column of a source; there are "
                f"{', '.join([*TEXTS, 'age_min', 'age_max'])}"
            )
    return candidates[passed]


def check_filters(candidates: pd.DataFrame, wheres: Sequence[Where], source: str) -> None:
    """Hold all filters on a source against the values that its images have.

    Logs, with counts and the nearest value asked for, which diagnoses no filter takes, and which
    values are asked for and have no image.

    Raises
    ------
    InputError
        If images are passed over whose value differs only in case, blanks or signs from one asked.
    """
    for column in TEXTS:
        if not wheres or any(column not in where for where in wheres):
            continue
        asked = {str(value) for where in wheres for value in where[column]}
        counts = candidates[column].value_counts()
        shaped = {plain(value): value for value in sorted(asked)}
        for value, count in counts[~counts.index.isin(list(asked))].items():
            same = shaped.get(plain(str(value)))
            if same:
                raise InputError(
                    f"source {source}: {count} images have the {column} {value!r}, which no class "
                    f"takes; {same!r}, of {counts.get(same, 0)} images, is taken. Did you mean "
                    "that? Correct the table, or name both in `where`"
                )
            near = _near(str(value), asked)
            if column == "diagnosis":
                level = logging.WARNING if near else logging.INFO
                text = "source %s: %d images labelled %r are in no class%s"
                log.log(level, text, source, count, value, near)
        for value in sorted(asked - set(counts.index)):
            near = _near(value, counts.index)
            log.warning("source %s: no image has the %s %r%s", source, column, value, near)


def _near(value: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(value, list(map(str, known)), 1, 0.75)
    return f"; did you mean {near[0]!r}?" if near else ""


def filter_any(candidates: pd.DataFrame, select: Sequence[Where]) -> pd.DataFrame:
    """Return the candidates that pass at least one of several filters, see `filter_candidates`."""
    passed = set().union(*(filter_candidates(candidates, where).index for where in select))
    return candidates[candidates.index.isin(passed)]
