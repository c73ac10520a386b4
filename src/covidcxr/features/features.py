"""The bank of cached features: the frozen part of a backbone, run once per image and view."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from covidcxr.array_types import Grey, Values
from covidcxr.arrays import save_blocks, shard_rows
from covidcxr.data.tables import read_table, write_table
from covidcxr.errors import InputError
from covidcxr.features.augment import Transform, augmented_view, magnified
from covidcxr.features.backbone import split_backbone
from covidcxr.features.own_transform import load_transform, own_view
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.runtime import configure, frozen, set_precision
from covidcxr.seeding import integer_seed

BATCH = 32
"""Images a forward pass."""


@dataclass(frozen=True)
class Extractor:
    """The part of a backbone that is run once per image.

    Attributes
    ----------
    run
        uint8 [batch_size, size, size, 1] -> array [batch_size, *shape].
    batch_size
        The one batch size that `run` takes.
    shape, dtype
        Of the array of one image.
    """

    run: Callable[[Grey], Values]
    batch_size: int
    shape: tuple[int, ...]
    dtype: type[np.generic]


def build_extractor(
    backbone: keras.Model, trainable: str, batch_size: int, mixed_precision: bool = False
) -> Extractor:
    """Return what is run once per image; for `all` that is nothing, the images pass as uint8."""
    size = backbone.input_shape[1]
    if trainable == "all":
        return Extractor(lambda batch: batch, batch_size, (size, size, 1), np.uint8)
    model, _ = split_backbone(backbone, trainable)
    if mixed_precision:
        set_precision(model, "mixed_float16")
    graph = frozen(model, batch_size)
    return Extractor(
        lambda batch: graph(tf.constant(batch))[0].numpy(),
        batch_size,
        tuple(model.output_shape[1:]),
        np.float32,
    )


def extract(
    extractor: Extractor, count: int, image: Callable[[int], Grey], label: str
) -> Iterator[Values]:
    """Run `extractor` over `count` images; yield the results in their order, batch by batch.

    The next batch is prepared on a thread of its own while the network computes the current one.

    Parameters
    ----------
    image
        Position in 0..count-1 -> uint8 [size, size].
    label
        Text of the progress bar.
    """
    step = extractor.batch_size

    def prepare(start: int) -> Grey:
        batch = np.stack([image(i) for i in range(start, min(start + step, count))])
        missing = step - len(batch)
        return np.pad(batch, ((0, missing), (0, 0), (0, 0)))[..., None]

    starts = range(0, count, step)
    with (
        ThreadPoolExecutor(1) as pool,
        progress(total=count, desc=label, unit="image") as bar,
    ):
        coming = [pool.submit(prepare, start) for start in starts[:1]]
        for start in starts:
            batch = coming.pop().result()
            if start + step < count:
                coming.append(pool.submit(prepare, start + step))
            stop = min(start + step, count)
            yield extractor.run(batch)[: stop - start]
            bar.update(stop - start)


def run(
    network: str,
    images: str,
    table: str,
    holdout: str | None,
    clean: str,
    views: str,
    rows: str,
    *,
    settings: Mapping[str, Any],
    threads: int,
    shard: str | None = None,
) -> None:
    """Write a feature bank: of all images as they are, of training images in views.

    Parameters
    ----------
    images
        uint8 [n, size, size], rows as in `table`.
    table
        CSV with a column `image_id`.
    holdout
        CSV `image_id, split`: the images with `train` get views. None or empty: all get views.
    clean
        float32 [n, *cut] to write (uint8 for `all`): features of the images as they are.
    views
        The same dtype, [m, views, *cut]: features of the m training images' views, all of them
        augmented.
    rows
        CSV `image_id, clean_row, view_row`, rows as in `table`; `view_row` is empty for images
        without views.
    settings
        trainable (where the backbone is cut, see `covidcxr.features.backbone.cut_layer`); views
        (augmented ones of an image); transform (limits of the random transform, and under
        `function` the place of one's own, if any, see `covidcxr.features.own_transform`); seed;
        mixed_precision (compute in float16, for a GPU; False where it is not given).
    shard
        Which images, and of the m training images which, in whole batches: see
        `covidcxr.arrays.shard_rows`. None for all.

    Raises
    ------
    InputError
        Rows, images and split do not belong together, or the size is not the backbone's.
    """
    trainable, number_of_views, seed = (settings[key] for key in ("trainable", "views", "seed"))
    transform: Transform = settings["transform"]
    configure(threads=threads, seed=integer_seed(seed, "features"))
    pixels = np.load(images, mmap_mode="r")
    ids = read_table(table, ["image_id"])["image_id"].tolist()
    places = feature_rows(ids, _training_ids(holdout))
    if len(pixels) != len(ids):
        raise InputError(
            f"{images} holds {len(pixels)} images, {table} lists {len(ids)}: make the images again"
        )
    backbone, mixed = load_backbone(network, images), settings.get("mixed_precision", False)
    extractor = build_extractor(backbone, trainable, BATCH, mixed)
    chosen = shard_rows(len(ids), shard, BATCH)
    plain = pixels[chosen]
    trained = np.flatnonzero(places["view_row"].notna())
    trained = trained[shard_rows(len(trained), shard, BATCH)]

    @lru_cache(maxsize=1)
    def fine(row: int) -> Grey:
        return magnified(pixels[row])

    function = transform.get("function")
    own = load_transform(function) if function else None

    def view(position: int) -> Grey:
        row, number = int(trained[position // number_of_views]), position % number_of_views
        if own is not None:
            return own_view(own, np.asarray(pixels[row]), ids[row], number, seed)
        return augmented_view(fine(row), ids[row], number, transform, seed)

    with atomic(clean) as temporary:
        save_features(temporary, (len(plain),), extractor, lambda i: plain[i], "images")
    with atomic(views) as temporary:
        save_features(temporary, (len(trained), number_of_views), extractor, view, "views")
    write_table(places.iloc[chosen], rows)


def load_backbone(network: str, images: str) -> keras.Model:
    """Load the backbone that is to take the images of a file.

    Raises
    ------
    InputError
        They are not of its size.
    """
    backbone: keras.Model = keras.models.load_model(network)
    size = backbone.input_shape[1]
    shape = np.load(images, mmap_mode="r").shape
    if shape[1:] != (size, size):
        raise InputError(
            f"{images} holds images of {list(shape[1:])} pixels, {network} takes {[size, size]}: "
            "make the images again"
        )
    return backbone


def feature_rows(ids: Sequence[str], training: set[str] | None) -> pd.DataFrame:
    """Tell where the features of each image stand.

    Parameters
    ----------
    ids
        Image names in the order of the image array.
    training
        Names of the images that get augmented views; None for all of them.

    Returns
    -------
    DataFrame
        image_id, clean_row (int), view_row (Int64, missing where there are no views).

    Raises
    ------
    InputError
        A training image is not among `ids`.
    """
    if training is not None and training - set(ids):
        missing = sorted(training - set(ids))
        raise InputError(
            f"{len(missing)} training images of the split are not in the table of images, such as "
            f"{missing[0]}: make the split again"
        )
    rows = pd.DataFrame({"image_id": pd.Series(ids, dtype=str), "clean_row": range(len(ids))})
    trains = rows["image_id"].isin(rows["image_id"] if training is None else list(training))
    rows["view_row"] = (trains.cumsum() - 1).astype("Int64").where(trains)
    return rows


def _training_ids(holdout: str | Path | None) -> set[str] | None:
    if not holdout:
        return None
    split = read_table(holdout, ["image_id", "split"])
    return set(split.loc[split["split"] == "train", "image_id"])


def save_features(
    path: Path,
    leading: tuple[int, ...],
    extractor: Extractor,
    image: Callable[[int], Grey],
    label: str,
) -> None:
    """Write the features of prod(`leading`) images as one array [*leading, *shape]."""
    blocks = extract(extractor, int(np.prod(leading)), image, label)
    save_blocks(path, (*leading, *extractor.shape), extractor.dtype, blocks)
