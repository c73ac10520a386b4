"""What CycleGAN training reads: a class's training images, and random crops of them."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from covidcxr.array_types import Grey, Singles
from covidcxr.arrays import open_rows
from covidcxr.data.tables import read_manifest, read_split, read_table
from covidcxr.errors import InputError
from covidcxr.seeding import generator

CROP_SHARE = 0.9
"""Smallest side of a random crop, as a share of the image side."""

SEEN_COLUMNS = ["domain", "image_id", "patient_id", "label", "pixels"]


def training_rows(
    images: str | Path,
    manifest: str | Path,
    split: str | Path,
    label: str,
    left_out_fold: int | None = None,
) -> tuple[Grey, pd.DataFrame]:
    """Return the training images of one class and their manifest rows.

    Parameters
    ----------
    images
        `.npy` file, uint8 [n, size, size], rows as in `manifest`.
    manifest
        `manifest.csv`.
    split
        Table with `image_id` and `split`; only images with split `train` are returned.
    label
        The class.
    left_out_fold
        Images of this fold are not returned; `split` is then `split.csv`, which has the folds.

    Returns
    -------
    tuple
        uint8 [m, size, size] and the m rows of the manifest, index 0..m-1.

    Raises
    ------
    InputError
        If the files do not fit each other, or the class has no training image.
    """
    table = read_manifest(manifest)
    array = open_rows(images, manifest, len(table))
    sides = (
        read_table(split, ["image_id", "split"])
        if left_out_fold is None
        else read_split(split).query("fold != @left_out_fold")
    )
    training = table["image_id"].isin(sides.loc[sides["split"] == "train", "image_id"])
    chosen = training & (table["label"] == label)
    if not chosen.any():
        raise InputError(
            f"no training image of class '{label}' in {manifest} and {split}; correct "
            "cyclegan.source_class and cyclegan.target_class"
        )
    return np.asarray(array[chosen.to_numpy()]), table[chosen].reset_index(drop=True)


def pixel_digest(image: Grey) -> str:
    """Return the SHA-256 of an image's shape and grey values: what it shows, whatever its name."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()


def seen_table(
    source: Grey, source_rows: pd.DataFrame, target: Grey, target_rows: pd.DataFrame
) -> pd.DataFrame:
    """Return what a training is fed, with the digest of each image's pixels.

    The digests are of the arrays themselves: `covidcxr.cyclegan.lineage` finds by them which images
    of the manifest were fed, whatever they are called here.

    Returns
    -------
    DataFrame
        `SEEN_COLUMNS`: domain (`source`, `target`), image_id, patient_id, label, pixels (SHA-256).
    """
    parts = []
    for domain, images, rows in (("source", source, source_rows), ("target", target, target_rows)):
        part = rows[["image_id", "patient_id", "label"]].assign(
            domain=domain, pixels=[pixel_digest(image) for image in images]
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[SEEN_COLUMNS]


def resize(image: Grey, size: int) -> Grey:
    """Return a square uint8 image at `size` pixels a side, averaged over areas (`INTER_AREA`)."""
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))


def to_unit_range(images: Grey) -> Singles:
    """Map uint8 grey values to float32 in [-1, 1]."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_grey_values(images: Singles) -> Grey:
    """Map values in [-1, 1] to uint8 grey values, rounded and clipped; undoes `to_unit_range`."""
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)


def position(iteration: int, count: int, seed: int, domain: str) -> int:
    """Return which of `count` images step `iteration` (0-based) takes.

    Every run through the images has an order of its own, and each image stands in it once.
    """
    run, place = divmod(iteration, count)
    return int(generator(seed, "cyclegan", "order", domain, run).permutation(count)[place])


def random_crop(image: Grey, size: int, rng: np.random.Generator) -> Singles:
    """Return a random square of a square uint8 image, mirrored half of the time.

    Its side is at least `CROP_SHARE` of the image's.

    Returns
    -------
    numpy.ndarray
        float32 [size, size, 1] in [-1, 1].
    """
    side = int(rng.integers(round(CROP_SHARE * len(image)), len(image) + 1))
    top, left = rng.integers(len(image) - side + 1, size=2)
    crop = image[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return to_unit_range(resize(np.ascontiguousarray(crop), size))[..., None]
