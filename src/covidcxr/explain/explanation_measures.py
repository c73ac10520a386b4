"""The measures of the heat maps: a row per backbone and augmentation, with figure and section."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from covidcxr.data.tables import write_table
from covidcxr.evaluate.bootstrap import UNKNOWN, interval, mean_of
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.explain.measures import GRADCAM, RANDOM, read_measured
from covidcxr.report import formats
from covidcxr.report.formats import Table, listing, sample, share, some
from covidcxr.report.section import Check, Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator

STAGES = {"head": "head", "last_block": "and last block", "all": "all of it"}
MARKERS = {"head": "o", "last_block": "s", "all": "^"}
REGIONS = ("lungs", "lesion")
CURVES = ("deletion", "insertion")
CHANCE: dict[str, Any] = {"marker": "|", "color": "0.35", "markersize": 11, "linestyle": "none"}
PANELS = {
    "lungs": ("map in the lungs", "share of the map"),
    "lesion": ("map in the lesion", "share of the map"),
    "deletion": ("deletion (low is good)", "mean probability"),
    "insertion": ("insertion (high is good)", "mean probability"),
}

Row = dict[str, Any]


def run(
    rows: Sequence[str | Path],
    curves: Sequence[str | Path],
    randomised: Sequence[str | Path],
    table: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    seed: int,
) -> None:
    """Write the measures of all ensembles: table, figure and section of the report.

    Parameters
    ----------
    rows, curves, randomised
        Tables of `covidcxr.explain.explanations`, one of each backbone.
    table
        CSV to write: backbone, augmentation and the measures of `summarise`.
    """
    images = read_measured(rows)
    tables = [images.loc[images["cohort"] == "test"], *map(read_measured, (curves, randomised))]
    records: list[Row] = []
    pairs = zip(images["backbone"], images["augmentation"], strict=True)
    for backbone, augmentation in dict.fromkeys(pairs):
        own, changed, shuffled = (
            part.loc[(part["backbone"] == backbone) & (part["augmentation"] == augmentation)]
            for part in tables
        )
        rng = generator(seed, "explanation table", backbone, augmentation)
        measured = summarise(own, changed, shuffled, rng)
        records.append({"backbone": backbone, "augmentation": augmentation} | measured)
    write_table(pd.DataFrame(records), table)
    with figure_style():
        save_figure(draw(records), png, svg)
    write_section(section, section_of(records))


def summarise(
    images: pd.DataFrame, curves: pd.DataFrame, randomised: pd.DataFrame, rng: np.random.Generator
) -> dict[str, float]:
    """Return the measures of one backbone and augmentation.

    Parameters
    ----------
    images
        Test images: patient_id, empty, lungs_share, lungs_area, lesion_share, lesion_area.
    curves
        map (`GRADCAM`, `RANDOM`), deletion_area, insertion_area.
    randomised
        stage, correlation.

    Returns
    -------
    images, empty (maps of zeros), for `lungs` and `lesion` the number of images with a map and
    such a region, the mean share of the map in it with its 95 % interval, and the region's mean
    share of the same images; curve_images, deletion and insertion of the maps and of random ones;
    correlation with the maps of the randomised network by stage.
    """
    found: dict[str, float] = {"images": len(images), "empty": int(images["empty"].sum())}
    for name in REGIONS:
        known = images.loc[images[f"{name}_share"].notna()]
        share_in = mean_of(known[f"{name}_share"].to_numpy(np.float64))
        bounds = interval(share_in, known["patient_id"].tolist(), rng) if len(known) else UNKNOWN
        found |= {
            f"{name}_images": len(known),
            f"{name}_share": known[f"{name}_share"].mean(),
            f"{name}_low": bounds.low,
            f"{name}_high": bounds.high,
            f"{name}_area": known[f"{name}_area"].mean(),
        }
    own, random = (curves.loc[curves["map"] == kind] for kind in (GRADCAM, RANDOM))
    found["curve_images"] = len(own)
    for kind in CURVES:
        found[kind] = own[f"{kind}_area"].mean()
        found[f"{kind}_random"] = random[f"{kind}_area"].mean()
    correlations = randomised.groupby("stage")["correlation"].mean()
    return found | {f"correlation_{stage}": correlations.get(stage, np.nan) for stage in STAGES}


def draw(rows: Sequence[Row]) -> Figure:
    """Draw a panel for each measure of the run: a line per backbone, a colour per augmentation."""
    panels = [name for name in PANELS if name not in REGIONS or _known(rows, name)]
    backbones = list(dict.fromkeys(row["backbone"] for row in rows))
    augmentations = list(dict.fromkeys(row["augmentation"] for row in rows))
    columns = 2 if len(panels) == 3 else 3
    lines = -(-(len(panels) + 1) // columns)
    height = 0.9 + lines * (0.75 + 0.28 * len(backbones) * max(1, len(augmentations) / 2))
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    for axis, name in zip(axes, panels, strict=False):
        axis.set(title=PANELS[name][0], xlabel=PANELS[name][1], xlim=(0, 1))
    last = axes[len(panels)]
    last.set(title="map of the randomised network", xlabel="rank correlation", xlim=(-1, 1))
    last.set_xticks([-1, -0.5, 0, 0.5, 1])
    last.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    offsets = np.linspace(-0.18, 0.18, len(augmentations)) if len(augmentations) > 1 else [0.0]
    colours = dict(zip(augmentations, PALETTE, strict=False))
    for row in rows:
        augmentation = row["augmentation"]
        place = backbones.index(row["backbone"]) + offsets[augmentations.index(augmentation)]
        for axis, name in zip(axes, panels, strict=False):
            _point(axis, name, row, place, colours[augmentation])
        for stage in STAGES:
            last.plot(row[f"correlation_{stage}"], place, **_marker(stage, colours[augmentation]))
    for axis in axes[: len(panels) + 1]:
        axis.set(yticks=range(len(backbones)), yticklabels=backbones)
        axis.set_ylim(len(backbones) - 0.5, -0.5)
    for axis in axes[len(panels) + 1 :]:
        axis.set_axis_off()
    handles = [
        Line2D([], [], marker="o", linestyle="none", color=colour, label=name)
        for name, colour in colours.items()
    ]
    handles.append(Line2D([], [], **CHANCE, label="chance: region's share, or random map"))
    handles += [
        Line2D([], [], **_marker(stage, "0.35"), label=f"randomised: {words}")
        for stage, words in STAGES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def section_of(rows: Sequence[Row]) -> Section:
    """Say where the models look, and what the maps are worth."""
    parts = [f"{_name(row)} {share(row['lungs_share'])}" for row in rows if row["lungs_images"] > 0]
    found = [_finding(rows, region) for region in REGIONS if _known(rows, region)]
    found.append(_curves_text(rows))
    return Section(
        ident="explanation-measures",
        title="Where the models look, measured",
        part="explanations",
        paragraphs=tuple(found[:1]),
        method=(
            *found[1:],
            "Lungs are masks, radiologists' boxes or an estimate, as the data allow; lesions are "
            "known of phantoms only. A map inside the lungs does not show that the evidence is "
            "disease.",
        ),
        checks=(_check(rows),),
        figures=(
            SectionFigure(
                "explanations",
                "The Grad-CAM maps against chance (grey bars), with 95 % intervals over patients. "
                "Last panel: rank correlation with maps of shuffled weights; near 0, the map rests "
                "on what was learnt.",
                f"Share of the maps' energy in the lungs: {listing(parts)}.",
                folded=True,
            ),
        ),
        tables=(
            SectionTable(
                "explanation_regions",
                "Share of the map's energy in each region, beside the region's share of the image.",
                _region_table(rows),
                folded=True,
            ),
            SectionTable("explanations", "All measures, the curves' and the correlations' too."),
        ),
    )


def _marker(stage: str, colour: str) -> dict[str, Any]:
    """Return how a stage of randomisation is drawn."""
    return {
        "marker": MARKERS[stage],
        "linestyle": "none",
        "color": colour,
        "markersize": 4.5,
        "fillstyle": "full" if stage == "all" else "none",
    }


def _point(axis: Axes, name: str, row: Row, place: float, colour: str) -> None:
    """Draw a measure with what chance gives, and its interval where there is one."""
    if name in REGIONS:
        value, chance = row[f"{name}_share"], row[f"{name}_area"]
        axis.plot([row[f"{name}_low"], row[f"{name}_high"]], [place, place], color=colour)
    else:
        value, chance = row[name], row[f"{name}_random"]
    axis.plot(chance, place, **CHANCE)
    axis.plot(value, place, marker="o", color=colour, markersize=5)


def _name(row: Row) -> str:
    return f"{row['backbone']} {row['augmentation']}"


def _known(rows: Sequence[Row], region: str) -> list[Row]:
    return [row for row in rows if row[f"{region}_images"] > 0]


def _above(rows: Sequence[Row], region: str) -> list[str]:
    """Return the ensembles whose maps lie in a region more than a uniform map would."""
    return [
        _name(row) for row in _known(rows, region) if row[f"{region}_low"] > row[f"{region}_area"]
    ]


def _check(rows: Sequence[Row]) -> Check:
    known, above = _known(rows, "lungs"), _above(rows, "lungs")
    if not known:
        return Check("Grad-CAM on the lungs", "not run", "No test image has known lungs.")
    return Check(
        "Grad-CAM on the lungs",
        "pass" if len(above) == len(known) else "warning",
        f"{len(above)} of {some(len(known), 'ensemble')} above a uniform map.",
    )


def _finding(rows: Sequence[Row], region: str) -> str:
    known, above = _known(rows, region), _above(rows, region)
    subject = listing(above) if above else "none"
    shares = sorted(row[f"{region}_share"] for row in known)
    ends = dict.fromkeys([share(shares[0]), share(shares[-1])])
    return (
        f"Of {some(len(known), 'ensemble')}, {subject} look{'' if len(above) > 1 else 's'} at the "
        f"{region} more than a uniform map would. Of the maps' energy {'–'.join(ends)} lies "
        f"inside; the {region} "
        f"take{'s' if region == 'lesion' else ''} {share(known[0][f'{region}_area'])} of the image "
        f"({sample(known[0][f'{region}_images'])})."
    )


def _curves_text(rows: Sequence[Row]) -> str:
    better = [
        _name(row)
        for row in rows
        if row["deletion"] < row["deletion_random"] and row["insertion"] > row["insertion_random"]
    ]
    text = (
        f"Deleting what the map marks lowers the probability faster, and inserting it raises it "
        f"faster, than random maps do: in {listing(better)}"
        if better
        else "In no ensemble does the map beat random maps in both deletion and insertion"
    )
    return f"{text} ({sample(rows[0]['curve_images'])} test images)."


def _region_table(rows: Sequence[Row]) -> Table:
    found = pd.DataFrame(rows)[["backbone", "augmentation"]]
    for name in REGIONS:
        if _known(rows, name):
            found[f"{name}: n"] = [row[f"{name}_images"] for row in rows]
            found[f"map in the {name}"] = [
                formats.interval(row[f"{name}_share"], row[f"{name}_low"], row[f"{name}_high"])
                for row in rows
            ]
            found[f"{name} of the image"] = [row[f"{name}_area"] for row in rows]
    return formats.table_of(found.assign(maps_of_zeros=[row["empty"] for row in rows]))
