"""How much of an accuracy leakage explains: image-level splits against patient-disjoint ones."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.stats.weightstats import DescrStatsW

from covidcxr.classify.logistic import Floats, fit_predict, read_choice, read_pooled
from covidcxr.classify.weights import sample_weights
from covidcxr.data.holdout import Unit, draw_holdout
from covidcxr.data.tables import read_manifest, write_table
from covidcxr.evaluate.metrics import Integers, class_positions
from covidcxr.logs import progress
from covidcxr.seeding import generator, integer_seed

log = logging.getLogger("covidcxr")

Rows = npt.NDArray[np.int64]
COMPARISONS = {"splits": ("image_split", "patient_split"), "matched": ("with_patients", "without")}
"""Accuracies by name: with leakage, and without."""


@dataclass(frozen=True)
class Bank:
    """Where the pooled features of a backbone stand, and its chosen penalty."""

    backbone: str
    clean: str | Path
    rows: str | Path
    choice: str | Path


@dataclass(frozen=True)
class Division:
    """Row numbers of the training and test images of one split."""

    training: Rows
    test: Rows


def write_split_comparison(
    banks: Sequence[Bank],
    manifest: str | Path,
    output_summary: str | Path,
    output_repeats: str | Path,
    *,
    classes: Sequence[str],
    test: float | Mapping[str, int],
    repeats: int,
    class_weights: bool,
    source_weights: bool,
    seed: int,
) -> None:
    """Compare the test accuracy of both kinds of split over many draws.

    The model is the run's logistic regression on pooled features, whose penalty was chosen in the
    run's folds: it fits in a fraction of a second, so that chance can be averaged out. The same
    draws serve every backbone.

    Parameters
    ----------
    banks
        Features of every image of the manifest, by backbone.
    manifest
        `data/manifest.csv`.
    output_summary
        Table to write, see `summary`.
    output_repeats
        Table to write: backbone, repeat, what `compared` returns.
    classes
        Class names.
    test
        Test images of each class, or one share for all, as the run's own split has it.
    repeats
        Splits drawn of each kind.
    class_weights, source_weights
        See `covidcxr.classify.weights.sample_weights`.
    seed
        The run's seed.
    """
    images = read_manifest(manifest)
    truth = class_positions(images["label"].tolist(), classes)
    patients, sources = images["patient_id"].to_numpy(), images["source"].to_numpy(str)
    draws = drawn(images, test=test, repeats=repeats, seed=seed)
    rows = []
    for bank in banks:
        features = read_pooled(bank.clean, bank.rows, images["image_id"].tolist())
        penalty = read_choice(bank.choice)

        def accuracy(division: Division, x: Floats = features, c: float = penalty) -> float:
            found = fit_predict(
                x[division.training],
                truth[division.training],
                x[division.test],
                [c],
                count=len(classes),
                weights=sample_weights(
                    truth[division.training],
                    sources[division.training],
                    by_class=class_weights,
                    by_source=source_weights,
                ),
            )[0]
            return float((found.argmax(axis=1) == truth[division.test]).mean())

        for repeat, (by_image, by_patient) in enumerate(
            progress(draws, desc=bank.backbone, unit="split")
        ):
            both, without = matched(
                by_image, patients, truth, generator(seed, "split_comparison", repeat)
            )
            divisions = {
                "image_split": by_image,
                "patient_split": by_patient,
                "with_patients": both,
                "without": without,
            }
            rows.append(
                {"backbone": bank.backbone, "repeat": repeat}
                | {name: accuracy(division) for name, division in divisions.items()}
                | {
                    "n": len(by_image.test),
                    "shared": int(shared(by_image, patients).sum()),
                    "removed": len(by_image.training) - len(without.training),
                }
            )
    table = pd.DataFrame(rows)
    write_table(table, output_repeats)
    write_table(summary(table), output_summary)


def drawn(
    images: pd.DataFrame, *, test: float | Mapping[str, int], repeats: int, seed: int
) -> list[tuple[Division, Division]]:
    """Draw pairs of an image-level and a patient-disjoint split of the same sizes.

    Parameters
    ----------
    images
        image_id, label and patient_id.
    """

    def division(unit: Unit, repeat: int) -> Division:
        draw_seed = integer_seed(seed, "split_comparison", repeat)
        sides = draw_holdout(images, unit=unit, test=test, seed=draw_seed)["split"]
        return Division(np.flatnonzero(sides == "train"), np.flatnonzero(sides == "test"))

    return [
        (division("image", repeat), division("patient", repeat))
        for repeat in progress(range(repeats), desc="splits", unit="pair")
    ]


def shared(division: Division, patients: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Whether the patient of each test image has training images too, bool [test]."""
    return np.isin(patients[division.test], patients[division.training])


def matched(
    division: Division,
    patients: npt.NDArray[np.generic],
    truth: Integers,
    rng: np.random.Generator,
) -> tuple[Division, Division]:
    """Split the effect of leakage from everything else: same test set, same sizes of training.

    Returns
    -------
    with_patients
        As many training images of each class left out, drawn from the patients who are not tested.
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
            difference = part[leaky] - part[clean]
            if len(part) > 1:
                low, high = DescrStatsW(difference).tconfint_mean()
            else:
                low = high = np.nan
            rows.append(
                {
                    "backbone": backbone,
                    "comparison": comparison,
                    "repeats": len(part),
                    "leaky": part[leaky].mean(),
                    "clean": part[clean].mean(),
                    "difference": difference.mean(),
                    "low": low,
                    "high": high,
                    "shared": (part["shared"] / part["n"]).mean(),
                }
            )
    return pd.DataFrame(rows)
