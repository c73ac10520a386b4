"""The usual script against this workflow: time for each trained model at the study's protocol.

Usual (what tutorials and the paper do): a frozen network of `keras.applications`, pooling and a new
head; `fit` on a generator that draws a fresh view of each image in every epoch and validates after
it; one fold after another. Its images lie decoded in memory and its views are made beside the
network. Ours: features of the images and of some views of each once per backbone, of all folds and
augmentations; then a training job for each head, a process that loads TensorFlow and writes the
whole model.

Both take turns, so that other work on the machine slows both; CPU seconds, which count the work and
not the waiting, stand beside the wall clock. The usual epochs are timed on whole
batches of a sample, as are our extracted images; each is multiplied up by the numbers of images
of the study. Our training jobs run whole, and count one after the other, though on two cores two
run at a time. Weights are random: the time does not depend on them.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
import yaml

from covidcxr.classify import train
from covidcxr.config import complete, read_schema
from covidcxr.data.tables import MANIFEST_COLUMNS
from covidcxr.features.augment import Transform, augmented_view, magnified
from covidcxr.features.backbone import build_backbone, initialise_weights
from covidcxr.features.features import build_extractor, extract, feature_rows

SIZE = 224
BATCHES = {"VGG16": 6, "ResNet50": 16, "EfficientNetB0": 32}
"""Of the usual script in a round, for rounds of similar length."""
CLASSES = ("covid", "normal", "pneumonia")
TRAINING, TEST, FOLDS = 593, 149, 5
USABLE_SYNTHETIC = 80
"""Of the 100 synthetic images those that were not made of a patient of the validation fold."""


@dataclass(frozen=True)
class Study:
    """The numbers of images that a trained model sees, and the epochs of its training."""

    synthetic: int
    epochs: int

    @property
    def training(self) -> int:
        """Images of the training folds."""
        return TRAINING * (FOLDS - 1) // FOLDS + self.synthetic

    @property
    def validation(self) -> int:
        """Images of the validation fold."""
        return TRAINING - TRAINING * (FOLDS - 1) // FOLDS


# ------------------------------------------------------------------ the usual script


def usual_model(
    backbone: keras.Model, classes: int, dense_units: int, dropout: float
) -> keras.Model:
    """Return the classifier as a script writes it, compiled: frozen backbone, pooling, new head."""
    backbone.trainable = False
    x = keras.layers.GlobalAveragePooling2D()(backbone.output)
    x = keras.layers.Dense(dense_units, activation="relu")(x)
    x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Dense(classes, activation="softmax")(x)
    model = keras.Model(backbone.input, x)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def usual_data(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    transform: Transform,
    batch_size: int,
) -> tf.data.Dataset:
    """Return shuffled batches, each image in a random view that is new in every epoch."""
    turn = transform["rotation"] / 360
    augment = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(turn, fill_mode="nearest"),
            keras.layers.RandomTranslation(
                transform["height_shift"], transform["width_shift"], fill_mode="nearest"
            ),
        ]
    )
    data = tf.data.Dataset.from_tensor_slices((images[..., None], labels))
    return (
        data.shuffle(len(images))
        .batch(batch_size)
        .map(
            lambda x, y: (augment(tf.cast(x, tf.float32), training=True), y),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


# ------------------------------------------------------------------ the measurement


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Return the wall-clock and the CPU seconds of a call, ended child processes included."""
    start, cpu = time.perf_counter(), cpu_seconds()
    run()
    return time.perf_counter() - start, cpu_seconds() - cpu


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def noise(number: int) -> npt.NDArray[np.uint8]:
    """Return random images, uint8 [number, SIZE, SIZE]."""
    return np.random.default_rng(0).integers(0, 256, (number, SIZE, SIZE), np.uint8)


def write_job(folder: Path, channels: int, views: int) -> None:
    """Write what a training job reads: features of random numbers, and tables."""
    rng = np.random.default_rng(0)
    count = TRAINING + TEST
    names = [f"image-{k}" for k in range(count)]
    table = pd.DataFrame("", index=range(count), columns=list(MANIFEST_COLUMNS)).assign(
        image_id=names,
        path=names,
        label=[CLASSES[k % len(CLASSES)] for k in range(count)],
        patient_id=[f"s:{k}" for k in range(count)],
        source="s",
        site="s",
        day=np.nan,
        age=np.nan,
        sha256=[f"{k:064x}" for k in range(count)],
    )
    table.to_csv(folder / "manifest.csv", index=False)
    trains = np.arange(count) < TRAINING
    fold = pd.Series(np.arange(count) % FOLDS, dtype="Int64").where(trains)
    split = pd.DataFrame({"image_id": names, "split": np.where(trains, "train", "test")})
    split.assign(fold=fold).to_csv(folder / "split.csv", index=False)
    feature_rows(names, set(names[:TRAINING])).to_csv(folder / "rows.csv", index=False)
    np.save(folder / "clean.npy", rng.random((count, channels), np.float32))
    np.save(folder / "views.npy", rng.random((TRAINING, views, channels), np.float32))


def train_job(folder: Path, name: str, settings: dict[str, Any]) -> None:
    """Train a head as a job of the workflow does."""
    train.run(
        "",
        [str(folder / part) for part in ("clean.npy", "views.npy", "rows.csv")],
        [str(folder / part) for part in ("manifest.csv", "split.csv")],
        [],
        *(str(folder / out) for out in ("head.keras", "history.csv", "predictions.csv")),
        settings={"classes": CLASSES, "synthetic": 0, "seed": 0, **settings},
        wildcards={
            "population": "study",
            "backbone": name,
            "augmentation": "v1",
            "fold": "fold0",
        },
        threads=1,
    )


def run_job(folder: Path, name: str, settings: dict[str, Any]) -> None:
    """Run `train_job` in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(train_job, folder, name, settings).result()


@dataclass(frozen=True)
class Measured:
    """Seconds: of an image in the usual training and validation, in ours, and of a training job."""

    usual_training: float
    usual_validation: float
    view: float
    image: float
    job: float


def measure(
    name: str, settings: dict[str, Any], transform: Transform, views: int, rounds: int
) -> tuple[Measured, Measured]:
    """Time both ways by turns: wall clock and CPU, each the median of the rounds."""
    batch, batches = settings["batch_size"], BATCHES.get(name, 16)
    backbone = build_backbone(name, SIZE)
    initialise_weights(backbone, 0)
    extractor = build_extractor(backbone, "head", 32)
    sample = noise(batches * batch)
    labels = np.arange(len(sample)) % len(CLASSES)
    few = noise(-(-batches // 4) * batch)
    films = noise(max(32, 32 * (len(sample) // 32)))

    def extract_views() -> None:
        fine = [magnified(film) for film in films[: max(1, len(films) // 8)]]

        def view(k: int) -> npt.NDArray[np.uint8]:
            return augmented_view(fine[k // 8 % len(fine)], "image", k, transform, 1)

        for _ in extract(extractor, len(films), view, name):
            pass

    def extract_images() -> None:
        for _ in extract(extractor, 32, lambda k: films[k], name):
            pass

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_job(folder, int(backbone.output_shape[-1]), views)
        model = usual_model(backbone, len(CLASSES), settings["dense_units"], settings["dropout"])
        data = usual_data(sample, labels, transform, batch)
        held = tf.data.Dataset.from_tensor_slices(
            (few[..., None].astype(np.float32), labels[: len(few)])
        ).batch(batch)

        runs: dict[str, Callable[[], object]] = {
            "job": lambda: run_job(folder, name, settings),
            "usual_training": lambda: model.fit(data, verbose=0),
            "view": extract_views,
            "usual_validation": lambda: model.evaluate(held, verbose=0),
            "image": extract_images,
        }
        for key, run in runs.items():  # graphs are built here; a job builds its own each time
            if key != "job":
                run()
        times: dict[str, list[tuple[float, float]]] = {key: [] for key in runs}
        for _ in range(rounds):
            for key, run in runs.items():
                times[key].append(seconds(run))
    each = {key: np.median(values, axis=0) for key, values in times.items()}
    wall, cpu = (
        Measured(
            float(each["usual_training"][clock] / len(sample)),
            float(each["usual_validation"][clock] / len(few)),
            float(each["view"][clock] / len(films)),
            float(each["image"][clock] / 32),
            float(each["job"][clock]),
        )
        for clock in (0, 1)
    )
    return wall, cpu


def usual_seconds(measured: Measured, epochs: int) -> float:
    """Return the seconds of a trained model of the usual script, the mean of v1 and v2."""
    models = [Study(synthetic, epochs) for synthetic in (0, USABLE_SYNTHETIC)]
    return float(
        np.mean(
            [
                epochs
                * (
                    model.training * measured.usual_training
                    + model.validation * measured.usual_validation
                )
                + (model.validation + TEST) * measured.usual_validation
                for model in models
            ]
        )
    )


def our_seconds(measured: Measured, views: int, synthetic: int = 100) -> float:
    """Return the seconds of a trained model of ours: its share of the extraction, and its job."""
    extraction = (TRAINING + TEST + synthetic) * measured.image + (
        TRAINING + synthetic
    ) * views * measured.view
    return extraction / (2 * FOLDS) + measured.job


def lines(name: str, wall: Measured, cpu: Measured, epochs: int, few: int) -> Iterator[str]:
    """Yield a row of the table for views = epochs and one for few views."""
    for views in (epochs, few):
        usual, ours = usual_seconds(wall, epochs), our_seconds(wall, views)
        yield (
            f"| {name} | {1e3 * wall.usual_training:.0f} | {1e3 * wall.view:.0f} | "
            f"{wall.job:.1f} | {views} | {usual:,.0f} | {ours:,.1f} | {usual / ours:.1f} | "
            f"{usual_seconds(cpu, epochs) / our_seconds(cpu, views):.1f} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=["VGG16", "ResNet50", "EfficientNetB0"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    study = complete(
        yaml.safe_load(Path("config/config.yaml").read_text()),
        read_schema("workflow/schemas/config.schema.yaml"),
    )
    tf.config.threading.set_intra_op_parallelism_threads(chosen.threads)
    settings = study["training"]
    print(
        "| backbone | usual: ms a training image | ours: ms a view | ours: s a job | views | "
        "usual: s a model | ours: s a model | ratio | ratio of CPU seconds |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    for name in chosen.backbones:
        wall, cpu = measure(name, settings, study["transform"], chosen.views, chosen.rounds)
        for line in lines(name, wall, cpu, settings["epochs"], chosen.views):
            print(line, flush=True)


if __name__ == "__main__":
    main()
