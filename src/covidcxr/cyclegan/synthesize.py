"""Synthetic images of the target class, translated from training images of the source class."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import keras
import numpy as np

from covidcxr.array_types import Grey
from covidcxr.arrays import open_rows
from covidcxr.cyclegan.frames import Frame, apply_change, read_frames
from covidcxr.cyclegan.inputs import SEEN_COLUMNS, resize, to_unit_range
from covidcxr.cyclegan.synthetic import synthetic_table
from covidcxr.data.tables import read_table, write_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import log
from covidcxr.runtime import configure
from covidcxr.seeding import generator as random_generator
from covidcxr.seeding import integer_seed


def run(
    *,
    generator: str | Path,
    seen: str | Path,
    frames: Sequence[str | Path],
    images: str | Path,
    table: str | Path,
    synthetic: str | Path,
    pictures: str | Path,
    number: int,
    seed: int,
    threads: int,
) -> None:
    """Translate `number` source images of a generator's training, sampled without repetition.

    Their order does not depend on `number`: fewer images are the first of more.

    Parameters
    ----------
    generator
        `.keras` file, float32 [n, s, s, 1] in [-1, 1] to the same.
    seen
        The images that it was trained on, see `inputs.seen_table`.
    frames
        `images/frames.npy`, uint8 [n, size, size], what the generator sees of each image, and its
        table `data/frames.csv`.
    images
        `images/manifest.npy`, uint8 [n, size, size], rows as in the frames' table.
    table
        CSV to write, see `synthetic.COLUMNS`.
    synthetic
        To write: uint8 [number, size, size], rows as in the table.
    pictures
        Folder of the same images as PNG; replaced as a whole.
    number
        Images to make; 0 gives an empty table and array.

    Raises
    ------
    InputError
        If the generator was trained on fewer than `number` source images.
    """
    configure(threads=threads, seed=integer_seed(seed, "synthesize"))
    trained = read_table(seen, SEEN_COLUMNS)
    sources = trained[trained["domain"] == "source"]
    label = trained.loc[trained["domain"] == "target", "label"].iloc[0]
    if number > len(sources):
        raise InputError(
            f"{number} synthetic images asked, but there are {len(sources)} training images of "
            f"class '{sources['label'].iloc[0]}' to translate; lower "
            f"augmentations.<name>.synthetic to {len(sources)} or less"
        )
    order = random_generator(seed, "synthesize").permutation(len(sources))
    sources = sources.iloc[order[:number]]
    frame_of = read_frames(frames[1])
    row_of = {name: row for row, name in enumerate(frame_of)}
    rows = [row_of[name] for name in sources["image_id"]]
    cropped, whole = (
        open_rows(path, frames[1], len(frame_of))[rows] for path in (frames[0], images)
    )
    where = [frame_of[name] for name in sources["image_id"]]
    made = translate(keras.models.load_model(generator), cropped, whole, where)
    made_table = synthetic_table(sources, label, Path(pictures))
    with atomic(pictures) as folder:
        folder.mkdir()
        for path, image in zip(made_table["path"], made, strict=True):
            cv2.imwrite(str(folder / Path(path).name), image)
    with atomic(synthetic) as temporary:
        np.save(temporary, made)
    write_table(made_table, table)
    log.info("%d synthetic images of class '%s'", number, label)


def translate(model: keras.Model, frames: Grey, images: Grey, where: Sequence[Frame]) -> Grey:
    """Translate frames at the generator's size and add the change to their images.

    The generator sees a frame shrunk by area averages. What it changes, its output less its input,
    is added to the image: the patient's anatomy keeps the sharpness that the generator's size
    cannot hold (measured in docs/experiments/2026-11-24-cyclegan.md).

    Parameters
    ----------
    model
        Generator, float32 [n, s, s, 1] in [-1, 1] to the same.
    frames, images
        uint8 [n, size, size], see `covidcxr.cyclegan.frames`.
    where
        The n frames.

    Returns
    -------
    numpy.ndarray
        uint8 [n, size, size].
    """
    made = np.empty_like(images)
    for i, (seen, image, frame) in enumerate(zip(frames, images, where, strict=True)):
        inputs = to_unit_range(resize(seen, model.input_shape[1]))
        output = np.asarray(model(inputs[None, ..., None], training=False), np.float32)[0, ..., 0]
        made[i] = apply_change(image, frame, (output - inputs) * np.float32(127.5))
    return made
