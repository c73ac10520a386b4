"""Grad-CAM: which places of an image raise the score of a class (Selvaraju et al. 2017)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from covidcxr.data.tables import read_manifest, read_split
from covidcxr.errors import InputError
from covidcxr.explain.maps import Explained, upsample
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.runtime import configure
from covidcxr.seeding import generator, integer_seed

log = logging.getLogger("covidcxr")

BATCH = 16


@dataclass(frozen=True)
class Explainer:
    """A classifier cut at the layer that Grad-CAM explains.

    Attributes
    ----------
    features
        Image -> activations A of the layer, [n, h, w, k].
    score
        A -> logits y, [n, classes].
    """

    features: keras.Model
    score: keras.Model


def build_explainer(model: keras.Model, layer: str | None = None) -> Explainer:
    """Cut a complete model for Grad-CAM.

    The scores are the logits, the input of the softmax layer that ends the model: the gradient of a
    probability fades where the network is sure, and mixes in the other classes.

    Parameters
    ----------
    model
        A flat model that ends in a softmax layer, as `covidcxr.classify.model.complete_model`
        gives.
    layer
        Name of a convolutional layer; None takes what the last global average pooling pools.

    Raises
    ------
    InputError
        The model does not end in a softmax layer, has no such layer or no global average pooling.
    """
    softmax, node, _ = model.output._keras_history
    if not isinstance(softmax, keras.layers.Softmax):
        raise InputError(f"Grad-CAM: model {model.name} does not end in a softmax layer")
    logits = softmax._inbound_nodes[node].input_tensors[0]
    if layer is None:
        poolings = [x for x in model.layers if isinstance(x, keras.layers.GlobalAveragePooling2D)]
        if not poolings:
            raise InputError(f"Grad-CAM: model {model.name} has no global average pooling")
        activations = poolings[-1].input
    else:
        named = [x.output for x in model.operations if x.name == layer]
        if not named or len(named[0].shape) != 4:
            raise InputError(f"Grad-CAM: model {model.name} has no convolutional layer {layer!r}")
        activations = named[0]
    return Explainer(keras.Model(model.input, activations), keras.Model(activations, logits))


def grad_cam(
    model: keras.Model,
    images: npt.NDArray[np.uint8],
    class_index: int | Sequence[int],
    layer: str | None = None,
) -> npt.NDArray[np.float32]:
    """Compute Grad-CAM maps.

    The weight of a channel k is the mean over places of the gradient of the class's logit with
    respect to the activation A_k; the map is ReLU(sum_k weight_k A_k) (Selvaraju et al. 2017,
    equations 1 and 2), divided by its maximum.

    Parameters
    ----------
    model
        See `build_explainer`.
    images
        [n, size, size] or [n, size, size, channels], values in 0..255.
    class_index
        The class to explain, for all images or one each.
    layer
        See `build_explainer`.

    Returns
    -------
    float32 [n, h, w]
        In [0, 1], at the resolution of the layer. All 0 where nothing speaks for the class.
    """
    return _maps(build_explainer(model, layer), images, class_index)[0]


def _maps(
    explainer: Explainer, images: npt.NDArray[np.uint8], class_index: int | Sequence[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return Grad-CAM maps [n, h, w] and probabilities [n, classes], both float32."""
    batches = images[..., None] if images.ndim == 3 else images
    chosen = np.broadcast_to(np.asarray(class_index, np.int32), len(images))
    height, width = explainer.features.output_shape[1:3]
    maps = np.zeros((len(images), height, width), np.float32)
    scores = np.zeros((len(images), explainer.score.output_shape[-1]), np.float32)
    # Without a graph: for the few images of a figure, building one takes longer than the maps.
    for start in range(0, len(images), BATCH):
        where = slice(start, start + BATCH)
        activations = explainer.features(batches[where], training=False)
        maps[where], logits = class_maps(explainer.score, activations, chosen[where])
        scores[where] = tf.nn.softmax(logits)
    return normalised(maps), scores


def class_maps(
    score: keras.Model, activations: tf.Tensor, class_index: npt.NDArray[np.integer]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the Grad-CAM maps of activations [n, h, w, k], before any scaling, and the logits.

    Parameters
    ----------
    score
        Activations -> logits [n, classes].
    class_index
        [n], the class to explain.
    """
    with tf.GradientTape() as tape:
        # The layers may be frozen, so nothing else would make the tape record.
        tape.watch(activations)
        logits = score(activations, training=False)
        picked = tf.gather(logits, class_index, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(picked, activations), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1)), logits


def normalised(maps: tf.Tensor | npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Divide each map of [n, h, w] by its maximum; a map of zeros stays."""
    values = np.asarray(maps, np.float32)
    peak = values.max(axis=(1, 2), keepdims=True)
    return np.divide(values, peak, out=np.zeros_like(values), where=peak > 0)


def select_examples(
    manifest: pd.DataFrame, split: pd.DataFrame, classes: Sequence[str], seed: int
) -> list[str]:
    """Choose one test image of each class at random, without regard to any prediction.

    Parameters
    ----------
    manifest
        image_id, label.
    split
        image_id, split.

    Returns
    -------
    Image names in the order of `classes`; each depends on the seed and its class's test images
    alone.

    Raises
    ------
    InputError
        A class has no test image.
    """
    test = manifest.loc[
        manifest["image_id"].isin(split.loc[split["split"] == "test", "image_id"].tolist())
    ]
    chosen = []
    for name in classes:
        candidates = sorted(test.loc[test["label"] == name, "image_id"])
        if not candidates:
            raise InputError(f"no test image of class {name} to show in the Grad-CAM figure")
        chosen.append(str(generator(seed, "gradcam examples", name).choice(candidates)))
    return chosen


def write_gradcam(
    models: Sequence[str | Path],
    images: str | Path,
    manifest: str | Path,
    split: str | Path,
    timeline_images: str | Path,
    timeline: str | Path,
    output: str | Path,
    *,
    classes: Sequence[str],
    seed: int,
    threads: int,
) -> None:
    """Write the Grad-CAM maps of one backbone and augmentation for figures 6 and 7.

    Explained are one test image of each class (`select_examples`) and every image of the timeline,
    each for its true class. Maps and probabilities are means over the folds' models. The file knows
    no colours.

    Parameters
    ----------
    models
        Complete models of the folds (`.keras`).
    images, manifest, split
        uint8 [n, size, size] with its table, and `data/split.csv`.
    timeline_images, timeline
        uint8 [t, size, size] with its table; both may be empty.
    output
        npz file with the arrays of `Explained`.
    classes
        Class names, in the order of the models' outputs.
    seed
        Seed of the run.
    threads
        Processor threads.
    """
    configure(threads=threads, seed=integer_seed(seed, "gradcam"))
    table = read_manifest(manifest)
    examples = select_examples(table, read_split(split), classes, seed)
    rows = pd.Index(table["image_id"]).get_indexer(examples)
    dated = read_manifest(timeline).assign(cohort="timeline")
    order = np.argsort(dated["day"].to_numpy(), kind="stable")
    shown = pd.concat([table.iloc[rows].assign(cohort="test"), dated.iloc[order]])
    pixels = np.concatenate(
        [np.load(images, mmap_mode="r")[rows], np.load(timeline_images, mmap_mode="r")[order]]
    )
    class_index = [list(classes).index(label) for label in shown["label"]]
    maps, scores = [], []
    for path in progress(models, desc="Grad-CAM", unit="model"):
        explainer = build_explainer(keras.models.load_model(path))
        one_maps, one_scores = _maps(explainer, pixels, class_index)
        maps.append(upsample(one_maps, pixels.shape[-1]))
        scores.append(one_scores)
    explained = Explained(
        image_id=shown["image_id"].to_numpy(np.str_),
        cohort=shown["cohort"].to_numpy(np.str_),
        label=shown["label"].to_numpy(np.str_),
        day=shown["day"].to_numpy(np.float64),
        class_index=np.array(class_index, np.int64),
        images=pixels,
        maps=np.mean(maps, axis=0, dtype=np.float32),
        probabilities=np.mean(scores, axis=0, dtype=np.float32),
    )
    with atomic(output) as temporary:
        np.savez_compressed(temporary, **vars(explained))
