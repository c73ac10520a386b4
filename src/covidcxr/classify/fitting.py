"""Training of what follows the cut, on cached features, for the study and for its repeats."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from covidcxr.array_types import Floats, Integers, Singles, Values
from covidcxr.classify.model import attach, build_head
from covidcxr.classify.predictions import scored
from covidcxr.classify.samples import Sample, divide, usable_synthetic, weights_of
from covidcxr.errors import InputError
from covidcxr.features.bank import Bank
from covidcxr.runtime import set_precision
from covidcxr.seeding import generator, integer_seed

INFERENCE_BATCH = 64

Watch = Callable[[Mapping[str, float]], None]
"""Called after each epoch with its record."""


@dataclass(frozen=True)
class Training:
    """How a network is trained: the section `training` of the config, and how it is computed.

    Attributes
    ----------
    trainable
        `head`, `last_block` or `all`: where the features were cut.
    epochs, batch_size, learning_rate
        Of Adam.
    dense_units, dropout
        Of the head.
    normalize_features
        Standardise the pooled features by the training rows' clean features.
    class_weights, source_weights
        See `covidcxr.classify.weights.sample_weights`; synthetic images are a source of their own.
    mixed_precision
        The backbone's part computes in float16, under loss scaling.
    xla
        Compile the training step with XLA.
    """

    trainable: str = "head"
    epochs: int = 50
    batch_size: int = 8
    learning_rate: float = 1e-4
    dense_units: int = 64
    dropout: float = 0.5
    normalize_features: bool = True
    class_weights: bool = False
    source_weights: bool = False
    mixed_precision: bool = False
    xla: bool = False


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes
    ----------
    name
        Of an augmentation of the config, or of one of the remedies of `covidcxr.classify.repeats`.
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


@dataclass(frozen=True)
class Material:
    """What a fold's network is trained on.

    Attributes
    ----------
    table
        The images, see `covidcxr.data.tables.read_images`.
    classes
        Class names, in the order of the outputs.
    real
        Values of the images.
    made, synthetic
        Table (image_id, label, source_image_id, patient_id) and features of synthetic images.
    """

    table: pd.DataFrame
    classes: Sequence[str]
    real: Bank
    made: pd.DataFrame | None = None
    synthetic: Bank | None = None


@dataclass(frozen=True)
class TrainingImages:
    """Images of one bank that train; `ahead` shifts the views they are seen in by epochs."""

    bank: Bank
    sample: Sample
    ahead: int = 0


@dataclass(frozen=True)
class Fitted:
    """A trained fold.

    Attributes
    ----------
    head
        Cached features [n, *cut] -> probabilities float32 [n, classes], of the best epoch.
    history
        See `Fitter.fit`.
    predictions
        image_id, patient_id, label, p_<class>... of the validation and test images.
    """

    head: keras.Model
    history: pd.DataFrame
    predictions: pd.DataFrame


def identity(channels: int) -> keras.Model:
    """Return what follows the cut where the features are pooled: nothing."""
    vector = keras.Input((channels,), name="pooled_features")
    return keras.Model(vector, vector)


def train_fold(
    material: Material,
    arm: Arm,
    fold: int,
    fitter: "Fitter",
    remainder: keras.Model,
    seed: int,
    name: tuple[str | int, ...],
    watch: Watch = lambda _: None,
) -> Fitted:
    """Train a new head, and what of the backbone follows the cut, on all folds but one.

    Batch normalisations of the backbone stay as they are, in inference mode. Synthetic images join
    the training images, see `usable_synthetic`. Validation and test images are never augmented.

    Parameters
    ----------
    fold
        The validation fold, which chooses the epoch.
    fitter
        Knows how to train; the same one may train many folds.
    remainder
        Cached features -> pooled vector, see `identity` and
        `covidcxr.features.backbone.split_backbone`. It is trained in place.
    seed, name
        Fix every random choice.

    Raises
    ------
    InputError
        A class has no training image, a synthetic image was made from a test image, images have no
        features, or training diverged.
    """
    training, table, real = fitter.training, material.table, material.real
    classes = material.classes
    trains, validation, test = divide(table, classes, fold)
    parts = [TrainingImages(real, trains)]
    if material.made is not None and material.synthetic is not None:
        usable = usable_synthetic(
            material.made,
            max(arm.synthetic, arm.copied),
            validation_patients=set(table.loc[table["fold"] == fold, "patient_id"]),
            test_images=set(test.ids),
            classes=classes,
        )
        if arm.synthetic:
            parts.append(TrainingImages(material.synthetic, usable))
        if arm.copied:
            copied = copies(trains, usable, generator(seed, *name, "copy"))
            parts += [TrainingImages(real, sample, ahead) for ahead, sample in enumerate(copied, 1)]
    parts = [part for part in parts if part.sample.ids]
    reference = None
    if training.normalize_features:
        clean = [in_pieces(remainder, part.bank.clean_of(part.sample.ids)) for part in parts]
        reference = np.concatenate(clean)
    keras.utils.set_random_seed(integer_seed(seed, *name))
    *untrained, hidden, dropout, logits, softmax = build_head(
        len(classes),
        dense_units=training.dense_units,
        dropout=training.dropout,
        reference=reference,
    )
    for layer in remainder.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    pooled = attach(remainder.output, untrained)
    # The softmax is left to the loss, which is exact on logits.
    output = attach(pooled, [hidden, dropout, logits])
    # What comes before all that is trained is computed once an epoch, not in each step.
    before: Callable[[Values], Any] = np.asarray
    start = remainder.input
    if not remainder.trainable_variables:
        before, start = keras.Model(remainder.input, pooled), pooled
    if training.mixed_precision:
        set_precision(remainder, "mixed_float16")
    weights = weights_of(
        [part.sample for part in parts],
        table,
        by_class=arm.class_weights,
        by_source=training.source_weights,
    )
    history = fitter.fit(
        keras.Model(start, output),
        lambda epoch: before(
            np.concatenate(
                [part.bank.epoch_of(part.sample.ids, epoch + part.ahead) for part in parts]
            )
        ),
        (np.concatenate([part.sample.classes for part in parts]), weights),
        (before(real.clean_of(validation.ids)), validation.classes),
        generator(seed, *name),
        watch,
    )
    set_precision(remainder, "float32")
    head = keras.Model(remainder.input, softmax(output))
    wanted = table[table["image_id"].isin([*validation.ids, *test.ids])]
    predicted = in_pieces(head, real.clean_of(wanted["image_id"].tolist()))
    return Fitted(head, history, scored(wanted, predicted, classes))


def copies(training: Sample, usable: Sample, rng: np.random.Generator) -> list[Sample]:
    """Sample real training images to be taken more than once, as many as synthetic ones would join.

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
        sampled: list[int] = []
        while len(sampled) < wanted:
            sampled += rng.permutation(own)[: wanted - len(sampled)].tolist()
        for number, start in enumerate(range(0, len(sampled), len(own))):
            if number == len(rounds):
                rounds.append([])
            rounds[number] += sampled[start : start + len(own)]
    return [Sample([training.ids[row] for row in rows], training.classes[rows]) for rows in rounds]


def shuffled_batches(
    count: int, batch_size: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], Singles]:
    """Sample the batches of an epoch: every row once, in random order.

    Returns
    -------
    index
        int32 [steps, batch_size], row numbers. The last batch is filled up with row 0.
    present
        float32 [steps, batch_size], 0 where filled up, else 1. So every batch has one shape.
    """
    steps = -(-count // batch_size)
    index = np.zeros(steps * batch_size, np.int32)
    present = np.zeros(steps * batch_size, np.float32)
    index[:count] = rng.permutation(count)
    present[:count] = 1
    return index.reshape(steps, batch_size), present.reshape(steps, batch_size)


def in_pieces(model: Callable[..., tf.Tensor], data: Values) -> Singles:
    """Apply a model or graph to `data` [n, ...] in inference; return float32 [n, outputs]."""
    pieces = [
        np.asarray(model(data[start : start + INFERENCE_BATCH]), np.float32)
        for start in range(0, len(data), INFERENCE_BATCH)
    ]
    return np.concatenate(pieces)


class Fitter:
    """Fits classifiers of one structure, one after another, by graphs that are made once.

    An epoch is one TensorFlow graph that loops over the batches, since a step on cached vectors is
    so short that calling it from Python would cost more than the step. The first classifier lends
    the graphs its variables; a later one's values go into them and come back.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self._classifier: Any = None

    def fit(
        self,
        classifier: keras.Model,
        features: Callable[[int], Values],
        truth: tuple[Integers, Floats],
        validation: tuple[Values, Integers],
        rng: np.random.Generator,
        watch: Watch,
    ) -> pd.DataFrame:
        """Fit a classifier in place by Adam on cross-entropy; leave it at its best epoch.

        Parameters
        ----------
        classifier
            Values [n, *cut] -> logits [n, classes].
        features
            Epoch 0.. -> features [n, *cut] to train on in that epoch.
        truth
            Classes int64 [n] of the training rows, and their weights [n] in the loss.
        validation
            Values [v, *cut] and classes int64 [v], which are not weighed.
        rng
            Shuffles the batches.

        Returns
        -------
        DataFrame
            epoch (from 1), loss, accuracy (means over the epoch's training batches, dropout on),
            val_loss, val_accuracy, best (1 for the first epoch of lowest val_loss, whose weights
            stay).

        Raises
        ------
        InputError
            The loss became infinite or NaN.
        """
        self._begin(classifier)
        own = self._classifier.trainable_variables
        classes, weights = tf.constant(truth[0], tf.int32), tf.constant(truth[1], tf.float32)
        records = []
        best_loss = np.inf
        best = [variable.numpy() for variable in own]
        for epoch in range(self.training.epochs):
            index, present = shuffled_batches(len(truth[0]), self.training.batch_size, rng)
            loss, accuracy = self._run_epoch(
                tf.constant(features(epoch)), classes, weights, index, present
            )
            predicted = in_pieces(self._infer, validation[0])
            val_loss = cross_entropy(predicted, validation[1])
            record = {
                "epoch": epoch + 1,
                "loss": float(loss),
                "accuracy": float(accuracy),
                "val_loss": val_loss,
                "val_accuracy": float((predicted.argmax(axis=1) == validation[1]).mean()),
            }
            if not np.isfinite([record["loss"], val_loss]).all():
                raise InputError(
                    f"training diverged in epoch {epoch + 1} (loss {record['loss']}, validation "
                    f"loss {val_loss}): lower training: learning_rate, now "
                    f"{self.training.learning_rate}"
                )
            if val_loss < best_loss:
                best_loss = val_loss
                best = [variable.numpy() for variable in own]
            records.append(record)
            watch(record)
        for variable, value in zip(classifier.trainable_variables, best, strict=True):
            variable.assign(value)
        history = pd.DataFrame(records)
        history["best"] = (history.index == history["val_loss"].idxmin()).astype(int)
        return history

    def _begin(self, classifier: keras.Model) -> None:
        """Give the graphs a classifier's values and an optimizer at its start; make them first."""
        if self._classifier is None:
            self._classifier = classifier
            optimizer: keras.Optimizer = keras.optimizers.Adam(self.training.learning_rate)
            if self.training.mixed_precision:
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(classifier.trainable_variables)
            self._optimizer = [(one, one.numpy()) for one in optimizer.variables]
            self._run_epoch = _epoch_graph(classifier, optimizer, self.training.xla)
            self._infer = tf.function(
                lambda data: tf.nn.softmax(tf.cast(classifier(data, training=False), tf.float32)),
                reduce_retracing=True,
            )
        for own, given in zip(self._classifier.variables, classifier.variables, strict=True):
            own.assign(given)
        for variable, value in self._optimizer:
            variable.assign(value)


def _epoch_graph(
    classifier: keras.Model, optimizer: keras.Optimizer, xla: bool
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Return an epoch's graph: (data, classes, weights, index, present) -> mean loss and accuracy.

    Data, classes and weights [n, ...] are those of all training rows.
    """

    @tf.function(jit_compile=xla)
    def step(
        data: tf.Tensor, classes: tf.Tensor, shares: tf.Tensor, present: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            output = tf.cast(classifier(data, training=True), tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, output)
            loss = tf.reduce_sum(losses * shares * present)
            loss /= tf.reduce_sum(present)
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, classifier.trainable_variables))
        hits = tf.cast(tf.argmax(output, axis=1, output_type=classes.dtype) == classes, tf.float32)
        return loss * tf.reduce_sum(present), tf.reduce_sum(hits * present)

    @tf.function(reduce_retracing=True)
    def epoch(
        data: tf.Tensor,
        classes: tf.Tensor,
        weights: tf.Tensor,
        index: tf.Tensor,
        present: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        loss = tf.constant(0.0)
        hits = tf.constant(0.0)
        for i in tf.range(tf.shape(index)[0]):
            batch_loss, batch_hits = step(
                tf.gather(data, index[i]),
                tf.gather(classes, index[i]),
                tf.gather(weights, index[i]),
                present[i],
            )
            loss += batch_loss
            hits += batch_hits
        total = tf.reduce_sum(present)
        return loss / total, hits / total

    return epoch


def cross_entropy(predicted: Singles, classes: Integers) -> float:
    """Return the mean negative log probability of the true classes; `predicted` is [n, classes]."""
    true = predicted[np.arange(len(classes)), classes].astype(np.float64)
    return float(-np.log(np.clip(true, 1e-12, None)).mean())
