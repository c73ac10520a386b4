"""Features of images as they are, of sets that never train: external sets, altered images."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from covidcxr.errors import InputError
from covidcxr.features.features import build_extractor, save_features
from covidcxr.files import atomic
from covidcxr.runtime import configure


def write_clean_features(
    backbone: str | Path,
    images: str | Path,
    output: str | Path,
    *,
    trainable: str,
    threads: int,
    batch_size: int = 32,
    mixed_precision: bool = False,
    altered: Callable[[int, npt.NDArray[np.uint8]], npt.NDArray[np.uint8]] | None = None,
) -> None:
    """Pass images through the frozen part of a backbone, once.

    Parameters
    ----------
    backbone
        `.keras` file of `covidcxr.features.backbone.write_backbone`.
    images
        uint8 [n, size, size].
    output
        `.npy` to write: [n, *cut], float32 (uint8 for `all`), rows as in `images`.
    trainable
        Where the backbone is cut, see `covidcxr.features.backbone.cut_layer`.
    altered
        Row and image -> the image to pass instead, of the same shape.

    Raises
    ------
    InputError
        The images are not of the backbone's size.
    """
    configure(threads=threads, seed=0)  # nothing here is random
    pixels = np.load(images, mmap_mode="r")
    network = keras.models.load_model(backbone)
    size = network.input_shape[1]
    if pixels.shape[1:] != (size, size):
        raise InputError(
            f"{images} holds images of {list(pixels.shape[1:])} pixels, {backbone} takes "
            f"{[size, size]}: make the images anew"
        )

    def image(row: int) -> npt.NDArray[np.uint8]:
        one = np.asarray(pixels[row])
        return one if altered is None else altered(row, one)

    extractor = build_extractor(network, trainable, batch_size, mixed_precision)
    with atomic(output) as temporary:
        save_features(temporary, (len(pixels),), extractor, image, f"{network.name} images")
