"""The files of a source that is downloaded, kept for all runs."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covidcxr.data.source import Where, open_source


def run(
    folder: str | Path, *, options: Mapping[str, Any], select: Sequence[Where], mirror: str | None
) -> None:
    """Fetch the files of a source.

    What is complete is kept in `<folder>.part` if the step is killed, and not fetched again.

    Parameters
    ----------
    folder
        Folder to fill, see `covidcxr.data.source.Source`.
    options
        The source's entry in the config.
    select
        Filters by which the run selects from it.
    mirror
        As in the config.

    Raises
    ------
    InputError
        If a file that exists cannot be had, or there is none.
    """
    folder = Path(folder)
    part = folder.with_name(folder.name + ".part")
    if folder.exists() and not part.exists():
        folder.replace(part)
    part.mkdir(parents=True, exist_ok=True)
    open_source(options).fetch(part, select=select, mirror=mirror)
    if folder.exists():
        shutil.rmtree(folder)
    part.replace(folder)
