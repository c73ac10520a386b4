"""Single files of a GitHub repository at a commit, each held against git's own hash."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from covidcxr.data.download import (
    IMAGE,
    JSON,
    Checksum,
    NotFoundError,
    fetch,
    fetch_from_mirror,
    join,
)
from covidcxr.errors import InputError
from covidcxr.logs import progress

log = logging.getLogger("covidcxr")

API = "https://api.github.com"
RAW = "https://raw.githubusercontent.com"
THREADS = 8
"""Downloads at a time; they wait for the network, not for a core."""


@dataclass(frozen=True)
class Images:
    """A folder of images in a repository.

    Attributes
    ----------
    repository, commit
        `owner/name` on GitHub, and the commit.
    folder
        Names from the repository's root down to the folder.
    mirror_folder
        The same from the root of a mirror.
    """

    repository: str
    commit: str
    folder: tuple[str, ...]
    mirror_folder: tuple[str, ...]

    def address(self, name: str) -> str:
        """Return the address of a file; `name` is its path below the folder."""
        return join(RAW, self.repository, self.commit, *self.folder, name)

    def hashes(self, cache: Path) -> dict[str, str]:
        """Return the git blob hash of every file in the folder, by path below it.

        One call of GitHub's tree API, whose answer is kept in `cache` (it never changes).

        Raises
        ------
        InputError
            If GitHub does not answer or does not list all files.
        """
        if not cache.exists():
            url = f"{API}/repos/{self.repository}/git/trees/{self.commit}?recursive=1"
            fetch(url, cache, expect=JSON)
        listing = json.loads(cache.read_text())
        if listing.get("truncated") or "tree" not in listing:
            raise InputError(f"GitHub did not list all files of {self.repository} at {self.commit}")
        prefix = "/".join(self.folder) + "/"
        return {
            entry["path"].removeprefix(prefix): entry["sha"]
            for entry in listing["tree"]
            if entry["type"] == "blob" and entry["path"].startswith(prefix)
        }


def begin_folder(output: Path) -> Path:
    """Return the folder `<output>.part` to fetch into; it keeps what is complete over a kill."""
    folder = output.with_name(output.name + ".part")
    if output.exists() and not folder.exists():
        output.replace(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch_images(
    images: Images,
    names: Sequence[str],
    output: Path,
    *,
    hashes: Mapping[str, str] | None,
    mirror: str | None,
) -> None:
    """Fetch the named images into `output`, by way of its `begin_folder`, and drop any other there.

    Files that do not exist are logged and left out.

    Parameters
    ----------
    names
        Paths below the folder of `images`, kept below `output`.
    hashes
        What `images.hashes` returns; None from a mirror, which is not checked.

    Raises
    ------
    InputError
        If a file that exists cannot be had.
    """
    folder = begin_folder(output)
    missing = []
    fetch_one = partial(_fetch_image, images=images, folder=folder, hashes=hashes, mirror=mirror)
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
    wanted = {folder / name for name in names}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in wanted:
            path.unlink()
    if output.exists():
        shutil.rmtree(output)
    folder.replace(output)


def _fetch_image(
    name: str,
    *,
    images: Images,
    folder: Path,
    hashes: Mapping[str, str] | None,
    mirror: str | None,
) -> bool:
    """Bring one image into `folder` unless it is there; return False if it does not exist."""
    path = folder / name
    check = Checksum("git-blob", hashes[name]) if hashes and name in hashes else None
    if path.exists() and (check is None or check.of(path) == check.value):
        return True
    try:
        if mirror is not None:
            fetch_from_mirror(mirror, [(*images.mirror_folder, name)], path, expect=IMAGE)
        elif check is None:
            return False
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch(images.address(name), path, check=check, expect=IMAGE)
    except NotFoundError:
        return False
    return True
