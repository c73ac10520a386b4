"""What the CycleGAN sees of each image: all of it, or the thorax, cropped and normalised.

Collections differ in framing, exposure, margins and letters, and a CycleGAN translates whatever
separates its two classes. In thorax frames little of that is left: each is cropped around the
estimated lungs, its contrast stretched between percentiles, letters and wires inpainted. What a
generator changes in the frame is added to the image, fading out towards the frame's edge; the rest
of the image stays as it was.
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd

from covidcxr.array_types import Floats, Grey, Mask, Singles
from covidcxr.arrays import open_rows, save_blocks
from covidcxr.data.images import resize
from covidcxr.data.lungs import consistent_lungs
from covidcxr.data.marks import find_marks
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.files import atomic
from covidcxr.logs import log, progress

Region = Literal["film", "thorax"]

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
INPAINTED_AROUND = 5
"""Side in pixels by which marks are widened, and radius from which they are inpainted."""
FADE = 0.08
"""Width in which a change fades out inside a frame's edge, as a share of the frame's side."""

COLUMNS = ["image_id", "left", "top", "right", "bottom", "low", "high"]


@dataclass(frozen=True)
class Frame:
    """A part of an image, and the grey levels that `DARK` and `LIGHT` stand for.

    Attributes
    ----------
    left, top, right, bottom
        Pixels of the image; `right` and `bottom` are the first beyond the frame.
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
        """Rows and columns of the image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def run(
    *,
    images: str | Path,
    manifest: str | Path,
    lungs: str | Path,
    lungs_table: str | Path,
    frames: str | Path,
    table: str | Path,
    region: Region,
) -> None:
    """Crop what the CycleGAN sees from every image.

    Parameters
    ----------
    images, manifest
        `images/manifest.npy`, uint8 [n, size, size], and its table.
    lungs, lungs_table
        `images/lungs.npy`, bool [n, size, size], and `data/lungs.csv`.
    frames
        To write: uint8 [n, size, size], the frames at the images' size; rows as in `manifest`.
    table
        CSV to write, a row for each: image_id and the fields of `Frame`.
    region
        `film`: the images as they are. `thorax`: see `thorax`.

    Raises
    ------
    InputError
        Images and manifest do not belong together.
    """
    names = read_manifest(manifest)["image_id"]
    pixels = open_rows(images, manifest, len(names))
    lungs_of = consistent_lungs(lungs, lungs_table)
    found: list[Frame] = []

    def crops() -> Iterator[Grey]:
        for row, image in enumerate(progress(pixels, unit="image")):
            frame, seen = whole(image) if region == "film" else thorax(image, lungs_of(row, image))
            found.append(frame)
            yield seen

    with atomic(frames) as temporary:
        save_blocks(temporary, pixels.shape, np.uint8, crops())
    write_table(
        pd.DataFrame(map(astuple, found), columns=COLUMNS[1:]).assign(image_id=names)[COLUMNS],
        table,
    )
    log.info("%d frames: %s", len(found), region)


def read_frames(table: str | Path) -> dict[str, Frame]:
    """Return the frame of each image_id of `data/frames.csv`."""
    rows = read_table(table, COLUMNS, COLUMNS[1:])[COLUMNS]
    return {
        name: Frame(int(left), int(top), int(right), int(bottom), low, high)
        for name, left, top, right, bottom, low, high in rows.itertuples(index=False)
    }


def whole(image: Grey) -> tuple[Frame, Grey]:
    """Return the frame that is the whole image, and the image."""
    height, width = image.shape
    return Frame(0, 0, width, height, DARK, LIGHT), image


def thorax(image: Grey, lungs: Mask) -> tuple[Frame, Grey]:
    """Return the frame around the lungs, and what a CycleGAN sees of it.

    Parameters
    ----------
    image
        uint8 [size, size].
    lungs
        bool [size, size]; without any the frame is the whole image.

    Returns
    -------
    tuple
        The frame, and uint8 [size, size]: it at the image's size, its contrast stretched from
        `PERCENTILES` to `DARK` and `LIGHT`, marks inpainted (Telea 2004, An image inpainting
        technique based on the fast marching method).
    """
    size = len(image)
    left, right = _around(np.asarray(lungs.any(axis=0)))
    top, bottom = _around(np.asarray(lungs.any(axis=1)))
    enlarged = resize(image[top:bottom, left:right], size)
    low, high = np.percentile(enlarged, PERCENTILES)
    lacking = max(0.0, LEAST_CONTRAST - (high - low)) / 2
    frame = Frame(left, top, right, bottom, float(low - lacking), float(high + lacking))
    slope = (LIGHT - DARK) / (frame.high - frame.low)
    stretched = DARK + (enlarged - frame.low) * slope
    grey = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
    painted = cv2.inpaint(grey, marks(grey), INPAINTED_AROUND, cv2.INPAINT_TELEA)
    return frame, np.asarray(painted, np.uint8)


def _around(inside: Mask) -> tuple[int, int]:
    """Return first and last (exclusive) place that is inside, with `MARGIN`, within the image."""
    places = np.flatnonzero(inside)
    if not len(places):
        return 0, len(inside)
    first, last = int(places[0]), int(places[-1]) + 1
    margin = MARGIN * (last - first)
    return max(0, round(first - margin)), min(len(inside), round(last + margin))


def marks(frame: Grey) -> Grey:
    """Return, as 0 and 1, where letters, numbers in boxes, wires and rules are inpainted."""
    found, _ = find_marks(
        frame,
        side=MARK_SIDE,
        contrast=MARK_CONTRAST,
        hats=[cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT],
    )
    around = np.ones((INPAINTED_AROUND, INPAINTED_AROUND), np.uint8)
    return np.asarray(cv2.dilate(found.astype(np.uint8), around), np.uint8)


def apply_change(image: Grey, frame: Frame, change: Singles) -> Grey:
    """Add a change of a frame's grey values to its image.

    Parameters
    ----------
    image
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
    changed = image.astype(np.float64)
    changed[frame.place] += np.asarray(enlarged) * scale * fading(frame, len(image))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def fading(frame: Frame, size: int) -> Floats:
    """Return how much of a change is kept, float64 [height, width], 0..1.

    It falls to 0 in a cosine towards those edges of the frame that lie inside the image.
    """
    down = _ramp(frame.bottom - frame.top, frame.top > 0, frame.bottom < size)
    across = _ramp(frame.right - frame.left, frame.left > 0, frame.right < size)
    return down[:, None] * across[None, :]


def _ramp(length: int, first: bool, last: bool) -> Floats:
    places = np.arange(length) + 0.5
    kept = np.ones(length)
    for distance, fades in ((places, first), (length - places, last)):
        if fades:
            kept *= (1 - np.cos(np.pi * np.clip(distance / (FADE * length), 0, 1))) / 2
    return kept
