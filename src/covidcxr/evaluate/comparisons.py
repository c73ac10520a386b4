"""Are two models really different on the test set? McNemar's test, and the paired difference."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from covidcxr.array_types import Mask, Values
from covidcxr.classify.predictions import NETWORK, read_predictions
from covidcxr.data.tables import write_table
from covidcxr.evaluate import bootstrap
from covidcxr.evaluate.bootstrap import difference_of, mean_of
from covidcxr.evaluate.models import KIND, Kind, by_kind, ensembles, model_text, of_study
from covidcxr.logs import progress
from covidcxr.report.formats import difference, interval, listing, p_value, some
from covidcxr.report.section import Section, SectionTable, write_section
from covidcxr.seeding import generator

SIGNIFICANT = 0.05
FIRST, SECOND = ([f"{side}_{column}" for column in KIND] for side in ("first", "second"))
COLUMNS = (
    *(*FIRST, *SECOND, "n", "patients", "both_right", "only_first", "only_second", "both_wrong"),
    *("difference", "low", "high", "p", "p_holm"),
)


def run(
    predictions: str | Path,
    table: str | Path,
    section: str | Path,
    *,
    classes: Sequence[str],
    seed: int,
) -> None:
    """Compare every pair of ensembles on the test set.

    Parameters
    ----------
    table
        CSV to write, see `compare`.
    """
    own = ensembles(of_study(read_predictions(predictions, classes)))
    correct: dict[Kind, Mask] = {}
    patients = np.zeros(0, object)
    for kind, part in by_kind(own[own["set"] == "test"]):
        test = part.sort_values("image_id")
        correct[kind] = (test["label"] == test["predicted"]).to_numpy(bool)
        patients = test["patient_id"].to_numpy()
    pairs = compare(correct, patients, seed=seed)
    write_table(pairs, table)
    best = max(correct, key=lambda kind: correct[kind].mean())
    write_section(section, section_of(pairs, best))


def compare(correct: dict[Kind, Mask], patients: Values, *, seed: int) -> pd.DataFrame:
    """Compare every pair of models by the images that one gets right and the other wrong.

    Parameters
    ----------
    correct
        Whether each test image is right, bool [n], by model.
    patients
        Patient of each image, [n].

    Returns
    -------
    DataFrame with `COLUMNS`, a row for each pair: images that both, one or none gets right;
    difference of the accuracies (first - second) with its 95 % patient-clustered interval (both
    models on the same resamples); p of McNemar's exact test (the binomial test of only_first
    against only_second; McNemar Q. Psychometrika 12, 153 (1947)), which takes images as
    independent, and p_holm, corrected for all pairs by Holm's method.
    """
    rows = []
    pairs = list(combinations(correct, 2))
    for first, second in progress(pairs, desc="comparisons", unit="pair"):
        a, b = correct[first], correct[second]
        table = [
            [int((a & b).sum()), int((a & ~b).sum())],
            [int((~a & b).sum()), int((~a & ~b).sum())],
        ]
        gain = difference_of(mean_of(a), mean_of(b))
        found = bootstrap.interval(gain, patients, generator(seed, "intervals"))
        p = float(mcnemar(table, exact=True).pvalue)
        rows.append(
            (*first, *second, len(a), len(np.unique(patients)), *table[0], *table[1], *found, p)
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    frame["p_holm"] = multipletests(frame["p"], method="holm")[1] if len(frame) else []
    return frame


def section_of(pairs: pd.DataFrame, best: Kind) -> Section:
    """Say which ensembles differ from the most accurate one, and what a network adds.

    Parameters
    ----------
    pairs
        What `compare` returns.
    best
        The ensemble of highest accuracy on the test set.
    """
    logistic = pairs[
        (pairs["first_backbone"] == pairs["second_backbone"])
        & (pairs["first_classifier"] == NETWORK)
        & (pairs["second_classifier"] == "logistic")
    ]
    apart = pairs["p_holm"] < SIGNIFICANT
    texts = [
        f"Of {some(len(pairs), 'pair')} of ensembles, {int(apart.sum())} differ in accuracy "
        f"(McNemar's exact test, p < {SIGNIFICANT} after Holm's correction for all pairs).",
        *_best_texts(pairs, best),
    ]
    if len(logistic):
        better = (logistic["p_holm"] < SIGNIFICANT) & (logistic["difference"] > 0)
        texts.append(
            "The network is more accurate than a logistic regression on the same features in "
            f"{int(better.sum())} of {some(len(logistic), 'comparison')}."
        )
    return Section(
        ident="comparisons",
        title="Which models differ",
        part="performance",
        folded=True,
        paragraphs=(" ".join(texts),),
        tables=(
            SectionTable(
                "comparisons",
                "Every pair of ensembles: images that only one of the two gets right, the "
                "difference of their accuracies with its interval, and McNemar's exact test.",
            ),
        ),
    )


def _best_texts(pairs: pd.DataFrame, best: Kind) -> list[str]:
    """Say what the tests say of every ensemble beside the best: apart, in doubt, or no evidence."""
    found: dict[str, list[str]] = {"apart": [], "doubt": [], "none": []}
    for row in pairs.to_dict("records"):
        kinds = [tuple(row[column] for column in side) for side in (FIRST, SECOND)]
        if best not in kinds:
            continue
        [other] = [kind for kind in kinds if kind != best]
        sign = 1 if kinds[0] == best else -1
        low, high = sorted((sign * row["low"], sign * row["high"]))
        reach = interval(sign * row["difference"], low, high, difference)
        tested = f"p {p_value(row['p'])}, Holm {p_value(row['p_holm'])}"
        if row["p_holm"] < SIGNIFICANT:
            found["apart"].append(model_text(*other))
        elif row["p"] < SIGNIFICANT:
            found["doubt"].append(f"{model_text(*other)} (difference {reach}, {tested})")
        else:
            found["none"].append(model_text(*other))
    texts = {
        "apart": "It differs from {}.",
        "doubt": "Before the correction only, it differs from {}.",
        "none": "The test finds no difference from {}, which does not show that there is none.",
    }
    told = [texts[key].format(listing(names)) for key, names in found.items() if names]
    return [f"The most accurate on the test set is {model_text(*best)}.", *told]
