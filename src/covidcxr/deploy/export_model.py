"""Export to LiteRT (TensorFlow Lite) in three precisions, held against the run's predictions."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from covidcxr.array_types import Grey, Integers, Singles
from covidcxr.classify.predictions import ENSEMBLE, completed, probabilities_of, read_file
from covidcxr.data.tables import class_positions, read_images, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import share_interval
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.runtime import configure, frozen
from covidcxr.seeding import generator, integer_seed

FORMATS = ("float32", "float16", "int8")
COMPARED = ["format", "n", "accuracy", "low", "high", "agreement", "largest_difference", "changed"]
CALIBRATION = 100
"""Training images at most that the ranges of int8 are taken from."""

TIMED = 20
"""Test images at most on which the Keras model is timed."""

BYTES_PER_MB = 1e6


def convert(graph: Any, precision: str, calibration: Grey) -> bytes:
    """Convert a model to LiteRT.

    Parameters
    ----------
    graph
        The model, `frozen` for one image of float32: the converter would freeze it by way of a
        saved model, slower, and calibration fails on what is left of the variables.
    precision
        `float32`; `float16`, weights of half the size; `int8`, weights and activations in eight
        bits, their ranges from `calibration`. Input and output are float32 in all three.
    calibration
        uint8 [n, size, size], training images.

    Returns
    -------
    A `.tflite` file: float32 [1, size, size, 1] in 0..255 -> float32 [1, classes].

    Raises
    ------
    InputError
        The precision is none of the three, or the converter cannot express the network.
    """
    if precision not in FORMATS:
        raise InputError(f"export: {precision!r} is unknown; there are {', '.join(FORMATS)}")

    def representative() -> Iterator[list[Singles]]:
        for image in calibration:
            yield [image[None, ..., None].astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    elif precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    try:
        return bytes(converter.convert())
    # The converter raises what its compiler raises.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"the model cannot be exported to LiteRT {precision}: {reason}") from error


def litert_runner(content: bytes, threads: int) -> Callable[[Grey], Singles]:
    """Return the function of a `.tflite` file: image uint8 [size, size] -> float32 [classes]."""
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]

    def run(image: Grey) -> Singles:
        interpreter.set_tensor(given, image[None, ..., None].astype(np.float32))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(result)[0], np.float32)

    return run


def keras_runner(model: keras.Model) -> Callable[[Grey], Singles]:
    """Return the same function of the Keras model, as a TensorFlow graph."""
    graph = tf.function(lambda batch: model(batch, training=False))

    def run(image: Grey) -> Singles:
        return np.asarray(graph(tf.constant(image[None, ..., None], tf.float32))[0], np.float32)

    return run


def timed(run: Callable[[Grey], Singles], images: Grey, name: str) -> tuple[Singles, float]:
    """Return what images [n, size, size] give, [n, classes], and the median milliseconds of one.

    The first runs once before, as it pays for set-up.
    """
    run(images[0])
    scores, seconds = [], []
    for image in progress(images, desc=name):
        start = time.perf_counter()
        scores.append(run(image))
        seconds.append(time.perf_counter() - start)
    return np.array(scores), 1000 * statistics.median(seconds)


def compare(
    scores: Mapping[str, Singles],
    truth: Integers,
    patients: Sequence[str],
    rng: Callable[[], np.random.Generator],
) -> pd.DataFrame:
    """Hold exported models against the Keras model that they were made from.

    Parameters
    ----------
    scores
        Probabilities [n, classes] by format; `keras` among them.
    truth
        int64 [n], the images' classes.
    patients
        Patient of each image.
    rng
        Gives the generator in the same state each time, so that all see the same resamples.

    Returns
    -------
    DataFrame
        format, n, accuracy, low, high (95 %, by patient), agreement (share of the images given
        the same class as by Keras), largest_difference (of a probability), changed (1 where the
        accuracy lies outside the Keras model's interval).
    """
    reference = scores["keras"]
    _, low, high = share_interval(reference.argmax(axis=1) == truth, patients, rng())
    records = []
    for name, own in scores.items():
        classes = own.argmax(axis=1)
        found = share_interval(classes == truth, patients, rng())
        agreement = float((classes == reference.argmax(axis=1)).mean())
        changed = int(not low <= found.estimate <= high)
        difference = float(np.abs(own - reference).max())
        records.append((name, len(truth), *found, agreement, difference, changed))
    return pd.DataFrame(records, columns=COMPARED)


def run(
    model: str | Path,
    study: Sequence[str | Path],
    predictions: Sequence[str | Path],
    files: Sequence[str | Path],
    table: str | Path,
    *,
    classes: Sequence[str],
    seed: int,
    threads: int,
    backbone: str,
    augmentation: str,
) -> None:
    """Export a model in three precisions and measure each on the test set.

    Parameters
    ----------
    model
        Complete model or ensemble (`.keras`).
    study
        `manifest.csv`, `split.csv` and the images uint8 [n, size, size].
    predictions
        What the folds' models predict: their mean is what the model says of a test image.
    files
        The `.tflite` files to write, in the order of `FORMATS`.
    table
        CSV to write: backbone, augmentation and the columns of `compare` with size_mb (1e6 bytes)
        and milliseconds (median for one image alone on this processor, with `threads` threads).
    """
    configure(threads=threads, seed=integer_seed(seed, "litert"))
    manifest, split, images = study
    rows = read_images(manifest, split)
    pixels = np.load(images, mmap_mode="r")
    tests = np.flatnonzero((rows["split"] == "test").to_numpy())
    training = np.flatnonzero((rows["split"] == "train").to_numpy())
    sampled = generator(seed, "litert calibration").permutation(training)[:CALIBRATION]
    network = keras.models.load_model(model, compile=False)
    shown = np.asarray(pixels[tests])
    graph = frozen(network, 1, tf.float32)
    whole = completed(pd.concat([read_file(path, classes) for path in predictions]), classes)
    own = whole[(whole["model"] == ENSEMBLE) & (whole["set"] == "test")].set_index("image_id")
    said = probabilities_of(own.loc[rows["image_id"].iloc[tests]], classes).astype(np.float32)
    _, median = timed(keras_runner(network), shown[:TIMED], "keras")
    measured = {"keras": (said, median)}
    sizes = {"keras": Path(model).stat().st_size}
    for name, path in zip(FORMATS, files, strict=True):
        content = convert(graph, name, np.asarray(pixels[sampled]))
        with atomic(path) as temporary:
            temporary.write_bytes(content)
        measured[name] = timed(litert_runner(content, threads), shown, name)
        sizes[name] = len(content)
    found = compare(
        {name: scores for name, (scores, _) in measured.items()},
        class_positions(rows["label"].iloc[tests], classes),
        rows["patient_id"].iloc[tests].tolist(),
        lambda: generator(seed, "litert intervals"),
    )
    found.insert(0, "backbone", backbone)
    found.insert(1, "augmentation", augmentation)
    found["size_mb"] = found["format"].map(sizes) / BYTES_PER_MB
    found["milliseconds"] = [median for _, median in measured.values()]
    write_table(found, table)
