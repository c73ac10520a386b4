"""How much of an accuracy leakage explains: image-level splits against patient-disjoint ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from statsmodels.stats.weightstats import DescrStatsW

from covidcxr.array_types import Integers, Mask, Values
from covidcxr.classify import classifiers
from covidcxr.classify.weights import sample_weights
from covidcxr.data.holdout import Unit, choose_holdout
from covidcxr.data.tables import class_positions, read_manifest, write_table
from covidcxr.features.bank import read_pooled
from covidcxr.logs import progress
from covidcxr.report.formats import (
    THIN,
    count,
    difference,
    interval_of,
    listing,
    share,
    some,
    table_of,
)
from covidcxr.report.section import Section, SectionTable, write_section
from covidcxr.seeding import generator, integer_seed

COMPARISONS = {"splits": ("image_split", "patient_split"), "matched": ("with_patients", "without")}
"""Accuracies by name: with leakage, and without."""
SPLITS = [name for pair in COMPARISONS.values() for name in pair]


@dataclass(frozen=True)
class Division:
    """Row numbers of the training and test images of one split."""

    training: Integers
    test: Integers


def run(
    clean: Sequence[str | Path],
    rows: Sequence[str | Path],
    models: Sequence[str | Path],
    manifest: str | Path,
    table: str | Path,
    draws: str | Path,
    section: str | Path,
    settings: Mapping[str, Any],
) -> None:
    """Compare the test accuracy of both kinds of split over many random splits.

    The model is the run's logistic regression on pooled features, whose penalty was chosen in the
    run's folds: it fits in a fraction of a second, so that chance can be averaged out. The same
    splits serve every backbone.

    Parameters
    ----------
    clean, rows, models
        Of each backbone, features of every image of the manifest, their rows, and the run's
        logistic regressions on them, which chose a penalty.
    table
        CSV to write, see `summary`.
    draws
        CSV to write: backbone, repeat, accuracies of each split, n, shared, removed.
    settings
        backbones (in the order of the features), classes; test (test images of each class, or one
        share for all, as the run's own split has it); comparisons (splits of each kind);
        class_weights, source_weights (see `covidcxr.classify.weights.sample_weights`); seed.
    """
    classes, seed = settings["classes"], settings["seed"]
    images = read_manifest(manifest)
    truth = class_positions(images["label"], classes)
    patients, sources = images["patient_id"].to_numpy(), images["source"].to_numpy(str)
    splits = random_splits(
        images, test=settings["test"], repeats=settings["comparisons"], seed=seed
    )
    found = []
    for backbone, *bank in zip(settings["backbones"], clean, rows, models, strict=True):
        features = read_pooled(bank[0], bank[1], images["image_id"].tolist())
        penalty = classifiers.chosen_penalty(joblib.load(bank[2]).values())

        def accuracy(division: Division, x: np.ndarray = features, c: float = penalty) -> float:
            training = division.training
            weights = sample_weights(
                truth[training],
                sources[training],
                by_class=settings["class_weights"],
                by_source=settings["source_weights"],
            )
            examples = classifiers.Examples(
                x[training], truth[training], patients[training], weights
            )
            model = classifiers.fitted(classifiers.regression(c), examples)
            found = classifiers.probabilities(model, x[division.test], len(classes))
            return float((found.argmax(axis=1) == truth[division.test]).mean())

        for repeat, (by_image, by_patient) in enumerate(
            progress(splits, desc=backbone, unit="split")
        ):
            rng = generator(seed, "split_comparison", repeat)
            both, without = matched(by_image, patients, truth, rng)
            divisions = dict(zip(SPLITS, (by_image, by_patient, both, without), strict=True))
            found.append(
                {"backbone": backbone, "repeat": repeat}
                | {name: accuracy(division) for name, division in divisions.items()}
                | {"n": len(by_image.test), "shared": int(shared(by_image, patients).sum())}
                | {"removed": len(by_image.training) - len(without.training)}
            )
    repeats = pd.DataFrame(found)
    compared = summary(repeats)
    write_table(repeats, draws)
    write_table(compared, table)
    write_section(section, section_of(compared, images, classes))


def random_splits(
    images: pd.DataFrame, *, test: float | Mapping[str, int], repeats: int, seed: int
) -> list[tuple[Division, Division]]:
    """Return random pairs of an image-level and a patient-disjoint split of the same sizes.

    Parameters
    ----------
    images
        image_id, label and patient_id.
    """

    def division(unit: Unit, repeat: int) -> Division:
        draw_seed = integer_seed(seed, "split_comparison", repeat)
        sides = choose_holdout(images, unit=unit, test=test, seed=draw_seed)["split"]
        return Division(np.flatnonzero(sides == "train"), np.flatnonzero(sides == "test"))

    return [
        (division("image", repeat), division("patient", repeat))
        for repeat in progress(range(repeats), desc="splits", unit="pair")
    ]


def shared(division: Division, patients: Values) -> Mask:
    """Whether the patient of each test image has training images too, bool [test]."""
    return np.isin(patients[division.test], patients[division.training])


def matched(
    division: Division, patients: Values, truth: Integers, rng: np.random.Generator
) -> tuple[Division, Division]:
    """Split the effect of leakage from everything else: same test set, same sizes of training.

    Returns
    -------
    with_patients
        As many training images of each class left out, sampled from patients who are not tested.
    without
        All training images of tested patients left out: patient-disjoint.
    """
    tested = np.isin(patients[division.training], patients[division.test])
    spared = np.zeros(len(division.training), bool)
    classes = truth[division.training]
    for label in np.unique(classes):
        others = np.flatnonzero((classes == label) & ~tested)
        wanted = min(int((tested & (classes == label)).sum()), max(0, len(others) - 1))
        spared[rng.choice(others, wanted, replace=False)] = True
    return (
        Division(division.training[~spared], division.test),
        Division(division.training[~tested], division.test),
    )


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean accuracies and their difference, by backbone and comparison.

    Returns
    -------
    DataFrame: backbone; comparison (`splits`: image-level splits against patient-disjoint ones;
    `matched`: the image-level splits with and without the tested patients' other images, on the
    same test set); repeats; leaky and clean (mean accuracies); difference (leaky - clean) with low
    and high, Student's 95 % interval of the mean over the draws: it says how sure the mean over
    random splits of these images is, not what other images would give; shared (mean share of the
    test images whose patient trains in the image-level splits).
    """
    rows = []
    for backbone, part in table.groupby("backbone", sort=False):
        for comparison, (leaky, clean) in COMPARISONS.items():
            gain = part[leaky] - part[clean]
            known = len(part) > 1
            low, high = DescrStatsW(gain).tconfint_mean() if known else (np.nan, np.nan)
            rows.append(
                {
                    "backbone": backbone,
                    "comparison": comparison,
                    "repeats": len(part),
                    "leaky": part[leaky].mean(),
                    "clean": part[clean].mean(),
                    "difference": gain.mean(),
                    "low": low,
                    "high": high,
                    "shared": (part["shared"] / part["n"]).mean(),
                }
            )
    return pd.DataFrame(rows)


TEXTS = {
    "splits": "image-level against patient-disjoint splits",
    "matched": "same test images, with and without their patients in training",
}
METHOD = (
    "Two comparisons. Splits: images sampled one by one, as the published study did, against whole "
    "patients, in equal numbers. Matched: on the test images of an image-level split, a training "
    "set that lacks all tested patients against one of the same size and classes that keeps them; "
    "since only that differs, it is the sharper one. Intervals are Student's over the splits, so "
    "they hold for these images. What is measured is leakage through patients; leakage through "
    "source, age or framing is the same in both kinds of split and stays."
)


def section_of(compared: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str]) -> Section:
    """Say what patients on both sides of a split add to the accuracy.

    Parameters
    ----------
    compared
        What `summary` returns.
    images
        label and patient_id of the run.
    """
    rows = compared.rename(columns={"low": "difference_low", "high": "difference_high"})
    rows = rows.assign(difference=interval_of(rows, "difference", difference))
    matched_rows = rows[rows["comparison"] == "matched"]
    texts = listing(
        f"{backbone} {text}"
        for backbone, text in zip(matched_rows["backbone"], matched_rows["difference"], strict=True)
    )
    above = matched_rows.loc[matched_rows["difference_low"] > 0, "backbone"].tolist()
    sure = (
        f"It is above 0 for {listing(above)}."
        if above
        else "For no backbone is the interval above 0."
    )
    own = images.groupby("patient_id")["label"].transform("size") > 1
    by_class = ", ".join(
        f"{label} {share(own[images['label'] == label].mean())}" for label in classes
    )
    several = images.loc[own, "patient_id"].nunique()
    shown = rows.assign(comparison=rows["comparison"].map(TEXTS))
    return Section(
        ident="split-comparison",
        title="What an image-level split would have added",
        part="performance",
        folded=True,
        paragraphs=(
            "Accuracy that patients on both sides of the split add, matched comparison over "
            f"{some(compared['repeats'].iloc[0], 'split')}: {texts}. {sure}",
            f"{count(several)} of {some(images['patient_id'].nunique(), 'patient')} have several "
            f"images, {count(own.sum())} of {some(len(images), 'image')} (share of images by "
            f"class: {by_class}). In an image-level split {share(compared['shared'].mean())} of "
            "the test images are of a patient who also trains; only on these can leakage act, "
            "which bounds what it can add.",
        ),
        method=(METHOD,),
        tables=(
            SectionTable(
                "split_comparison",
                "Mean test accuracy of a logistic regression on pooled features with and without "
                f"patients on both sides, and their difference with its 95{THIN}% interval over "
                "the splits.",
                table_of(
                    shown[["backbone", "comparison", "leaky", "clean", "difference"]],
                    {"leaky": "Patients on both sides", "clean": "Patient-disjoint"},
                    {"difference": str},
                ),
            ),
        ),
    )
