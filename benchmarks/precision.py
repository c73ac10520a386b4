"""Time a CycleGAN step and a feature extraction with and without half precision and XLA.

The variants take turns in one process, so that what else the machine does hits all alike.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import tensorflow as tf
import yaml

from covidcxr.config import complete, read_schema
from covidcxr.cyclegan.cyclegan import AUGMENTED, CycleGANSettings, build_networks, make_steps
from covidcxr.features.backbone import build_backbone, initialise_weights
from covidcxr.features.features import build_extractor
from covidcxr.runtime import configure


def cyclegan_step(size: int, filters: int, *, mixed: bool, xla: bool) -> Callable[[], None]:
    """Return one training step on noise; the demo's but for size and filters."""
    demo = yaml.safe_load(Path("config/demo.yaml").read_text())
    settings = complete(demo, read_schema("workflow/schemas/config.schema.yaml"))["cyclegan"]
    settings |= {"image_size": size, "filters": filters, "residual_blocks": 6}
    settings |= {"seed": 0, "mixed_precision": mixed, "xla": xla}
    options = CycleGANSettings(**{f.name: settings[f.name] for f in fields(CycleGANSettings)})
    steps = make_steps(build_networks(options), options)
    image = tf.random.uniform((1, size, size, 1), -1, 1, seed=0)
    random = tf.random.uniform((4, AUGMENTED), seed=0)

    def run() -> None:
        steps.translate(image, image, random[:, :2], tf.constant(0.99))
        steps.judge(image, image, image, image, random[:, 2:]).numpy()

    return run


def extraction(name: str, size: int, images: int, *, mixed: bool) -> Callable[[], None]:
    """Return one batch through a frozen backbone of random weights."""
    model = build_backbone(name, size)
    initialise_weights(model, 0)
    run = build_extractor(model, "head", images, mixed).run
    batch = np.random.default_rng(0).integers(0, 256, (images, size, size, 1), np.uint8)

    def once() -> None:
        run(batch)

    return once


def in_turn(variants: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each variant over rounds in turn, after one untimed round."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    configure(threads=options.threads, seed=0)
    switches = {
        "float32": {"mixed": False, "xla": False},
        "float32, XLA": {"mixed": False, "xla": True},
        "mixed": {"mixed": True, "xla": False},
    }
    steps = {name: cyclegan_step(64, 32, **flags) for name, flags in switches.items()}
    for name, seconds in in_turn(steps, options.rounds).items():
        print(f"CycleGAN step, 64 px, 32 filters, {name}: {seconds:.3f} s")
    for backbone in ("VGG16", "EfficientNetB0"):
        passes = {
            name: extraction(backbone, 224, 8, mixed=mixed)
            for name, mixed in (("float32", False), ("mixed", True))
        }
        for name, seconds in in_turn(passes, 3).items():
            print(f"{backbone}, 224 px, batch of 8, {name}: {seconds / 8 * 1000:.0f} ms an image")


if __name__ == "__main__":
    main()
