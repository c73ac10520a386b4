"""Writing results so that a killed or failed step never leaves half a file under its final name."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; move it into place when the block ends without error.

    The temporary name keeps the suffix of `path` (libraries choose the file format by it). The
    block may write a file or make a folder there. On an exception the temporary is removed and
    whatever stood under `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary = scratch / path.name
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def is_there(path: str | Path) -> bool:
    """Tell whether a file is there; no, too, where the system does not even take the name."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def file_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
