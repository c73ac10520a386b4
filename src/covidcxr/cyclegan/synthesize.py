"""Synthetic images of the target class, translated from training images of the source class."""

import logging
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd

from covidcxr.cyclegan.inputs import Grey, resize, to_grey_values, to_unit_range, training_rows
from covidcxr.data.images import resize as square
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.runtime import configure
from covidcxr.seeding import generator as random_generator
from covidcxr.seeding import integer_seed

log = logging.getLogger("covidcxr")

COLUMNS = ["image_id", "path", "label", "source_image_id", "patient_id"]


def synthesize(
    generator: str | Path,
    images: str | Path,
    manifest: str | Path,
    holdout: str | Path,
    output_table: str | Path,
    output_npy: str | Path,
    output_png_dir: str | Path,
    *,
    left_out_fold: int | None = None,
    count: int,
    source_class: str,
    target_class: str,
    image_size: int,
    gan_size: int,
    seed: int,
    threads: int = 1,
) -> None:
    """Translate `count` training images of `source_class`, drawn without repetition.

    The order of the draw does not depend on `count`: fewer images are the first of more.

    Parameters
    ----------
    generator
        `.keras` file, float32 [n, gan_size, gan_size, 1] in [-1, 1] to the same.
    images
        `images/manifest.npy`, uint8 [n, size, size].
    manifest, holdout
        Tables of the images; only images whose split is `train` are used.
    output_table
        `data/synthetic.csv`: image_id (`synthetic-<source image id>`), path (the PNG), label,
        source_image_id, patient_id (of the source image).
    output_npy
        uint8 [count, image_size, image_size], rows as in the table.
    output_png_dir
        Folder of the same images as PNG; replaced as a whole.
    count
        Images to make; 0 gives an empty table and array.
    source_class, target_class
        Class to translate from; label of the result.
    image_size, gan_size
        Side of the result, and of the generator's images, in pixels.
    seed
        The run's seed.
    threads
        CPU threads.
    left_out_fold
        Fold whose images are not translated; `holdout` is then `split.csv`.

    Raises
    ------
    InputError
        If there are fewer than `count` training images of `source_class`.
    """
    configure(threads=threads, seed=integer_seed(seed, "synthesize"))
    originals, rows = training_rows(images, manifest, holdout, source_class, left_out_fold)
    if count > len(rows):
        raise InputError(
            f"{count} synthetic images asked, but there are {len(rows)} training images of class "
            f"'{source_class}' to translate; lower augmentations.<name>.synthetic to "
            f"{len(rows)} or less"
        )
    drawn = draw_order(len(rows), seed)[:count]
    made = translate(keras.models.load_model(generator), originals[drawn], gan_size, image_size)
    table = synthetic_table(rows.iloc[drawn], target_class, Path(output_png_dir))
    with atomic(output_png_dir) as folder:
        folder.mkdir()
        for path, image in zip(table["path"], made, strict=True):
            cv2.imwrite(str(folder / Path(path).name), image)
    with atomic(output_npy) as temporary:
        np.save(temporary, made)
    write_table(table, output_table)
    log.info("%d synthetic images of class '%s'", count, target_class)


def draw_order(available: int, seed: int) -> np.ndarray:
    """Return the order, int [available], in which images are drawn."""
    return random_generator(seed, "synthesize").permutation(available)


def translate(model: keras.Model, images: Grey, gan_size: int, image_size: int) -> Grey:
    """Translate images at the generator's size and add the change to them at `image_size`.

    The generator sees the image shrunk by area averages. What it changes, its output less its
    input, is enlarged by bicubic interpolation and added to the original: the patient's anatomy
    keeps the sharpness that the generator's size cannot hold (measured in docs/cyclegan.md).

    Parameters
    ----------
    model
        Generator, float32 [n, gan_size, gan_size, 1] in [-1, 1] to the same.
    images
        uint8 [n, size, size].
    gan_size, image_size
        Sides in pixels.

    Returns
    -------
    numpy.ndarray
        uint8 [n, image_size, image_size].
    """
    made = np.empty((len(images), image_size, image_size), np.uint8)
    for i, image in enumerate(images):
        inputs = to_unit_range(resize(image, gan_size))
        # Bicubic values overshoot: grey values are rounded and clipped last.
        output = np.asarray(model(inputs[None, ..., None], training=False), np.float32)[0, ..., 0]
        sides = (image_size, image_size)
        change = cv2.resize(output - inputs, sides, interpolation=cv2.INTER_CUBIC)
        made[i] = to_grey_values(to_unit_range(square(image, image_size)) + np.asarray(change))
    return made


def synthetic_table(sources: pd.DataFrame, label: str, folder: Path) -> pd.DataFrame:
    """Return the rows of `synthetic.csv` for manifest rows `sources`, in their order."""
    ids = "synthetic-" + sources["image_id"]
    return pd.DataFrame(
        {
            "image_id": ids,
            "path": [str(folder / f"{image_id}.png") for image_id in ids],
            "label": label,
            "source_image_id": sources["image_id"],
            "patient_id": sources["patient_id"],
        },
        columns=COLUMNS,
    ).reset_index(drop=True)
