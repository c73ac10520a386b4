"""Training of one classifier: one backbone, one augmentation, one fold, on cached features."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from covidcxr.classify.card import ModelCard, add_card
from covidcxr.classify.model import attach, build_head, complete_model
from covidcxr.classify.predictions import NETWORK, prediction_table
from covidcxr.classify.weights import MADE, sample_weights
from covidcxr.data.tables import read_manifest, read_split, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.features.backbone import split_backbone
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.runtime import configure, set_precision
from covidcxr.seeding import generator, integer_seed

log = logging.getLogger("covidcxr")

INFERENCE_BATCH = 64


@dataclass(frozen=True)
class Bank:
    """Cached features of a cohort, on disk.

    Attributes
    ----------
    clean
        [n, *cut], features of the images as they are.
    views
        [m, views, *cut], features of the augmented views of m of the images.
    rows
        Index image_id; columns clean_row and view_row (missing where there are no views).
    """

    clean: npt.NDArray[np.generic]
    views: npt.NDArray[np.generic]
    rows: pd.DataFrame

    def clean_of(self, ids: list[str]) -> npt.NDArray[np.generic]:
        """Return the features [len(ids), *cut] of images as they are."""
        return np.asarray(self.clean[self._positions(ids, "clean_row")])

    def epoch_of(self, ids: list[str], epoch: int) -> npt.NDArray[np.generic]:
        """Return the features [len(ids), *cut] that epoch 0.. trains on.

        Epochs go round the images as they are and their augmented views. The images themselves take
        part because their features are there anyway, and because a frozen backbone answers to views
        a little differently: a head that saw views only would not fit what it is tested on.
        """
        turn = epoch % (self.views.shape[1] + 1)
        if turn == 0:
            return self.clean_of(ids)
        return np.asarray(self.views[self._positions(ids, "view_row"), turn - 1])

    def _positions(self, ids: list[str], column: str) -> npt.NDArray[np.int64]:
        found = self.rows[column].reindex(ids)
        if found.isna().any():
            raise InputError(
                f"the feature bank has no {column} for {int(found.isna().sum())} images, such as "
                f"{found.index[found.isna()][0]}: make the features anew for this split"
            )
        return found.to_numpy(np.int64)


@dataclass(frozen=True)
class Sample:
    """Named images and their classes; `classes` holds int positions in the list of classes."""

    ids: list[str]
    classes: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fitting:
    """How a classifier is fitted.

    Attributes
    ----------
    epochs, batch_size, learning_rate
        Of Adam.
    xla
        Compile the training step with XLA.
    mixed_precision
        The backbone's part computes in float16, under loss scaling.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    xla: bool = False
    mixed_precision: bool = False


def read_bank(folder: str | Path) -> Bank:
    """Open a feature bank (`clean.npy`, `views.npy`, `rows.csv` in `folder`), memory-mapped."""
    folder = Path(folder)
    rows = read_table(folder / "rows.csv", ["image_id"], ["clean_row", "view_row"])
    return Bank(
        np.load(folder / "clean.npy", mmap_mode="r"),
        np.load(folder / "views.npy", mmap_mode="r"),
        rows.set_index("image_id"),
    )


def shuffled_batches(
    count: int, batch_size: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Draw the batches of an epoch: every row once, in random order.

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


def in_pieces(
    graph: Callable[[npt.NDArray[np.generic]], tf.Tensor], data: npt.NDArray[np.generic]
) -> npt.NDArray[np.float32]:
    """Apply a model or graph to `data` [n, ...] in pieces; return float32 [n, outputs]."""
    pieces = [
        np.asarray(graph(data[start : start + INFERENCE_BATCH]), np.float32)
        for start in range(0, len(data), INFERENCE_BATCH)
    ]
    return np.concatenate(pieces)


def fit(
    classifier: keras.Model,
    training: Callable[[int], npt.NDArray[np.generic]],
    classes: npt.NDArray[np.int64],
    validation: npt.NDArray[np.generic],
    validation_classes: npt.NDArray[np.int64],
    fitting: Fitting,
    rng: np.random.Generator,
    weights: npt.NDArray[np.float64] | None = None,
) -> pd.DataFrame:
    """Fit a classifier under a progress bar, see `fit_watched`."""
    with progress(total=fitting.epochs, desc="training", unit="epoch") as bar:

        def show(record: Mapping[str, float]) -> None:
            losses = {name: f"{record[name]:.3f}" for name in ("loss", "val_loss")}
            bar.set_postfix(losses, refresh=False)
            bar.update()

        return fit_watched(
            classifier,
            training,
            classes,
            validation,
            validation_classes,
            fitting,
            rng,
            show,
            weights,
        )


def fit_watched(
    classifier: keras.Model,
    training: Callable[[int], npt.NDArray[np.generic]],
    classes: npt.NDArray[np.int64],
    validation: npt.NDArray[np.generic],
    validation_classes: npt.NDArray[np.int64],
    fitting: Fitting,
    rng: np.random.Generator,
    watch: Callable[[Mapping[str, float]], None],
    weights: npt.NDArray[np.float64] | None = None,
) -> pd.DataFrame:
    """Fit a classifier in place by Adam on cross-entropy; leave it at its best validation epoch.

    An epoch is one TensorFlow graph that loops over the batches, since a step on cached vectors is
    so short that calling it from Python would cost more than the step.

    Parameters
    ----------
    classifier
        Features [n, *cut] -> logits [n, classes].
    training
        Epoch 0.. -> features [n, *cut] to train on in that epoch.
    classes
        int64 [n], classes of the training rows.
    validation, validation_classes
        [v, *cut] and int64 [v].
    rng
        Shuffles the batches.
    watch
        Called after each epoch with its record.
    weights
        [n], of the training rows in the loss; all 1 if None. Validation is not weighed.

    Returns
    -------
    DataFrame
        epoch (from 1), loss, accuracy (means over the epoch's training batches, dropout on),
        val_loss, val_accuracy, best (1 for the first epoch of lowest val_loss, whose weights stay).

    Raises
    ------
    InputError
        The loss became infinite or NaN.
    """
    optimizer: keras.Optimizer = keras.optimizers.Adam(fitting.learning_rate)
    if fitting.mixed_precision:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(classifier.trainable_variables)
    shares = tf.constant(np.ones(len(classes)) if weights is None else weights, tf.float32)
    run_epoch = _epoch_graph(classifier, optimizer, shares, fitting.xla)
    infer = tf.function(_inference(classifier), reduce_retracing=True)

    records = []
    best_loss = np.inf
    best = [variable.numpy() for variable in classifier.trainable_variables]
    for epoch in range(fitting.epochs):
        index, present = shuffled_batches(len(classes), fitting.batch_size, rng)
        loss, accuracy = run_epoch(
            tf.constant(training(epoch)), tf.constant(classes, tf.int32), index, present
        )
        predicted = in_pieces(infer, validation)
        val_loss = cross_entropy(predicted, validation_classes)
        record = {
            "epoch": epoch + 1,
            "loss": float(loss),
            "accuracy": float(accuracy),
            "val_loss": val_loss,
            "val_accuracy": float((predicted.argmax(axis=1) == validation_classes).mean()),
        }
        if not np.isfinite([record["loss"], val_loss]).all():
            raise InputError(
                f"training diverged in epoch {epoch + 1} (loss {record['loss']}, validation "
                f"loss {val_loss}): lower training: learning_rate, now {fitting.learning_rate}"
            )
        if val_loss < best_loss:
            best_loss = val_loss
            best = [variable.numpy() for variable in classifier.trainable_variables]
        records.append(record)
        watch(record)
    for variable, value in zip(classifier.trainable_variables, best, strict=True):
        variable.assign(value)
    history = pd.DataFrame(records)
    history["best"] = (history.index == history["val_loss"].idxmin()).astype(int)
    return history


def _inference(classifier: keras.Model) -> Callable[[npt.NDArray[np.generic]], tf.Tensor]:
    """Return features -> probabilities, float32, of a classifier that ends in logits."""
    return lambda data: tf.nn.softmax(tf.cast(classifier(data, training=False), tf.float32))


def _epoch_graph(
    classifier: keras.Model, optimizer: keras.Optimizer, weights: tf.Tensor, xla: bool
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Return the graph of one epoch: (data, classes, index, present) -> mean loss and accuracy.

    `weights` [n] are of the training rows, all of which `data` holds.
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
        data: tf.Tensor, classes: tf.Tensor, index: tf.Tensor, present: tf.Tensor
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


def cross_entropy(predicted: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]) -> float:
    """Return the mean negative log probability of the true classes; `predicted` is [n, classes]."""
    true = predicted[np.arange(len(classes)), classes].astype(np.float64)
    return float(-np.log(np.clip(true, 1e-12, None)).mean())


def train_fold(
    features: str | Path,
    backbone_file: str | Path,
    manifest: str | Path,
    split: str | Path,
    output_model: str | Path,
    output_history: str | Path,
    output_predictions: str | Path,
    *,
    classes: Sequence[str],
    fold: int,
    backbone: str,
    augmentation: str,
    seed: int,
    threads: int,
    trainable: str = "head",
    epochs: int = 50,
    batch_size: int = 8,
    learning_rate: float = 1e-4,
    dense_units: int = 64,
    dropout: float = 0.5,
    normalize_features: bool = True,
    class_weights: bool = False,
    source_weights: bool = False,
    synthetic_features: str | Path | None = None,
    synthetic: str | Path | None = None,
    n_synthetic: int = 0,
    mixed_precision: bool = False,
    xla: bool = False,
    population: str = "study",
) -> None:
    """Train the classifier of one fold; predict its validation images and the test images.

    Epochs train on the images and their augmented views in turn, see `Bank.epoch_of`. Batch
    normalisations of the backbone stay as they are, in inference mode. Validation and test images
    are never augmented.

    The first `n_synthetic` synthetic images join the training rows, without those that were
    translated from an image of a patient in the validation fold, as they would carry that patient's
    anatomy into training.

    Parameters
    ----------
    features
        Folder of the real images' feature bank, see `read_bank`.
    backbone_file
        `.keras` file of the backbone that made the features.
    manifest, split
        `data/manifest.csv` and `data/split.csv`.
    output_model
        Complete model, image -> probabilities (`.keras`).
    output_history
        CSV, see `fit`.
    output_predictions
        CSV, see `covidcxr.classify.predictions.prediction_table`, in the order of the manifest.
    classes
        Class names, in the order of the outputs.
    fold
        The validation fold; all others train.
    backbone, augmentation
        Names; with `fold` and `seed` they fix every random choice.
    trainable
        `head`, `last_block` or `all`; the features must have been cut there.
    normalize_features
        Standardise the pooled features by the training rows' clean features.
    class_weights, source_weights
        See `covidcxr.classify.weights.sample_weights`; synthetic images are a source of their own.
    synthetic_features, synthetic
        Feature bank and table (`image_id, label, source_image_id, patient_id`) of the synthetic
        images.

    Raises
    ------
    InputError
        Features, split and manifest do not belong together; a class has no training image; a
        synthetic image was made from a test image; training diverged.
    """
    name = ("train", backbone, augmentation, fold)
    configure(threads=threads, seed=integer_seed(seed, *name))
    table = read_manifest(manifest).merge(read_split(split), on="image_id", validate="one_to_one")
    training, validation, test = divide(table, classes, fold, split)
    bank = read_bank(features)
    if n_synthetic:
        if synthetic is None or synthetic_features is None:
            raise InputError(f"augmentation {augmentation}: synthetic images asked, but none made")
        extra = usable_synthetic(
            read_table(synthetic, ["image_id", "label", "source_image_id", "patient_id"]),
            n_synthetic,
            validation_patients=set(table.loc[table["fold"] == fold, "patient_id"]),
            test_images=set(test.ids),
            classes=classes,
        )
        extra_bank = read_bank(synthetic_features)
    else:
        extra, extra_bank = Sample([], np.zeros(0, np.int64)), bank
    cohorts = [(bank, training.ids)] + ([(extra_bank, extra.ids)] if extra.ids else [])

    def view(epoch: int) -> npt.NDArray[np.generic]:
        return np.concatenate([one.epoch_of(ids, epoch) for one, ids in cohorts])

    network = keras.models.load_model(backbone_file)
    _, remainder = split_backbone(network, trainable)
    if remainder.input_shape[1:-1] != bank.clean.shape[1:-1] or (
        remainder.input_shape[-1] not in (None, bank.clean.shape[-1])
    ):
        raise InputError(
            f"{features} holds features {list(bank.clean.shape[1:])}, but {backbone_file} cut for "
            f"trainable {trainable!r} takes {list(remainder.input_shape[1:])}: make them anew"
        )
    reference = None
    if normalize_features:
        reference = np.concatenate(
            [
                in_pieces(lambda data: remainder(data, training=False), one.clean_of(ids))
                for one, ids in cohorts
            ]
        )
    head = build_head(len(classes), dense_units=dense_units, dropout=dropout, reference=reference)
    for layer in network.layers:
        layer.trainable = layer in remainder.layers and not isinstance(
            layer, keras.layers.BatchNormalization
        )
    # The softmax is left to the loss, which is exact on logits.
    classifier = keras.Model(remainder.input, attach(remainder.output, head[:-1]))
    if mixed_precision:
        set_precision(remainder, "mixed_float16")
    history = fit(
        classifier,
        view,
        np.concatenate([training.classes, extra.classes]),
        bank.clean_of(validation.ids),
        validation.classes,
        Fitting(epochs, batch_size, learning_rate, xla, mixed_precision),
        generator(seed, *name),
        weights_of([training, extra], table, by_class=class_weights, by_source=source_weights),
    )
    set_precision(remainder, "float32")
    kept = history.loc[history["best"] == 1].iloc[0]
    log.info(
        "%s %s fold %d: %d real and %d synthetic training images; epoch %d kept, validation "
        "loss %.3f, accuracy %.3f",
        *(backbone, augmentation, fold, len(training.ids), len(extra.ids)),
        *(kept["epoch"], kept["val_loss"], kept["val_accuracy"]),
    )
    scored = table.loc[table["image_id"].isin([*validation.ids, *test.ids])]
    predicted = in_pieces(_inference(classifier), bank.clean_of(scored["image_id"].tolist()))
    with atomic(output_model) as temporary:
        complete_model(network, head).save(temporary)
        add_card(temporary, ModelCard(tuple(classes), backbone, augmentation, fold))
    write_table(history, output_history)
    predictions = prediction_table(
        scored,
        predicted,
        classes,
        population=population,
        backbone=backbone,
        augmentation=augmentation,
        classifier=NETWORK,
        model=f"fold{fold}",
        set=scored["split"].map({"train": "validation", "test": "test"}),
    )
    write_table(predictions, output_predictions)


def class_positions(labels: "pd.Series[str]", classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the position of each label in `classes`."""
    return np.array([classes.index(label) for label in labels], np.int64)


def weights_of(
    samples: Sequence[Sample], table: pd.DataFrame, *, by_class: bool, by_source: bool
) -> npt.NDArray[np.float64]:
    """Return the weights of all images of samples; who is not in the manifest is synthetic."""
    source = table.set_index("image_id")["source"]
    ids = [image for sample in samples for image in sample.ids]
    return sample_weights(
        np.concatenate([sample.classes for sample in samples]),
        source.reindex(ids).fillna(MADE).to_numpy(str),
        by_class=by_class,
        by_source=by_source,
    )


def divide(
    table: pd.DataFrame, classes: Sequence[str], fold: int, source: str | Path = "the split"
) -> tuple[Sample, Sample, Sample]:
    """Return the training, validation and test images of a fold.

    Parameters
    ----------
    table
        Manifest with the columns `split` and `fold` of the split.
    source
        Named in errors.

    Raises
    ------
    InputError
        An image has no split or an unknown class, or a part or a training class is empty.
    """
    if table["split"].isna().any():
        missing = table.loc[table["split"].isna(), "image_id"].iloc[0]
        raise InputError(f"{source} lacks image {missing} of the manifest: make the split anew")
    unknown = set(table["label"]) - set(classes)
    if unknown:
        raise InputError(f"the manifest holds classes {sorted(unknown)} that are not in {classes}")
    tests = table["split"] == "test"
    validates = ~tests & (table["fold"] == fold).fillna(False)
    samples = []
    for part, where in (
        ("training", ~tests & ~validates),
        ("validation", validates),
        ("test", tests),
    ):
        chosen = table.loc[where]
        if chosen.empty:
            raise InputError(f"{source} has no {part} images for fold {fold}")
        absent = set(classes) - set(chosen["label"])
        if part == "training" and absent:
            raise InputError(f"fold {fold} has no training images of {sorted(absent)} in {source}")
        samples.append(
            Sample(chosen["image_id"].tolist(), class_positions(chosen["label"], classes))
        )
    return samples[0], samples[1], samples[2]


def usable_synthetic(
    synthetic: pd.DataFrame,
    count: int,
    *,
    validation_patients: set[str],
    test_images: set[str],
    classes: Sequence[str],
) -> Sample:
    """Choose the synthetic images that may train beside a validation fold.

    Parameters
    ----------
    synthetic
        image_id, label, source_image_id, patient_id (of the source image).
    count
        The first so many rows are considered.
    validation_patients
        Patients whose translated images are left out.
    test_images
        Images that must not have been translated.

    Raises
    ------
    InputError
        There are fewer than `count`, one stems from a test image, or a label is no class.
    """
    if len(synthetic) < count:
        raise InputError(f"{count} synthetic images are asked for, there are {len(synthetic)}")
    first = synthetic.iloc[:count]
    leaked = first.loc[first["source_image_id"].isin(list(test_images))]
    if not leaked.empty:
        raise InputError(
            f"synthetic image {leaked['image_id'].iloc[0]} was made from the test image "
            f"{leaked['source_image_id'].iloc[0]}: make the synthetic images anew for this split"
        )
    unknown = set(first["label"]) - set(classes)
    if unknown:
        raise InputError(f"synthetic images have the labels {sorted(unknown)}, not in {classes}")
    kept = first.loc[~first["patient_id"].isin(list(validation_patients))]
    return Sample(kept["image_id"].tolist(), class_positions(kept["label"], classes))
