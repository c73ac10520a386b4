"""All predictions of a run in one table: gathered, checked once, completed by ensembles.

A model is known by its population, backbone, augmentation, classifier and model (`fold0`, ... or
 `ensemble`), and its predictions by the set they are of: `validation` (out of fold), `test`, or the
name of an external set.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from covidcxr.array_types import Floats
from covidcxr.data.tables import read_manifest, read_split, read_table, validated, write_table
from covidcxr.errors import InputError
from covidcxr.logs import log

IDENTITY = ["population", "backbone", "augmentation", "classifier", "model", "set"]
IMAGE = ["image_id", "patient_id", "label"]
ENSEMBLE = "ensemble"
ALL_BACKBONES = "all"
"""Backbone of the mean over all backbones."""
NETWORK = "network"
"""Classifier trained in an augmentation; all others, on clean features, have `none`."""

SET_OF = {"train": "validation", "test": "test"}
"""Set of an image's out-of-fold or test predictions, by its side of the split."""

ROUNDING = 1e-4
"""How far from 1 the sum of an image's probabilities may be."""


def prediction_table(
    images: pd.DataFrame,
    probabilities: np.ndarray,
    classes: Sequence[str],
    **identity: "str | pd.Series[str]",
) -> pd.DataFrame:
    """Return what a job writes of its predictions.

    Parameters
    ----------
    images
        n rows with image_id, patient_id and label.
    probabilities
        [n, classes], in [0, 1].
    identity
        The model's and the set's, by the names of `IDENTITY`; a series has the rows of `images`.

    Returns
    -------
    DataFrame
        `IDENTITY`, image_id, patient_id, label, p_<class>... in the order of `images`.
    """
    columns = [*IDENTITY, *IMAGE, *score_columns(classes)]
    return scored(images, probabilities, classes).assign(**identity)[columns]


def scored(images: pd.DataFrame, probabilities: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Return image_id, patient_id, label of `images` with p_<class> of `probabilities`."""
    scores = pd.DataFrame(probabilities, columns=score_columns(classes), index=images.index)
    return images[IMAGE].join(scores)


def score_columns(classes: Sequence[str]) -> list[str]:
    """Return the columns of the probabilities of classes."""
    return [f"p_{name}" for name in classes]


def probabilities_of(table: pd.DataFrame, classes: Sequence[str]) -> Floats:
    """Return the probabilities in a table of predictions, float64 [n, classes]."""
    return table[score_columns(classes)].to_numpy(np.float64)


def schema(classes: Sequence[str]) -> pa.DataFrameSchema:
    """Return what holds for every table of predictions."""
    scores = score_columns(classes)
    text = pa.Column(str, pa.Check.str_length(min_value=1))
    return pa.DataFrameSchema(
        {
            **dict.fromkeys([*IDENTITY, "image_id", "patient_id"], text),
            "label": pa.Column(str, pa.Check.isin(list(classes))),
            **dict.fromkeys(scores, pa.Column(float, pa.Check.in_range(0, 1))),
        },
        strict=True,
    )


def read_file(path: str | Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read the predictions that one job wrote, see `prediction_table`.

    Raises
    ------
    InputError
        A column is missing, a label unknown, or a value is no probability.
    """
    scores = score_columns(classes)
    columns = [*IDENTITY, *IMAGE, *scores]
    try:
        table = read_table(path, columns, scores)[columns]
        checked = validated(table, schema(classes), path)
        wrong = np.flatnonzero((checked[scores].sum(axis=1) - 1).abs() > ROUNDING)
        if len(wrong):
            raise InputError(f"{path}, row {wrong[0] + 2}: the probabilities' sum is not 1")
        return checked
    except InputError as error:
        raise InputError(f"{error}; {_repeat(path)}") from error


def read_predictions(path: str | Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read `predictions.csv` of a run, which `run` has checked.

    Returns
    -------
    DataFrame
        `IDENTITY`, image_id, patient_id, label (str), p_<class> (float, 0..1), and predicted: the
        class of the highest probability, the first of equals.

    Raises
    ------
    InputError
        The file is missing or lacks a column.
    """
    scores = score_columns(classes)
    table = read_table(path, [*IDENTITY, *IMAGE, *scores], scores)
    best = probabilities_of(table, classes).argmax(axis=1)
    return table.assign(predicted=np.array(classes)[best])


def expected(split: pd.DataFrame, external: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return what the folds' models of a population must predict.

    Parameters
    ----------
    split
        image_id, split, fold of the population.
    external
        Image ids of each external set.

    Returns
    -------
    DataFrame
        model (`fold<k>`), set, image_id: of each fold its own images (`validation`), all test
        images, and all external images.
    """
    trains = split[split["split"] == "train"]
    models = [f"fold{k}" for k in sorted(trains["fold"].unique())]
    sets = {"test": split.loc[split["split"] == "test", "image_id"], **external}
    validation = trains[["image_id"]].assign(
        model=trains["fold"].map("fold{}".format), set="validation"
    )[["model", "set", "image_id"]]
    others = [
        pd.DataFrame({"model": model, "set": name, "image_id": list(ids)})
        for name, ids in sets.items()
        for model in models
    ]
    return pd.concat([validation, *others], ignore_index=True)


def gather(
    tables: Mapping[str, pd.DataFrame], wanted: Mapping[str, pd.DataFrame], classes: Sequence[str]
) -> pd.DataFrame:
    """Put the predictions of all jobs together, check them and complete them, see `completed`.

    Parameters
    ----------
    tables
        What each job wrote, by file, see `read_file`.
    wanted
        For each population what `expected` returns.

    Returns
    -------
    DataFrame
        The columns of `prediction_table`, ordered by population, backbone, augmentation, classifier
        and model as they come, then by set and image as in `wanted`.

    Raises
    ------
    InputError
        An image is predicted twice or not at all, or is not the model's to predict, or two files
        contradict each other; names the file whose job is to be repeated.
    """
    everything = pd.concat(
        [table.assign(file=file) for file, table in tables.items()], ignore_index=True
    )
    keys = [*IDENTITY, "image_id"]
    doubles = everything[everything.duplicated(keys, keep=False)]
    if len(doubles):
        first, second = (row for _, row in doubles.sort_values(keys, kind="stable")[:2].iterrows())
        raise InputError(
            f"image {first['image_id']} is predicted twice by {' '.join(first[IDENTITY])}: in "
            f"{first['file']} and {second['file']}; {_repeat(second['file'])}"
        )
    kinds = ["population", "backbone", "augmentation", "classifier"]
    for _, rows in everything.groupby(kinds, sort=False):
        kind = rows[kinds].iloc[0]
        if kind["population"] not in wanted:
            raise InputError(
                f"{rows['file'].iloc[0]} is of the population {kind['population']!r}; the run has "
                f"{', '.join(wanted)}; {_repeat(rows['file'].iloc[0])}"
            )
        _require_complete(rows, wanted[kind["population"]], " ".join(kind))
    _require_agreement(everything)
    images = pd.concat(wanted.values())[["set", "image_id"]].drop_duplicates()
    whole = completed(everything.drop(columns="file"), classes)
    order = whole[[*kinds, "model"]].apply(lambda names: pd.factorize(names)[0])
    order["image"] = pd.MultiIndex.from_frame(images).get_indexer(
        pd.MultiIndex.from_frame(whole[["set", "image_id"]])
    )
    return whole.loc[order.sort_values(list(order.columns)).index].reset_index(drop=True)


def completed(folds: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Add the ensembles of the folds' models, and the mean over backbones.

    Parameters
    ----------
    folds
        Predictions of the folds' models.

    Returns
    -------
    DataFrame
        `folds`; the model `ensemble`, the mean over the folds' models, of which a validation image
        has only the one that did not train on it; and of the networks, where there are several
        backbones, the mean over them, as backbone `all`.
    """
    ensembles = _mean_over("model", folds, classes).assign(model=ENSEMBLE)
    whole = pd.concat([folds, ensembles], ignore_index=True)
    networks = whole[whole["classifier"] == NETWORK]
    if networks["backbone"].nunique() < 2:
        return whole
    mean = _mean_over("backbone", networks, classes).assign(backbone=ALL_BACKBONES)
    return pd.concat([whole, mean], ignore_index=True)[folds.columns]


def _mean_over(column: str, table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Average the probabilities of each image over the values of a column of the identity."""
    keys = [name for name in IDENTITY if name != column] + IMAGE
    scores = score_columns(classes)
    return table.groupby(keys, sort=False)[scores].mean().reset_index()


def _require_complete(rows: pd.DataFrame, wanted: pd.DataFrame, kind: str) -> None:
    """Raise where a kind of model lacks an image, or predicts one that is not its own."""
    compared = wanted.merge(
        rows[["model", "set", "image_id", "file"]], how="outer", indicator="found"
    )
    strangers = compared[compared["found"] == "right_only"]
    if len(strangers):
        first = strangers.iloc[0]
        raise InputError(
            f"{first['file']}: {len(strangers)} images are not {kind}'s to predict, such as "
            f"{first['image_id']} as {first['set']} of {first['model']}; {_repeat(first['file'])}"
        )
    gaps = compared[compared["found"] == "left_only"]
    if len(gaps):
        first = gaps.iloc[0]
        own = rows[(rows["model"] == first["model"])]
        beside = own[own["set"] == first["set"]] if first["set"] in set(own["set"]) else own
        file = None if beside.empty else beside["file"].iloc[0]
        raise InputError(
            f"{kind} {first['model']} does not predict {len(gaps)} images, such as "
            f"{first['image_id']} of the set {first['set']}"
            + (f": they are not in {file}; {_repeat(file)}" if file else "; train that fold")
        )


def _require_agreement(table: pd.DataFrame) -> None:
    """Raise where files disagree on an image's patient or label."""
    described = table.groupby(["set", "image_id"], sort=False)[["patient_id", "label"]].nunique()
    disputed = described[(described > 1).any(axis=1)]
    if len(disputed):
        name, image = disputed.index[0]
        files = table.loc[(table["set"] == name) & (table["image_id"] == image)].drop_duplicates(
            ["patient_id", "label"]
        )["file"]
        raise InputError(
            f"{files.iloc[0]} and {files.iloc[1]} disagree on the patient or label of "
            f"image {image}; delete the older of them and run again"
        )


def _repeat(path: str | Path) -> str:
    return f"delete {path} and run again, which repeats its job"


def run(
    files: Sequence[str],
    splits: Sequence[str],
    external: Sequence[str],
    predictions: str,
    *,
    classes: Sequence[str],
    populations: Sequence[str],
    sets: Sequence[str],
) -> None:
    """Write the predictions of the run's models in one table, see `gather`.

    Parameters
    ----------
    files
        What the jobs wrote, see `prediction_table`.
    splits
        Split of each of `populations`.
    external
        Table of images of each of `sets`, the external ones.
    predictions
        CSV to write: `IDENTITY`, image_id, patient_id, label, p_<class>...

    Raises
    ------
    InputError
        Predictions are missing, doubled, of strangers, or no probabilities.
    """
    images = {
        name: read_manifest(path)["image_id"].tolist()
        for name, path in zip(sets, external, strict=True)
    }
    wanted = {
        name: expected(read_split(path), images)
        for name, path in zip(populations, splits, strict=True)
    }
    table = gather({path: read_file(path, classes) for path in files}, wanted, classes)
    write_table(table, predictions)
    models = table[IDENTITY].drop(columns="set").drop_duplicates()
    log.info("%d predictions of %d models", len(table), len(models))
