"""Features of images as they are, of sets that never train: external sets, altered images."""

from collections.abc import Callable

import numpy as np

from covidcxr.array_types import Grey
from covidcxr.arrays import shard_rows
from covidcxr.features.features import BATCH, build_extractor, load_backbone, save_features
from covidcxr.files import atomic
from covidcxr.runtime import configure

Alteration = Callable[[int, Grey], Grey]


def run(
    network: str,
    images: str,
    features: str,
    *,
    trainable: str,
    mixed_precision: bool,
    threads: int,
    shard: str | None = None,
    altered: Alteration | None = None,
) -> None:
    """Pass images through the frozen part of a backbone, once.

    Parameters
    ----------
    images
        uint8 [n, size, size].
    features
        `.npy` to write: [n, *cut], float32 (uint8 for `all`), rows as in `images`.
    trainable
        Where the backbone is cut, see `covidcxr.features.backbone.cut_layer`.
    mixed_precision
        Compute in float16 (GPU).
    shard
        Which images, in whole batches: see `covidcxr.arrays.shard_rows`. None for all.
    altered
        Row and image -> the image to pass instead, of the same shape.

    Raises
    ------
    InputError
        The images are not of the backbone's size.
    """
    configure(threads=threads, seed=0)  # nothing here is random
    pixels = np.load(images, mmap_mode="r")
    chosen = shard_rows(len(pixels), shard, BATCH)
    pixels = pixels[chosen]
    backbone = load_backbone(network, images)
    extractor = build_extractor(backbone, trainable, BATCH, mixed_precision)

    def image(row: int) -> Grey:
        one = np.asarray(pixels[row])
        return one if altered is None else altered(chosen.start + row, one)

    with atomic(features) as temporary:
        save_features(temporary, (len(pixels),), extractor, image, "images")
