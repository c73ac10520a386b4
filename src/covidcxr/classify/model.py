"""The classifier: a new head, and the complete model of an ensemble from image to probabilities.

A complete model is flat. Its frozen part stands in it once; what follows the cut (see
`covidcxr.features.backbone.cut_layer`) once for each fold, the fold before its layers' names:
`fold0_hidden`, `fold0_logits`, `fold0_probabilities`, and if more than a head was trained
`fold0_block5_conv1`, ..., `fold0_pooled`. With `trainable: head` all folds share the layer
`pooled`, whose input is the backbone's last feature map. The output, `ensemble`, is their mean.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from covidcxr.array_types import Singles
from covidcxr.classify.card import ModelCard, add_card, read_card
from covidcxr.classify.novelty import Reference, add_reference, reference_of
from covidcxr.data.tables import read_images
from covidcxr.errors import InputError
from covidcxr.features.backbone import split_backbone
from covidcxr.features.bank import read_pooled, standardisation
from covidcxr.files import atomic


def build_head(
    classes: int, *, dense_units: int = 64, dropout: float = 0.5, reference: Singles | None = None
) -> list[keras.Layer]:
    """Return the layers of the classifier's head, pooled features -> probabilities.

    [`standardisation`] -> `hidden` (dense, ReLU) -> `dropout` -> `logits` (dense) ->
    `probabilities` (softmax). Softmax is a layer of its own so that Grad-CAM can take the gradient
    of the logit.

    Parameters
    ----------
    classes
        Number of classes.
    dense_units
        Width of the hidden layer.
    dropout
        Share of the hidden units dropped in training.
    reference
        float32 [n, channels], pooled features of the training images. The head standardises by
        their mean and spread, see `standardisation`. None leaves standardisation out.
    """
    layers: list[keras.Layer] = []
    if reference is not None:
        mean, variance = standardisation(reference)
        layers.append(
            keras.layers.Normalization(
                mean=mean.tolist(), variance=variance.tolist(), name="standardisation"
            )
        )
    return [
        *layers,
        keras.layers.Dense(dense_units, activation="relu", name="hidden"),
        keras.layers.Dropout(dropout, name="dropout"),
        keras.layers.Dense(classes, name="logits"),
        keras.layers.Softmax(name="probabilities"),
    ]


def attach(tensor: keras.KerasTensor, layers: list[keras.Layer]) -> keras.KerasTensor:
    """Apply layers one after the other to a tensor; the graph stays flat."""
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def assembled(
    backbone: keras.Model, heads: Mapping[str, keras.Model], trainable: str
) -> keras.Model:
    """Put a backbone and trained heads together into one flat model.

    Parameters
    ----------
    backbone
        Which made the features that the heads were trained on; its weights are those before that.
    heads
        Cached features -> probabilities, see `covidcxr.classify.fitting.train_fold`, by what is to
        stand before the names of their layers.
    trainable
        Where the features were cut.

    Returns
    -------
    keras.Model
        Images [n, size, size, channels] in 0..255 -> float32 [n, classes], the mean probability. A
        saved file loads with `keras.models.load_model` without custom objects.
    """
    extractor, _ = split_backbone(backbone, trainable)
    branches = [_branch(head, extractor.output, prefix) for prefix, head in heads.items()]
    output = keras.layers.Average(name="ensemble")(branches) if len(branches) > 1 else branches[0]
    return keras.Model(backbone.input, output, name=backbone.name)


def _branch(head: keras.Model, features: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
    """Apply copies of the layers of a head to features."""

    def copy(layer: keras.Operation) -> keras.Operation:
        if not isinstance(layer, keras.Layer):
            return layer
        made: keras.Layer = type(layer).from_config(
            {**layer.get_config(), "name": f"{prefix}{layer.name}"}
        )
        return made

    outputs = []

    def call(layer: keras.Operation, *tensors: Any, **options: Any) -> Any:
        outputs.append(layer(*tensors, **options))
        return outputs[-1]

    branch = keras.models.clone_model(
        head, input_tensors=features, clone_function=copy, call_function=call
    )
    for layer in head.layers:
        if layer.weights:
            branch.get_layer(f"{prefix}{layer.name}").set_weights(layer.get_weights())
    # The clone itself stands on a copy of `features`.
    return outputs[-1]


def write_model(
    network: str,
    heads: Sequence[str],
    output: str,
    card: ModelCard,
    trainable: str,
    reference: Reference | None = None,
) -> None:
    """Assemble the complete model of heads, see `assembled`; write it with card and reference."""
    cards = [read_card(file) for file in heads]
    for file, found in zip(heads, cards, strict=True):
        if found is None or found.classes != card.classes or found.backbone != card.backbone:
            raise InputError(f"{file} is no head of {card.backbone} for {card.classes}: {found}")
    loaded = [keras.models.load_model(file, compile=False) for file in heads]
    prefixes = [f"{found.model}_" for found in cards if found] if len(heads) > 1 else [""]
    model = assembled(
        keras.models.load_model(network, compile=False),
        dict(zip(prefixes, loaded, strict=True)),
        trainable,
    )
    with atomic(output) as temporary:
        model.save(temporary)
        add_card(temporary, card)
        if reference:
            add_reference(temporary, reference)


def run(
    network: str,
    heads: Sequence[str],
    features: Sequence[str],
    images: Sequence[str],
    model: str,
    *,
    classes: Sequence[str],
    trainable: str,
    wildcards: Mapping[str, Any],
) -> None:
    """Write the complete model of an ensemble: image -> mean probability over the folds.

    Parameters
    ----------
    heads
        What each fold's training wrote.
    features
        `clean.npy` and `rows.csv` of the manifest's pooled features, by which images unlike all
        training images are known; empty where the pooled features are not those of the backbone.
    images
        `manifest.csv` and the population's split.
    model
        `.keras` file to write, with a `ModelCard`.
    trainable
        Where the features were cut.
    wildcards
        population, backbone, augmentation.
    """
    card = ModelCard(tuple(classes), **wildcards, model="ensemble")
    reference = None
    if features:
        table = read_images(*images).query("split == 'train'")
        known = read_pooled(features[0], features[1], table["image_id"].tolist())
        reference = reference_of(
            known, table["source"].to_numpy(str), table["patient_id"].to_numpy(str)
        )
    write_model(network, heads, model, card, trainable, reference)
