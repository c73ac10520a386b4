"""Synthetic images of the target class, translated from training images of the source class."""

import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd

from covidcxr.cyclegan.frames import Frame, apply_change, read_frames
from covidcxr.cyclegan.inputs import Grey, resize, to_unit_range, training_rows
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
    frames: str | Path,
    frames_table: str | Path,
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
    frames, frames_table
        `images/frames.npy`, uint8 [n, size, size], what the generator sees of each film, and
        `data/frames.csv`.
    images
        `images/manifest.npy`, uint8 [n, size, size].
    manifest, holdout
        Tables of the images; only images whose split is `train` are used.
    output_table
        `data/synthetic.csv`: image_id (`synthetic-<source image id>`), path (the PNG), label,
        source_image_id, patient_id (of the source image).
    output_npy
        uint8 [count, size, size], rows as in the table.
    output_png_dir
        Folder of the same images as PNG; replaced as a whole.
    count
        Images to make; 0 gives an empty table and array.
    source_class, target_class
        Class to translate from; label of the result.
    gan_size
        Side of the generator's images, in pixels.
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
    choice = manifest, holdout, source_class, left_out_fold
    films, rows = training_rows(images, *choice)
    seen, _ = training_rows(frames, *choice)
    if count > len(rows):
        raise InputError(
            f"{count} synthetic images asked, but there are {len(rows)} training images of class "
            f"'{source_class}' to translate; lower augmentations.<name>.synthetic to "
            f"{len(rows)} or less"
        )
    drawn = draw_order(len(rows), seed)[:count]
    frame_of = read_frames(frames_table)
    where = [frame_of[name] for name in rows["image_id"].iloc[drawn]]
    made = translate(keras.models.load_model(generator), seen[drawn], films[drawn], where, gan_size)
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


def translate(
    model: keras.Model, frames: Grey, films: Grey, where: Sequence[Frame], gan_size: int
) -> Grey:
    """Translate frames at the generator's size and add the change to their films.

    The generator sees a frame shrunk by area averages. What it changes, its output less its input,
    is added to the film: the patient's anatomy keeps the sharpness that the generator's size cannot
    hold (measured in docs/cyclegan.md).

    Parameters
    ----------
    model
        Generator, float32 [n, gan_size, gan_size, 1] in [-1, 1] to the same.
    frames, films
        uint8 [n, size, size], see `covidcxr.cyclegan.frames`.
    where
        The n frames.
    gan_size
        Side in pixels.

    Returns
    -------
    numpy.ndarray
        uint8 [n, size, size].
    """
    made = np.empty_like(films)
    for i, (seen, film, frame) in enumerate(zip(frames, films, where, strict=True)):
        inputs = to_unit_range(resize(seen, gan_size))
        output = np.asarray(model(inputs[None, ..., None], training=False), np.float32)[0, ..., 0]
        made[i] = apply_change(film, frame, (output - inputs) * np.float32(127.5))
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
