"""What a file holds: whether it is a usable image, and how it is known again."""

from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from covidcxr.data.decode import decode_gray
from covidcxr.data.hash_index import HashIndex
from covidcxr.errors import InputError
from covidcxr.files import file_digest

HASH_SIZE = 16
HASH_BITS = HASH_SIZE**2
MAX_DISTANCE = 24
"""Differing bits up to which two perceptual hashes mean one image.

Measured on 1,625 radiographs (children, adults, COVID-19): copies that were saved as JPEG (quality
75, 40), halved, enlarged by half or made darker or brighter by a tenth or more differ by 18 bits at
the most, one published twice with another crop and exposure by 22, the nearest two different
images by 40 (two visits of one patient). With the usual 64 bits different ones come as near as 4.
"""
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
    perceptual
        Perceptual hash, uint64 [4]; zeros where the file is not fit.
    reason, detail
        Why the file is not fit (`missing`, `unreadable`, `undecodable`, `blank`); "" where it is.
    """

    sha256: str
    perceptual: npt.NDArray[np.uint64]
    reason: str = ""
    detail: str = ""


def unfit(reason: str, detail: str) -> Examination:
    """Return the examination of a file that is not fit."""
    return Examination("", np.zeros(HASH_BITS // 64, np.uint64), reason, detail)


def examine_image(path: str | Path) -> Examination:
    """Decode a file fully and hash it, or say why it is not fit."""
    try:
        if not Path(path).is_file():
            return unfit("missing", "no such file")
        gray = decode_gray(path)
        blank = blankness(gray)
        if blank:
            return unfit("blank", blank)
        return Examination(file_digest(path), perceptual_hash(gray))
    except InputError as error:
        return unfit("undecodable", str(error))
    except (OSError, ValueError) as error:
        return unfit("unreadable", getattr(error, "strerror", None) or str(error))


def blankness(gray: npt.NDArray[np.uint8]) -> str:
    """Say in what way an image [height, width] is blank; "" if it is not."""
    low, high = np.percentile(gray[::4, ::4], [1, 99])
    if high - low < BLANK_RANGE:
        return f"98 % of it lies between grey {low:.0f} and {high:.0f}"
    return ""


def perceptual_hash(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return the signs of an image's coarse cosine transform about their median (pHash), 256 bits.

    Parameters
    ----------
    gray
        uint8 [height, width].

    Returns
    -------
    uint64 [4].
    """
    bits = imagehash.phash(Image.fromarray(gray), hash_size=HASH_SIZE).hash
    return np.packbits(bits).view(np.uint64)


class SeenImages:
    """The images seen so far, by bytes (a dictionary) and by perceptual hash (`HashIndex`)."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._by_sha256: dict[str, int] = {}
        self._hashes = HashIndex(HASH_BITS, MAX_DISTANCE)

    def add(self, path: str, found: Examination) -> None:
        """Add an image; its number is how many were before."""
        self._by_sha256[found.sha256] = len(self._paths)
        self._paths.append(path)
        self._hashes.add(found.perceptual)

    def repeated(self, found: Examination) -> tuple[int, str, str] | None:
        """Return the number of the image that this one repeats, reason and detail; None if none."""
        if found.sha256 in self._by_sha256:
            number = self._by_sha256[found.sha256]
            return number, "duplicate_bytes", f"same bytes as {self._paths[number]}"
        nearest = self._hashes.nearest(found.perceptual)
        if nearest is None:
            return None
        number, distance = nearest
        detail = f"looks like {self._paths[number]} ({distance} of {HASH_BITS} bits differ)"
        return number, "duplicate_perceptual", detail
