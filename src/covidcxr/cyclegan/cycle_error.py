"""How well the backward generator restores what the forward generator translated."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from covidcxr.array_types import Floats, Grey, Singles
from covidcxr.arrays import open_rows
from covidcxr.cyclegan.inputs import resize, to_grey_values, to_unit_range
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.logs import log
from covidcxr.report.formats import count, listing
from covidcxr.report.section import Section, SectionTable, write_section
from covidcxr.runtime import configure
from covidcxr.seeding import generator as random_generator
from covidcxr.seeding import integer_seed

NOISE = 2.0
"""Standard deviation, in grey levels, of the noise that no eye sees in an image."""
BATCH = 8


def run(
    *,
    generators: Sequence[str | Path],
    frames: str | Path,
    manifest: str | Path,
    holdout: str | Path,
    synthetic: str | Path,
    table: str | Path,
    section: str | Path,
    source_class: str,
    seed: int,
    threads: int,
) -> None:
    """Translate images there and back, and write how far the result is from the start.

    Parameters
    ----------
    generators
        `.keras` files, forward and backward, float32 [n, s, s, 1] in [-1, 1] to the same.
    frames
        `images/frames.npy`, uint8 [n, size, size].
    manifest, holdout, synthetic
        Tables of the run.
    table
        CSV to write, a row for each image that was translated into a synthetic one (split `train`)
        and each test image of `source_class` (`test`, which no generator has seen): image_id,
        patient_id, split, change, cycle_error, cycle_error_rounded, cycle_error_noisy; see
        `cycle_errors`.
    source_class
        Class that is translated.

    Raises
    ------
    InputError
        Images and manifest do not belong together.
    """
    configure(threads=threads, seed=integer_seed(seed, "cycle_error"))
    real = read_manifest(manifest)
    seen = open_rows(frames, manifest, len(real))
    split = read_table(holdout, ["image_id", "split"]).set_index("image_id")["split"]
    real["split"] = real["image_id"].map(split)
    translated = read_table(synthetic, ["source_image_id"])["source_image_id"]
    chosen = real["image_id"].isin(translated) | (
        (real["label"] == source_class) & (real["split"] == "test")
    )
    forward, backward = map(keras.models.load_model, generators)
    size = forward.input_shape[1]
    errors = cycle_errors(
        forward,
        backward,
        np.stack([resize(seen[row], size) for row in np.flatnonzero(chosen)]),
        random_generator(seed, "cycle_error"),
    )
    rows = real.loc[chosen, ["image_id", "patient_id", "split"]].reset_index(drop=True)
    found = rows.join(errors)
    write_table(found, table)
    write_section(section, section_of(found))
    log.info("%d images translated there and back", len(rows))


def cycle_errors(
    forward: keras.Model, backward: keras.Model, images: Grey, rng: np.random.Generator
) -> pd.DataFrame:
    """Return mean absolute differences in grey levels, a row for each image.

    A pair of generators can keep the original in the translation as noise too faint to be seen
    (Chu, Zhmoginov and Sandler 2017): a small cycle error then does not say that the anatomy was
    kept. Such a code does not outlive rounding to grey levels or noise of `NOISE` grey levels.

    Parameters
    ----------
    forward, backward
        The generators.
    images
        uint8 [n, size, size], at the generators' size.
    rng
        Of the noise.

    Returns
    -------
    DataFrame
        change: translation against image. cycle_error: image translated there and back against
        image. cycle_error_rounded: the same with the translation rounded to grey levels on the way,
        as it is saved. cycle_error_noisy: with noise added to it.
    """
    start = to_unit_range(images)
    there = _run(forward, start)
    noise = rng.normal(0, NOISE / 127.5, there.shape).astype(np.float32)
    ways = {
        "cycle_error": there,
        "cycle_error_rounded": to_unit_range(to_grey_values(there)),
        "cycle_error_noisy": there + noise,
    }
    back = {name: _distance(_run(backward, image), start) for name, image in ways.items()}
    return pd.DataFrame({"change": _distance(there, start), **back})


def _run(model: keras.Model, images: Singles) -> Singles:
    """Apply a generator to images [n, size, size]; each is normalised by itself."""
    made = [
        np.asarray(model(images[start : start + BATCH, ..., None], training=False), np.float32)
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate(made)[..., 0]


def _distance(first: Singles, second: Singles) -> Floats:
    return np.abs(first - second).mean(axis=(1, 2), dtype=np.float64) * 127.5


def section_of(found: pd.DataFrame) -> Section:
    """Say how well images come back, and whether faint noise prevents it; `found` as written."""
    means = found.groupby("split").mean(numeric_only=True)
    parts = [
        f"{error:.1f} for {count((found['split'] == split).sum())} "
        f"{'training' if split == 'train' else 'test'} images (translation alone {change:.1f})"
        for split, error, change in means[["cycle_error", "change"]].itertuples()
    ]
    return Section(
        ident="cycle_error",
        title="Translated there and back",
        part="synthetic",
        folded=True,
        paragraphs=(
            f"Mean absolute difference in grey levels: {listing(parts)}. With noise of "
            f"{NOISE:.0f} grey levels, which no eye sees, added on the way it is "
            f"{means['cycle_error_noisy'].iloc[-1]:.1f}: were it much more, the way back would "
            "read a code hidden in the translation instead of its anatomy.",
        ),
        tables=(SectionTable("cycle_error", "Differences of each image."),),
    )
