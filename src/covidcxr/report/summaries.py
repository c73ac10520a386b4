"""Tables of the report that are put together from several files."""

from dataclasses import replace

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Run, records
from covidcxr.report.formats import THIN, Column, Table, heading, ratio, table_of


def beside_table(frame: pd.DataFrame) -> Table:
    """Return Table 1: each measure of this run, the published one and their difference, grouped.

    Parameters
    ----------
    frame
        `published_accuracy.csv`: for a measure m the columns m, published_m, and difference_m
        (`difference` for the accuracy); the folds' accuracy as fold_mean, fold_min, fold_max.
    """
    plain = table_of(frame)
    columns = []
    for name, column in zip(map(str, frame.columns), plain.columns, strict=True):
        first, _, rest = name.partition("_")
        if f"published_{name}" in frame.columns:
            columns.append(Column("this run", heading(name), True))
        elif first in ("published", "difference"):
            columns.append(Column(first, heading(rest or "accuracy"), True))
        elif first == "fold":
            columns.append(Column(rest, "Folds, accuracy", True))
        else:
            columns.append(column)
    return replace(plain, columns=columns)


def ensemble_table(run: Run) -> Table:
    """Return the test results of the ensembles, those of the baselines among them.

    Each with its interval, beside the spread over its folds.
    """
    scored = pd.concat([run.classification, run.baselines], ignore_index=True)
    best = facts.test_ensembles(scored)
    if best.empty:
        return table_of(best)
    folds = scored[scored["model"] != facts.ENSEMBLE]
    rows = []
    for row in records(best):
        same = folds[
            (folds["backbone"] == row["backbone"]) & (folds["augmentation"] == row["augmentation"])
        ]
        by_split = {
            name: same.loc[same["split"] == name, "accuracy"] for name in ("validation", "test")
        }
        low, high = facts.accuracy_interval(run, row["backbone"], row["augmentation"])
        rows.append(
            {
                "backbone": facts.backbone_text(row["backbone"]),
                "augmentation": facts.augmentation_text(row["augmentation"]),
                "n": int(row["n"]),
                "accuracy": row["accuracy"],
                "interval": f"{ratio(low)}–{ratio(high)}",
                "folds_test": _mean_sd(by_split["test"]),
                "folds_validation": _mean_sd(by_split["validation"]),
                **{f"recall_{label}": row[f"recall_{label}"] for label in run.classes},
                **{f"precision_{label}": row[f"precision_{label}"] for label in run.classes},
            }
        )
    labels = {
        "interval": f"95{THIN}% interval",
        "folds_test": "Folds, test",
        "folds_validation": "Folds, validation",
    }
    return table_of(pd.DataFrame(rows), labels, dict.fromkeys(labels, str), emphasised=[0])


def _mean_sd(values: "pd.Series[float]") -> str:
    if values.empty:
        return ""
    if len(values) == 1:
        return ratio(values.iloc[0])
    return f"{ratio(values.mean())} ± {ratio(values.std())}"
