"""Several models at once: their probabilities and Grad-CAM maps, common work done once."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from covidcxr.explain.gradcam import BATCH, build_explainer, class_maps, normalised


@dataclass(frozen=True)
class Committee:
    """Classifiers that decide together, grouped by the backbone that they share.

    Attributes
    ----------
    groups
        (features, members): the model image -> activations [n, h, w, k], and the members that have
        these very activations, each as its position and the model activations -> logits
        [n, classes].
    """

    groups: tuple[tuple[keras.Model, tuple[tuple[int, keras.Model], ...]], ...]

    @property
    def size(self) -> int:
        """Number of members."""
        return sum(len(members) for _, members in self.groups)


@dataclass(frozen=True)
class Verdict:
    """What a committee says of n images.

    Attributes
    ----------
    probabilities
        float32 [members, n, classes].
    class_index
        int64 [n], the class that the maps explain.
    maps
        float32 [members, n, h, w] in [0, 1], each divided by its maximum.
    """

    probabilities: npt.NDArray[np.float32]
    class_index: npt.NDArray[np.int64]
    maps: npt.NDArray[np.float32]


def build_committee(models: Sequence[keras.Model]) -> Committee:
    """Cut models for Grad-CAM and group those whose backbones have the same weights.

    The folds of a frozen backbone differ in the head alone, so its activations, nearly all of the
    cost, are computed once for all of them.

    Parameters
    ----------
    models
        Complete models of one architecture, see `covidcxr.explain.gradcam.build_explainer`.
    """
    groups: list[tuple[keras.Model, list[tuple[int, keras.Model]]]] = []
    for position, model in enumerate(models):
        explainer = build_explainer(model)
        for features, members in groups:
            if _same_weights(features, explainer.features):
                members.append((position, explainer.score))
                break
        else:
            groups.append((explainer.features, [(position, explainer.score)]))
    return Committee(tuple((features, tuple(members)) for features, members in groups))


def consult(
    committee: Committee,
    images: npt.NDArray[np.uint8],
    class_index: Sequence[int] | npt.NDArray[np.int64] | None = None,
) -> Verdict:
    """Classify images and explain a class of each.

    Parameters
    ----------
    images
        uint8 [n, size, size], at least one.
    class_index
        The class to explain, one for each image; None takes the one of highest mean probability.
    """
    parts = [
        _consult_batch(
            committee,
            images[start : start + BATCH],
            None if class_index is None else np.asarray(class_index[start : start + BATCH]),
        )
        for start in range(0, len(images), BATCH)
    ]
    return Verdict(
        np.concatenate([part.probabilities for part in parts], axis=1),
        np.concatenate([part.class_index for part in parts]),
        np.concatenate([part.maps for part in parts], axis=1),
    )


def probabilities_of(
    committee: Committee, images: npt.NDArray[np.generic]
) -> npt.NDArray[np.float32]:
    """Return the members' probabilities, float32 [members, n, classes], of [n, size, size]."""
    batches = [
        _probabilities(_members(committee, images[start : start + BATCH]))
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate(batches, axis=1)


def _consult_batch(
    committee: Committee, images: npt.NDArray[np.uint8], class_index: npt.NDArray[np.int64] | None
) -> Verdict:
    members = _members(committee, images)
    probabilities = _probabilities(members)
    if class_index is None:
        class_index = probabilities.mean(axis=0).argmax(axis=-1)
    maps = [normalised(class_maps(score, shared, class_index)[0]) for score, shared in members]
    return Verdict(probabilities, class_index.astype(np.int64), np.array(maps, np.float32))


def _members(
    committee: Committee, images: npt.NDArray[np.generic]
) -> list[tuple[keras.Model, tf.Tensor]]:
    """Return for each member, in order, activations -> logits and its activations."""
    found: dict[int, tuple[keras.Model, tf.Tensor]] = {}
    for features, members in committee.groups:
        shared = features(images[..., None], training=False)
        found |= {position: (score, shared) for position, score in members}
    return [found[position] for position in sorted(found)]


def _probabilities(members: list[tuple[keras.Model, tf.Tensor]]) -> npt.NDArray[np.float32]:
    scores = [tf.nn.softmax(score(shared, training=False)) for score, shared in members]
    return np.array(scores, np.float32)


def _same_weights(one: keras.Model, other: keras.Model) -> bool:
    pairs = list(zip(one.weights, other.weights, strict=False))
    return len(one.weights) == len(other.weights) and all(
        a.shape == b.shape and np.array_equal(a.numpy(), b.numpy()) for a, b in pairs
    )
