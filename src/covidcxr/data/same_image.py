"""Finding the same image again: scaled, re-encoded, cropped, mirrored, painted over.

Candidates come from thumbnails of local contrast. Each image is held whole against windows of every
other, plain and mirrored, so that a crop meets the window that it was cut from. Registration
decides: the pair is aligned by an affine map that maximises the enhanced correlation coefficient
(Evangelidis and Psarakis, IEEE PAMI 30, 1858 (2008); OpenCV), and tiles of both are correlated. The
median over tiles does not see letters; local contrast does not see how grey values were mapped.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
import numpy.typing as npt

from covidcxr.array_types import Grey, Integers, Reals, Singles
from covidcxr.logs import progress

SAME = 0.81
"""Likeness from which two images are the same one.

Measured on 1,835 radiographs of four collections: 39 pairs published twice, cropped by up to a
fifth of the width and with another contrast, reach 0.82 at least; the nearest two different images
of one patient 0.71; two visits of a phantom, of the same anatomy, 0.80.
"""

SIDE = 96
"""Pixels a side at which two images are compared."""
COARSE = 32
"""Pixels a side at which their registration starts."""
CELLS = 16
"""Cells a side of a window's descriptor."""
TILES = 4
"""Tiles a side whose correlations are taken."""
FEWEST_TILES = 6
"""Tiles that must be seen in both images, with texture, for a verdict."""
TEXTURED = 5.0
"""Standard deviation of local contrast, grey levels, below which a tile shows nothing."""
PROMISING = 0.3
"""Agreement after coarse registration below which no finer one is tried."""
NEAREST = 6
"""Candidates of each image, mirror images among them."""
BLOCK, TILE = 256, 1024
"""Images compared at a time, and with how many others: what a processor's cache holds."""
THREADS = 2


_THIRDS = [(0, 100), (3, 90), (7, 90)]
WINDOWS = [
    *product(_THIRDS, _THIRDS),
    *(((left, 80), (2, 96)) for left in (3, 10, 17)),
    ((2, 96), (10, 80)),
]
"""Windows of an image, the whole first: (left, width), (top, height) in percent of its sides."""
_MIRROR = [WINDOWS.index(((100 - x - w, w), y)) for (x, w), y in WINDOWS]


@dataclass(frozen=True)
class Sketch:
    """What is kept of an image.

    Attributes
    ----------
    windows
        float16 [windows, 256]: local contrast in 16 x 16 cells of each of `WINDOWS`, of norm 1.
    coarse
        uint8 [32, 32]: local contrast, 128 where there is none.
    middle, fine
        uint8 [96, 96]: contrast with what lies closer by, and closest.
    """

    windows: npt.NDArray[np.float16]
    coarse: Grey
    middle: Grey
    fine: Grey

    def mirrored(self) -> "Sketch":
        """Return the sketch of the mirror image."""
        return Sketch(
            _mirrored(self.windows)[_MIRROR],
            *(np.ascontiguousarray(one[:, ::-1]) for one in (self.coarse, self.middle, self.fine)),
        )


@dataclass(frozen=True)
class Pair:
    """Rows of two images that are the same, and their likeness (0..1, at least `SAME`)."""

    first: int
    second: int
    likeness: float


def sketch(gray: Grey) -> Sketch:
    """Sketch an image, uint8 [height, width]; width and height are each scaled to `SIDE`."""
    small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    wide = _local_contrast(small, 3 * SIDE / 64)
    cells = []
    for (left, width), (top, height) in WINDOWS:
        rows = slice(round(top * SIDE / 100), round((top + height) * SIDE / 100))
        columns = slice(round(left * SIDE / 100), round((left + width) * SIDE / 100))
        cells.append(_shrunk(wide[rows, columns], CELLS).ravel())
    windows = np.stack(cells)
    windows /= np.maximum(np.linalg.norm(windows, axis=1, keepdims=True), 1e-6)
    return Sketch(
        windows.astype(np.float16),
        _grey(_shrunk(wide, COARSE)),
        *(_grey(_local_contrast(small, scale * SIDE / 64)) for scale in (1.5, 1)),
    )


def likeness(a: Sketch, b: Sketch) -> float:
    """Register two images and return the median correlation of their tiles, -1..1; 0 without one.

    Mirror images have none; see `Sketch.mirrored`.
    """
    inside, around = _products(b.windows, a.windows[0]), _products(a.windows, b.windows[0])
    if around.max() > inside.max():
        a, b, inside = b, a, around
    (left, width), (top, height) = WINDOWS[int(inside.argmax())]
    warp: Singles = np.array([[width, 0, left], [0, height, top]], np.float32) / np.float32(100)
    warp = _registered(a.coarse, b.coarse, warp)
    found = _agreement(a.middle, b.middle, warp)
    if found < PROMISING:
        return found
    return _agreement(a.fine, b.fine, _registered(a.middle, b.middle, warp))


class ImageIndex:
    """The images seen so far, in the order in which they were added."""

    def __init__(self) -> None:
        self._sketches: list[Sketch] = []

    def __len__(self) -> int:
        return len(self._sketches)

    def add(self, sketches: Sequence[Sketch]) -> list[Pair]:
        """Append images and return their pairs, with earlier ones and among themselves.

        Time grows with the product of new and all images, and above 130,000 is mostly that
        (`benchmarks/README.md`).
        """
        new = len(self._sketches)
        self._sketches += sketches
        if not sketches or len(self._sketches) < 2:
            return []
        windows = np.stack([one.windows for one in self._sketches])
        whole = windows[:, :1]
        proposed = _nearest(whole[new:], windows, new)
        if new:  # else the other direction is the same search
            proposed |= _nearest(windows[new:], whole, new)

        def measured(candidate: tuple[int, int, bool]) -> Pair:
            first, second, mirrored = candidate
            a, b = self._sketches[first], self._sketches[second]
            return Pair(first, second, likeness(a.mirrored() if mirrored else a, b))

        with ThreadPoolExecutor(THREADS) as pool:
            pairs = progress(
                pool.map(measured, sorted(proposed)),
                total=len(proposed),
                desc="registering",
                unit=" pairs",
            )
            same = {(pair.first, pair.second): pair for pair in pairs if pair.likeness >= SAME}
        return list(same.values())


def same_images(pictures: Sequence[Grey]) -> list[Pair]:
    """Return the pairs among images, each uint8 [height, width], of their rows."""
    return ImageIndex().add([sketch(picture) for picture in pictures])


def _local_contrast(picture: Singles, scale: float) -> Singles:
    """Return grey values against their surroundings of `scale` pixels, clipped to -0.5..0.5.

    Clipped so far that little more than the sign is left: what bright letters do is bounded.
    """
    detail = picture - cv2.GaussianBlur(picture, (0, 0), scale)
    spread = np.sqrt(cv2.GaussianBlur(detail**2, (0, 0), scale * 4 / 3))
    return np.clip(detail / (spread + 2), -0.5, 0.5)


def _grey(contrast: Singles) -> Grey:
    return np.rint(contrast * 254 + 128).astype(np.uint8)


def _shrunk(picture: Singles, side: int) -> Singles:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _mirrored(windows: Reals) -> Reals:
    cells = windows.reshape(*windows.shape[:-1], CELLS, CELLS)
    return np.ascontiguousarray(cells[..., ::-1]).reshape(windows.shape)


def _products(windows: npt.NDArray[np.float16], one: npt.NDArray[np.float16]) -> Singles:
    return windows.astype(np.float32) @ one.astype(np.float32)


def _nearest(
    queries: npt.NDArray[np.float16], base: npt.NDArray[np.float16], start: int
) -> set[tuple[int, int, bool]]:
    """Return for each query its `NEAREST` images as (row, later row, whether mirrored).

    Parameters
    ----------
    queries
        [q, windows or 1, cells], the images of rows `start`, `start` + 1, ...
    base
        [n, windows or 1, cells], all images.
    """
    count = min(NEAREST, 2 * (len(base) - 1))
    likest = np.full((len(queries), count), -np.inf, np.float32)
    nearest = np.zeros((len(queries), count), np.int64)
    tiles = range(0, len(base), TILE)
    for left in progress(tiles, desc="comparing", unit=f" x {TILE} images"):
        tile = _halves(base[left : left + TILE])
        for top in range(0, len(queries), BLOCK):
            rows = slice(top, top + BLOCK)
            alike = _alike(_halves(queries[rows]), tile)
            own = start + top - left + np.arange(alike.shape[1])
            here = (own >= 0) & (own < alike.shape[2])
            alike[:, here, own[here]] = -2
            others = left + np.arange(alike.shape[2])
            sides = np.tile(np.hstack([2 * others, 2 * others + 1]), (alike.shape[1], 1))
            values, names = np.hstack([likest[rows], *alike]), np.hstack([nearest[rows], sides])
            best = _largest(values, count)
            likest[rows] = np.take_along_axis(values, best, axis=1)
            nearest[rows] = np.take_along_axis(names, best, axis=1)
    found = set()
    for row, others in enumerate(nearest, start):
        for other, mirrored in zip(*divmod(others, 2), strict=True):
            found.add((min(row, int(other)), max(row, int(other)), bool(mirrored)))
    return found


def _halves(windows: npt.NDArray[np.float16]) -> Singles:
    """Split windows [n, w, cells] into what mirroring keeps and what it turns round.

    Returns
    -------
    float32 [2, w, n, cells / 2]. The sum of two windows' products of halves is their product, the
    difference that of one with the other's mirror image: half the multiplications of both.
    """
    cells = windows.astype(np.float32).transpose(1, 0, 2).reshape(-1, len(windows), CELLS, CELLS)
    left, right = cells[..., : CELLS // 2], cells[..., : CELLS // 2 - 1 : -1]
    halves = np.array([left + right, left - right], np.float32) / np.float32(np.sqrt(2))
    return halves.reshape(*halves.shape[:3], -1)


def _alike(block: Singles, tile: Singles) -> Singles:
    """Return the largest products [2, b, t] of the windows of images, plain and mirrored."""
    alike = np.full((2, block.shape[2], tile.shape[2]), -1, np.float32)
    kept, turned, both = np.empty((3, *alike.shape[1:]), np.float32)
    for one, other in product(block.transpose(1, 0, 2, 3), tile.transpose(1, 0, 3, 2)):
        np.matmul(one[0], other[0], out=kept)
        np.matmul(one[1], other[1], out=turned)
        for side, join in enumerate((np.add, np.subtract)):
            np.maximum(alike[side], join(kept, turned, out=both), out=alike[side])
    return alike


def _largest(values: Singles, count: int) -> Integers:
    """Return the positions of each row's largest values, `count` of them or all."""
    count = min(count, values.shape[1])
    return np.argpartition(-values, count - 1, axis=1)[:, :count]


def _registered(template: Grey, picture: Grey, warp: Singles) -> Singles:
    """Refine the affine map, in shares of the side, that leads from `template` into `picture`."""
    pixels = warp.copy()
    pixels[:, 2] *= len(template)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 1e-3)
    try:
        _, pixels = cv2.findTransformECC(
            template, picture, pixels, cv2.MOTION_AFFINE, criteria, None, 1
        )
    except cv2.error:  # it does not converge: these are no pair, or well aligned as they are
        return warp
    refined = np.array(pixels, np.float32)
    refined[:, 2] /= len(template)
    return refined


def _agreement(template: Grey, picture: Grey, warp: Singles) -> float:
    """Return the median correlation over tiles of `template` and the warped `picture`."""
    pixels = warp.copy()
    pixels[:, 2] *= SIDE
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(picture, pixels, (SIDE, SIDE), flags=flags)
    there = cv2.warpAffine(np.ones_like(picture), pixels, (SIDE, SIDE), flags=flags)
    weights = _tiles(there)
    a, b = _tiles(template), _tiles(moved)
    total = np.maximum(weights.sum(axis=1), 1)
    a, b = ((one - ((one * weights).sum(axis=1) / total)[:, None]) * weights for one in (a, b))
    spread_a, spread_b = (np.sqrt((one**2).sum(axis=1) / total) for one in (a, b))
    usable = (weights.mean(axis=1) >= 0.5) & (spread_a >= TEXTURED) & (spread_b >= TEXTURED)
    if usable.sum() < FEWEST_TILES:
        return 0.0
    products = (a * b).sum(axis=1)[usable] / total[usable]
    return float(np.median(products / (spread_a * spread_b)[usable]))


def _tiles(picture: Grey) -> Singles:
    """Cut a picture into tiles, float32 [tiles, pixels]."""
    size = SIDE // TILES
    cut = picture.reshape(TILES, size, TILES, size).transpose(0, 2, 1, 3)
    return cut.reshape(TILES**2, size**2).astype(np.float32)
