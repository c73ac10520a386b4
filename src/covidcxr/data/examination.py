"""What files hold: whether each is a usable image, and which of them are the same image."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from covidcxr.array_types import Grey
from covidcxr.data.decode import decode_gray
from covidcxr.data.same_image import ImageIndex, Sketch, sketch
from covidcxr.errors import InputError
from covidcxr.files import file_digest
from covidcxr.logs import progress

THREADS = 2
"""Images examined at a time; the decoders release the interpreter lock."""
BLANK_RANGE = 16
"""Grey levels between the 1st and 99th percentile below which an image shows nothing.

The flattest of the same 1,625 radiographs spans 71.
"""


@dataclass(frozen=True)
class Examination:
    """What a file holds.

    Attributes
    ----------
    sha256
        Of the file's bytes; "" where the file is not fit.
    sketch
        By which the image is found again; None where the file is not fit.
    reason, detail
        Why the file is not fit (`missing`, `unreadable`, `undecodable`, `blank`); "" where it is.
    """

    sha256: str
    sketch: Sketch | None
    reason: str = ""
    detail: str = ""


def examine_image(path: str | Path) -> Examination:
    """Decode a file fully and sketch it, or say why it is not fit."""
    try:
        if not Path(path).is_file():
            return Examination("", None, "missing", "no such file")
        gray = decode_gray(path)
        blank = blankness(gray)
        if blank:
            return Examination("", None, "blank", blank)
        return Examination(file_digest(path), sketch(gray))
    except InputError as error:
        return Examination("", None, "undecodable", str(error))
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or str(error)
        return Examination("", None, "unreadable", detail)


def blankness(gray: Grey) -> str:
    """Say in what way an image [height, width] is blank; "" if it is not."""
    low, high = np.percentile(gray[::4, ::4], [1, 99])
    if high - low < BLANK_RANGE:
        return f"98 % of it lies between grey {low:.0f} and {high:.0f}"
    return ""


class Examiner:
    """Examines files in threads, each once, and knows which hold the same image."""

    def __init__(self) -> None:
        self._known: dict[str, Examination] = {}
        self._index = ImageIndex()
        self._indexed: list[str] = []
        self._same = DisjointSet()

    def __call__(self, paths: Sequence[str]) -> list[Examination]:
        """Return what files hold, in order, as `examine_image` does of one."""
        new = [path for path in dict.fromkeys(paths) if path not in self._known]
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(examine_image, new)
            shown = progress(found, total=len(new), desc="examining", unit=" images")
            self._known |= zip(new, shown, strict=True)
        fresh = {
            one.sha256: one.sketch
            for one in (self._known[path] for path in new)
            if one.sketch is not None and one.sha256 not in self._same
        }
        self._indexed += fresh
        for sha256 in fresh:
            self._same.add(sha256)
        for pair in self._index.add(list(fresh.values())):
            self._same.merge(self._indexed[pair.first], self._indexed[pair.second])
        return [self._known[path] for path in paths]

    def same(self, found: Examination) -> set[str]:
        """Return the SHA-256 of all examined files that hold this fit image, its own among them.

        Files that are the same as a third one are the same.
        """
        return {str(sha256) for sha256 in self._same.subset(found.sha256)}


class SeenImages:
    """The images seen so far."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._paths: list[str] = []
        self._by_sha256: dict[str, int] = {}

    def add(self, path: str, found: Examination) -> None:
        """Add an image; its number is how many were before."""
        self._by_sha256.setdefault(found.sha256, len(self._paths))
        self._paths.append(path)

    def repeated(self, found: Examination) -> tuple[int, str, str] | None:
        """Return the number of the image that this one repeats, reason and detail; None if none."""
        if found.sha256 in self._by_sha256:
            number = self._by_sha256[found.sha256]
            return number, "duplicate_bytes", f"same bytes as {self._paths[number]}"
        numbers = self._by_sha256.keys() & self._examiner.same(found)
        if not numbers:
            return None
        number = min(self._by_sha256[sha256] for sha256 in numbers)
        return number, "duplicate_image", f"the same image as {self._paths[number]}"
