"""What of each film a CycleGAN sees: the whole film, or the thorax alike in all of them.

Collections differ in framing, exposure, margins and letters, and a CycleGAN translates what tells
its two classes apart, whatever it is. In thorax frames little of that is left: each is cut out
around the estimated lungs, its contrast stretched between percentiles, letters and wires painted
over. What a generator changes in the frame is added to the film, fading out towards the frame's
edge; the rest of the film stays as it was.
"""

import logging
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.arrays import open_rows, save_blocks
from covidcxr.data.images import resize
from covidcxr.data.lungs import consistent_lungs
from covidcxr.data.marks import find_marks
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.files import atomic
from covidcxr.logs import progress

log = logging.getLogger("covidcxr")

Region = Literal["film", "thorax"]
Picture = npt.NDArray[np.uint8]

MARGIN = 0.06
"""Space around both lungs together, as a share of their width and height."""
PERCENTILES = (1, 99)
"""Of a thorax's grey values: exposure differs more between collections than lungs do."""
DARK, LIGHT = 28, 228
"""Grey levels that the percentiles come to."""
LEAST_CONTRAST = 32
"""Grey levels between the percentiles below which a thorax is not stretched further."""
MARK_SIDE = 0.05
"""Side of the square, as a share of the frame's, in which letters, wires and rules stand out."""
MARK_CONTRAST = 95
"""Grey levels of the stretched frame by which they do; ribs seen end on are lost with them."""
PAINTED_AROUND = 5
"""Side in pixels by which marks are widened, and radius from which they are painted over."""
FADE = 0.08
"""Width in which a change fades out inside a frame's edge, as a share of the frame's side."""

COLUMNS = ["image_id", "left", "top", "right", "bottom", "low", "high"]


@dataclass(frozen=True)
class Frame:
    """A part of a film, and the grey levels that `DARK` and `LIGHT` stand for.

    Attributes
    ----------
    left, top, right, bottom
        Pixels of the film; `right` and `bottom` are the first beyond the frame.
    low, high
        Grey levels.
    """

    left: int
    top: int
    right: int
    bottom: int
    low: float
    high: float

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the film."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def write_frames(
    images: str | Path,
    manifest: str | Path,
    lungs: str | Path,
    lungs_table: str | Path,
    output_npy: str | Path,
    output_table: str | Path,
    *,
    region: Region,
) -> None:
    """Cut what the CycleGAN sees out of every film.

    Parameters
    ----------
    images, manifest
        `images/manifest.npy`, uint8 [n, size, size], and its table.
    lungs, lungs_table
        `images/lungs.npy`, bool [n, size, size], and `data/lungs.csv`.
    output_npy
        uint8 [n, size, size], the frames at the films' size; rows as in `manifest`.
    output_table
        CSV, a row for each: image_id and the fields of `Frame`.
    region
        `film`: the films as they are. `thorax`: see `thorax`.

    Raises
    ------
    InputError
        Images and manifest do not belong together.
    """
    names = read_manifest(manifest)["image_id"]
    films = open_rows(images, manifest, len(names))
    lungs_of = consistent_lungs(lungs, lungs_table)
    frames = []

    def cut() -> Iterator[Picture]:
        for row, film in enumerate(progress(films, unit="image")):
            frame, seen = whole(film) if region == "film" else thorax(film, lungs_of(row, film))
            frames.append(frame)
            yield seen

    with atomic(output_npy) as temporary:
        save_blocks(temporary, films.shape, np.uint8, cut())
    rows = [(name, *astuple(frame)) for name, frame in zip(names, frames, strict=True)]
    write_table(pd.DataFrame(rows, columns=COLUMNS), output_table)
    log.info("%d frames: %s", len(rows), region)


def read_frames(table: str | Path) -> dict[str, Frame]:
    """Return the frame of each image_id of `data/frames.csv`."""
    rows = read_table(table, COLUMNS, COLUMNS[1:])[COLUMNS]
    return {
        name: Frame(int(left), int(top), int(right), int(bottom), low, high)
        for name, left, top, right, bottom, low, high in rows.itertuples(index=False)
    }


def whole(film: Picture) -> tuple[Frame, Picture]:
    """Return the frame that is the film, and the film."""
    height, width = film.shape
    return Frame(0, 0, width, height, DARK, LIGHT), film


def thorax(film: Picture, lungs: npt.NDArray[np.bool_]) -> tuple[Frame, Picture]:
    """Return the frame around the lungs, and what a CycleGAN sees of it.

    Parameters
    ----------
    film
        uint8 [size, size].
    lungs
        bool [size, size]; without any the frame is the whole film.

    Returns
    -------
    tuple
        The frame, and uint8 [size, size]: it at the film's size, its contrast stretched from
        `PERCENTILES` to `DARK` and `LIGHT`, marks painted over (Telea 2004, An image inpainting
        technique based on the fast marching method).
    """
    size = len(film)
    left, right = _around(np.asarray(lungs.any(axis=0)))
    top, bottom = _around(np.asarray(lungs.any(axis=1)))
    enlarged = resize(film[top:bottom, left:right], size)
    low, high = np.percentile(enlarged, PERCENTILES)
    lacking = max(0.0, LEAST_CONTRAST - (high - low)) / 2
    frame = Frame(left, top, right, bottom, float(low - lacking), float(high + lacking))
    slope = (LIGHT - DARK) / (frame.high - frame.low)
    stretched = DARK + (enlarged - frame.low) * slope
    grey = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
    painted = cv2.inpaint(grey, marks(grey), PAINTED_AROUND, cv2.INPAINT_TELEA)
    return frame, np.asarray(painted, np.uint8)


def _around(told: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return first and last (exclusive) place that is told, with `MARGIN`, inside the film."""
    places = np.flatnonzero(told)
    if not len(places):
        return 0, len(told)
    first, last = int(places[0]), int(places[-1]) + 1
    margin = MARGIN * (last - first)
    return max(0, round(first - margin)), min(len(told), round(last + margin))


def marks(frame: Picture) -> Picture:
    """Return, as 0 and 1, where letters, numbers in boxes, wires and rules are painted over."""
    found, _ = find_marks(
        frame,
        side=MARK_SIDE,
        contrast=MARK_CONTRAST,
        hats=[cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT],
    )
    around = np.ones((PAINTED_AROUND, PAINTED_AROUND), np.uint8)
    return np.asarray(cv2.dilate(found.astype(np.uint8), around), np.uint8)


def apply_change(film: Picture, frame: Frame, change: npt.NDArray[np.float32]) -> Picture:
    """Add a change of a frame's grey values to its film.

    Parameters
    ----------
    film
        uint8 [size, size].
    frame
        Where the change belongs.
    change
        float32 [s, s], in grey levels of the stretched frame. Enlarged by bicubic interpolation,
        whose overshoots are clipped last with the sum.

    Returns
    -------
    numpy.ndarray
        uint8 [size, size].
    """
    height, width = frame.bottom - frame.top, frame.right - frame.left
    enlarged = cv2.resize(change, (width, height), interpolation=cv2.INTER_CUBIC)
    scale = (frame.high - frame.low) / (LIGHT - DARK)
    changed = film.astype(np.float64)
    changed[frame.place] += np.asarray(enlarged) * scale * fading(frame, len(film))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def fading(frame: Frame, size: int) -> npt.NDArray[np.float64]:
    """Return how much of a change is kept, float64 [height, width], 0..1.

    It falls to 0 in a cosine towards those edges of the frame that lie inside the film.
    """
    down = _ramp(frame.bottom - frame.top, frame.top > 0, frame.bottom < size)
    across = _ramp(frame.right - frame.left, frame.left > 0, frame.right < size)
    return down[:, None] * across[None, :]


def _ramp(length: int, first: bool, last: bool) -> npt.NDArray[np.float64]:
    places = np.arange(length) + 0.5
    kept = np.ones(length)
    for distance, fades in ((places, first), (length - places, last)):
        if fades:
            kept *= (1 - np.cos(np.pi * np.clip(distance / (FADE * length), 0, 1))) / 2
    return kept
