"""Figure 2: source images, what the CycleGAN makes of them, and real images of the target class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from covidcxr.data.tables import read_manifest, read_table
from covidcxr.errors import InputError
from covidcxr.evaluate.style import figure_style, save_figure
from covidcxr.seeding import generator

WIDTH = 7.0


def write_fig2_synthetic(
    manifest: str | Path,
    images: str | Path,
    synthetic: str | Path,
    synthetic_images: str | Path,
    holdout: str | Path,
    png: str | Path,
    svg: str | Path,
    *,
    seed: int,
    columns: int = 8,
) -> None:
    """Draw source images above their translations above real training images of the target class.

    Parameters
    ----------
    manifest, images
        `manifest.csv` and its images, uint8 [n, size, size].
    synthetic, synthetic_images
        `synthetic.csv` and its images, uint8 [m, size, size].
    holdout
        `holdout.csv`; only training images are shown.
    png, svg
        Figures to write.
    seed
        The run's seed; draws the images shown.
    columns
        Images of each kind, at most.

    Raises
    ------
    InputError
        If there are no synthetic images, or they name source images that the manifest lacks.
    """
    made = read_table(synthetic, ["image_id", "label", "source_image_id"])
    if made.empty:
        raise InputError(
            f"{synthetic} lists no images, so figure 2 has nothing to show; give an augmentation "
            "`synthetic` images in the config, or leave the figure out"
        )
    real = read_manifest(manifest)
    row_of = pd.Series(real.index, real["image_id"])
    unknown = made.loc[~made["source_image_id"].isin(row_of.index), "source_image_id"]
    if len(unknown):
        raise InputError(
            f"{synthetic} names the source image {unknown.iloc[0]}, which is not in {manifest}; "
            "make the synthetic images anew"
        )
    rng = generator(seed, "fig2_synthetic")
    shown = np.sort(rng.permutation(len(made))[:columns])
    sources = row_of[made["source_image_id"].iloc[shown]].to_numpy()
    target = made["label"].iloc[0]
    parts = read_table(holdout, ["image_id", "split"]).set_index("image_id")["split"]
    training = parts.reindex(real["image_id"]) == "train"
    candidates = np.flatnonzero((real["label"] == target).to_numpy() & training.to_numpy())
    compared = np.sort(rng.permutation(candidates)[:columns])

    pixels = np.load(images, mmap_mode="r")
    rows = [
        (f"{real['label'].iloc[sources[0]]}\nreal", pixels[sources]),
        (f"{target}\nsynthetic,\nfrom above", np.load(synthetic_images, mmap_mode="r")[shown]),
        (f"{target}\nreal", pixels[compared]),
    ]
    with figure_style():
        save_figure(draw_rows(rows, columns), png, svg)


def draw_rows(rows: Sequence[tuple[str, npt.NDArray[np.uint8]]], columns: int) -> Figure:
    """Draw rows of images with a name at the left of each.

    Parameters
    ----------
    rows
        Name and images, uint8 [at most `columns`, size, size].
    columns
        Width of the grid, in images.
    """
    side = WIDTH / columns
    figure = Figure(figsize=(WIDTH, side * len(rows)))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(axes, rows, strict=True):
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        for ax, image in zip(line, images, strict=False):
            ax.imshow(image, cmap="gray", vmin=0, vmax=255)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure
