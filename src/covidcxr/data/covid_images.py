"""The images of the COVID-19 Image Data Collection that a study draws from, and no others."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from covidcxr.data.covid_metadata import MIRROR_FOLDER, RAW, REPOSITORY
from covidcxr.data.download import (
    IMAGE,
    JSON,
    Checksum,
    NotFoundError,
    fetch,
    fetch_from_mirror,
    join,
)
from covidcxr.data.sources import filter_candidates, read_covid_chestxray
from covidcxr.errors import InputError
from covidcxr.logs import progress

log = logging.getLogger("covidcxr")

API = "https://api.github.com"
THREADS = 8
"""Downloads at a time; they wait for the network, not for a core."""


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
    folder = output.with_name(output.name + ".part")
    if output.exists() and not folder.exists():
        output.replace(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = selected_names(metadata, select)
    hashes = None if mirror is not None else git_hashes(folder / f".{commit}.json", commit)
    missing = []
    fetch_one = partial(_fetch_image, folder=folder, commit=commit, hashes=hashes, mirror=mirror)
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            found = pool.map(fetch_one, names)
            for name, there in zip(
                names, progress(found, total=len(names), desc="images"), strict=True
            ):
                if not there:
                    missing.append(name)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if missing:
        log.warning(
            "%d of %d images in the metadata do not exist: %s%s",
            len(missing),
            len(names),
            ", ".join(missing[:5]),
            " ..." if len(missing) > 5 else "",
        )
    for stray in {path.name for path in folder.iterdir()} - set(names):
        path = folder / stray
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if output.exists():
        shutil.rmtree(output)
    folder.replace(output)


def selected_names(metadata: str | Path, select: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the file names, sorted, of the rows that pass at least one filter."""
    candidates = read_covid_chestxray(metadata, Path())
    return sorted({key for where in select for key in filter_candidates(candidates, where)["key"]})


def git_hashes(cache: Path, commit: str) -> dict[str, str]:
    """Return the git blob hash of every image at a commit, by file name.

    One call of GitHub's tree API, whose answer is kept in `cache` (it never changes).
    """
    if not cache.exists():
        fetch(f"{API}/repos/{REPOSITORY}/git/trees/{commit}?recursive=1", cache, expect=JSON)
    listing = json.loads(cache.read_text())
    if listing.get("truncated") or "tree" not in listing:
        raise InputError(f"GitHub did not list all files of {REPOSITORY} at {commit}")
    return {
        entry["path"].removeprefix("images/"): entry["sha"]
        for entry in listing["tree"]
        if entry["type"] == "blob" and entry["path"].startswith("images/")
    }


def _fetch_image(
    name: str, *, folder: Path, commit: str, hashes: Mapping[str, str] | None, mirror: str | None
) -> bool:
    """Bring one image into `folder` unless it is there; return False if it does not exist."""
    path = folder / name
    check = Checksum("git-blob", hashes[name]) if hashes and name in hashes else None
    if path.exists() and (check is None or check.of(path) == check.value):
        return True
    try:
        if mirror is not None:
            fetch_from_mirror(mirror, [(MIRROR_FOLDER, "images", name)], path, expect=IMAGE)
        elif check is None:
            return False
        else:
            location = join(RAW, REPOSITORY, commit, "images", name)
            fetch(location, path, check=check, expect=IMAGE)
    except NotFoundError:
        return False
    return True
