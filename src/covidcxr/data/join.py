"""What the shards of a step wrote, put together."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from covidcxr.arrays import save_blocks
from covidcxr.files import atomic


def run(shards: Sequence[str | Path], whole: str | Path) -> None:
    """Join the rows of shards, as if one job had written them.

    Parameters
    ----------
    shards
        Of one file, in order: arrays [rows, ...] (`.npy`) or tables with one header (`.csv`).
    whole
        File to write.
    """
    with atomic(whole) as temporary:
        if temporary.suffix == ".npy":
            parts = [np.load(shard, mmap_mode="r") for shard in shards]
            shape = (sum(map(len, parts)), *parts[0].shape[1:])
            save_blocks(temporary, shape, parts[0].dtype, (part for part in parts if len(part)))
            return
        with temporary.open("wb") as file:
            for number, shard in enumerate(shards):
                with Path(shard).open("rb") as part:
                    header = part.readline()
                    file.write(b"" if number else header)
                    shutil.copyfileobj(part, file)
