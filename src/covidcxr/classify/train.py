"""Training of one network: one population, backbone, augmentation and fold, on cached features."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras

from covidcxr.classify.card import ModelCard, add_card
from covidcxr.classify.fitting import Arm, Fitter, Material, Training, identity, train_fold
from covidcxr.classify.predictions import IDENTITY, NETWORK, SET_OF
from covidcxr.data.tables import read_images, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.features.backbone import split_backbone
from covidcxr.features.bank import Bank, read_bank
from covidcxr.files import atomic
from covidcxr.logs import log, progress
from covidcxr.runtime import configure
from covidcxr.seeding import integer_seed


def run(
    network: str,
    bank: Sequence[str],
    images: Sequence[str],
    synthetic: Sequence[str],
    head: str,
    history: str,
    predictions: str,
    *,
    settings: Mapping[str, Any],
    wildcards: Mapping[str, str],
    threads: int,
) -> None:
    """Train a fold's network; predict its validation images and the test images.

    Parameters
    ----------
    network
        `.keras` file of the backbone that made the features; none where a head alone is trained.
    bank
        `clean.npy`, `views.npy` and `rows.csv` of the real images' features.
    images
        `manifest.csv`, and the split of the population.
    synthetic
        Table (`image_id, label, source_image_id, patient_id`) and feature bank of the synthetic
        images; empty where none train.
    head
        `.keras` file to write, what follows the cut: cached features -> probabilities. It holds a
        `ModelCard`.
    history
        CSV to write, see `covidcxr.classify.fitting.Fitter.fit`.
    predictions
        CSV to write, see `covidcxr.classify.predictions.prediction_table`.
    settings
        `classes` (names, in the order of the outputs), `synthetic` (how many images), `seed`, and
        what `Training` holds.
    wildcards
        population, backbone, augmentation, fold; with the seed they fix every random choice.

    Raises
    ------
    InputError
        Features, split and manifest do not belong together; a class has no training image; a
        synthetic image was made from a test image; training diverged.
    """
    options = dict(settings)
    classes, count, seed = (options.pop(name) for name in ("classes", "synthetic", "seed"))
    training = Training(**options)
    backbone, augmentation = wildcards["backbone"], wildcards["augmentation"]
    fold = int(wildcards["fold"].removeprefix("fold"))
    name = ("train", backbone, augmentation, fold)
    configure(threads=threads, seed=integer_seed(seed, *name))
    material = Material(read_images(*images), classes, read_bank(*bank))
    if count:
        made = read_table(synthetic[0], ["image_id", "label", "source_image_id", "patient_id"])
        material = replace(material, made=made, synthetic=read_bank(*synthetic[1:]))
    with progress(total=training.epochs, desc="training", unit="epoch") as bar:

        def watch(record: Mapping[str, float]) -> None:
            losses = {name: f"{record[name]:.3f}" for name in ("loss", "val_loss")}
            bar.set_postfix(losses, refresh=False)
            bar.update()

        fitted = train_fold(
            material,
            Arm(augmentation, count, 0, training.class_weights),
            fold,
            Fitter(training),
            after_cut(network, material.real, training.trainable),
            seed,
            name,
            watch,
        )
    kept = fitted.history.loc[fitted.history["best"] == 1].iloc[0]
    log.info(
        "epoch %d kept, validation loss %.3f, accuracy %.3f",
        *(kept["epoch"], kept["val_loss"], kept["val_accuracy"]),
    )
    sides = material.table.set_index("image_id")["split"]
    predicted = fitted.predictions.assign(
        population=wildcards["population"],
        backbone=backbone,
        augmentation=augmentation,
        classifier=NETWORK,
        model=wildcards["fold"],
        set=sides.map(SET_OF).reindex(fitted.predictions["image_id"]).to_numpy(),
    )
    card = ModelCard(
        tuple(classes), wildcards["population"], backbone, augmentation, wildcards["fold"]
    )
    with atomic(head) as temporary:
        fitted.head.save(temporary)
        add_card(temporary, card)
    write_table(fitted.history, history)
    write_table(predicted[[*IDENTITY, *fitted.predictions.columns]], predictions)


def after_cut(network: str, bank: Bank, trainable: str) -> keras.Model:
    """Return what of a backbone follows the cut at which a bank's features were taken.

    Raises
    ------
    InputError
        The features were cut elsewhere, or come from another backbone.
    """
    if trainable == "head":
        remainder = identity(bank.clean.shape[-1])
    else:
        _, remainder = split_backbone(keras.models.load_model(network), trainable)
    found, wanted = bank.clean.shape[1:], remainder.input_shape[1:]
    if found[:-1] != wanted[:-1] or wanted[-1] not in (None, found[-1]):
        raise InputError(
            f"the bank holds features {list(found)}, but what is cut for trainable "
            f"{trainable!r} takes {list(wanted)}: make the features again"
        )
    return remainder
