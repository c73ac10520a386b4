"""Leave one site out: images of each site, predicted by models that never saw an image of it.

Beside them stand the same images predicted by models that saw the site but not the patient. What
the first lack of the second is what a new hospital costs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from covidcxr.classify.predictions import ENSEMBLE, read_predictions
from covidcxr.data.tables import read_images, write_table
from covidcxr.evaluate import models
from covidcxr.evaluate.bootstrap import Interval
from covidcxr.evaluate.scores import measured_on
from covidcxr.evaluate.style import dots, figure_style, save_figure
from covidcxr.logs import progress
from covidcxr.report.formats import interval_of, listing, ratio, table_of
from covidcxr.report.section import (
    Check,
    Limit,
    Section,
    SectionFigure,
    SectionTable,
    write_section,
)

PROTOCOLS = {models.STUDY: "site", models.BY_PATIENT: "patient"}
"""What the models of a population have never seen of an image out of fold."""
ALL, WHOLE, SMALLER = "all images", "sites left out whole", "smaller sites"
SMALL = 10
"""Images up to which sites are measured together."""
LETTERS = 48
"""Letters of a site's name that fit beside the figure."""
MEASURES = ("balanced_accuracy", "accuracy", "auc", "sensitivity", "specificity")


def run(
    predictions: str | Path,
    images: Sequence[str | Path],
    table: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    classes: Sequence[str],
    target: str,
    seed: int,
) -> None:
    """Measure the out-of-fold predictions of every kind of model, by site.

    Parameters
    ----------
    predictions
        All predictions of the run, with those of the population `BY_PATIENT`.
    images
        `manifest.csv` and `split.csv`, whose folds are groups of sites.
    table
        CSV to write, see `left_out`.
    target
        The class of AUC, sensitivity and specificity.
    """
    placed = read_images(*images)
    found = left_out(read_predictions(predictions, classes), placed, classes, target, seed)
    write_table(found, table)
    with figure_style():
        save_figure(draw(_best(found)), png, svg)
    write_section(section, section_of(found, divided(placed)))


def divided(images: pd.DataFrame) -> dict[str, str]:
    """Return the sites that stand in several folds or also in the test set, and their classes.

    Parameters
    ----------
    images
        site, label, split and fold of each image.
    """
    parts = images["fold"].astype("float").fillna(-1).groupby(images["site"]).nunique()
    several = images[images["site"].isin(parts.index[parts > 1])]
    return {
        str(site): listing(sorted(set(labels)))
        for site, labels in several.groupby("site", sort=False)["label"]
    }


def left_out(
    predictions: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str], target: str, seed: int
) -> pd.DataFrame:
    """Measure ensembles on the training images, out of fold, as a whole and by site.

    Parameters
    ----------
    predictions
        What `read_predictions` returns; validation rows of the populations `PROTOCOLS` count.
    images
        The manifest with split and fold.

    Returns
    -------
    DataFrame: backbone, augmentation, classifier, model, unseen (`site` or `patient`: what the
    model has not seen), group (`ALL`, `WHOLE`, a site, or `SMALLER` ones together), classes there,
    n, patients, and `MEASURES` with `_low` and `_high` (95 %, by patient): balanced accuracy over
    the classes there; AUC, sensitivity and specificity of the target, NaN where it, or any other
    class, is absent. Kinds of model that only one protocol has are left out.
    """
    own = models.ensembles(predictions)
    own = own[own["population"].isin(list(PROTOCOLS)) & (own["set"] == "validation")]
    own = own[own.groupby(models.KIND)["population"].transform("nunique") == len(PROTOCOLS)]
    own = own.merge(images[["image_id", "site"]], on="image_id", validate="many_to_one")
    large = images.loc[images["split"] == "train", "site"].value_counts()
    large = large[large > SMALL]
    whole = ~own["site"].isin(list(divided(images)))
    group = own["site"].where(own["site"].isin(large.index), SMALLER)
    groups = {ALL: whole | True}
    if not whole.all():
        groups[WHOLE] = whole
    groups |= {name: group == name for name in [*large.index, SMALLER] if (group == name).any()}
    rows = []
    parts = [
        (kind, population, part, name, inside)
        for kind, frame in models.by_kind(own)
        for population, part in frame.groupby("population", sort=False)
        for name, inside in groups.items()
    ]
    for kind, population, part, name, inside in progress(parts, desc="sites", unit="group"):
        chosen = part[inside.reindex(part.index)]
        there = [label for label in classes if (chosen["label"] == label).any()]
        scores = measured_on(chosen, classes, seed)
        scores = scores[scores["class"].isin(["", target])].set_index("metric")
        row: dict[str, Any] = {
            **models.named(kind),
            "model": ENSEMBLE,
            "unseen": PROTOCOLS[str(population)],
            "group": name,
            "classes": ", ".join(there),
            "n": len(chosen),
            "patients": chosen["patient_id"].nunique(),
        }
        for metric in MEASURES:
            row |= Interval(*scores.loc[metric, ["estimate", "low", "high"]]).columns(metric)
        rows.append(row)
    return pd.DataFrame(rows)


def _best(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the recommended network."""
    best = models.recommended(found[(found["group"] == ALL) & (found["unseen"] == "site")])
    return found[(found[models.KIND] == list(best)).all(axis=1)]


def draw(found: pd.DataFrame) -> Figure:
    """Draw one model's balanced accuracy of each group under both protocols."""
    groups = list(dict.fromkeys(found["group"]))
    figure = Figure(figsize=(6.5, 1 + 0.32 * len(groups)))
    axes = figure.add_subplot()
    for number, protocol in enumerate(PROTOCOLS.values()):
        rows = found[found["unseen"] == protocol].set_index("group").loc[groups]
        place = np.arange(len(groups)) + 0.2 * number - 0.1
        columns = [f"balanced_accuracy{end}" for end in ("", "_low", "_high")]
        dots(axes, place, rows[columns].to_numpy(float), number, f"{protocol} not seen in training")
    names = [
        f"{name if len(name) <= LETTERS else name[: LETTERS - 1] + '…'}\n{n} ({there})"
        for name, n, there in zip(groups, rows["n"], rows["classes"], strict=True)
    ]
    axes.set_yticks(range(len(groups)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("balanced accuracy over the classes there, 95 % interval by patient")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def section_of(found: pd.DataFrame, divided_sites: dict[str, str]) -> Section:
    """Say what a site that was never seen costs, and which sites could not be left out whole.

    Parameters
    ----------
    found
        What `left_out` returns.
    divided_sites
        What `divided` returns.
    """
    best = _best(found)
    group = WHOLE if WHOLE in set(found["group"]) else ALL
    texts = best.assign(text=interval_of(best, "balanced_accuracy"))
    shown = texts[texts["group"] == group].set_index("unseen").to_dict("index")
    site, patient = shown["site"], shown["patient"]
    name = models.model_text(*map(str, best[models.KIND].iloc[0]))
    chance = 1 / len(site["classes"].split(", "))
    finding = (
        f"{name}, {group}: balanced accuracy {site['text']} at sites never trained on, "
        f"{patient['text']} where only the patient was not, by chance {ratio(chance)}."
    )
    # Where all or none are right there is no interval.
    ends = [
        site["balanced_accuracy"],
        site["balanced_accuracy_low"],
        site["balanced_accuracy_high"],
    ]
    worse = np.nanmax(ends) < patient["balanced_accuracy"] or np.nanmin(ends) <= chance
    names = listing(f"{name} ({labels})" for name, labels in divided_sites.items())
    limit = Limit(
        f"Not left out whole: {names}. Without it a class would lack most of its images, so its "
        "patients are left out instead; how its images fare at a site never trained on is not "
        "known."
    )
    rows = models.with_model(found).assign(**{name: interval_of(found, name) for name in MEASURES})
    columns = ["model", "unseen", "group", "classes", "n", "patients", *MEASURES]
    return Section(
        ident="leave-site-out",
        title="At a site never seen",
        part="validity",
        paragraphs=(finding,),
        method=(
            "Folds are groups of whole sites. Every training image is predicted by the one model "
            "that saw nothing of its site, and by one that saw nothing of its patient, trained in "
            f"folds of patients on the same images. Sites of up to {SMALL} images are measured "
            "together. A network's epoch is chosen on the fold that is left out, in both alike. "
            "Where one class stands at a site, only its sensitivity can be measured there.",
        ),
        checks=(Check("New site", "warning" if worse else "pass", finding),),
        limits=(limit,) if divided_sites else (),
        figures=(
            SectionFigure(
                "leave_site_out",
                "Balanced accuracy by site, of models that never saw the site and of models that "
                "never saw the patient; images, and the classes there.",
                finding,
            ),
        ),
        tables=(
            SectionTable(
                "leave_site_out",
                "Out of fold, by site. AUC, sensitivity and specificity are of the class of "
                "interest; a dash where it, or all others, are absent.",
                table_of(rows[columns]),
                folded=True,
            ),
        ),
    )
