"""Fetching files: retried, resumed, checked, and put under their name only when whole."""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import requests

from covidcxr.errors import InputError
from covidcxr.files import atomic, file_digest
from covidcxr.logs import log, progress

TIMEOUT_SECONDS = (10, 60)
"""To connect, and between two pieces of a body."""
CHUNK_BYTES = 1 << 15
"""Read at a time; of a connection that breaks, at most so much is lost."""
BAR_FROM_BYTES = 1 << 20
"""Smaller files come too fast for a progress bar to tell anything."""
ATTEMPTS = 5
"""Failures in a row, without a byte gained, after which to give up."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0
"""Before the second attempt, doubled at every further one, and at most."""
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}
GONE_STATUS = {404, 410}


class NotFoundError(InputError):
    """The server, or the mirror, has no such file."""


@dataclass(frozen=True)
class Kind:
    """A kind of content: its name in messages, and what bytes it can start with (any, if empty)."""

    name: str
    magic: tuple[bytes, ...] = ()


ZIP = Kind("ZIP archive", (b"PK\x03\x04",))
HDF5 = Kind("HDF5 file", (b"\x89HDF\r\n\x1a\n",))
IMAGE = Kind("image", (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*"))
TABLE = Kind("CSV table")
JSON = Kind("JSON document", (b"{", b"["))


@dataclass(frozen=True)
class Checksum:
    """A published checksum.

    Parameters
    ----------
    algorithm
        `sha256`, `md5`, or `git-blob` (SHA-1 of the content behind git's header, as the trees of a
        repository list it).
    value
        Hexadecimal digest.
    """

    algorithm: str
    value: str

    def of(self, path: str | Path) -> str:
        """Return the digest of a file by this algorithm, in hexadecimal."""
        if self.algorithm != "git-blob":
            return file_digest(path, self.algorithm)
        digest = hashlib.sha1(b"blob %d\0" % Path(path).stat().st_size)
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()


def is_url(location: str) -> bool:
    """Say whether `location` is an http(s) address rather than a local path."""
    return location.startswith(("http://", "https://"))


def join(base: str, *parts: str) -> str:
    """Join a folder or http(s) address and the names below it; names in an address are quoted."""
    if is_url(base):
        return "/".join([base.rstrip("/"), *(quote(part) for part in parts)])
    return str(Path(base, *parts))


def content_problem(path: Path, expect: Kind, check: Checksum | None) -> str | None:
    """Say what is wrong with a file's content, the type before the checksum; None if nothing is."""
    with path.open("rb") as file:
        head = file.read(512)
    if re.match(rb"\s*<(!doctype html|html|head)", head.removeprefix(b"\xef\xbb\xbf"), re.I):
        return f"the server sent an HTML page instead of a {expect.name}"
    if not head:
        return f"the server sent an empty file instead of a {expect.name}"
    if expect.magic and not head.startswith(expect.magic):
        return f"the server sent something else than a {expect.name} (it starts with {head[:8]!r})"
    if check is not None and (found := check.of(path)) != check.value:
        return f"{check.algorithm} checksum is {found}, not {check.value} as published"
    return None


def fetch(location: str, path: str | Path, *, check: Checksum | None = None, expect: Kind) -> None:
    """Bring a file from an http(s) address (see `download`) or a local path (a copy) to `path`.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it cannot be had, or is not what it should be.
    """
    if is_url(location):
        download(location, path, check=check, expect=expect)
        return
    if not Path(location).is_file():
        raise NotFoundError(f"{location} does not exist")
    with atomic(path) as temporary:
        shutil.copyfile(location, temporary)
        if problem := content_problem(temporary, expect, check):
            raise InputError(f"{location}: {problem.replace('the server sent', 'this is')}")


def fetch_from_mirror(
    mirror: str, places: Sequence[Sequence[str]], path: str | Path, *, expect: Kind
) -> None:
    """Bring a file to `path` from the first of the `places` below `mirror` that holds it.

    No checksum is asked of a mirror: it may hold scaled images or stand-in weights on purpose.

    Raises
    ------
    NotFoundError
        If the mirror itself or the file in it is missing; names every place looked at.
    """
    if not is_url(mirror) and not Path(mirror).is_dir():
        raise NotFoundError(f"the mirror {mirror} is no folder; correct `mirror` in the config")
    locations = [join(mirror, *parts) for parts in places]
    for location in locations:
        try:
            fetch(location, path, expect=expect)
            return
        except NotFoundError:
            continue
    raise NotFoundError(
        f"the mirror {mirror} lacks {Path(places[0][-1]).name} (looked for "
        f"{' and '.join(locations)}); put it there, or unset `mirror` to download it"
    )


def download(url: str, path: str | Path, *, check: Checksum | None = None, expect: Kind) -> None:
    """Download `url` to `path`.

    What has arrived is kept in `<path>.part` and continued by a Range request, also by a later run,
    if the server still has the same file (ETag, else modification date; and size); a server that
    ignores ranges is read from the start. Content of the wrong type or checksum is discarded and
    fetched once more from the start. `path` is put in place, whole, at the very end.

    Parameters
    ----------
    check
        Published checksum, if any.
    expect
        What the file must be; held against its first bytes before the checksum is.

    Raises
    ------
    NotFoundError
        If the server has no such file (404, 410).
    InputError
        If the server refuses or fails for good, or sends wrong content twice.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Arrived(path)
    for last in (False, True):
        _transfer(url, part)
        problem = content_problem(part.file, expect, check)
        if problem is None:
            part.finish(path)
            return
        part.discard()
        if last:
            raise InputError(
                f"{url}: {problem}, twice; it may have moved, or a proxy may stand in between. "
                "Fetch it by hand and point `mirror` in the config at its folder"
            )
        log.warning("%s: %s; fetching it again", url, problem)


class Arrived:
    """The piece of a file that has arrived, `<path>.part`, and the version of the file it is of."""

    def __init__(self, path: Path) -> None:
        self.file = path.with_name(path.name + ".part")
        self._origin = path.with_name(path.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def origin(self) -> dict[str, str]:
        """Url, validator and total size of what has arrived; empty where that is not known."""
        try:
            origin = json.loads(self._origin.read_text())
        except (OSError, ValueError):
            return {}
        return origin if isinstance(origin, dict) else {}

    def begin(self, origin: dict[str, str]) -> None:
        """Start from nothing, as a piece of `origin`."""
        self.file.write_bytes(b"")
        self._origin.write_text(json.dumps(origin))

    def discard(self) -> None:
        """Forget what has arrived."""
        self.file.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def finish(self, path: Path) -> None:
        """Move the whole file to its name."""
        self.file.replace(path)
        self._origin.unlink(missing_ok=True)


class _TransientError(Exception):
    """A failure worth another attempt; `wait` is how long the server asks to wait, in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def _transfer(url: str, part: Arrived) -> None:
    """Bring all of `url` into `part`, over as many attempts as it takes while bytes are gained."""
    failures, furthest = 0, part.size
    while True:
        try:
            _continue(url, part)
            return
        except (_TransientError, requests.RequestException) as error:
            failures = 1 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if failures >= ATTEMPTS:
                raise InputError(
                    f"{url} was not to be had in {ATTEMPTS} attempts ({error}); check the network "
                    "and start again (what has arrived is kept), or set `mirror` in the config"
                ) from error
            wait = max(FIRST_WAIT_SECONDS * 2 ** (failures - 1), getattr(error, "wait", 0.0))
            wait = min(wait, LONGEST_WAIT_SECONDS)
            log.warning("%s: %s; trying again in %.0f s", url, error, wait)
            time.sleep(wait)


def _continue(url: str, part: Arrived) -> None:
    """Ask once for what `part` lacks of `url`, and append it."""
    origin = part.origin
    if origin.get("url") != url or not part.size:
        part.discard()
        origin = {}
    # A compressed transfer could neither be resumed nor held against the size.
    headers = {"Accept-Encoding": "identity"}
    if origin:
        headers["Range"] = f"bytes={part.size}-"
        if validator := origin.get("validator"):
            headers["If-Range"] = validator
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        _raise_for_status(url, response)
        sent = {"url": url, "validator": _validator(response), "total": _total(response)}
        if response.status_code == 416 and origin and sent["total"] == str(part.size):
            return
        if response.status_code == 200:
            part.begin(sent)
        elif response.status_code != 206 or sent != origin or _start(response) != part.size:
            part.discard()
            raise _TransientError("the file on the server has changed meanwhile")
        _append(response, part, sent["total"])
    if sent["total"] and part.size != int(sent["total"]):
        raise _TransientError(f"{part.size} of {sent['total']} bytes arrived")


def _append(response: requests.Response, part: Arrived, total: str) -> None:
    size = int(total) if total else None
    with (
        part.file.open("ab") as file,
        progress(
            total=size,
            initial=part.size,
            unit="B",
            unit_scale=True,
            desc=part.file.name.removesuffix(".part"),
            disable=size is not None and size < BAR_FROM_BYTES,
        ) as bar,
    ):
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            bar.update(len(chunk))


def _raise_for_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    reason = f"{status} {response.reason}"
    if status in GONE_STATUS:
        raise NotFoundError(f"{url} is not on the server ({reason})")
    if status in RETRIED_STATUS:
        after = response.headers.get("Retry-After", "")
        raise _TransientError(
            f"the server answered {reason}", float(after) if after.isdigit() else 0
        )
    if status >= 400 and status != 416:
        raise InputError(
            f"{url}: the server answered {reason}; fetch the file by hand and set `mirror`"
        )


def _validator(response: requests.Response) -> str:
    etag = response.headers.get("ETag", "")
    # Weak validators must not be used with ranges (RFC 9110, 13.1.5).
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _total(response: requests.Response) -> str:
    """Size of the whole file in bytes, as text; "" where the server does not tell."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return ""
    if response.status_code == 200:
        return response.headers.get("Content-Length", "")
    size = response.headers.get("Content-Range", "").rpartition("/")[2]
    return size if size.isdigit() else ""


def _start(response: requests.Response) -> int:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1
