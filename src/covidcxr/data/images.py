"""All images of a table decoded once, into one array on disk."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from covidcxr.array_types import Grey, Mask
from covidcxr.arrays import save_blocks, shard_rows
from covidcxr.data.decode import decode_gray
from covidcxr.data.tables import read_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress

IN_FLIGHT = 1024
"""Images handed to the threads at a time: a task of each image at once would grow with them."""


def run(
    table: str | Path,
    images: str | Path,
    *,
    size: int,
    threads: int | None = None,
    shard: str | None = None,
) -> None:
    """Decode the images of a table into one `.npy` file.

    Images go to the file in their order as they are decoded, so memory does not grow with their
    number.

    Parameters
    ----------
    table
        CSV file with a column `path`, one row an image (`manifest.csv`, `timeline.csv`,
        `synthetic.csv`).
    images
        `.npy` file to write: uint8 [rows, size, size], grayscale 0..255, in the table's order.
    size
        Side of the images, in pixels.
    threads
        Images decoded at a time; None leaves it to Python (a few more than there are processors).
    shard
        Which rows, see `covidcxr.arrays.shard_rows`; None for all.

    Raises
    ------
    InputError
        If the table has no column `path`, or an image cannot be decoded.
    """
    paths = read_table(table, ["path"])["path"].tolist()
    paths = paths[shard_rows(len(paths), shard)]
    with atomic(images) as temporary:
        save_blocks(temporary, (len(paths), size, size), np.uint8, decoded(paths, size, threads))


def decoded(paths: Sequence[str], size: int, threads: int | None) -> Iterator[Grey]:
    """Yield the images [size, size] under `paths` in their order, decoded by several threads."""

    def image(path: str) -> Grey:
        return resize(decode_gray(path), size)

    with ThreadPoolExecutor(threads) as pool, progress(total=len(paths), unit="image") as bar:
        for start in range(0, len(paths), IN_FLIGHT):
            for one in pool.map(image, paths[start : start + IN_FLIGHT]):
                yield one
                bar.update()


def resize(image: Grey, size: int) -> Grey:
    """Scale an image to a square, stretching it where it is not square (as in the study).

    Shrinking averages over the pixels that fall together (`cv2.INTER_AREA`), enlarging interpolates
    cubically. An image that shrinks along one side and grows along the other is shrunk first.

    Parameters
    ----------
    image
        uint8 [height, width].
    size
        Side of the result, in pixels.

    Returns
    -------
    uint8 [size, size].
    """
    height, width = image.shape
    shrunk = (min(width, size), min(height, size))
    if shrunk != (width, height):
        image = np.asarray(cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
    if shrunk != (size, size):
        image = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
    return image


def read_mask(file: Path, size: int, made: Path) -> Mask:
    """Read a mask, white on black, as bool [size, size].

    Raises
    ------
    InputError
        There is no such image; the folder `made` is to be made again.
    """
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InputError(f"{file} is missing or no image: delete {made} to make it again")
    # A mask goes through the same scaling as its image, then back to yes or no.
    return np.asarray(resize(np.asarray(mask, np.uint8), size) >= 128)
