"""The approximate region of the lungs on every image of a run, at the size the networks see."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from covidcxr.array_types import Grey, Mask
from covidcxr.arrays import open_rows, save_blocks
from covidcxr.data.images import read_mask
from covidcxr.data.lung_shape import estimate_lungs, lung_region
from covidcxr.data.source import open_source
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.files import atomic
from covidcxr.logs import log, progress


def run(
    manifest: str | Path,
    images: str | Path,
    folders: Sequence[str | Path],
    regions: str | Path,
    table: str | Path,
    *,
    sources: Mapping[str, Mapping[str, Any]],
) -> None:
    """Find the lungs of every image: by mask, by a radiologist's boxes, else by an estimate.

    Parameters
    ----------
    images
        Its images, uint8 [rows, size, size].
    folders
        Of the sources whose files the workflow fetches or makes, each named as its source.
    regions
        `.npy` to write: bool [rows, size, size], in the manifest's order.
    table
        CSV to write: image_id, origin (`mask`, `boxes` or `estimate`), share of the image.
    sources
        As in the config.
    """
    rows = read_manifest(manifest)
    pixels = open_rows(images, manifest, len(rows))
    folder_of = {Path(folder).name: folder for folder in folders}
    opened = {name: open_source(sources[name], folder_of.get(name, "")) for name in sources}
    boxes = {name: source.lung_boxes() for name, source in opened.items()}
    origins: list[str] = []
    shares: list[float] = []

    def find() -> Iterator[Mask]:
        named = zip(pixels, rows["source"], rows["path"], strict=True)
        for image, source, path in progress(named, total=len(rows), unit="image"):
            mask = opened[source].lung_mask(path)
            box = boxes[source].get(Path(path).name)
            if mask is not None:
                origin, region = "mask", read_mask(mask, len(image), mask.parent)
            elif box is not None:
                origin, region = "boxes", lung_region(box, len(image))
            else:
                origin, region = "estimate", estimate_lungs(np.asarray(image))
            origins.append(origin)
            shares.append(float(region.mean()))
            yield region

    with atomic(regions) as temporary:
        save_blocks(temporary, pixels.shape, np.bool_, find())
    for name, count in pd.Series(origins).value_counts().items():
        log.info("lungs by %s: %d images", name, count)
    write_table(
        pd.DataFrame(
            {"image_id": rows["image_id"], "origin": origins, "share": np.round(shares, 4)}
        ),
        table,
    )


def consistent_lungs(lungs: str | Path, table: str | Path) -> Callable[[int, Grey], Mask]:
    """Return row and image -> lungs, found in one way for all images.

    By mask if every image has one and else by the estimate: were some found by boxes that
    radiologists drew, the shape of the region would give the class away.

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
