"""How sure the results are: intervals of every measure, and which models differ at all."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Row, Run, records
from covidcxr.report.formats import (
    MISSING,
    THIN,
    Table,
    count,
    difference,
    listing,
    p_value,
    ratio,
    some,
    table_of,
)
from covidcxr.report.sections.section import Section, SectionTable

SIGNIFICANT = 0.05
LOGISTIC = "logistic"
OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
BY_CLASS = ("sensitivity", "specificity", "precision", "auc")
HEADINGS = {
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "auc": "AUC",
}


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run has no comparisons."""
    if "comparisons" not in tables:
        return None
    ensembles = run.intervals[run.intervals["model"] == facts.ENSEMBLE]
    pairs = tables["comparisons"]
    return Section(
        ident="intervals",
        title="How sure the results are",
        paragraphs=[text for text in (*_pairs_text(run, pairs), _method_text(run)) if text],
        tables=[
            SectionTable(
                "intervals_overall",
                f"Ensembles on the test set: each measure with its 95{THIN}% interval, and "
                "the mean ± standard deviation over the folds' models.",
                _overall_table(ensembles),
            ),
            SectionTable(
                "intervals_by_class",
                "Ensembles on the test set, one class against the others: each measure with its 95"
                f"{THIN}% interval. An asterisk marks exact bounds.",
                _class_table(ensembles, run),
            ),
            SectionTable(
                "head_gain",
                "What the network head adds: accuracy of the study's ensembles minus that of a "
                "logistic regression on the pooled features of the same backbone.",
                _pair_table(_against_logistic(pairs)),
            ),
            SectionTable(
                "comparisons",
                "Every pair of ensembles: images that only one of the two gets right, the "
                "difference of their accuracies, and McNemar's exact test.",
                _pair_table(pairs),
                folded=True,
            ),
        ],
    )


def with_interval(row: Row, form: str = "bootstrap") -> str:
    """Write an estimate with its interval; an asterisk where its method is not `form`."""
    if pd.isna(row["estimate"]):
        return MISSING
    if pd.isna(row["low"]):
        return f"{ratio(row['estimate'])} (no interval)"
    mark = "" if row.get("method", form) == form else "*"
    return f"{ratio(row['estimate'])} ({ratio(row['low'])}–{ratio(row['high'])}){mark}"


def _method_text(run: Run) -> str:
    rows = run.intervals[run.intervals["metric"] == "accuracy"]
    if rows.empty:
        return ""
    patients, n = rows["patients"].iloc[0], rows["n"].iloc[0]
    return (
        f"Intervals: the {some(patients, 'patient')} of the {some(n, 'test image')} are drawn anew "
        "with replacement, each with all his or her images, and the central 95"
        f"{THIN}% of the results are given; all models see the same draws. Where all images are "
        "right (or none), draws do not differ and the bootstrap would claim certainty: exact "
        "(Clopper–Pearson) bounds over patients stand there, marked by an asterisk, and no "
        "interval for an AUC of 1. The intervals say how far other patients of the same "
        "collections might move a result. They do not cover another hospital, nor the choice of "
        "the best model by the same test set."
    )


def _pairs_text(run: Run, pairs: pd.DataFrame) -> list[str]:
    if pairs.empty:
        return []
    apart = pairs["p_holm"] < SIGNIFICANT
    text = (
        f"Of {some(len(pairs), 'pair')} of ensembles, {count(apart.sum())} differ in accuracy "
        f"(McNemar's exact test, p < {SIGNIFICANT} after Holm's correction for all pairs)."
    )
    scored = pd.concat([run.classification, run.baselines], ignore_index=True)
    best = facts.test_ensembles(scored)
    if best.empty:
        return [text]
    top = (best["backbone"].iloc[0], best["augmentation"].iloc[0])
    equal = [model for row in records(pairs[~apart]) for model in _other(row, top)]
    text += f" From the one of highest accuracy, {facts.model_text(*top)}, " + (
        f"the test set cannot tell apart {listing(facts.model_text(*m) for m in equal)}."
        if equal
        else "all others differ."
    )
    gains = _against_logistic(pairs)
    better = gains[(gains["p_holm"] < SIGNIFICANT) & (gains["difference"] > 0)]
    head = (
        f"The network head beats a logistic regression on the same features in {count(len(better))}"
        f" of {some(len(gains), 'comparison')}."
        if len(gains)
        else ""
    )
    return [text, head]


def _other(row: Row, model: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the other model of a pair that `model` is part of."""
    first = (row["first_backbone"], row["first_augmentation"])
    second = (row["second_backbone"], row["second_augmentation"])
    return [second] if first == model else [first] if second == model else []


def _against_logistic(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of a network head and the logistic regression of the same backbone."""
    return pairs[
        (pairs["first_backbone"] == pairs["second_backbone"])
        & (pairs["second_augmentation"] == LOGISTIC)
        & ~pairs["first_augmentation"].isin(list(facts.ON_FEATURES))
    ]


def _named(row: Row) -> Row:
    return {
        "backbone": facts.backbone_text(row["backbone"]),
        "augmentation": facts.augmentation_text(row["augmentation"]),
    }


def _overall_table(ensembles: pd.DataFrame) -> Table:
    rows = []
    for _, part in ensembles.groupby(["backbone", "augmentation"], sort=False):
        found = {row["metric"]: row for row in records(part[part["metric"].isin(OVERALL)])}
        first = next(iter(found.values()))
        rows.append(
            _named(first)
            | {name: with_interval(row) for name, row in found.items()}
            | {
                f"folds_{name}": f"{ratio(row['fold_mean'])} ± {ratio(row['fold_sd'])}"
                for name, row in found.items()
            }
        )
    labels = HEADINGS | {
        "folds_accuracy": "Folds, accuracy",
        "folds_balanced_accuracy": "Folds, balanced accuracy",
        "folds_macro_f1": "Folds, macro F1",
    }
    return table_of(pd.DataFrame(rows), labels)


def _class_table(ensembles: pd.DataFrame, run: Run) -> Table:
    rows = []
    for _, part in ensembles.groupby(["backbone", "augmentation"], sort=False):
        for name in run.classes:
            of_class = part[part["class"] == name]
            found = {row["metric"]: row for row in records(of_class)}
            if not found:
                continue
            rows.append(
                _named(next(iter(found.values())))
                | {"class": name}
                | {metric: with_interval(found[metric]) for metric in BY_CLASS}
            )
    return table_of(pd.DataFrame(rows), HEADINGS)


def _pair_table(pairs: pd.DataFrame) -> Table:
    rows = [
        {
            "first": facts.model_text(row["first_backbone"], row["first_augmentation"]),
            "second": facts.model_text(row["second_backbone"], row["second_augmentation"]),
            "only_first": row["only_first"],
            "only_second": row["only_second"],
            "difference": row["difference"],
            "interval": f"{difference(row['low'])} to {difference(row['high'])}",
            "p": row["p"],
            "p_holm": row["p_holm"],
        }
        for row in records(pairs)
    ]
    labels = {
        "only_first": "Only the first right",
        "only_second": "Only the second right",
        "interval": f"95{THIN}% interval",
        "p": "p",
        "p_holm": "p, Holm",
    }
    forms: dict[str, Callable[[Any], str]] = {"p": p_value, "p_holm": p_value, "interval": str}
    return table_of(pd.DataFrame(rows), labels, forms)
