"""The tables of a run on disk: how they are read, checked and written."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from covidcxr.array_types import Integers
from covidcxr.errors import InputError
from covidcxr.files import atomic

MANIFEST = pa.DataFrameSchema(
    {
        "image_id": pa.Column(str, pa.Check.str_matches(r"^[A-Za-z0-9_.-]+$"), unique=True),
        "path": pa.Column(str, pa.Check.str_length(min_value=1)),
        "label": pa.Column(str, pa.Check.str_length(min_value=1)),
        "patient_id": pa.Column(str, pa.Check.str_matches(r"^[^:]+:.+$")),
        "source": pa.Column(str, pa.Check.str_length(min_value=1)),
        "site": pa.Column(str, pa.Check.str_length(min_value=1)),
        "view": pa.Column(str),
        "day": pa.Column(float, nullable=True),
        "age": pa.Column(float, pa.Check.ge(0), nullable=True),
        "sex": pa.Column(str),
        "subtype": pa.Column(str),
        "license": pa.Column(str),
        "sha256": pa.Column(str, pa.Check.str_matches(r"^[0-9a-f]{64}$")),
    },
    strict=True,
    ordered=True,
)
"""One row an image: days since onset or admission in `day`, years in `age`, "" if unknown."""

MANIFEST_COLUMNS = list(MANIFEST.columns)

SPLIT = pa.DataFrameSchema(
    {
        "image_id": pa.Column(str, unique=True),
        "split": pa.Column(str, pa.Check.isin(["train", "test"])),
        "fold": pa.Column("Int64", pa.Check.ge(0), nullable=True),
    },
    strict=True,
)
"""One row an image: its fold from 0 up where it trains, none where it tests."""


def read_table(
    path: str | Path, required: Iterable[str] = (), numbers: Iterable[str] = ()
) -> pd.DataFrame:
    """Read a CSV file as text, without guessing: ids like `007` and values like `NA` stay.

    Parameters
    ----------
    path
        CSV file in UTF-8, with a header.
    required
        Columns that must be there.
    numbers
        Columns to read as float; an empty cell becomes NaN.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a required column, or a number is none; names the
        row (the first row below the header is row 2, as editors count).
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as a CSV table: {error}") from error
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(map(repr, missing))}; its columns are "
            f"{', '.join(map(str, table.columns))}"
        )
    for column in numbers:
        if column in table.columns:
            table[column] = _to_numbers(table[column], column, path)
    return table


def _to_numbers(texts: "pd.Series[str]", column: str, path: str | Path) -> "pd.Series[float]":
    stripped = texts.str.strip()
    values = pd.to_numeric(stripped, errors="coerce").astype(float)
    wrong = texts[values.isna() & ~stripped.str.lower().isin(["", "nan"])]
    if len(wrong):
        raise InputError(
            f"{path}, row {int(wrong.index[0]) + 2}: {column} is {wrong.iloc[0]!r}, not a number"
        )
    return values


def read_manifest(path: str | Path) -> pd.DataFrame:
    """Read `manifest.csv` or `timeline.csv`, checked against `MANIFEST`.

    Returns
    -------
    DataFrame with the columns of `MANIFEST`: text as str ("" where unknown), `day` and `age` as
    float (NaN where unknown), index 0..n-1.

    Raises
    ------
    InputError
        If the file is missing, lacks a column, or a value breaks the schema.
    """
    return validated(read_table(path, MANIFEST_COLUMNS, ["day", "age"]), MANIFEST, path)


def read_split(path: str | Path) -> pd.DataFrame:
    """Read `split.csv`: image_id (str), split (`train` or `test`), fold (Int64, NA if `test`).

    Raises
    ------
    InputError
        If the file is missing, lacks a column, or a value breaks the schema.
    """
    table = read_table(path, list(SPLIT.columns), ["fold"])
    return validated(table.astype({"fold": "Int64"}), SPLIT, path)


def read_images(manifest: str | Path, split: str | Path) -> pd.DataFrame:
    """Read the images of a population: the manifest with `split` and `fold`, in its order.

    Raises
    ------
    InputError
        The split holds an image that the manifest lacks.
    """
    images, sides = read_manifest(manifest), read_split(split)
    strangers = sorted(set(sides["image_id"]) - set(images["image_id"]))
    if strangers:
        raise InputError(
            f"{split} holds image {strangers[0]}, which {manifest} lacks: make the split again"
        )
    return images.merge(sides, on="image_id", validate="one_to_one")


def validated(table: pd.DataFrame, schema: pa.DataFrameSchema, path: str | Path) -> pd.DataFrame:
    """Return `table` if it fits `schema`, else an InputError naming file, column, value."""
    try:
        return schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        row = "" if pd.isna(first["index"]) else f", row {int(first['index']) + 2}"
        raise InputError(
            f"{path}{row}: column {first['column']!r} holds {first['failure_case']!r}, "
            f"which breaks {first['check']} ({len(error.failure_cases)} such in all)"
        ) from error


def stacked(tables: Mapping[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """Put tables one below the other, a first column telling the name of each."""
    return pd.concat(tables, names=[column]).reset_index(column).reset_index(drop=True)


def class_positions(labels: "pd.Series[str]", classes: Sequence[str]) -> Integers:
    """Return int64 [n]: position of each label in `classes`."""
    position = {name: k for k, name in enumerate(classes)}
    return np.array([position[label] for label in labels], np.int64)


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write `frame` to `path` as CSV without its index, whole or not at all."""
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
