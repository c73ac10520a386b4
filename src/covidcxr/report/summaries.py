"""Tables of the report that are counted, or put together from several files."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from covidcxr.report import facts
from covidcxr.report.content import age_text
from covidcxr.report.facts import Config, Run, records
from covidcxr.report.formats import (
    THIN,
    Column,
    Table,
    count,
    decimal,
    heading,
    ratio,
    share,
    table_of,
)


def data_table(run: Run) -> Table:
    """Return images, patients, splits, views and ages of each class and source."""
    images, rows = run.images, []
    for label in run.classes:
        for source, part in images[images["label"] == label].groupby("source"):
            seen = part["view"].replace("", "unknown").value_counts()
            [age] = records(facts.ages(part, [label]))
            rows.append(
                {
                    "class": label,
                    "source": source,
                    "images": len(part),
                    "patients": part["patient_id"].nunique(),
                    "train": int((part["split"] == "train").sum()),
                    "test": int((part["split"] == "test").sum()),
                    "views": ", ".join(f"{view} {count(n)}" for view, n in seen.items()),
                    "age": age_text(age),
                }
            )
    if len(run.synthetic):
        for made, part in run.synthetic.groupby("label"):
            rows.append(
                {
                    "class": made,
                    "source": "synthetic (CycleGAN)",
                    "images": len(part),
                    "patients": np.nan,
                    "train": len(part),
                    "test": 0,
                    "views": "",
                    "age": "",
                }
            )
    return table_of(pd.DataFrame(rows))


def split_table(run: Run) -> Table:
    """Return test images asked and reached, folds and patients of each class."""
    images, asked = run.images, run.config["split"]["test"]
    rows = []
    for label in run.classes:
        part = images[images["label"] == label]
        train, test = (part[part["split"] == name] for name in ("train", "test"))
        folds = train["fold"].value_counts()
        wanted = asked[label] if isinstance(asked, Mapping) else asked
        rows.append(
            {
                "class": label,
                "asked": share(wanted) if isinstance(wanted, float) else count(wanted),
                "reached": f"{count(len(test))}"
                + (f" ({share(len(test) / len(part))})" if isinstance(wanted, float) else ""),
                "train": len(train),
                "folds": f"{folds.min()}–{folds.max()}" if len(folds) else "",
                "patients_train": train["patient_id"].nunique(),
                "patients_test": test["patient_id"].nunique(),
                "both": len(facts.shared_patients(part)),
            }
        )
    labels = {
        "asked": "Test images asked",
        "reached": "Test images reached",
        "train": "Training images",
        "folds": "Images a fold",
        "patients_train": "Patients in training",
        "patients_test": "Patients in test",
        "both": "Patients in both",
    }
    return table_of(pd.DataFrame(rows), labels, {"asked": str, "reached": str, "folds": str})


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


def losses_table(losses: pd.DataFrame, share_of_steps: float = 0.1) -> Table:
    """Return the mean of each CycleGAN loss over the first and the last tenth of the steps."""
    values = losses.drop(columns=["iteration", "learning_rate"], errors="ignore")
    size = max(1, round(len(losses) * share_of_steps))
    frame = pd.DataFrame(
        {
            "loss": [name.replace("_", " ") for name in values.columns],
            "first": values.iloc[:size].mean().to_numpy(float),
            "last": values.iloc[-size:].mean().to_numpy(float),
        }
    )
    labels = {"first": "First tenth, mean", "last": "Last tenth, mean"}
    return table_of(frame, labels, {"first": decimal, "last": decimal})


def licence_table(manifest: pd.DataFrame) -> Table:
    """Return how many images stand under which licence, by source."""
    frame = (
        manifest.assign(license=manifest["license"].replace("", "not stated"))
        .groupby(["source", "license"], as_index=False)
        .agg(images=("image_id", "size"))
        .sort_values(["source", "images"], ascending=[True, False], kind="stable")
    )
    return table_of(frame, {"license": "Licence"})


def quarantine_table(quarantine: pd.DataFrame) -> Table:
    """Return how many files were set aside, by class, source and reason."""
    frame = (
        quarantine.groupby(["reason", "source", "label"], as_index=False)
        .size()
        .rename(columns={"size": "files", "label": "class"})
    )
    return table_of(frame.assign(reason=frame["reason"].str.replace("_", " ")))


def config_table(config: Config) -> Table:
    """Return every setting of the run."""
    return table_of(pd.DataFrame(facts.flatten(config).items(), columns=["setting", "value"]))


def versions_table(versions: Mapping[str, str]) -> Table:
    """Return the versions of Python and the packages."""
    return table_of(pd.DataFrame(versions.items(), columns=["package", "version"]))
