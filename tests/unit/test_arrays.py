from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.arrays import open_rows, save_blocks, shard_rows, spread
from covidcxr.errors import InputError


@given(
    st.integers(0, 7),
    st.sampled_from([(), (3,), (2, 2)]),
    st.sampled_from([np.uint8, np.float32, np.float16]),
    st.integers(1, 4),
)
def test_the_file_is_what_numpy_would_have_written(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    each: tuple[int, ...],
    dtype: type[np.generic],
    step: int,
) -> None:
    folder: Path = tmp_path_factory.mktemp("arrays")
    whole = np.random.default_rng(0).uniform(0, 200, (rows, *each)).astype(dtype)
    np.save(folder / "whole.npy", whole)
    blocks = (whole[start : start + step] for start in range(0, rows, step))
    save_blocks(folder / "blocks.npy", whole.shape, dtype, blocks)
    assert (folder / "blocks.npy").read_bytes() == (folder / "whole.npy").read_bytes()


@given(st.integers(0, 300), st.integers(1, 9), st.integers(1, 40))
def test_shards_are_whole_units_of_all_rows_in_order(count: int, shards: int, unit: int) -> None:
    rows = np.arange(count)
    parts = [rows[shard_rows(count, f"{k + 1}of{shards}", unit)] for k in range(shards)]
    assert np.concatenate(parts).tolist() == rows.tolist() == rows[shard_rows(count, None)].tolist()
    assert all(part[0] % unit == 0 for part in parts if len(part))
    assert max(map(len, parts)) <= min(map(len, parts)) + 2 * unit


@given(st.integers(0, 300), st.integers(1, 300))
def test_as_many_rows_as_asked_are_spread_over_all(count: int, most: int) -> None:
    rows = spread(count, most)
    assert len(rows) == min(count, most)
    assert {*rows[:1]} <= {0}
    assert most == 1 or {*rows[-1:]} <= {count - 1}
    assert len(rows) < 2 or np.ptp(np.diff(rows)) <= 1


@pytest.mark.parametrize("rows", [2, 4])
def test_blocks_that_are_not_the_shape_are_an_error(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match="shape"):
        save_blocks(tmp_path / "a.npy", (3, 5), np.uint8, [np.zeros((rows, 5), np.uint8)])


def test_blocks_are_converted_and_may_be_strided(tmp_path: Path) -> None:
    block = np.arange(12.0).reshape(3, 4).T
    save_blocks(tmp_path / "a.npy", (4, 3), np.float16, [block])
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.float16
    assert np.array_equal(found, block)


@pytest.mark.parametrize("rows", [2, 4])
def test_an_array_that_has_not_the_rows_of_its_table_is_named_with_both(
    tmp_path: Path, rows: int
) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 2)))
    assert open_rows(tmp_path / "a.npy", "t.csv", 3).shape == (3, 2)
    with pytest.raises(InputError, match=rf"a\.npy holds 3 rows but t\.csv lists {rows}"):
        open_rows(tmp_path / "a.npy", "t.csv", rows)
