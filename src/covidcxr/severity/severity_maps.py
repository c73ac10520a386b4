"""Does the heat map show where the disease is, and how much of it? Table and section.

Grad-CAM of the target class on images whose zones readers have scored. A zone's value is the mean
of the map in it, so that its size does not count. The map is held against the severity model's own
zones, and against the zones that are affected on average in other patients, which need no image.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from covidcxr.array_types import Floats, Integers, Texts
from covidcxr.data.lung_shape import estimate_boxes
from covidcxr.data.tables import read_images, read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import mean_of
from covidcxr.explain.gradcam import build_explainer, explain
from covidcxr.explain.measures import extent, upsample
from covidcxr.report import formats
from covidcxr.report.formats import listing
from covidcxr.report.section import Section, SectionTable, write_section
from covidcxr.runtime import configure
from covidcxr.seeding import generator
from covidcxr.severity import agreement
from covidcxr.severity.agreement import Measured, auc, row_of
from covidcxr.severity.scores import TOTAL, reference
from covidcxr.severity.severity_images import SCORE_COLUMNS
from covidcxr.severity.zones import COLUMNS, ZONES, pool, zone_boxes

OWN, USUAL = "severity model", "mean of other patients"
CORRELATION, AFFECTED = "rank correlation within an image", "AUC of affected zones"
EXTENT = "the map's extent"


def run(
    models: Sequence[str | Path],
    study: Sequence[str | Path],
    images: Sequence[str | Path],
    scores: str | Path,
    predictions: str | Path,
    table: str | Path,
    section: str | Path,
    *,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
) -> None:
    """Explain the scored images by every ensemble, and measure the maps against the readers.

    Parameters
    ----------
    models
        Ensembles `.../<backbone>/<augmentation>.keras`, members in the order of the folds. An image
        of a training patient is explained by the one member that did not train on him.
    study
        Manifest and split.
    images
        Table and uint8 [n, size, size] of the scored images.
    scores
        As `covidcxr.severity.severity_images` writes them.
    predictions
        Of a score with zones, as `covidcxr.severity.severity_model` writes them.
    table
        CSV to write: judge (a backbone, `OWN` or `USUAL`), score, measure, estimate, low, high
        (95 % by patient), n (images, zones for `AFFECTED`), patients.
    settings
        classes, target (the one explained), diagnoses (of the images taken; none takes all) and
        zone_range.

    Raises
    ------
    InputError
        No image of these diagnoses is scored.
    """
    configure(threads=threads, seed=0)  # nothing here is random but the resampling
    read = read_table(scores, SCORE_COLUMNS, ["value"])
    own = read_table(predictions, numbers=COLUMNS)
    zoned = own["score"].iloc[0]
    means = {name: reference(part) for name, part in read.groupby("score", sort=False)}
    rows = read_manifest(images[0])
    wanted = rows["image_id"].isin(read["image_id"])
    if settings["diagnoses"]:
        wanted &= rows["label"].isin(settings["diagnoses"])
    rows, pixels = rows[wanted], np.load(images[1], mmap_mode="r")[np.flatnonzero(wanted)]
    names, patients = rows["image_id"], rows["patient_id"].to_numpy(str)
    zones = means[zoned].reindex(index=names, columns=[*ZONES]).to_numpy(np.float64)
    seen = np.isfinite(zones).all(axis=1)
    if not seen.any():
        raise InputError(f"no image of {settings['diagnoses']} has zones scored; see {scores}")
    model_zones = own.groupby("image_id")[list(COLUMNS)].mean().reindex(names)
    usual = [agreement.mean_of_others(column, patients[seen]) for column in zones[seen].T]
    judged = {OWN: model_zones.to_numpy()[seen], USUAL: np.column_stack(usual)}
    followed: dict[str, dict[str, Floats]] = {}
    boxes = np.stack([zone_boxes(estimate_boxes(one)) for one in pixels])
    folds = fold_of(rows, read_images(*study))
    target = settings["classes"].index(settings["target"])
    for path in models:
        explainer = build_explainer(keras.models.load_model(path, compile=False))
        found = explain(explainer, pixels, np.full(len(pixels), target))
        voting = folds[:, None] == np.arange(len(found.maps))
        voting[folds < 0] = True
        share = (voting / voting.sum(axis=1, keepdims=True)).T
        maps = np.einsum("mn,mnhw->nhw", share, found.maps)
        backbone = Path(path).parent.name
        judged[backbone] = np.stack(
            [pool(one[..., None], box)[:, 0] for one, box in zip(maps, boxes, strict=True)]
        )[seen]
        heats = upsample(maps.astype(np.float32), pixels.shape[-1])
        followed[backbone] = {
            f"P({settings['target']})": (share * found.probabilities[..., target]).sum(axis=0),
            EXTENT: np.array([extent(heat) for heat in heats]),
        }
    known = {
        str(name): part[TOTAL].reindex(names).to_numpy(np.float64)
        for name, part in means.items()
        if TOTAL in part
    }
    limits = settings["zone_range"]
    measured = [
        *of_zones(judged, zones[seen], patients[seen], zoned, limits),
        *of_totals(followed, known, patients),
    ]
    found_rows = [
        {"judge": judge, "score": score, "measure": measure}
        | row_of(statistic, of, generator(seed, "severity_maps", measure, score))
        for judge, score, measure, statistic, of in measured
    ]
    results = pd.DataFrame(found_rows)
    write_table(results, table)
    write_section(section, section_of(results, settings["target"]))


def fold_of(rows: pd.DataFrame, study: pd.DataFrame) -> Integers:
    """Return the fold of each image's patient in the study, -1 where none of it trains.

    Parameters
    ----------
    rows
        image_id and patient_id of images.
    study
        image_id, patient_id and fold.
    """
    training = study.dropna(subset="fold")
    found = rows["image_id"].map(training.set_index("image_id")["fold"])
    by_patient = training.drop_duplicates("patient_id").set_index("patient_id")["fold"]
    return found.fillna(rows["patient_id"].map(by_patient)).fillna(-1).to_numpy(np.int64)


def of_zones(
    judged: Mapping[str, Floats],
    zones: Floats,
    patients: Texts,
    score: str,
    limits: tuple[float, float],
) -> Iterator[Measured]:
    """Yield how well values of zones rank them as the readers do, within an image.

    Affected is a zone scored above half of its range, against those without any disease.

    Parameters
    ----------
    judged
        Of each judge float64 [n, 6].
    zones
        What was read, float64 [n, 6].
    """
    low, high = limits
    sides = (zones > (low + high) / 2, zones <= low)
    compared = (sides[0] | sides[1]).ravel()
    image = np.repeat(np.arange(len(zones)), zones.shape[1])[compared]
    affected = sides[0].ravel()[compared]
    varied = np.ptp(zones, axis=1) > 0
    for judge, values in judged.items():
        # A map of nothing ranks no zone above another: no correlation is none.
        each = np.array(
            [
                spearmanr(one, other).statistic if np.ptp(one) > 0 else 0.0
                for one, other in zip(values[varied], zones[varied], strict=True)
            ]
        )
        yield judge, score, CORRELATION, mean_of(each), patients[varied]
        statistic = auc(values.ravel()[compared], affected, image)
        yield judge, score, AFFECTED, statistic, patients[image]


def of_totals(
    followed: Mapping[str, Mapping[str, Floats]], totals: Mapping[str, Floats], patients: Texts
) -> Iterator[Measured]:
    """Yield Spearman's correlation of what each judge follows with each score."""
    for judge, values in followed.items():
        for score, total in totals.items():
            known = np.isfinite(total)
            if known.sum() > 2:
                for measure, one in values.items():
                    statistic = agreement.spearman(total[known], one[known].astype(np.float64))
                    yield judge, score, measure, statistic, patients[known]


def section_of(results: pd.DataFrame, target: str) -> Section:
    """Return the section of the report, whichever way it falls."""
    texts = agreement.texts_of(results, ["judge", "score", "measure"])
    zoned = results.loc[results["judge"] == OWN, "score"].iloc[0]
    maps = results[~results["judge"].isin([OWN, USUAL])]
    affected: dict[str, list[str]] = {}
    for row in maps[maps["measure"] == AFFECTED].to_dict("records"):
        word = "higher" if row["low"] > 0.5 else "lower" if row["high"] < 0.5 else "no higher"
        text = f"{row['judge']} {texts[row['judge'], zoned, AFFECTED]}"
        affected.setdefault(word, []).append(text)
    found = listing(f"{word} with {listing(judges)}" for word, judges in affected.items())
    sentences = [
        f"Within an image the map is, in affected zones against those without disease, {found} "
        f"(AUC; by chance 0.5; the severity model's zones {texts[OWN, zoned, AFFECTED]}; the same "
        f"zones for everybody {texts[USUAL, zoned, AFFECTED]})."
    ]
    for measure in (f"P({target})", EXTENT):
        own = maps[maps["measure"] == measure]
        follow = []
        for judge, part in own.groupby("judge", sort=False):
            ways = [
                f"{verb} with {listing(part.loc[sure, 'score'])}"
                for verb, sure in (("rises", part["low"] > 0), ("falls", part["high"] < 0))
                if sure.any()
            ]
            follow += [f"{' and '.join(ways)} ({judge})"] if ways else []
        name = f"{measure[:1].upper()}{measure[1:]}"
        sentences.append(f"{name} {listing(follow) if follow else 'follows no score'}.")
    shown = results[["judge", "score", "measure", "n", "patients"]].assign(
        value=list(texts.values())
    )
    return Section(
        ident="severity-maps",
        title="Does the map show where the disease is?",
        part="explanations",
        paragraphs=(" ".join(sentences),),
        method=(
            f"Grad-CAM for {target}, averaged in six zones of the estimated lungs, against "
            "readers' scores of the zones. A training patient's image is explained by the fold's "
            "model that did not train on it. Affected: above half of a zone's range. 95 % "
            "intervals by patient.",
        ),
        tables=(
            SectionTable(
                "severity_maps",
                "Maps, the severity model and the zones usually affected, against the readers",
                formats.table_of(shown, {"value": "Value (95 %)"}),
                folded=True,
            ),
        ),
    )
