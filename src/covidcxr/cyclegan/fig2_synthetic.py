"""Figure 2: source images, what the CycleGAN makes of them, and real images of the target class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from covidcxr.array_types import Grey
from covidcxr.arrays import open_rows
from covidcxr.cyclegan.synthetic import read_synthetic
from covidcxr.data.tables import read_manifest, read_table
from covidcxr.evaluate.style import bare, figure_style, save_figure
from covidcxr.report.formats import some
from covidcxr.report.section import Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator

WIDTH = 7.0
COLUMNS = 8


def run(
    *,
    manifest: str | Path,
    images: str | Path,
    holdout: str | Path,
    synthetic: str | Path,
    synthetic_images: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    seed: int,
) -> None:
    """Draw source images above their translations above real training images of the target class.

    Parameters
    ----------
    manifest, images
        `manifest.csv` and its images, uint8 [n, size, size].
    holdout
        `holdout.csv`; only training images are shown.
    synthetic, synthetic_images
        `synthetic.csv` and its images, uint8 [m, size, size].
    seed
        The run's seed; decides which images are shown.

    Raises
    ------
    InputError
        If there are no synthetic images, or they name source images that the manifest lacks.
    """
    made, sources = read_synthetic(synthetic, manifest)
    real = read_manifest(manifest)
    rng = generator(seed, "fig2_synthetic")
    shown = np.sort(rng.permutation(len(made))[:COLUMNS])
    target = made["label"].iloc[0]
    sides = read_table(holdout, ["image_id", "split"]).set_index("image_id")["split"]
    training = (real["image_id"].map(sides) == "train") & (real["label"] == target)
    compared = np.sort(rng.permutation(np.flatnonzero(training))[:COLUMNS])

    pixels = open_rows(images, manifest, len(real))
    translated = open_rows(synthetic_images, synthetic, len(made))
    rows = [
        (f"{real['label'].iloc[sources[0]]}\nreal", pixels[sources[shown]]),
        (f"{target}\nsynthetic,\nfrom above", translated[shown]),
        (f"{target}\nreal", pixels[compared]),
    ]
    with figure_style():
        save_figure(draw_rows(rows), png, svg)
    source = str(real["label"].iloc[sources[0]])
    write_section(section, section_of(source, str(target), len(made)))


def section_of(source: str, target: str, made: int) -> Section:
    """Say what was made of what; `made` is the number of synthetic images."""
    text = f"The CycleGAN made {some(made, f'{target} image')} of {source} training images."
    return Section(
        ident="translations",
        title="Originals and translations",
        part="synthetic",
        paragraphs=(text,),
        figures=(
            SectionFigure(
                "fig2_synthetic",
                f"Training images of {source} (top), what the CycleGAN made of them (middle), and "
                f"real training images of {target} (bottom).",
                text,
            ),
            SectionFigure(
                "cyclegan_samples",
                f"Samples at the end of training. Rows from the top: {source}, translated to "
                f"{target}, translated back, real {target}.",
                f"{source} images, their translations and the way back, beside real {target}.",
                folded=True,
            ),
        ),
        tables=(SectionTable("losses", "Losses of the CycleGAN by step."),),
    )


def draw_rows(rows: Sequence[tuple[str, Grey]]) -> Figure:
    """Draw rows of images with a name at the left of each.

    Parameters
    ----------
    rows
        Name and images, uint8 [at most `COLUMNS`, size, size].
    """
    side = WIDTH / COLUMNS
    figure = Figure(figsize=(WIDTH, side * len(rows)))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    axes = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for line, (name, images) in zip(axes, rows, strict=True):
        for ax in line:
            bare(ax)
        for ax, image in zip(line, images, strict=False):
            ax.imshow(image, cmap="gray", vmin=0, vmax=255)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure
