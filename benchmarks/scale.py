"""Time and memory against the number of images: duplicate search, splits, decoding, features.

Each row runs in a process of its own, so that its peak memory is its own. Steps whose time is that
of each image are measured on samples; a line fitted to them tells the rest.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from covidcxr.data import images
from covidcxr.data.examination import examine_image
from covidcxr.data.holdout import choose_holdout
from covidcxr.data.same_image import same_images
from covidcxr.data.sampling import sampling_order
from covidcxr.data.split import assign_folds


def search(number: int) -> None:
    """Sketch random pictures, and look for the same one among all."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (number, 24, 24), np.uint8)
    same_images([cv2.resize(picture, (256, 256)) for picture in small])


def split(number: int) -> None:
    """Draw test set and five folds of `number` patients with one or more images each."""
    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(number), rng.geometric(0.6, number))
    table = pd.DataFrame({"patient_id": [f"s:{k}" for k in images]})
    table["image_id"] = [f"i{k}" for k in range(len(table))]
    table["label"] = np.array(["covid", "normal", "pneumonia"])[rng.integers(0, 3, number)[images]]
    holdout = choose_holdout(table, unit="patient", test=0.2, seed=0)
    assign_folds(table[holdout["split"] == "train"], unit="patient", folds=5, seed=0)


def order(number: int) -> None:
    """Give each candidate its place in the draw."""
    sampling_order(pd.DataFrame({"key": [str(k) for k in range(number)]}), "s", 0)


def examine(number: int) -> None:
    """Decode and sketch `number` films (one file, again and again)."""
    with tempfile.TemporaryDirectory() as folder:
        path = film(Path(folder))
        for _ in range(number):
            examine_image(path)


def decode(number: int) -> None:
    """Decode `number` films into one array on disk, 224 px."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "manifest.csv"
        pd.DataFrame({"path": [str(film(Path(folder)))] * number}).to_csv(table, index=False)
        images.run(table, Path(folder) / "images.npy", size=224, threads=2)


def features(number: int) -> None:
    """Extract features of `number` images of 224 px, EfficientNetB0 with random weights."""
    from covidcxr.features import backbone, external_features

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = str(folder / "backbone.keras")
        summary = str(folder / "backbone.json")
        backbone.run(None, network, summary, backbone="EfficientNetB0", size=224, seed=0)
        images = np.lib.format.open_memmap(
            folder / "images.npy", mode="w+", dtype=np.uint8, shape=(number, 224, 224)
        )
        images.flush()
        external_features.run(
            network,
            str(folder / "images.npy"),
            str(folder / "features.npy"),
            trainable="head",
            mixed_precision=False,
            threads=2,
        )


def film(folder: Path) -> Path:
    """Write a film of 512 px."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    cv2.imwrite(str(folder / "film.png"), cv2.resize(noise, (512, 512)))
    return folder / "film.png"


TASKS: dict[str, tuple[Callable[[int], None], tuple[int, ...]]] = {
    "search for the same image": (search, (1_000, 10_000)),
    "test set and folds, patients": (split, (1_000, 10_000, 100_000)),
    "order of the draw": (order, (1_000, 10_000, 100_000)),
    "decode and sketch": (examine, (100, 1_000)),
    "decode into the array": (decode, (100, 1_000, 10_000)),
    "features, start of TensorFlow included": (features, (250, 1_000, 2_000)),
}
SAMPLED = ("decode and sketch", "decode into the array", "features, start of TensorFlow included")


def measured(task: Callable[[int], None], number: int) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory in MB."""
    start, cpu = time.perf_counter(), time.process_time()
    task(number)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.perf_counter() - start, time.process_time() - cpu, peak


def main() -> None:
    """Print one line for each task and number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=100_000, help="largest number of images")
    most = parser.parse_args().most
    context = multiprocessing.get_context("spawn")
    print("| step | images | seconds | CPU seconds | peak MB |\n|---|---|---|---|---|")
    for name, (task, numbers) in TASKS.items():
        done: list[tuple[int, float]] = []
        for number in (number for number in numbers if number <= most):
            with ProcessPoolExecutor(1, context) as pool:
                wall, cpu, peak = pool.submit(measured, task, number).result()
            print(f"| {name} | {number:,} | {wall:.2f} | {cpu:.2f} | {peak:.0f} |", flush=True)
            done.append((number, wall))
        if name in SAMPLED and len(done) > 1:
            slope, start = np.polyfit([n for n, _ in done], [wall for _, wall in done], 1)
            print(f"| {name} | {most:,} | {start + slope * most:.0f} by the fitted line | | |")


if __name__ == "__main__":
    main()
