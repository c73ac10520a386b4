"""The images of the COVID-19 Image Data Collection that a study draws from, and no others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covidcxr.data.covid_metadata import MIRROR_FOLDER, REPOSITORY
from covidcxr.data.repository import Images, begin_folder, fetch_images
from covidcxr.data.sources import filter_candidates, read_covid_chestxray


def fetch_covid_images(
    metadata: str | Path,
    output_dir: str | Path,
    *,
    select: Sequence[Mapping[str, Any]],
    commit: str,
    mirror: str | None = None,
) -> None:
    """Fetch the images whose rows pass at least one of the filters in `select`.

    Files from the repository are held against the git hashes that its tree lists at the commit.
    Files that do not exist are logged and left out. What is complete is kept in
    `<output_dir>.part` if the step is killed, and not fetched again.

    Parameters
    ----------
    select
        Filters as `covidcxr.data.sources.filter_candidates` takes them.

    Raises
    ------
    InputError
        If the metadata is unfit, or a file that exists cannot be had.
    """
    output = Path(output_dir)
    images = Images(REPOSITORY, commit, ("images",), (MIRROR_FOLDER, "images"))
    names = selected_names(metadata, select)
    cache = begin_folder(output) / f".{commit}.json"
    hashes = None if mirror is not None else images.hashes(cache)
    fetch_images(images, names, output, hashes=hashes, mirror=mirror)


def selected_names(metadata: str | Path, select: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the file names, sorted, of the rows that pass at least one filter."""
    candidates = read_covid_chestxray(metadata, Path())
    return sorted({key for where in select for key in filter_candidates(candidates, where)["key"]})
