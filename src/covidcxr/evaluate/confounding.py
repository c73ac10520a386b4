"""Confounding audit: how well what is not the disease predicts the label, beside the image model.

A classifier of images that does no better than such attributes has not been shown to see disease
(DeGrave et al. 2021, doi:10.1038/s42256-021-00338-7).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from covidcxr.array_types import Floats, Integers, Texts
from covidcxr.classify.predictions import read_predictions
from covidcxr.data.tables import class_positions, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import Interval
from covidcxr.evaluate.models import by_kind, ensembles, networks, of_study
from covidcxr.evaluate.scores import measured
from covidcxr.evaluate.style import dots, figure_style, save_figure
from covidcxr.logs import progress
from covidcxr.report.formats import interval_of, listing, ratio, share, table_of
from covidcxr.report.section import Check, Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator, integer_seed

NAME = "confounding"
FOLDS = 5
TREES = 100
LEAF = 5
"""Images in a leaf at least: leaves of one image would learn images by heart."""
SEPARATES = 0.95
"""Balanced accuracy from which one attribute is said to separate a class from the rest."""

SINGLE: dict[str, tuple[str, ...]] = {
    "source": ("source",),
    "site": ("site",),
    "view": ("view",),
    "age group": ("age_group",),
    "recorded age": ("age",),
    "sex": ("sex",),
    "image size": ("width", "height"),
    "image shape": ("aspect",),
    "file type": ("file_type",),
    "black margins": ("margin_left", "margin_right", "margin_top", "margin_bottom"),
    "mean intensity": ("intensity_mean",),
    "spread of intensity": ("intensity_sd",),
    "sharpness": ("sharpness",),
    "burnt-in marks": ("marks", "mark_area"),
}
"""Columns of `attributes.csv` behind each attribute."""
SOURCE_AND_AGE = "source and age group"
EVERYTHING = "all together"
TOGETHER: dict[str, tuple[str, ...]] = {
    SOURCE_AND_AGE: ("source", "age_group"),
    "all but source and site": tuple(
        column
        for name, columns in SINGLE.items()
        if name not in ("source", "site")
        for column in columns
    ),
    EVERYTHING: tuple(column for columns in SINGLE.values() for column in columns),
}
TEXTS = ("source", "site", "view", "age_group", "sex", "file_type")
CHANCE = "chance"
GREY = "#888888"


def run(
    attributes: str | Path,
    predictions: str | Path,
    table: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    classes: Sequence[str],
    seed: int,
) -> None:
    """Write the table of the audit, its figure, and its section of the report.

    Parameters
    ----------
    attributes
        `attributes.csv`.
    predictions
        All predictions of the run. A training image enters with the prediction of the model that
        did not train on it.
    table
        CSV to write, in this order: chance, each attribute, attributes together, networks (column
        `kind`: `chance`, `attribute`, `together`, `model`). Columns predictor, kind, n, patients,
        accuracy and balanced_accuracy, each with `_low` and `_high` (95 %, by patient), and
        apart_<class>: balanced accuracy of the class against the rest, 0.5 by chance.

    Raises
    ------
    InputError
        If a table does not fit, or a class has fewer than two patients.
    """
    images = read_attributes(attributes, classes)
    labels = class_positions(images["label"], classes)
    patients = images["patient_id"].to_numpy(str)
    every = [("attribute", SINGLE), ("together", TOGETHER)]
    predictors = [(kind, name, cols) for kind, group in every for name, cols in group.items()]
    folds = patient_folds(labels, patients, seed)
    models = []
    own = ensembles(networks(of_study(read_predictions(predictions, classes))))
    for (backbone, augmentation, _), part in by_kind(own[own["set"].isin(["validation", "test"])]):
        predicted = images["image_id"].map(part.set_index("image_id")["predicted"])
        if predicted.isna().any() or len(part) != len(images):
            raise InputError(
                f"{predictions} does not predict the images of {attributes}: delete the older of "
                "them and run again"
            )
        called = class_positions(predicted, classes)
        models.append((f"{backbone} {augmentation}", "model", (called, called)))
    found = [(CHANCE, "chance", chance(labels, len(classes)))]
    # Attributes that a run's images share say the same, as source and site where they are one.
    known: dict[bytes, tuple[Integers, Integers]] = {}
    for kind, name, columns in progress(predictors, desc="attributes"):
        data = encode(images[list(columns)])
        key = data.tobytes()
        if key not in known:
            known[key] = out_of_fold(data, labels, folds, len(classes), seed)
        found.append((name, kind, known[key]))
    found += models
    audit = pd.DataFrame(
        [
            {"predictor": name, "kind": kind} | measures(called, labels, patients, classes, seed)
            for name, kind, called in found
        ]
    )
    write_table(audit, table)
    with figure_style():
        save_figure(draw(audit), png, svg)
    write_section(section, section_of(audit, classes))


def read_attributes(path: str | Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read `attributes.csv`: text as str, other attributes as float (NaN where unknown)."""
    columns = {column for columns in SINGLE.values() for column in columns}
    numbers = sorted(columns - set(TEXTS))
    images = read_table(path, ["image_id", "patient_id", "label", *sorted(columns)], numbers)
    strange = set(images["label"]) - set(classes)
    if strange:
        raise InputError(f"{path} holds images of class {min(strange)}, which is none of the run's")
    return images


def encode(attributes: pd.DataFrame) -> Floats:
    """Return attributes as numbers [n, columns]: a 0/1 column for each text, numbers as they are.

    An unknown text ("") has a column of its own and an unknown number stays NaN, since what is not
    known can give a source away as well.
    """
    texts = [column for column in attributes if column in TEXTS]
    return pd.get_dummies(attributes, columns=texts).to_numpy(np.float64)


def patient_folds(labels: Integers, patients: Texts, seed: int) -> Integers:
    """Return a fold 0.. for each image: patients whole, classes in proportion.

    Raises
    ------
    InputError
        If a class has fewer than two patients.
    """
    fewest = int(pd.Series(patients).groupby(labels).nunique().min())
    if fewest < 2:
        raise InputError("confounding audit: a class has one patient only; sample more patients")
    splitter = StratifiedGroupKFold(
        min(FOLDS, fewest), shuffle=True, random_state=integer_seed(seed, "confounding", "folds")
    )
    folds = np.zeros(len(labels), np.int64)
    for fold, (_, tested) in enumerate(splitter.split(labels, labels, patients)):
        folds[tested] = fold
    return folds


def out_of_fold(
    data: Floats, labels: Integers, folds: Integers, classes: int, seed: int
) -> tuple[Integers, Integers]:
    """Call each image by a random forest that was fitted on the other folds.

    Returns
    -------
    The likeliest class of each image, which is best for accuracy; and the class whose probability
    is highest beside its frequency in training, which is best for balanced accuracy.
    """
    plain, balanced = np.zeros_like(labels), np.zeros_like(labels)
    for fold in np.unique(folds):
        fitted, tested = folds != fold, folds == fold
        forest = RandomForestClassifier(
            TREES, min_samples_leaf=LEAF, random_state=integer_seed(seed, "confounding", "forest")
        ).fit(data[fitted], labels[fitted])
        scores = np.zeros((int(tested.sum()), classes))
        scores[:, forest.classes_] = forest.predict_proba(data[tested])
        frequency = np.bincount(labels[fitted], minlength=classes) / fitted.sum()
        plain[tested] = scores.argmax(axis=1)
        balanced[tested] = (scores / np.maximum(frequency, 1e-12)).argmax(axis=1)
    return plain, balanced


def chance(labels: Integers, classes: int) -> tuple[Integers, Integers]:
    """Call every image by the largest class."""
    return (np.full_like(labels, np.bincount(labels, minlength=classes).argmax()),) * 2


def measures(
    called: tuple[Integers, Integers],
    labels: Integers,
    patients: Texts,
    classes: Sequence[str],
    seed: int,
) -> dict[str, float]:
    """Return the measures of a predictor, see `run`.

    Parameters
    ----------
    called
        Classes called for accuracy, and for balanced accuracy.
    labels
        True classes, of `len(classes)`.
    """
    # One seed for all: predictors are compared on the same resamples of patients.
    plain, balanced = (
        measured(
            labels, one, patients, generator(seed, "confounding", "bootstrap"), classes=classes
        ).set_index(["metric", "class"])
        for one in called
    )
    found: dict[str, float] = {"n": len(labels), "patients": len(np.unique(patients))}
    for name, table in (("accuracy", plain), ("balanced_accuracy", balanced)):
        found |= Interval(*table.loc[(name, ""), ["estimate", "low", "high"]]).columns(name)
    for label in classes:
        found[f"apart_{label}"] = float(
            np.mean([balanced["estimate"][m, label] for m in ("sensitivity", "specificity")])
        )
    return found


def draw(audit: pd.DataFrame) -> Figure:
    """Draw the balanced accuracy of every predictor with its interval, the models' last."""
    names = {
        "attribute": ("one attribute, without the picture", 0),
        "together": ("several attributes", 5),
        "model": ("image model", 2),
    }
    kinds = [audit[audit["kind"] == kind] for kind in names]
    ranked = [part.sort_values("balanced_accuracy", kind="stable") for part in kinds]
    shown = pd.concat(ranked, ignore_index=True)
    classes = audit.filter(like="apart_").columns
    figure = Figure(figsize=(6.3, 0.8 + 0.21 * len(shown)))
    axes = figure.subplots()
    for kind, group in shown.groupby("kind", sort=False):
        values = group[[f"balanced_accuracy{end}" for end in ("", "_low", "_high")]]
        label, colour = names[str(kind)]
        dots(axes, group.index.to_numpy(float), values.to_numpy(float), colour, label)
    chance_level = 1 / len(classes)
    axes.axvline(chance_level, color=GREY, linestyle="--", linewidth=0.8)
    axes.annotate(
        "chance", (chance_level, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
        textcoords="offset points", ha="center", color=GREY,
    )  # fmt: skip
    axes.set_yticks(shown.index, shown["predictor"])
    axes.set_xlim(min(chance_level, shown["balanced_accuracy_low"].min()) - 0.03, 1.01)
    axes.set_xlabel("balanced accuracy of the label, patients not seen in fitting (95 % interval)")
    axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right")
    return figure


class Gain(NamedTuple):
    """Accuracy of a predictor `alone`, by `chance`, and of the best image `model`.

    `share` is what the predictor gains over chance as a share of what the model gains: above 1
    where it beats the model, NaN where the model gains nothing.
    """

    chance: float
    alone: float
    model: float
    share: float


def gain(audit: pd.DataFrame, predictor: str) -> Gain:
    """Compare a predictor with the best image model of an audit (`confounding.csv`)."""
    accuracy = audit.set_index("predictor")["accuracy"]
    base, alone = float(accuracy[CHANCE]), float(accuracy[predictor])
    best = float(audit.loc[audit["kind"] == "model", "accuracy"].max())
    share = (alone - base) / (best - base) if best > base else float("nan")
    return Gain(base, alone, best, share)


def section_of(audit: pd.DataFrame, classes: Sequence[str]) -> Section:
    """Say what the audit found."""
    everything = gain(audit, EVERYTHING)
    return Section(
        ident=NAME,
        title="What predicts the label without disease",
        part="validity",
        paragraphs=(gain_text(audit), *separating_texts(audit, classes)),
        method=(
            "Each attribute alone, and several together, predict the label by a random forest that "
            "is fitted on other patients (five folds). An image model that is no better has not "
            "been shown to see disease; one that is better may still use them. An attribute that "
            "is missing counts as a value, since that gives its source away. Margins, intensities, "
            "sharpness and marks (small bright things: letters, arrows, wires, edges) are measured "
            "on the image as the network sees it; intensity and sharpness can carry disease too.",
        ),
        checks=(check(audit, classes),),
        figures=(
            SectionFigure(
                NAME,
                "Balanced accuracy of attributes other than the disease, and of image models, on "
                "patients not seen in fitting (95 % intervals; dashed: chance).",
                f"All attributes together reach an accuracy of {ratio(everything.alone)}, the best "
                f"image model {ratio(everything.model)}.",
            ),
        ),
        tables=(
            SectionTable(
                NAME,
                "The confounding audit. Apart: balanced accuracy of separating one class from the "
                "rest (0.5 by chance).",
                table_of(audit_table(audit)),
                folded=True,
            ),
        ),
    )


def gain_text(audit: pd.DataFrame) -> str:
    """Say how much of the best model's gain over chance source and age, and all, account for."""
    some, everything = gain(audit, SOURCE_AND_AGE), gain(audit, EVERYTHING)
    return (
        f"Source and age group alone, without any image, give accuracy {ratio(some.alone)}; naming "
        f"the largest class every time gives {ratio(some.chance)}, the best image model "
        f"{ratio(some.model)} (each image by a model that did not train on it). So "
        f"{at_most(some.share)} of what the model gains over chance could come from source and "
        f"age; all attributes together give {ratio(everything.alone)}, "
        f"{at_most(everything.share)} of it."
    )


def at_most(value: float) -> str:
    """Write a share that stays one: between "no share" and "all"."""
    if np.isnan(value):
        return "no share"
    return "all" if value >= 1 else share(max(value, 0.0))


def separating(audit: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the attributes that alone separate a class from the rest, the best first."""
    column = f"apart_{label}"
    singles = audit[(audit["kind"] == "attribute") & (audit[column] >= SEPARATES)]
    return singles.sort_values(column, ascending=False, kind="stable")


def separating_texts(audit: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """Return a sentence for each class that one attribute separates from the rest."""
    found = []
    models = audit[audit["kind"] == "model"]
    for label in classes:
        column, singles = f"apart_{label}", separating(audit, label)
        if len(singles):
            names = listing(
                f"{name} ({ratio(value)})"
                for name, value in zip(singles["predictor"], singles[column], strict=True)
            )
            found.append(
                f"One attribute alone separates {label} from the rest: {names}; the best image "
                f"model {ratio(models[column].max())}."
            )
    return found


def check(audit: pd.DataFrame, classes: Sequence[str]) -> Check:
    """Warn where an attribute alone gives a class away, or source and age predict the label."""
    some = gain(audit, SOURCE_AND_AGE)
    text = (
        f"Accuracy from source and age group alone {ratio(some.alone)}, of the best image model "
        f"{ratio(some.model)}, by chance {ratio(some.chance)}."
    )
    given = [label for label in classes if len(separating(audit, label))]
    if given:
        text += f" One attribute alone separates {listing(given)} from the rest."
    low = audit.set_index("predictor")["accuracy_low"][SOURCE_AND_AGE]
    state: Literal["warning", "pass"] = "warning" if given or low > some.chance else "pass"
    return Check("Confounding", state, text)


def audit_table(audit: pd.DataFrame) -> pd.DataFrame:
    """Return the audit as it is shown: each measure with its interval in one column."""
    shown = pd.DataFrame({"predicted_from": audit["predictor"], "n": audit["n"]})
    for name in ("accuracy", "balanced_accuracy"):
        shown[name] = interval_of(audit, name)
    return pd.concat([shown, audit.filter(like="apart_")], axis=1)
