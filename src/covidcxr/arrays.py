"""Large arrays on disk: written block by block, opened beside the table of their rows."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from covidcxr.array_types import Integers, Values
from covidcxr.errors import InputError


def save_blocks(
    path: str | Path, shape: tuple[int, ...], dtype: npt.DTypeLike, blocks: Iterable[Values]
) -> None:
    """Write an array to a `.npy` file, of which blocks come one after the other.

    Written through a file and not through a memory map: mapped pages count as the process' memory
    until the system writes them out, and a job under a memory limit may be killed for them.

    Parameters
    ----------
    path
        File to write; `np.load` reads it as if `np.save` had written the whole array.
    shape, dtype
        Of the whole array. Blocks are converted to this dtype.
    blocks
        Arrays that hold the elements in C order; together as many as `shape` has.

    Raises
    ------
    ValueError
        The blocks hold more or fewer elements than `shape`.
    """
    kind = np.dtype(dtype)
    written = 0
    with Path(path).open("wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(kind),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, kind).data)
            written += block.size
    if written != np.prod(shape, dtype=np.int64):
        raise ValueError(
            f"{path}: the blocks hold {written} elements, the shape {shape} asks others"
        )


def shard_rows(count: int, shard: str | None, unit: int = 1) -> slice:
    """Return which rows a shard has.

    Parameters
    ----------
    count
        Rows of the whole.
    shard
        `<k>of<n>`, k from 1: the k-th of n contiguous parts. None: all rows.
    unit
        Every shard has whole units of rows, but for the last one that has any.
    """
    number, shards = map(int, (shard or "1of1").split("of"))
    units = -(-count // unit)
    begin, end = (min(count, unit * (units * k // shards)) for k in (number - 1, number))
    return slice(begin, end)


def spread(count: int, most: int) -> Integers:
    """Return `most` of `count` rows, evenly spread; all where there are no more."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def open_rows(array: str | Path, table: str | Path, rows: int) -> npt.NDArray[Any]:
    """Map an array on disk that has a row for each row of a table.

    Parameters
    ----------
    array
        `.npy` file, [rows, ...].
    table
        The table's file, named in the error.
    rows
        Rows of the table.

    Raises
    ------
    InputError
        The array has more or fewer rows.
    """
    values: npt.NDArray[Any] = np.load(array, mmap_mode="r")
    if len(values) != rows:
        raise InputError(
            f"{array} holds {len(values)} rows but {table} lists {rows}; make both again"
        )
    return values
