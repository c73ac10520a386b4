"""The approximate region of the lungs on every image of a run, at the size the networks see."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.arrays import open_rows, save_blocks
from covidcxr.data.images import resize
from covidcxr.data.lung_boxes import read_lung_boxes
from covidcxr.data.lung_shape import estimate_lungs, lung_region
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress

log = logging.getLogger("covidcxr")

Origin = Literal["mask", "boxes", "estimate"]
Region = npt.NDArray[np.bool_]
Teller = Callable[[str], Region | None]
"""Region of the image at a path, bool [size, size], or None where nobody drew one."""


def write_lungs(
    manifest: str | Path,
    images: str | Path,
    output: str | Path,
    table: str | Path,
    *,
    masked: Mapping[str, str | Path],
    boxed: Mapping[str, str | Path],
) -> None:
    """Tell the lungs of every image: by mask, by a radiologist's boxes, else by an estimate.

    Parameters
    ----------
    manifest
        `manifest.csv`.
    images
        Its images, uint8 [rows, size, size].
    output
        `.npy` to write: bool [rows, size, size], in the manifest's order.
    table
        CSV to write: image_id, origin (`mask`, `boxes` or `estimate`), share of the image.
    masked
        Of each source of phantoms: the folder of its images, with `masks/<stem>_lung.png`.
    boxed
        Of each source with boxes of lungs: their COCO file.
    """
    rows = read_manifest(manifest)
    pictures = open_rows(images, manifest, len(rows))
    size = pictures.shape[1]
    tellers: dict[str, tuple[Origin, Teller]] = {}
    for source, folder in masked.items():
        tellers[source] = ("mask", _from_masks(Path(folder), size))
    for source, file in boxed.items():
        tellers[source] = ("boxes", _from_boxes(file, size))
    origins: list[str] = []
    shares: list[float] = []

    def tell() -> Iterator[Region]:
        named = zip(pictures, rows["source"], rows["path"], strict=True)
        for picture, source, path in progress(named, total=len(rows), unit="image"):
            origin, teller = tellers.get(source, ("estimate", lambda _: None))
            region = teller(path)
            if region is None:
                origin, region = "estimate", estimate_lungs(np.asarray(picture))
            origins.append(origin)
            shares.append(float(region.mean()))
            yield region

    with atomic(output) as temporary:
        save_blocks(temporary, pictures.shape, np.bool_, tell())
    for name, count in pd.Series(origins).value_counts().items():
        log.info("lungs by %s: %d images", name, count)
    write_table(
        pd.DataFrame(
            {"image_id": rows["image_id"], "origin": origins, "share": np.round(shares, 4)}
        ),
        table,
    )


def told_alike(
    lungs: str | Path, table: str | Path
) -> Callable[[int, npt.NDArray[np.uint8]], Region]:
    """Return row and picture -> lungs, told in one way for all films.

    By mask if every film has one and else by the estimate: were some told by boxes that
    radiologists drew, the shape of the region would tell the class.

    Parameters
    ----------
    lungs
        `images/lungs.npy`, bool [n, size, size].
    table
        `data/lungs.csv`.
    """
    if (read_table(table, ["origin"])["origin"] == "mask").all():
        regions = np.load(lungs, mmap_mode="r")
        return lambda row, _: np.asarray(regions[row])
    return lambda _, picture: estimate_lungs(picture)


def _from_masks(folder: Path, size: int) -> Teller:
    def tell(path: str) -> Region:
        file = folder / "masks" / f"{Path(path).stem}_lung.png"
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise InputError(f"{file} is missing or no image: delete {folder} to draw it anew")
        # A mask goes through the same scaling as its image, then back to yes or no.
        return resize(np.asarray(mask, np.uint8), size) >= 128

    return tell


def _from_boxes(file: str | Path, size: int) -> Teller:
    boxes = read_lung_boxes(file)

    def tell(path: str) -> Region | None:
        found = boxes.get(Path(path).name)
        return None if found is None else lung_region(found, size)

    return tell
