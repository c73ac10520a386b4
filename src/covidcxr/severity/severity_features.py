"""Features of the lungs' zones: an inner map of a backbone, pooled in each."""

from pathlib import Path

import keras
import numpy as np

from covidcxr.array_types import Grey, Singles
from covidcxr.data.lung_shape import estimate_boxes
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.runtime import configure
from covidcxr.severity.zones import zone_features

BATCH = 32


def run(
    backbone: str | Path,
    images: str | Path,
    features: str | Path,
    *,
    layer: str | None,
    threads: int,
) -> None:
    """Pass images through a backbone up to a layer and pool its map in the zones of the lungs.

    Parameters
    ----------
    backbone
        `.keras` file, image -> feature map.
    images
        uint8 [n, size, size].
    features
        `.npy` to write: float32 [n, 6, channels], see `covidcxr.severity.zones.zone_features`.
    layer
        Name of the layer; None takes the last map.

    Raises
    ------
    InputError
        There is no such layer.
    """
    configure(threads=threads, seed=0)  # nothing here is random
    network = up_to(keras.models.load_model(backbone), layer)
    pixels = np.load(images, mmap_mode="r")
    found = in_batches(network, pixels)
    with atomic(features) as temporary, temporary.open("wb") as file:
        np.save(file, found)


def in_batches(network: keras.Model, pixels: Grey) -> Singles:
    """Return `features_of` any number of images, at least one."""
    starts = progress(range(0, len(pixels), BATCH), desc="zones", unit="batch")
    parts = [features_of(network, np.asarray(pixels[start : start + BATCH])) for start in starts]
    return np.concatenate(parts)


def up_to(network: keras.Model, layer: str | None) -> keras.Model:
    """Return the part of a flat network from the image to the map of a layer.

    Raises
    ------
    InputError
        There is no such layer, or its output is no map.
    """
    if layer is None:
        return network
    maps = {x.name: x.output for x in network.layers if len(getattr(x.output, "shape", ())) == 4}
    if layer not in maps:
        raise InputError(
            f"severity.layers: {network.name} has no feature map {layer!r}; it has "
            f"{', '.join(maps)}"
        )
    return keras.Model(network.input, maps[layer])


def features_of(network: keras.Model, pixels: Grey) -> Singles:
    """Return the features of the zones of images, uint8 [n, size, size] -> [n, 6, channels].

    The lungs are estimated on every image in one way, also where somebody has drawn them.
    """
    boxes = np.stack([estimate_boxes(one) for one in pixels])
    maps = keras.ops.convert_to_numpy(network(pixels[..., None].astype(np.float32), training=False))
    return zone_features(maps, boxes)
