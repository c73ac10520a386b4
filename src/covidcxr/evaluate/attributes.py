"""What is known of each image, or measured on it, that is not the disease."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from covidcxr.array_types import Grey, Mask
from covidcxr.arrays import open_rows
from covidcxr.data.dicom import decode_dicom, is_dicom
from covidcxr.data.marks import find_marks
from covidcxr.data.tables import read_manifest, write_table
from covidcxr.errors import InputError
from covidcxr.logs import progress

ADULT_FROM = 18
"""Years."""
DARK = 16
"""Grey level up to which a margin counts as black; JPEG leaves black a few levels above 0."""
BRIGHT = 95
"""Percentile of a row or column that must be dark for it to be margin; letters in it are fewer."""
MARK_SIDE = 0.07
"""Side of the square, as a share of the image's, in which a burnt-in mark stands out."""
MARK_CONTRAST = 90
"""Grey levels by which it stands out; ribs and clavicles stay below 60 on the real images."""
THREADS = 2


def run(
    manifest: str | Path, images: str | Path, table: str | Path, *, age_groups: Mapping[str, str]
) -> None:
    """Write one row an image with every attribute that is not the disease.

    Parameters
    ----------
    images
        `images/manifest.npy`, uint8 [n, size, size], in the manifest's order.
    table
        CSV to write: image_id, patient_id, label, source, site, view, sex ("" where unknown),
        age_group (`child`, `adult` or `unknown`), age (years, empty where unknown), and the
        columns of `file_attributes` and `picture_attributes`.
    age_groups
        By source: age group of patients whose age is unknown; sources may be missing.

    Raises
    ------
    InputError
        If the images are not those of the manifest, or a file cannot be read.
    """
    rows = read_manifest(manifest)
    pictures = open_rows(images, manifest, len(rows))
    known = rows[["image_id", "patient_id", "label", "source", "site", "view", "sex"]].assign(
        age_group=age_group(rows["age"], rows["source"], age_groups), age=rows["age"]
    )
    with ThreadPoolExecutor(THREADS) as pool:
        files = list(
            progress(pool.map(file_attributes, rows["path"]), total=len(rows), desc="files")
        )
    seen = [
        picture_attributes(np.asarray(picture)) for picture in progress(pictures, desc="images")
    ]
    write_table(pd.concat([known, pd.DataFrame(files), pd.DataFrame(seen)], axis=1), table)


def age_group(
    age: "pd.Series[float]", source: "pd.Series[str]", age_groups: Mapping[str, str]
) -> "pd.Series[str]":
    """Return `child`, `adult` or `unknown`: by age, and where it is unknown by the source's."""
    grouped = pd.Series(np.where(age < ADULT_FROM, "child", "adult"), index=age.index)
    by_source = [age_groups.get(name, "unknown") for name in source]
    return grouped.mask(age.isna(), pd.Series(by_source, index=age.index))


def file_attributes(path: str | Path) -> dict[str, float | str]:
    """Return what a file shows without its picture.

    Returns
    -------
    width, height (pixels), aspect (width by height), file_type (format and colour mode, as
    `JPEG L`), read from the content whatever the name says.

    Raises
    ------
    InputError
        If the file is missing or no image.
    """
    if is_dicom(path):
        height, width = decode_dicom(path).shape
        return {"width": width, "height": height, "aspect": width / height, "file_type": "DICOM"}
    try:
        with Image.open(path) as image:
            (width, height), kind = image.size, f"{image.format} {image.mode}"
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}") from error
    return {"width": width, "height": height, "aspect": width / height, "file_type": kind}


def picture_attributes(picture: Grey) -> dict[str, float]:
    """Return coarse properties of a picture in which no disease can be seen.

    Parameters
    ----------
    picture
        uint8 [size, size], as the network sees it.

    Returns
    -------
    margin_left, margin_right, margin_top, margin_bottom
        Black margin as a share of the side, 0..1.
    intensity_mean, intensity_sd
        Of the grey levels, 0..255.
    sharpness
        Natural logarithm of the Laplacian's variance over the variance of the grey levels
        (variance of Laplacian: Pech-Pacheco et al. 2000, Diatom autofocusing in brightfield
        microscopy), so that contrast does not count as sharpness.
    marks, mark_area
        Small bright things on darker ground (letters, arrows, wires): how many, and their share of
        the picture.
    """
    columns = np.percentile(picture, BRIGHT, axis=0) <= DARK
    rows = np.percentile(picture, BRIGHT, axis=1) <= DARK
    variance = float(picture.var())
    edges = float(cv2.Laplacian(picture, cv2.CV_64F).var())
    _, marks = find_marks(picture, side=MARK_SIDE, contrast=MARK_CONTRAST, hats=[cv2.MORPH_TOPHAT])
    return {
        "margin_left": _leading(columns),
        "margin_right": _leading(columns[::-1]),
        "margin_top": _leading(rows),
        "margin_bottom": _leading(rows[::-1]),
        "intensity_mean": float(picture.mean()),
        "intensity_sd": float(np.sqrt(variance)),
        "sharpness": float(np.log((edges + 1) / (variance + 1))),
        "marks": len(marks),
        "mark_area": float(marks.sum() / picture.size),
    }


def _leading(dark: Mask) -> float:
    """Return the share of a side that lies before its first line that is not dark."""
    return float(np.argmin(np.append(dark, False)) / len(dark))
