"""How well a class is distinguished from the others with the source of the images held fixed.

Between collections a model can distinguish classes by what distinguishes the collections. Here only
pairs of images of one source count, or of one site, or of one source and view. The area under the
ROC curve (AUC) is the share of pairs, one image of the class and one of another, in which the image
of the class has the higher probability. The same share for decisions (predicted as the class or
not) is the balanced accuracy: the mean of sensitivity and specificity.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from covidcxr.array_types import Floats, Texts, Values
from covidcxr.classify.predictions import IDENTITY, read_predictions
from covidcxr.data.tables import read_manifest, write_table
from covidcxr.evaluate import metrics
from covidcxr.evaluate.bootstrap import UNKNOWN, interval
from covidcxr.evaluate.models import KIND, Kind, ensembles, model_text, of_study, recommended_of
from covidcxr.evaluate.style import dots, figure_style, save_figure
from covidcxr.logs import progress
from covidcxr.report.formats import interval_of, listing, table_of
from covidcxr.report.section import (
    Check,
    KeyRow,
    Limit,
    Section,
    SectionFigure,
    SectionTable,
    write_section,
)
from covidcxr.seeding import generator

ALL = "all images"
LEVELS = {"source": ["source"], "site": ["site"], "source and view": ["source", "view"]}
"""What is held fixed, and the manifest's columns that say it. Sites only if not the sources."""
COMBINED = "combined"
BOUNDS = [
    f"{metric}{end}" for metric in ("auc", "balanced_accuracy") for end in ("", "_low", "_high")
]
COLUMNS = [
    *IDENTITY,
    "class",
    "fixed",
    "group",
    *BOUNDS,
    "n_class",
    "n_others",
    "pairs",
    "patients",
]


def run(
    predictions: str | Path,
    tables: Sequence[str | Path],
    table: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    classes: Sequence[str],
    target: str,
    seed: int,
) -> None:
    """Measure every ensemble on every set, over all images and within sources.

    Parameters
    ----------
    tables
        Manifest of the run and tables of the external sets.
    table
        CSV to write, see `within_sources`.
    target
        The class distinguished from the others.
    """
    images = pd.concat([read_manifest(path) for path in tables], ignore_index=True)
    places = images[["image_id", "source", "site", "view"]].drop_duplicates("image_id")
    frame = ensembles(read_predictions(predictions, classes))
    found = within_sources(frame.merge(places, on="image_id"), target, seed)
    write_table(found, table)
    own = of_study(found)
    with figure_style():
        save_figure(draw(own), png, svg)
    write_section(section, section_of(own, target, recommended_of(frame)))


def within_sources(predictions: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """Measure models over all images, within each source that holds both, and combined.

    Parameters
    ----------
    predictions
        What `read_predictions` returns, with the source, site and view of each image ("" unknown).
    target
        The class distinguished from all others.

    Returns
    -------
    DataFrame
        `COLUMNS`: the model's identity, class, fixed (`all images`, or a key of `LEVELS`), group
        (`PA of nih`; `combined` over all pairs of images of one group; "" for all images), AUC and
        balanced accuracy with the bounds of their 95 % intervals (patients resampled), images of
        the class and others in the groups that hold both, pairs of them, patients. Where no group
        holds both, `combined` has no measures and 0 pairs.
    """
    rows = []
    parts = list(predictions.groupby(IDENTITY, sort=False))
    levels = {ALL: [], **LEVELS}
    if (predictions["site"] == predictions["source"]).all():
        del levels["site"]
    for key, part in progress(parts, desc="within source", unit="model"):
        named = dict(zip(IDENTITY, map(str, key), strict=True)) | {"class": target}
        for fixed, columns in levels.items():
            names = _group_names(part, columns)
            positive = (part["label"] == target).to_numpy(bool)
            both = [name for name in dict.fromkeys(names) if len(set(positive[names == name])) == 2]
            chosen = [("" if fixed == ALL else COMBINED, both)]
            chosen += [(name, [name]) for name in both if fixed != ALL]
            for group, members in chosen:
                inside = np.isin(names, members)
                measures = measured(part[inside], names[inside], target, seed)
                rows.append(named | {"fixed": fixed, "group": group} | measures)
    return pd.DataFrame(rows, columns=COLUMNS)


def measured(images: pd.DataFrame, groups: Values, target: str, seed: int) -> dict[str, float]:
    """Return AUC and balanced accuracy over pairs of one group, as columns of `within_sources`.

    Parameters
    ----------
    images
        Images of groups that each hold the class and others: label, predicted, patient_id,
        p_<target>.
    groups
        Group of each image.
    """
    positive = (images["label"] == target).to_numpy(bool)
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    counts = [np.bincount(numbers[positive == side]) for side in (True, False)]
    found: dict[str, float] = {}
    measures: dict[str, Floats] = {
        "auc": images[f"p_{target}"].to_numpy(np.float64),
        "balanced_accuracy": np.asarray(images["predicted"] == target, np.float64),
    }
    patients = images["patient_id"].to_numpy()
    for metric, scores in measures.items():

        def statistic(weights: Floats, scores: Floats = scores) -> Floats:
            return metrics.share_of_pairs(weights, scores, positive, numbers)

        rng = generator(seed, "intervals")
        bounds = UNKNOWN if images.empty else interval(statistic, patients, rng)
        found |= bounds.columns(metric)
    return found | {
        "n_class": int(positive.sum()),
        "n_others": int((~positive).sum()),
        "pairs": 0 if images.empty else int((counts[0] * counts[1]).sum()),
        "patients": images["patient_id"].nunique(),
    }


def _group_names(images: pd.DataFrame, columns: Sequence[str]) -> Texts:
    if not columns:
        return np.full(len(images), ALL)
    named = images[list(reversed(columns))].replace("", "unknown view")
    return np.array([" of ".join(row) for row in named.itertuples(index=False)], np.str_)


def _summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over all images and those combined over sources."""
    return found[found["group"].isin(["", COMBINED])]


def draw(found: pd.DataFrame) -> Figure:
    """Draw each model's AUC on each set: over all images, and within one source and site."""
    names_of = {ALL: "all images", "source": "within one source", "site": "within one site"}
    shown = _summary(found[found["fixed"].isin(list(names_of))])
    own = [
        f"{model_text(*kind)}, {name}"
        for *kind, name in shown[[*KIND, "set"]].itertuples(index=False)
    ]
    names = list(dict.fromkeys(own))
    figure = Figure(figsize=(6.5, 0.8 + 0.28 * len(names)))
    axes = figure.add_subplot()
    heights = np.array([names.index(name) for name in own])
    for number, (fixed, label) in enumerate(names_of.items()):
        rows = (shown["fixed"] == fixed).to_numpy()
        if not rows.any():
            continue
        values = shown.loc[rows, ["auc", "auc_low", "auc_high"]].to_numpy(float)
        dots(axes, heights[rows] + 0.2 * number - 0.1, values, number, label)
    axes.axvline(0.5, color="0.7", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("AUC, 95 % interval by patient")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def section_of(found: pd.DataFrame, target: str, best: Kind) -> Section:
    """Say how the `best` model separates the class, over all images and within one source."""
    summary = _summary(found)
    mine = summary[(summary[KIND] == list(best)).all(axis=1)]
    mine = mine.assign(text=interval_of(mine, "auc")).set_index(["fixed", "set"])
    sets = list(dict.fromkeys(found["set"]))
    held = [key for key in mine.index if key[0] in ("source", "site") and mine.loc[key, "pairs"]]
    measurable = [name for name in sets if name in {name for _, name in held}]
    missing = [name for name in sets if name not in measurable]
    lines = [
        f"on {name} "
        + "".join(
            f"{mine.loc[key, 'text']} within one {key[0]}, " for key in held if key[1] == name
        )
        + f"{mine.loc[(ALL, name), 'text']} over all images"
        for name in measurable
    ]
    # The first screen has room for one set.
    shown_first = f"Not measurable: no source holds images of {target} and of other classes."
    first = (
        f"AUC of {model_text(*best)} for {target}: {'; '.join(lines)}."
        if lines
        else f"{shown_first} Images of both from one hospital, in the run or as an external set, "
        "would change that."
    )
    rows: tuple[KeyRow, ...] = ()
    if lines:
        _, chosen = max(held, key=lambda key: mine.loc[key, "pairs"])
        line = lines[measurable.index(chosen)]
        shown_first = f"AUC of {model_text(*best)} for {target} {line}."
        key = next(key for key in held if key[1] == chosen)
        value = str(mine.loc[key, "text"])
        rows = (KeyRow(f"Within one {key[0]}, AUC for {target}", value, f"on {chosen}"),)
    above_chance = all(mine.loc[key, "auc_low"] > 0.5 for key in held)
    state: Literal["pass", "warning", "not run"] = "pass" if above_chance else "warning"
    limit = Limit(
        f"On {listing(missing)} no source holds {target} and other classes: disease and source "
        "cannot be distinguished there.",
    )
    shown = summary.assign(
        AUC=interval_of(summary, "auc"),
        balanced=interval_of(summary, "balanced_accuracy"),
        model=[model_text(*row) for row in summary[KIND].itertuples(index=False)],
    )
    columns = ["model", "set", "fixed", "AUC", "balanced", "n_class", "n_others", "patients"]
    return Section(
        ident="within-source",
        title="With the source held fixed",
        part="validity",
        paragraphs=(first,),
        method=(
            "Only pairs of images of one source (site, source and view) are compared, one of "
            f"the class {target} and one of another; the AUC is the share of pairs in which the "
            "image of the class has the higher probability. Balanced accuracy is the same share "
            "for the predicted classes. Intervals are from resampled patients.",
        ),
        checks=(Check("Within source", state if lines else "not run", shown_first),),
        key_rows=rows,
        limits=(limit,) if lines and missing else (),
        figures=(
            SectionFigure("within_source", "AUC over all images and within one source.", first),
        )
        if lines
        else (),
        tables=(
            SectionTable(
                "within_source",
                "Over all images and within sources; the file has each source",
                table_of(
                    shown[columns],
                    {"balanced": "Balanced accuracy", "n_class": target, "n_others": "Others"},
                ),
                folded=True,
            ),
        ),
    )
