"""Grad-CAM: which places of an image raise the score of a class (Selvaraju et al. 2017)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from covidcxr.array_types import Grey, Integers, Singles
from covidcxr.errors import InputError
from covidcxr.logs import progress
from covidcxr.runtime import frozen

Members = list[tuple[tf.Tensor, keras.Model]]
"""Of each member a batch's activations, and the model from there to the logits."""

BATCH = 8
FEW = 80
"""Images up to which running the layers one by one is quicker than making a graph of them."""


@dataclass(frozen=True)
class Explainer:
    """A classifier, or the members of an ensemble, cut at the layers that Grad-CAM explains.

    Attributes
    ----------
    features
        Image -> list of activations A, [n, h, w, k] each. Members on one frozen backbone share one.
    members
        For each member the place of its activations in that list, and the model A -> logits y
        [n, classes].
    """

    features: keras.Model
    members: tuple[tuple[int, keras.Model], ...]

    @cached_property
    def graph(self) -> Any:
        """All of it as one graph, uint8 [`BATCH`, size, size, 1] -> activations, then y of each."""
        activations = self.features.outputs
        logits = [score(activations[place]) for place, score in self.members]
        return frozen(keras.Model(self.features.input, [*activations, *logits]), BATCH)


@dataclass(frozen=True)
class Explanation:
    """What the members say of n images.

    Attributes
    ----------
    probabilities
        float32 [members, n, classes].
    class_index
        int64 [n], the class that the maps explain.
    maps
        float32 [members, n, h, w] in [0, 1], at the resolution of the layer: each divided by its
        maximum, all 0 where nothing speaks for the class.
    pooled
        float32 [n, k], activations of the first member averaged over places.
    """

    probabilities: Singles
    class_index: Integers
    maps: Singles
    pooled: Singles


def build_explainer(model: keras.Model) -> Explainer:
    """Cut a complete model, or each member of an ensemble, at what its last pooling layer pools.

    The scores are the logits, the input of the softmax layer that ends a member: the gradient of a
    probability fades where the network is sure, and mixes in the other classes.

    Parameters
    ----------
    model
        A flat model that ends in a softmax layer, or in the average of several.

    Raises
    ------
    InputError
        A member does not end in a softmax layer, or has no global average pooling.
    """
    activations: list[keras.KerasTensor] = []
    members = []
    for output in member_outputs(model):
        softmax, (logits, *_) = _source(output)
        if not isinstance(softmax, keras.layers.Softmax):
            raise InputError(f"Grad-CAM: model {model.name} does not end in a softmax layer")
        pooled = _pooled(logits)
        if pooled is None:
            raise InputError(f"Grad-CAM: model {model.name} has no global average pooling")
        place = next((k for k, known in enumerate(activations) if known is pooled), None)
        if place is None:
            place = len(activations)
            activations.append(pooled)
        members.append((place, keras.Model(pooled, logits)))
    return Explainer(keras.Model(model.inputs[0], activations), tuple(members))


def together(explainers: Sequence[Explainer]) -> Explainer:
    """Return the members of several explainers as one's, which runs equal networks once."""
    features: list[keras.Model] = []
    members = []
    for explainer in explainers:
        equal = (k for k, known in enumerate(features) if _equal(known, explainer.features))
        place = next(equal, len(features))
        if place == len(features):
            features.append(explainer.features)
        first = sum(len(known.outputs) for known in features[:place])
        members += [(first + own, score) for own, score in explainer.members]
    image = keras.Input(features[0].input_shape[1:])
    activations = [one for network in features for one in tf.nest.flatten(network(image))]
    return Explainer(keras.Model(image, activations), tuple(members))


def _equal(one: keras.Model, other: keras.Model) -> bool:
    weights, others = one.get_weights(), other.get_weights()
    return len(weights) == len(others) and all(map(np.array_equal, weights, others))


def member_outputs(model: keras.Model) -> list[keras.KerasTensor]:
    """Return the outputs whose mean a model is; its own output where it is no ensemble."""
    last, inputs = _source(model.outputs[0])
    return inputs if isinstance(last, keras.layers.Average) else [model.outputs[0]]


def explain(
    explainer: Explainer, images: Grey, class_index: Sequence[int] | Integers | None = None
) -> Explanation:
    """Classify images and explain a class of each.

    The weight of a channel k is the mean over places of the gradient of the class's logit with
    respect to the activation A_k; the map is ReLU(sum_k weight_k A_k) (Selvaraju et al. 2017,
    equations 1 and 2), divided by its maximum.

    Parameters
    ----------
    images
        uint8 [n, size, size], at least one.
    class_index
        The class to explain, one for each image; None takes the one of highest mean probability.
    """
    scores, chosen, maps, pooled = [], [], [], []
    for where, members, found in _passes(explainer, images):
        scores.append(found)
        pooled.append(tf.reduce_mean(members[0][0], axis=(1, 2)).numpy())
        picked = scores[-1].mean(axis=0).argmax(axis=-1)
        chosen.append(picked if class_index is None else np.asarray(class_index[where]))
        maps.append([_maps(score, activations, chosen[-1]) for activations, score in members])
    return Explanation(
        np.concatenate(scores, axis=1),
        np.concatenate(chosen).astype(np.int64),
        np.concatenate(maps, axis=1),
        np.concatenate(pooled),
    )


def probabilities(explainer: Explainer, images: Grey) -> Singles:
    """Return float32 [members, n, classes] of images, uint8 [n, size, size]."""
    return np.concatenate([found for _, _, found in _passes(explainer, images)], axis=1)


def _source(tensor: keras.KerasTensor) -> tuple[keras.Operation, list[keras.KerasTensor]]:
    """Return the layer that gives a tensor, and the tensors that it takes."""
    layer, node, _ = tensor._keras_history
    return layer, layer._inbound_nodes[node].input_tensors


def _pooled(tensor: keras.KerasTensor) -> keras.KerasTensor | None:
    """Return what the last global average pooling before a tensor pools."""
    waiting = [tensor]
    while waiting:
        layer, inputs = _source(waiting.pop(0))
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            return inputs[0]
        waiting += inputs
    return None


def _passes(explainer: Explainer, images: Grey) -> Iterator[tuple[slice, Members, Singles]]:
    """Yield where each batch stands, its members, and their probabilities [members, n, classes]."""
    starts, many = range(0, len(images), BATCH), len(images) > FEW
    for start in progress(starts, desc="explained", unit="batch") if many else starts:
        where = slice(start, start + BATCH)
        batch = images[where]
        if many:
            missing = BATCH - len(batch)
            whole = np.pad(batch, ((0, missing), (0, 0), (0, 0)))[..., None]
            found = [one[: len(batch)] for one in explainer.graph(tf.constant(whole))]
        else:
            # Keras gives a list of one output as that output.
            found = tf.nest.flatten(explainer.features(batch[..., None], training=False))
            found += [score(found[place], training=False) for place, score in explainer.members]
        members = [(found[place], score) for place, score in explainer.members]
        yield where, members, tf.nn.softmax(found[-len(members) :]).numpy()


def _maps(
    score: keras.Model, activations: tf.Tensor, class_index: npt.NDArray[np.integer]
) -> Singles:
    """Return the maps [n, h, w] of activations [n, h, w, k], each divided by its maximum."""
    with tf.GradientTape() as tape:
        # The layers may be frozen, so nothing else would make the tape record.
        tape.watch(activations)
        picked = tf.gather(score(activations, training=False), class_index, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(picked, activations), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1)).numpy()
    peak = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0), np.float32)
