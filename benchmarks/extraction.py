"""Feature extraction: the frozen graph against the plain one, the machine's peak, and the views.

Random weights; the time of a forward pass does not depend on their values.
"""

import argparse
import time
from collections.abc import Callable
from functools import lru_cache

import cv2
import keras
import numpy as np
import tensorflow as tf

from covidcxr.features.augment import Transform, augmented_view, magnified
from covidcxr.features.backbone import build_backbone, split_backbone
from covidcxr.features.features import build_extractor, extract

SIZE, BATCH = 224, 32
TRANSFORM: Transform = {
    "rotation": 5,
    "width_shift": 0.05,
    "height_shift": 0.05,
    "horizontal_flip": True,
    "vertical_flip": False,
}


def fastest(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the shortest of `rounds` times of each in seconds; they take turns."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def peak(rounds: int) -> float:
    """Return the rate of a large convolution (3 x 3, 256 channels, 56 x 56) in GFLOP/s."""
    layer = keras.layers.Conv2D(256, 3, padding="same")
    data = tf.random.normal((BATCH, 56, 56, 256))
    graph = tf.function(layer)
    seconds = fastest({"": lambda: graph(data).numpy()}, rounds)[""]
    return 2 * BATCH * 56 * 56 * 256 * 256 * 9 / seconds / 1e9


def operations(model: keras.Model) -> int:
    """Return the floating-point operations of one image's forward pass through convolutions."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            height, width = layer.output.shape[1:3]
            total += 2 * height * width * int(np.prod(layer.kernel.shape))
    return total


def compared(name: str, batch: np.ndarray, rate: float, rounds: int) -> str:
    """Return a line on a backbone: both graphs' milliseconds, and the share of `rate` GFLOP/s."""
    backbone = build_backbone(name, SIZE)
    model, _ = split_backbone(backbone, "head")
    plain = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec((BATCH, SIZE, SIZE, 1), tf.uint8)],
    )
    frozen = build_extractor(backbone, "head", BATCH)
    seconds = fastest(
        {"plain": lambda: plain(batch).numpy(), "frozen": lambda: frozen.run(batch)}, rounds
    )
    each = {key: value / BATCH * 1e3 for key, value in seconds.items()}
    used = operations(backbone) / each["frozen"] / 1e6 / rate
    return (
        f"{name}: plain {each['plain']:.1f}, frozen {each['frozen']:.1f} ms an image "
        f"(x{each['plain'] / each['frozen']:.2f}), {100 * used:.0f} % of the peak"
    )


def beside_the_network(name: str, batches: int, rounds: int) -> str:
    """Return a line on extraction with ten views an image against the bare forward passes."""
    extractor = build_extractor(build_backbone(name, SIZE), "head", BATCH)
    films = np.random.default_rng(0).integers(0, 256, (batches * BATCH, SIZE, SIZE), np.uint8)

    @lru_cache(maxsize=1)
    def fine(row: int) -> np.ndarray:
        return magnified(films[row])

    def view(k: int) -> np.ndarray:
        return augmented_view(fine(k // 10), "image", k % 10, TRANSFORM, 1)

    def bare() -> None:
        for start in range(0, len(films), BATCH):
            extractor.run(films[start : start + BATCH, ..., None])

    def views() -> None:
        for _ in extract(extractor, len(films), view, name):
            pass

    # Single passes differ by a tenth: quartiles of many pairs, and the processors' share.
    pairs = [(spent(bare), spent(views)) for _ in range(5 * rounds + 1)][1:]
    ratios = np.array([np.divide(second, first) for first, second in pairs]) - 1
    low, clock, high = 100 * np.percentile(ratios[:, 0], [25, 50, 75])
    return (
        f"{name}: {len(films)} views, ten an image, cost {clock:+.1f} % of the bare passes by the "
        f"clock (quartiles of {len(pairs)} pairs {low:+.1f} to {high:+.1f}), "
        f"{100 * np.median(ratios[:, 1]):+.1f} % by CPU seconds, first preparation included"
    )


def spent(run: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds and CPU seconds of a run."""
    began, worked = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - worked


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, SIZE, SIZE), np.uint8)
    rate = peak(rounds)
    print(f"peak of a convolution: {rate:.0f} GFLOP/s")
    start = time.process_time()
    for image in images:
        fine = magnified(image)
        for view in range(10):
            augmented_view(fine, "image", view, TRANSFORM, 1)
    view_ms = (time.process_time() - start) / BATCH / 10 * 1e3
    print(f"a view of ten, magnification included: {view_ms:.2f} ms of one core")
    for name in ("VGG16", "ResNet50", "EfficientNetB0"):
        print(compared(name, images[..., None], rate, rounds), flush=True)
    # The fastest network leaves the views least time.
    print(beside_the_network("EfficientNetB0", 8, rounds), flush=True)


if __name__ == "__main__":
    main()
