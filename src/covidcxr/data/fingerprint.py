"""Digests of files and folders that tell changed content from a fresh timestamp."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from covidcxr.files import atomic

MISSING = "missing"
DIGEST_BYTES = 16
RACY_NANOSECONDS = 2 * 10**9
"""A file changed so recently may change again within its timestamp's resolution: not noted."""


def fingerprint(paths: Iterable[str | Path], cache: str | Path) -> str:
    """Return a digest over the content of files and, for folders, of all files below them.

    It depends on the names of the paths, the names below a folder and the bytes; not on timestamps,
    on where a folder stands or on the order of `paths`. A path that does not exist enters as such.

    Parameters
    ----------
    cache
        JSON file that remembers each file's digest by path, size and modification time, so that
        unchanged files are not read again. Made if absent, ignored if unreadable.

    Returns
    -------
    Hexadecimal BLAKE2b of 128 bits.
    """
    return fingerprint_files((entry for path in paths for entry in _files(Path(path))), cache)


def fingerprint_files(files: Iterable[tuple[str, Path]], cache: str | Path) -> str:
    """Return a digest over files, each under a name of its own; see `fingerprint`."""
    known = _read_cache(Path(cache))
    remembered = dict(known)
    lines = sorted(f"{name}\0{_content(file, remembered)}\n" for name, file in files)
    if remembered != known:
        with atomic(cache) as temporary:
            temporary.write_text(json.dumps(remembered))
    return _digest(lines)


def fingerprint_listing(files: Iterable[Path]) -> str:
    """Return a digest over the names and sizes of files, whose content is too much to read."""
    return _digest(sorted(f"{file.name}\0{file.stat().st_size}\n" for file in files))


def _digest(lines: Iterable[str]) -> str:
    text = "".join(lines).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield path.name, path
        return
    for file in path.rglob("*"):
        if file.is_file():
            yield f"{path.name}/{file.relative_to(path).as_posix()}", file


def _content(file: Path, remembered: dict[str, list[int | str]]) -> str:
    """Return a file's digest, from `remembered` if its size and time are those noted there."""
    try:
        stat = file.stat()
        name = str(file.resolve())
        noted = remembered.get(name)
        if noted is not None and noted[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(noted[2])
        with file.open("rb") as content:
            digest = hashlib.file_digest(
                content, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)
            ).hexdigest()
    # Whatever hinders here is said when the file is read for good.
    except (OSError, ValueError) as error:
        return f"{MISSING} {type(error).__name__}"
    if time.time_ns() - stat.st_mtime_ns > RACY_NANOSECONDS:
        remembered[name] = [stat.st_size, stat.st_mtime_ns, digest]
    return digest


def _read_cache(cache: Path) -> dict[str, list[int | str]]:
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
