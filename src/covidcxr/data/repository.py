"""Single files of a GitHub repository at a commit, each held against git's own hash."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from covidcxr.data.download import (
    IMAGE,
    JSON,
    Checksum,
    Kind,
    NotFoundError,
    fetch,
    fetch_from_mirror,
    is_url,
    join,
)
from covidcxr.errors import InputError
from covidcxr.logs import log, progress

API = "https://api.github.com"
RAW = "https://raw.githubusercontent.com"
LISTING = "tree.json"
THREADS = 8
"""Downloads at a time; they wait for the network, not for a core."""


@dataclass(frozen=True)
class Repository:
    """A repository at a commit, or a mirror's copy of it, which is not held against hashes.

    Attributes
    ----------
    name, commit
        `owner/name` on GitHub, and the commit.
    mirror
        Folder or http(s) address of copies, or None.
    root
        Folder of the repository's copy in the mirror; "" where its folders stand there themselves.
    """

    name: str
    commit: str
    mirror: str | None = None
    root: str = ""

    def fetch_file(self, places: Sequence[str], path: Path, *, expect: Kind) -> None:
        """Fetch the first of a repository's `places` to `path`; a mirror may have it in any.

        Raises
        ------
        InputError
            If it cannot be had; NotFoundError if there is none.
        """
        if self.mirror is None:
            fetch(join(RAW, self.name, self.commit, *places[0].split("/")), path, expect=expect)
        else:
            own = [f"{self.root}/{place}".strip("/").split("/") for place in places]
            fetch_from_mirror(self.mirror, own, path, expect=expect)

    def files(self, folder: str, working: Path) -> Iterable[str]:
        """Return the paths of all files below a folder of the repository.

        A served mirror, which cannot be listed, holds GitHub's listing as `<folder>/tree.json`.
        """
        if self.mirror is None or is_url(self.mirror):
            return self._hashes(folder, working)
        root = Path(self.mirror, self.root, folder)
        return [file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()]

    def fetch_images(self, folder: str, names: Sequence[str], working: Path) -> None:
        """Fetch images of a folder of the repository into `working`/images, and drop others there.

        Images that do not exist are logged and left out.

        Parameters
        ----------
        names
            Paths below the folder, kept below `working`/images.

        Raises
        ------
        InputError
            If an image that exists cannot be had.
        """
        images = working / "images"
        images.mkdir(exist_ok=True)
        hashes = self._hashes(folder, working) if self.mirror is None else {}
        fetch_one = partial(self._fetch_image, folder=folder, images=images, hashes=hashes)
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                found = progress(pool.map(fetch_one, names), total=len(names), desc="images")
                missing = [name for name, there in zip(names, found, strict=True) if not there]
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
        (working / LISTING).unlink(missing_ok=True)
        wanted = {images / name for name in names}
        for path in sorted(images.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in wanted:
                path.unlink()

    def _hashes(self, folder: str, working: Path) -> dict[str, str]:
        """Return the git blob hash of every file below a folder, by path below it.

        One call of GitHub's tree API, whose answer is kept while images are fetched.

        Raises
        ------
        InputError
            If GitHub does not answer or does not list all files.
        """
        cache = working / LISTING
        if not cache.exists() or json.loads(cache.read_text()).get("asked") != self.commit:
            if self.mirror is None:
                url = f"{API}/repos/{self.name}/git/trees/{self.commit}?recursive=1"
                fetch(url, cache, expect=JSON)
            else:
                self.fetch_file([f"{folder}/{LISTING}"], cache, expect=JSON)
            cache.write_text(json.dumps(json.loads(cache.read_text()) | {"asked": self.commit}))
        listing = json.loads(cache.read_text())
        if listing.get("truncated") or "tree" not in listing:
            raise InputError(f"GitHub did not list all files of {self.name} at {self.commit}")
        return {
            entry["path"].removeprefix(f"{folder}/"): entry["sha"]
            for entry in listing["tree"]
            if entry["type"] == "blob" and entry["path"].startswith(f"{folder}/")
        }

    def _fetch_image(
        self, name: str, *, folder: str, images: Path, hashes: Mapping[str, str]
    ) -> bool:
        """Bring one image into `images` unless it is there; return False if it does not exist."""
        path = images / name
        check = Checksum("git-blob", hashes[name]) if name in hashes else None
        if path.exists() and (check.of(path) == check.value if check else is_url(f"{self.mirror}")):
            return True
        try:
            if self.mirror is None and check is None:
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.mirror is None:
                places = [RAW, self.name, self.commit, *folder.split("/"), *name.split("/")]
                fetch(join(*places), path, check=check, expect=IMAGE)
            else:
                self.fetch_file([f"{folder}/{name}"], path, expect=IMAGE)
        except NotFoundError:
            return False
        return True
