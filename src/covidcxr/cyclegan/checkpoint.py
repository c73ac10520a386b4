"""Checkpoints of a long training: whole or absent, taken up only by the training they are of."""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from covidcxr.files import atomic
from covidcxr.logs import log

ITERATION, DIGEST = "__iteration__", "__digest__"


def save(folder: str | Path, iteration: int, digest: str, state: Mapping[str, np.ndarray]) -> None:
    """Write `state` as the checkpoint after `iteration` steps; keep it and the one before it.

    Parameters
    ----------
    folder
        Where checkpoints stand; made if absent.
    iteration
        Steps done.
    digest
        What the training depends on; `latest` compares it.
    state
        Arrays by name.
    """
    contents: dict[str, Any] = {ITERATION: iteration, DIGEST: digest, **state}
    with atomic(Path(folder) / f"step-{iteration:08d}.npz") as temporary:
        np.savez(temporary, **contents)
    for old in sorted(Path(folder).glob("step-*.npz"))[:-2]:
        old.unlink()


def latest(folder: str | Path, digest: str) -> tuple[int, dict[str, np.ndarray]] | None:
    """Return the steps done and the state of the newest usable checkpoint, None if there is none.

    A damaged checkpoint (the zip format holds a checksum of every array) is passed over. If one was
    written with another digest the folder is emptied.
    """
    for path in sorted(Path(folder).glob("step-*.npz"), reverse=True):
        try:
            with np.load(path, allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
            iteration, written = int(state.pop(ITERATION)), str(state.pop(DIGEST))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("checkpoint %s is damaged and left out: %s", path, error)
            continue
        if written != digest:
            log.warning(
                "checkpoint %s is of a training with other images, settings or code: "
                "starting from the first step",
                path,
            )
            remove(folder)
            return None
        return iteration, state
    return None


def remove(folder: str | Path) -> None:
    """Remove the folder of checkpoints, if there is one."""
    shutil.rmtree(folder, ignore_errors=True)
