"""Audit of what the translation changes: brightness and contrast, framing, or the lungs themselves.

A translation t of an image s, pixel by pixel, is decomposed into sums of squares that add up to
that of t - s:

1. intensity: what a single change of brightness and contrast, a s + b fitted by least squares to
   this image, explains. It says nothing of any place.
2. common: of the rest r, the mean over all images. It is the same at the same place whoever the
   patient is: margins, markers, width of the body, the framing of the target collection.
3. individual: what is left, r less its mean. Opacities of a patient can only be here (or, where all
   patients are given the same ones, in the common part), and so are noise and lost detail.

The first two are orthogonal since r is the residual of a regression on s and 1, the last two as a
mean and its residuals are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from covidcxr.array_types import Floats, Grey, Mask
from covidcxr.arrays import open_rows
from covidcxr.cyclegan.inputs import SEEN_COLUMNS
from covidcxr.cyclegan.synthetic import read_synthetic
from covidcxr.data.tables import read_table, write_table
from covidcxr.evaluate.bootstrap import estimate_of, percentile_bounds, resampled
from covidcxr.evaluate.style import PALETTE, bare, figure_style, save_figure
from covidcxr.logs import log
from covidcxr.report.formats import interval, ratio, share
from covidcxr.report.section import Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator


@dataclass(frozen=True)
class Changes:
    """A set of translations decomposed; images [n, size, size] in grey levels.

    Attributes
    ----------
    intensity
        float64 [n, size, size], a s + b - s.
    common
        float64 [size, size], mean of what is left.
    individual
        float64 [n, size, size], what is left less its mean.
    """

    intensity: Floats
    common: Floats
    individual: Floats

    @property
    def total(self) -> Floats:
        """Translation less source, float64 [n, size, size]."""
        return np.asarray(self.intensity + self.common + self.individual)


def run(
    *,
    images: str | Path,
    lungs: Sequence[str | Path],
    synthetic: Sequence[str | Path],
    seen: str | Path,
    tables: Sequence[str | Path],
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    size: int,
    seed: int,
) -> None:
    """Compare every synthetic image with the image that it was made from.

    Both are brought to the generator's size first, so that detail which the generator was never
    shown does not count as changed.

    Parameters
    ----------
    images
        `images/manifest.npy`, uint8.
    lungs
        `images/lungs.npy`, bool, the approximate region of the lungs of every one of them, and
        `data/lungs.csv`.
    synthetic
        `synthetic.csv` and `images/synthetic.npy`.
    seen
        `inputs.csv` of the CycleGAN; the images of its target class are compared with.
    tables
        Two CSV files to write. The first has a row for each synthetic image: image_id, patient_id;
        change (root mean square, grey levels); shares of the squared change: intensity, common,
        individual (of one image they need not add up to 1: common and individual are orthogonal
        over all images only); lungs (share of the image that is lungs), individual_in_lungs (share
        of the squared individual change in the lungs). The second: see `summary`.
    png, svg, section
        Figure (mean source, mean translation, mean target image, and where what changes) and
        section to write.
    size
        Side of the generator's images, in pixels.

    Raises
    ------
    InputError
        Tables and images do not belong together, or there is no synthetic image.
    """
    made, sources = read_synthetic(synthetic[0], lungs[1])
    known = read_table(lungs[1], ["image_id"])
    real, regions = (open_rows(path, lungs[1], len(known)) for path in (images, lungs[0]))
    before = shrink(real[sources], size)
    after = shrink(open_rows(synthetic[1], synthetic[0], len(made)), size)
    inside = shrink(regions[sources] * np.uint8(255), size) > 127
    changes = decompose(before, after)
    each = made[["image_id", "patient_id"]].join(per_image(changes, inside))
    write_table(each, tables[0])
    fed = read_table(seen, SEEN_COLUMNS)
    target = known["image_id"].isin(fed.loc[fed["domain"] == "target", "image_id"])
    goal = shrink(real[np.flatnonzero(target)], size).mean(axis=0)
    found = summary(changes, each, goal - before.mean(axis=0), generator(seed, "audit_changes"))
    write_table(found, tables[1])
    with figure_style():
        drawn = draw_changes(before, after, goal, changes, inside, made["label"].iloc[0])
        save_figure(drawn, png, svg)
    write_section(section, section_of(found))
    log.info("%d translations compared with their sources", len(made))


def shrink(images: Grey, size: int) -> Floats:
    """Bring images [n, side, side] to [n, size, size] by area averages; float64 grey levels."""
    return np.stack(
        [
            cv2.resize(image.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
            for image in images
        ]
    ).astype(np.float64)


def decompose(before: Floats, after: Floats) -> Changes:
    """Divide translations less sources into intensity, common and individual change.

    Parameters
    ----------
    before, after
        float64 [n, size, size], grey levels. A constant source image has slope 0.
    """
    s, t = (images.reshape(len(images), -1) for images in (before, after))
    centred = s - s.mean(axis=1, keepdims=True)
    variance = (centred**2).sum(axis=1)
    covariance = (centred * t).sum(axis=1)
    slope = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
    offset = t.mean(axis=1) - slope * s.mean(axis=1)
    fitted = slope[:, None, None] * before + offset[:, None, None]
    rest = after - fitted
    common = rest.mean(axis=0)
    return Changes(fitted - before, common, rest - common)


def shares(changes: Changes) -> dict[str, float]:
    """Return the shares of the squared change of all images; they add up to 1.

    Even images that have nothing in common have a mean that is not 0: the mean of n images of
    independent noise holds 1/n of its squares.
    """
    count = len(changes.individual)
    parts = {
        "intensity": float((changes.intensity**2).sum()),
        "common": float(count * (changes.common**2).sum()),
        "individual": float((changes.individual**2).sum()),
    }
    total = sum(parts.values()) or 1.0
    return {name: value / total for name, value in parts.items()}


def per_image(changes: Changes, inside: Mask) -> pd.DataFrame:
    """Return what `run` writes of every image; `inside` is bool [n, size, size]."""
    total = (changes.total**2).mean(axis=(1, 2))
    individual = changes.individual**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "change": np.sqrt(total),
                "intensity": (changes.intensity**2).mean(axis=(1, 2)) / total,
                "common": (changes.common**2).mean() / total,
                "individual": individual.mean(axis=(1, 2)) / total,
                "lungs": inside.mean(axis=(1, 2)),
                "individual_in_lungs": (individual * inside).sum(axis=(1, 2))
                / individual.sum(axis=(1, 2)),
            }
        )


def summary(
    changes: Changes, table: pd.DataFrame, difference: Floats, rng: np.random.Generator
) -> pd.DataFrame:
    """Return what holds of all translations together: measure, value and 95 % interval.

    Parameters
    ----------
    changes, table
        Of `decompose`, and of `per_image` with patient_id.
    difference
        float64 [size, size], mean of the real target images less mean of the sources.
    rng
        Resamples patients.

    Returns
    -------
    DataFrame
        `images`; `change` (root mean square, grey levels); the `shares`, without intervals;
        `likeness` (correlation of the mean change with `difference`: 1 where the translation does
        on average just what separates the collections), without interval; `lungs` and
        `individual_in_lungs` (shares, see `run`), `enrichment` (the second by the first: 1 where
        individual change does not depend on the lungs).
    """
    energy = (table["change"] ** 2 * table["individual"]).to_numpy()
    in_lungs = energy * table["individual_in_lungs"].to_numpy()

    def means(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        lungs = weights @ table["lungs"].to_numpy() / total
        share_in = weights @ in_lungs / (weights @ energy)
        change = np.sqrt(weights @ table["change"].to_numpy() ** 2 / total)
        return np.stack([change, lungs, share_in, share_in / lungs], axis=1)

    with np.errstate(invalid="ignore", divide="ignore"):
        values = estimate_of(means, len(table))
        low, high = percentile_bounds(resampled(means, table["patient_id"].to_numpy(), rng))
        likeness = np.corrcoef(changes.total.mean(axis=0).ravel(), difference.ravel())[0, 1]
    names = ["change", "lungs", "individual_in_lungs", "enrichment"]
    rows = [("images", float(len(table)), np.nan, np.nan)]
    rows += [(name, value, np.nan, np.nan) for name, value in shares(changes).items()]
    rows.append(("likeness", float(likeness), np.nan, np.nan))
    rows += list(zip(names, values, low, high, strict=True))
    return pd.DataFrame(rows, columns=["measure", "value", "low", "high"])


def draw_changes(
    before: Floats, after: Floats, goal: Floats, changes: Changes, inside: Mask, target: str
) -> Figure:
    """Draw mean images above, below where what changes.

    Parameters
    ----------
    before, after
        float64 [n, size, size], sources and translations.
    goal
        float64 [size, size], mean of the real training images of the target class.
    changes, inside
        The changes, and the lungs of the sources, bool [n, size, size].
    target
        Name of the target class.
    """
    figure = Figure(figsize=(7.0, 5.4))
    upper, lower = figure.subplots(2, 3)
    difference = goal - before.mean(axis=0)
    change = changes.total.mean(axis=0)
    limit = float(max(np.abs(change).max(), np.abs(difference).max()))
    individual = np.sqrt((changes.individual**2).mean(axis=0))
    grey = {"vmin": 0, "vmax": 255}
    signed = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    for ax, image, title, look in (
        (upper[0], before.mean(axis=0), "mean of the sources", grey),
        (upper[1], after.mean(axis=0), "mean of their translations", grey),
        (upper[2], goal, f"mean of real {target}", grey),
        (lower[0], change, "mean change", signed),
        (lower[1], difference, f"real: {target} less sources", signed),
        (lower[2], individual, "individual change", {"cmap": "viridis", "vmin": 0}),
    ):
        ax.imshow(image, **look)
        ax.set_title(title)
        bare(ax)
        # Half of the sources have lungs there.
        outline = inside.mean(axis=0)
        if outline.min() < 0.5 < outline.max():
            ax.contour(outline, [0.5], colors=PALETTE[1], linewidths=0.8)
    for axes, label, aspect in ((lower[:2], "grey levels", 40), (lower[2], "RMS, grey levels", 20)):
        shown = np.atleast_1d(axes)[0].images[0]
        figure.colorbar(
            shown, ax=axes, label=label, aspect=aspect, orientation="horizontal", pad=0.03
        )
    return figure


def section_of(found: pd.DataFrame) -> Section:
    """Say how the change divides, and whether it lies in the lungs; `found` of `summary`."""
    at = {row["measure"]: row for row in found.to_dict("records")}
    value = {name: row["value"] for name, row in at.items()}

    def written(name: str, form: Callable[[float], str] = ratio) -> str:
        return interval(at[name]["value"], at[name]["low"], at[name]["high"], form)

    enrichment = at["enrichment"]
    if pd.isna(enrichment["value"]):
        where = "where it lies is not known"
    elif enrichment["low"] > 1:
        where = "it lies in the lungs more than elsewhere"
    elif enrichment["high"] < 1:
        where = "it lies in the lungs less than elsewhere"
    else:
        where = "it lies in the lungs no more than elsewhere"
    return Section(
        ident="audit_changes",
        title="What the translation changes",
        part="synthetic",
        folded=True,
        paragraphs=(
            f"Translation changes the images by {value['change']:.1f} grey levels (root mean "
            f"square). Of the squared change {share(value['intensity'])} is one change of "
            f"brightness and contrast of the whole image, {share(value['common'])} is the same at "
            "the same place for all patients (framing, margins, width of the body), and "
            f"{share(value['individual'])} differs between patients. Of that, "
            f"{written('individual_in_lungs', share)} lies in the lungs, which take "
            f"{share(value['lungs'])} of the image: {where} ({written('enrichment')} times their "
            "area). The mean change correlates with the difference between the mean real images "
            f"of the two classes at {ratio(value['likeness'])}: at 1 the generator has learnt, on "
            "average, just what separates the collections, framing included.",
        ),
        figures=(
            SectionFigure(
                "audit_changes",
                "What the translation changes. Above: mean images. Below: mean change, the "
                "difference between the real classes for comparison, and the spread of the change "
                "between patients. The line surrounds where half of the sources have lungs (masks "
                "of phantoms, radiologists' boxes, else an estimate from the image).",
                f"Of the squared change {share(value['common'])} is at the same place for all "
                f"patients; what differs between them: {where}.",
            ),
        ),
        tables=(
            SectionTable("audit_summary", "Measures over all translations."),
            SectionTable("audit_changes", "Measures of each translation."),
        ),
    )
