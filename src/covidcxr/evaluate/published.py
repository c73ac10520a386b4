"""The results of a run beside those published (Tables 1 and 2 of the study)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from covidcxr.classify.predictions import ENSEMBLE
from covidcxr.data.tables import read_table, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.models import KIND, networks
from covidcxr.report.formats import Column, Table, heading, listing, table_of
from covidcxr.report.section import Section, SectionTable, write_section

KEY = ["backbone", "augmentation"]
STUDY, OTHERS = "1", "2"
"""Values of `table` in the published results: the study's models, and those it compares with."""


def run(
    classification: str | Path,
    published: str | Path,
    models: str | Path,
    accuracy: str | Path,
    comparison: str | Path,
    section: str | Path,
    *,
    untrained: Sequence[str],
) -> None:
    """Write the run's test results beside the published ones.

    Parameters
    ----------
    classification
        `classification.csv` of the run.
    published
        `published_results.csv`: table (1 the study's own models, 2 others), system, model,
        backbone, augmentation, accuracy (of the preprint), accuracy_journal, precision_<class>,
        recall_<class>, size_mb, note. All shares in 0..1, empty where not published.
    models
        `models.csv` of the run.
    accuracy
        Table 1 to write, see `accuracy_table`.
    comparison
        Table 2 to write, see `comparison_table`.
    untrained
        Backbones that started from random weights, to which the published figures do not compare.

    Raises
    ------
    InputError
        If a table lacks a column, or lists a backbone and augmentation twice.
    """
    ours = networks(_read_numbers(classification, [*KIND, "model", "split", "n", "accuracy"]))
    theirs = _read_numbers(
        published,
        ["table", "system", "model", *KEY, "accuracy", "accuracy_journal", "size_mb", "note"],
    )
    sizes = _read_numbers(models, [*KEY, "size_mb"])
    test = ours[ours["split"] == "test"].drop(columns="classifier")
    study = theirs[theirs["table"] == STUDY]
    _require_one_each(study, published)
    _require_one_each(test[test["model"] == ENSEMBLE], classification)
    _require_one_each(sizes, models)
    beside, systems = accuracy_table(test, study), comparison_table(test, theirs, sizes)
    write_table(beside, accuracy)
    write_table(systems, comparison)
    write_section(section, section_of(beside, systems, untrained))


def accuracy_table(test: pd.DataFrame, study: pd.DataFrame) -> pd.DataFrame:
    """Put the run's ensembles beside the study's models.

    Parameters
    ----------
    test
        The networks' test rows of `classification.csv`.
    study
        The study's own rows of the published results.

    Returns
    -------
    DataFrame with a row for each backbone and augmentation of either, ours first: backbone,
    augmentation, n (test images); accuracy of the ensemble, published_accuracy, difference (ours -
    published), accuracy_journal; fold_mean, fold_min, fold_max (accuracy of the folds' models on
    the test set); then in the same manner precision_<class> and, where the published results have
    it, recall_<class>, each with published_ and difference_ beside. What only one side has is
    missing on the other.
    """
    ensembles = test[test["model"] == ENSEMBLE].drop(columns=["model", "split"])
    folds = (
        test[test["model"] != ENSEMBLE]
        .groupby(KEY)["accuracy"]
        .agg(fold_mean="mean", fold_min="min", fold_max="max")
    )
    both = ensembles.merge(folds, on=KEY, how="left").merge(
        study, on=KEY, how="outer", suffixes=("", "_of_study"), sort=False
    )
    known = pd.MultiIndex.from_frame(pd.concat([ensembles[KEY], study[KEY]]).drop_duplicates())
    both = both.set_index(KEY).loc[known].reset_index()

    table = both[[*KEY, "n"]].astype({"n": "Int64"})
    for metric in _metrics(test, study):
        name = "difference" if metric == "accuracy" else f"difference_{metric}"
        beside = both.get(f"{metric}_of_study", pd.Series(float("nan"), both.index))
        table[metric] = both[metric]
        table[f"published_{metric}"] = beside
        table[name] = both[metric] - beside
        if metric == "accuracy":
            table = table.join(both[["accuracy_journal", "fold_mean", "fold_min", "fold_max"]])
    return table


def comparison_table(
    test: pd.DataFrame, published: pd.DataFrame, sizes: pd.DataFrame
) -> pd.DataFrame:
    """Put the run's ensembles below the published systems.

    Parameters
    ----------
    test
        The networks' test rows of `classification.csv`.
    published
        All published results.
    sizes
        `models.csv`.

    Returns
    -------
    DataFrame with system, accuracy, precision_<class> (the run's classes), recall_<class> (those
    that the published results have), size_mb (one model's file, MB of 1e6 bytes) and note: first
    the other systems, then the study's models, then the run's ensembles.
    """
    theirs = published.sort_values("table", key=lambda table: table != OTHERS, kind="stable")
    theirs = theirs.assign(system=theirs["system"] + ", " + theirs["model"])
    ours = test[test["model"] == ENSEMBLE].merge(sizes, on=KEY, how="left")
    folds = test[test["model"] != ENSEMBLE].groupby(KEY).size()
    ours = ours.assign(
        system="this run, " + ours["backbone"] + " " + ours["augmentation"],
        note=[
            f"ensemble of {folds.get((backbone, augmentation), 0)} models of this size"
            for backbone, augmentation in zip(ours["backbone"], ours["augmentation"], strict=True)
        ],
    )
    columns = ["system", *_metrics(test, published), "size_mb", "note"]
    return pd.concat(
        [theirs.reindex(columns=columns), ours.reindex(columns=columns)], ignore_index=True
    )


def _metrics(test: pd.DataFrame, published: pd.DataFrame) -> list[str]:
    """Return accuracy, precision of each class of the run, and the recalls that are published."""
    names = [str(name) for name in test.columns]
    precision = [name for name in names if name.startswith("precision_")]
    recall = [n for n in names if n.startswith("recall_") and n in published.columns]
    return ["accuracy", *precision, *recall]


def _read_numbers(path: str | Path, required: list[str]) -> pd.DataFrame:
    """Read a table whose results are numbers: n, accuracy, size_mb and the metrics by class."""
    names = read_table(path, required).columns
    numbers = ("n", "accuracy", "accuracy_journal", "size_mb", "parameters", "trainable_parameters")
    by_class = ("precision_", "recall_", "f1_")
    return read_table(path, required, [n for n in names if n in numbers or n.startswith(by_class)])


def _require_one_each(table: pd.DataFrame, path: str | Path) -> None:
    doubles = table[table.duplicated(KEY)]
    if len(doubles):
        backbone, augmentation = doubles[KEY].iloc[0]
        raise InputError(f"{path} lists {backbone} {augmentation} more than once: keep one row")


def section_of(beside: pd.DataFrame, systems: pd.DataFrame, untrained: Sequence[str]) -> Section:
    """Set the results beside the published ones where the run's classes are the study's."""
    classes = [name for name in beside if str(name).startswith("published_precision_")]
    section = Section(
        ident="published",
        title="Beside published results",
        part="performance",
        paragraphs=("The run's classes are not the study's: there is nothing to compare.",),
    )
    if not classes or beside[classes].isna().all(axis=None):
        return section
    note = (f"{listing(untrained)} started from random weights: no comparison holds.",)
    return replace(
        section,
        folded=True,
        paragraphs=(
            "The published models were tested on other images, so the figures stand side by side "
            "without a difference. The study's journal article and its preprint give different "
            "accuracies; both are shown.",
            *(note if untrained else ()),
        ),
        tables=(
            SectionTable(
                "published_accuracy",
                "Test accuracy and precision beside those of Zebin and Rezvy: Applied Intelligence "
                "2021 (journal), Research Square 2020 (preprint).",
                _grouped(beside),
            ),
            SectionTable(
                "published_comparison",
                "Precision and accuracy beside published systems.",
                table_of(systems),
            ),
        ),
    )


def _grouped(beside: pd.DataFrame) -> Table:
    """Set each measure of this run and the published ones under one heading."""
    columns = {}
    for name in map(str, beside.columns):
        if name in KEY:
            columns[name] = Column(heading(name))
        elif f"published_{name}" in beside.columns:
            columns[name] = Column("this run", heading(name), True)
        elif name.startswith("published_"):
            columns[name] = Column("preprint", heading(name.removeprefix("published_")), True)
        elif name == "accuracy_journal":
            columns[name] = Column("journal", "Accuracy", True)
    return replace(table_of(beside[list(columns)]), columns=list(columns.values()))
