"""The study repeated with other seeds and folds on cached features, and against simpler remedies.

What is repeated: the division of the training images into folds, the head's first weights, the
order of batches, dropout, and which images are copied. What is not: test set, CycleGAN, synthetic
images, augmented views. The CycleGAN has seen the training images, so another test set drawn from
them would favour the synthetic images.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.classify.model import attach, build_head
from covidcxr.classify.predictions import scored
from covidcxr.classify.train import (
    Bank,
    Fitting,
    Sample,
    divide,
    fit_watched,
    in_pieces,
    read_bank,
    usable_synthetic,
    weights_of,
)
from covidcxr.data.holdout import Unit
from covidcxr.data.split import draw_folds
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.logs import progress
from covidcxr.runtime import configure
from covidcxr.seeding import generator, integer_seed

log = logging.getLogger("covidcxr")

PLAIN, COPIES, WEIGHTS = "no synthetic", "copied images", "class weights"
"""Arms beside the augmentations of the config. With a space they cannot be called like one."""


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes
    ----------
    name
        Of an augmentation of the config, `PLAIN`, `COPIES` or `WEIGHTS`.
    synthetic
        Synthetic images that join the training folds.
    copied
        Instead of each usable one of so many synthetic images a real training image of the same
        class is taken twice.
    class_weights
        Weigh the loss by inverse class frequency.
    """

    name: str
    synthetic: int = 0
    copied: int = 0
    class_weights: bool = False


def arms(augmentations: Mapping[str, int], class_weights: bool) -> list[Arm]:
    """Return what is compared, first the arm without synthetic images.

    Parameters
    ----------
    augmentations
        Synthetic images by name of the augmentation; one has some.
    class_weights
        Whether the run trains with class weights; else they are an arm.
    """
    own = [Arm(name, count, 0, class_weights) for name, count in augmentations.items()]
    plain = next((arm for arm in own if not arm.synthetic), Arm(PLAIN, 0, 0, class_weights))
    found = [plain, *(arm for arm in own if arm.synthetic)]
    found.append(Arm(COPIES, 0, max(augmentations.values()), class_weights))
    if not class_weights:
        found.append(Arm(WEIGHTS, class_weights=True))
    return found


@dataclass(frozen=True)
class Cohort:
    """Images of one bank in training; `ahead` shifts the views that they are seen in by epochs."""

    bank: Bank
    sample: Sample
    ahead: int = 0


def write_repeats(
    features: str | Path,
    synthetic_features: str | Path,
    manifest: str | Path,
    holdout: str | Path,
    synthetic: str | Path,
    output: str | Path,
    *,
    classes: Sequence[str],
    backbone: str,
    augmentations: Mapping[str, int],
    settings: Mapping[str, Any],
    unit: Unit,
    folds: int,
    repeats: int,
    seed: int,
    threads: int,
) -> None:
    """Train every arm on every fold of every repeat, and write what the models predict.

    Parameters
    ----------
    features, synthetic_features
        Feature banks, cut at the pooled features.
    manifest, holdout, synthetic
        Tables of the run.
    output
        CSV: repeat (from 0), arm, image_id, patient_id, label, split, p_<class>... Of a test image
        (`test`) the probabilities are the mean over the folds' models, of a training image
        (`validation`) those of the model that did not train on it.
    classes
        Class names, in the order of the outputs.
    augmentations
        Synthetic images by name of the augmentation.
    settings
        The section `training` of the config.
    unit, folds
        Of the section `split`.
    repeats
        Number of repeats. Repeat r draws as the run would with the seed
        `integer_seed(seed, "repeats", r)`.
    seed
        Of the run.
    threads
        Processor threads.

    Raises
    ------
    InputError
        Features and tables do not belong together, or training diverged.
    """
    configure(threads=threads, seed=integer_seed(seed, "repeats", backbone))
    # Every head is a graph of its own, of which TensorFlow warns each time.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    table = read_manifest(manifest).merge(
        read_table(holdout, ["image_id", "split"]), on="image_id", validate="one_to_one"
    )
    bank, made_bank = read_bank(features), read_bank(synthetic_features)
    if bank.clean.ndim != 2:
        raise InputError(
            f"{features} does not hold pooled features: repeats need training.trainable 'head'"
        )
    made = read_table(synthetic, ["image_id", "label", "source_image_id", "patient_id"])
    compared = arms(augmentations, bool(settings["class_weights"]))
    parts = []
    total = repeats * folds * len(compared)
    with progress(total=total, desc=f"{backbone} repeats", unit="model") as bar:
        for repeat in range(repeats):
            own_seed = integer_seed(seed, "repeats", repeat)
            training = table["split"] == "train"
            fold = draw_folds(table[training], unit=unit, folds=folds, seed=own_seed)
            divided = table.assign(fold=fold.reindex(table.index).astype("Int64"))
            for arm in compared:
                predicted = []
                for k in range(folds):
                    predicted.append(
                        train_arm(
                            arm,
                            divided,
                            k,
                            (bank, made_bank),
                            made,
                            classes=classes,
                            settings=settings,
                            seed=own_seed,
                            name=("train", backbone, arm.name, k),
                        )
                    )
                    bar.update()
                parts.append(
                    pooled(pd.concat(predicted), divided, classes).assign(
                        repeat=repeat, arm=arm.name
                    )
                )
    predictions = pd.concat(parts)
    columns = ["repeat", "arm", "image_id", "patient_id", "label", "split"]
    write_table(predictions[[*columns, *(f"p_{name}" for name in classes)]], output)
    log.info("%s: %d models in %d repeats of %d arms", backbone, total, repeats, len(compared))


def train_arm(
    arm: Arm,
    table: pd.DataFrame,
    fold: int,
    banks: tuple[Bank, Bank],
    made: pd.DataFrame,
    *,
    classes: Sequence[str],
    settings: Mapping[str, Any],
    seed: int,
    name: tuple[str | int, ...],
) -> pd.DataFrame:
    """Train one head as `covidcxr.classify.train.train_fold` does; return its predictions.

    Parameters
    ----------
    table
        Manifest with the columns `split` and `fold`.
    fold
        The validation fold.
    banks
        Features of the real and of the synthetic images.
    made
        `synthetic.csv`.
    name
        Names every random choice, with `seed`.

    Returns
    -------
    DataFrame
        image_id, patient_id, label, p_<class>... of the validation and test images.
    """
    training, validation, test = divide(table, classes, fold)
    cohorts = [Cohort(banks[0], training)]
    usable = usable_synthetic(
        made,
        max(arm.synthetic, arm.copied),
        validation_patients=set(table.loc[table["fold"] == fold, "patient_id"]),
        test_images=set(test.ids),
        classes=classes,
    )
    if arm.synthetic:
        cohorts.append(Cohort(banks[1], usable))
    if arm.copied:
        cohorts += [
            Cohort(banks[0], sample, ahead)
            for ahead, sample in enumerate(
                copies(training, usable, generator(seed, *name, "copy")), 1
            )
        ]
    cohorts = [cohort for cohort in cohorts if cohort.sample.ids]

    def features(epoch: int) -> npt.NDArray[np.generic]:
        return np.concatenate(
            [part.bank.epoch_of(part.sample.ids, epoch + part.ahead) for part in cohorts]
        )

    # Models of earlier fits would pile up in Keras' global state.
    keras.backend.clear_session()
    keras.utils.set_random_seed(integer_seed(seed, *name))
    reference = None
    if settings["normalize_features"]:
        reference = np.concatenate([part.bank.clean_of(part.sample.ids) for part in cohorts])
    head = build_head(
        len(classes),
        dense_units=settings["dense_units"],
        dropout=settings["dropout"],
        reference=reference,
    )
    inputs = keras.Input(banks[0].clean.shape[1:])
    classifier = keras.Model(inputs, attach(inputs, head[:-1]))
    fit_watched(
        classifier,
        features,
        np.concatenate([part.sample.classes for part in cohorts]),
        banks[0].clean_of(validation.ids),
        validation.classes,
        Fitting(
            settings["epochs"],
            settings["batch_size"],
            settings["learning_rate"],
        ),
        generator(seed, *name),
        lambda _: None,
        weights_of(
            [part.sample for part in cohorts],
            table,
            by_class=arm.class_weights,
            by_source=settings["source_weights"],
        ),
    )
    wanted = table[table["image_id"].isin([*validation.ids, *test.ids])]
    complete = keras.Model(inputs, head[-1](classifier.output))
    predicted = in_pieces(
        lambda data: complete(data, training=False), banks[0].clean_of(wanted["image_id"].tolist())
    )
    return scored(wanted, predicted, classes)


def copies(training: Sample, usable: Sample, rng: np.random.Generator) -> list[Sample]:
    """Draw real training images to be taken more than once, as many as synthetic ones would join.

    Parameters
    ----------
    training
        Images of the training folds.
    usable
        The synthetic images that would join them.

    Returns
    -------
    list of Sample
        Of each class as many as in `usable`. Within one of the samples no image stands twice, so
        that the second and third copy of an image can be shown in other views than the first.
    """
    rounds: list[list[int]] = []
    for label, wanted in zip(*np.unique(usable.classes, return_counts=True), strict=True):
        own = np.flatnonzero(training.classes == label)
        drawn: list[int] = []
        while len(drawn) < wanted:
            drawn += rng.permutation(own)[: wanted - len(drawn)].tolist()
        for number, start in enumerate(range(0, len(drawn), len(own))):
            if number == len(rounds):
                rounds.append([])
            rounds[number] += drawn[start : start + len(own)]
    return [Sample([training.ids[row] for row in rows], training.classes[rows]) for rows in rounds]


def pooled(predictions: pd.DataFrame, table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Average the folds' predictions of each image: a test image has one of every fold.

    Parameters
    ----------
    predictions
        Of all folds, see `train_arm`.
    table
        Manifest with the column `split`.

    Returns
    -------
    DataFrame
        image_id, patient_id, label, split (`test` or `validation`), p_<class>..., in the order of
        the manifest.
    """
    columns = [f"p_{name}" for name in classes]
    means = predictions.groupby("image_id")[columns].mean()
    parts = table["split"].map({"train": "validation", "test": "test"})
    joined = table[["image_id", "patient_id", "label"]].assign(split=parts)
    return joined.join(means, on="image_id")
