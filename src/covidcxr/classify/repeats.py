"""The study repeated with other seeds and folds on cached features, and against simpler remedies.

What is repeated: the division of the training images into folds, the head's first weights, the
order of batches, dropout, and which images are copied. What is not: test set, CycleGAN, synthetic
images, augmented views. The CycleGAN has seen the training images, so another test set sampled from
them would favour the synthetic images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from covidcxr.classify.fitting import Arm, Fitter, Material, Training, identity, train_fold
from covidcxr.classify.predictions import IMAGE, score_columns
from covidcxr.data.split import assign_folds
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.features.bank import read_bank
from covidcxr.logs import log, progress
from covidcxr.runtime import configure
from covidcxr.seeding import integer_seed

PLAIN, COPIES, WEIGHTS = "no synthetic", "copied images", "class weights"
"""Arms beside the augmentations of the config. With a space they cannot be called like one."""


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


def run(
    bank: Sequence[str],
    images: Sequence[str],
    synthetic: Sequence[str],
    predictions: str,
    *,
    settings: Mapping[str, Any],
    augmentations: Mapping[str, int],
    backbone: str,
    threads: int,
) -> None:
    """Train every arm on every fold of every repeat, and write what the models predict.

    Parameters
    ----------
    bank
        `clean.npy`, `views.npy`, `rows.csv` of the real images' features, cut at the pooled ones.
    images
        `manifest.csv` and `holdout.csv`.
    synthetic
        Table and feature bank of the synthetic images.
    predictions
        CSV to write: repeat (from 0), arm, image_id, patient_id, label, split, p_<class>... Of a
        test image (`test`) the probabilities are the mean over the folds' models, of a training
        image (`validation`) those of the model that did not train on it.
    settings
        `classes` (names, in the order of the outputs); `unit` and `folds` of the section `split`;
        `repeats`, how many; `seed` of the run: repeat r draws as the run would with the seed
        `integer_seed(seed, "repeats", r)`; and what `Training` holds.
    augmentations
        Synthetic images by name of the augmentation.
    backbone
        Its name.

    Raises
    ------
    InputError
        Features and tables do not belong together, or training diverged.
    """
    options = dict(settings)
    classes, unit, folds, repeats, seed = (
        options.pop(name) for name in ("classes", "unit", "folds", "repeats", "seed")
    )
    plan = Training(**options)
    configure(threads=threads, seed=integer_seed(seed, "repeats", backbone))
    table = read_manifest(images[0]).merge(
        read_table(images[1], ["image_id", "split"]), on="image_id", validate="one_to_one"
    )
    material = Material(
        table,
        classes,
        read_bank(*bank),
        read_table(synthetic[0], ["image_id", "label", "source_image_id", "patient_id"]),
        read_bank(*synthetic[1:]),
    )
    if material.real.clean.ndim != 2:
        raise InputError(
            f"{bank[0]} does not hold pooled features: repeats need training.trainable 'head'"
        )
    compared = arms(augmentations, plan.class_weights)
    parts = []
    fitter = Fitter(plan)
    total = repeats * folds * len(compared)
    with progress(total=total, desc=f"{backbone} repeats", unit="model") as bar:
        for repeat in range(repeats):
            own_seed = integer_seed(seed, "repeats", repeat)
            trains = table["split"] == "train"
            fold = assign_folds(table[trains], unit=unit, folds=folds, seed=own_seed)
            divided = table.assign(fold=fold.reindex(table.index).astype("Int64"))
            for arm in compared:
                predicted = []
                for k in range(folds):
                    name = ("train", backbone, arm.name, k)
                    own = replace(material, table=divided)
                    predicted.append(train_head(own, arm, k, fitter, own_seed, name))
                    bar.update()
                parts.append(
                    mean_over_folds(pd.concat(predicted), divided, classes).assign(
                        repeat=repeat, arm=arm.name
                    )
                )
    columns = ["repeat", "arm", *IMAGE, "split", *score_columns(classes)]
    write_table(pd.concat(parts)[columns], predictions)
    log.info("%s: %d models in %d repeats of %d arms", backbone, total, repeats, len(compared))


def train_head(
    material: Material,
    arm: Arm,
    fold: int,
    fitter: Fitter,
    seed: int,
    name: tuple[str | int, ...],
) -> pd.DataFrame:
    """Train a head on pooled features as the study does; return its predictions.

    Parameters
    ----------
    seed, name
        Fix every random choice.

    Returns
    -------
    DataFrame
        image_id, patient_id, label, p_<class>... of the validation and test images.
    """
    remainder = identity(material.real.clean.shape[1])
    return train_fold(material, arm, fold, fitter, remainder, seed, name).predictions


def mean_over_folds(
    predictions: pd.DataFrame, table: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Average the folds' predictions of each image: a test image has one of every fold.

    Parameters
    ----------
    predictions
        Of all folds, see `train_head`.
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
