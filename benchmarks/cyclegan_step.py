"""Seconds of a CycleGAN training step: ours against plain Keras, in one process, taking turns.

The plain one has the structure of Keras' published CycleGAN example: a `keras.Model` whose
`train_step` calls every generator and discriminator by itself, takes the four gradients from one
persistent tape and applies them with four optimizers. Both train the same networks on the same
images, one at a time. Ours does more: it augments what the discriminators see, keeps a pool of past
images and averages the generators' weights.

    python benchmarks/cyclegan_step.py --size 64 --filters 32 --blocks 6 --steps 30

With `--each`, what every single part of `covidcxr.cyclegan.fast` saves: our step with all of them,
without one, and without any. CPU seconds are those of all threads; on a machine that does
other work too they say more than the clock.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import fields, replace

import keras
import numpy as np
import tensorflow as tf

from covidcxr.cyclegan import cyclegan as ours
from covidcxr.cyclegan import losses
from covidcxr.cyclegan.fast import FAST
from covidcxr.cyclegan.networks import PLAIN, Blocks, build_discriminator, build_generator
from covidcxr.cyclegan.pool import ImagePool
from covidcxr.runtime import configure

BLOCK = 5
"""Steps that one of the two does before the other has its turn."""
SEED = 1


class PlainCycleGAN(keras.Model):
    """CycleGAN as in Keras' example: least-squares, cycle and identity losses."""

    def __init__(self, settings: ours.CycleGANSettings) -> None:
        super().__init__()
        self.settings = settings
        shape = settings.image_size, settings.filters
        self.forward_gan, self.backward_gan = (
            build_generator(*shape, settings.residual_blocks, seed=seed) for seed in (1, 2)
        )
        self.of_source, self.of_target = (build_discriminator(*shape, seed=s) for s in (3, 4))
        self.optimizers = [
            keras.optimizers.Adam(settings.learning_rate, beta_1=ours.BETA_1) for _ in range(4)
        ]

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Do one step on a source and a target image."""
        source, target = data
        g, f, dx, dy = self.forward_gan, self.backward_gan, self.of_source, self.of_target
        with tf.GradientTape(persistent=True) as tape:
            fake_target, fake_source = g(source, training=True), f(target, training=True)
            cycled_source = f(fake_target, training=True)
            cycled_target = g(fake_source, training=True)
            same_source, same_target = f(source, training=True), g(target, training=True)
            real_x, fake_x = dx(source, training=True), dx(fake_source, training=True)
            real_y, fake_y = dy(target, training=True), dy(fake_target, training=True)
            cycle = self.settings.cycle_weight
            identity = self.settings.identity_weight
            loss_g = (
                losses.adversarial_loss(fake_y)
                + cycle * losses.absolute_difference(cycled_target, target)
                + identity * losses.absolute_difference(same_target, target)
            )
            loss_f = (
                losses.adversarial_loss(fake_x)
                + cycle * losses.absolute_difference(cycled_source, source)
                + identity * losses.absolute_difference(same_source, source)
            )
            loss_x = losses.discriminator_loss(real_x, fake_x)
            loss_y = losses.discriminator_loss(real_y, fake_y)
        total = (loss_g, loss_f, loss_x, loss_y)
        for loss, model, optimizer in zip(total, (g, f, dx, dy), self.optimizers, strict=True):
            weights = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"forward": loss_g, "backward": loss_f, "source": loss_x, "target": loss_y}


def plain_runner(
    settings: ours.CycleGANSettings, images: tuple[np.ndarray, np.ndarray]
) -> Callable[[int], None]:
    """Return what does a number of plain steps, as one graph."""
    model = PlainCycleGAN(settings)
    model.compile()
    source, target = (
        (part[:, : settings.image_size, : settings.image_size, None] / np.float32(127.5) - 1)
        for part in images
    )
    graph = tf.function(model.train_step)

    def run(steps: int) -> None:
        for i in range(steps):
            k = i % len(source)
            graph((tf.constant(source[k : k + 1]), tf.constant(target[k : k + 1])))

    return run


def our_runner(
    settings: ours.CycleGANSettings,
    images: tuple[np.ndarray, np.ndarray],
    blocks: Blocks = FAST,
) -> Callable[[int], None]:
    """Return what does a number of our steps, drawing, cropping and pool included."""
    steps = ours.make_steps(ours.build_networks(settings, blocks), settings)
    pools = ImagePool(settings.pool_size), ImagePool(settings.pool_size)

    def run(count: int) -> None:
        for i in range(count):
            ours.advance(i, steps, images, pools, settings)

    return run


def runners_of_each(
    settings: ours.CycleGANSettings, images: tuple[np.ndarray, np.ndarray]
) -> dict[str, Callable[[int], None]]:
    """Return our step with all that `fast` has, without each part of it, and without any."""
    without = {
        f"without {field.name}": replace(FAST, **{field.name: getattr(PLAIN, field.name)})
        for field in fields(Blocks)
    }
    variants = {"ours": FAST, **without, "without any": PLAIN}
    return {name: our_runner(settings, images, blocks) for name, blocks in variants.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--steps", type=int, default=30, help="steps of each, timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--each", action="store_true", help="what every part of ours saves")
    options = parser.parse_args()
    configure(threads=options.threads, seed=SEED)
    settings = ours.CycleGANSettings(
        source_class="a", target_class="b", image_size=options.size, iterations=10**6,
        decay_from=0.5, filters=options.filters, residual_blocks=options.blocks,
        learning_rate=2e-4, cycle_weight=10.0, identity_weight=5.0, pool_size=50,
        ema_decay=0.999, checkpoint_every=10**6, seed=SEED,
    )  # fmt: skip
    rng = np.random.default_rng(SEED)
    side = options.size + options.size // 8
    source, target = rng.integers(0, 256, (2, 8, side, side), dtype=np.uint8)
    images = (source, target)
    if options.each:
        runners = runners_of_each(settings, images)
    else:
        runners = {
            "plain Keras": plain_runner(settings, images),
            "ours": our_runner(settings, images),
        }
    for name, run in runners.items():
        began, worked = time.perf_counter(), time.process_time()
        run(1)
        took = time.perf_counter() - began, time.process_time() - worked
        print(f"{name}: first step, tracing included, {took[0]:.1f} s, CPU {took[1]:.1f} s")
        run(1)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    for _ in range(max(1, options.steps // BLOCK)):
        for name, run in runners.items():
            began, worked = time.perf_counter(), time.process_time()
            run(BLOCK)
            took = time.perf_counter() - began, time.process_time() - worked
            seconds[name].append((took[0] / BLOCK, took[1] / BLOCK))
    first = np.array(next(iter(seconds.values())))
    for name, pairs in seconds.items():
        taken = np.array(pairs)
        clock, cpu = np.median(taken, axis=0)
        lowest, highest = taken[:, 0].min(), taken[:, 0].max()
        ahead, ahead_cpu = np.median(first / taken, axis=0)
        print(
            f"{name}: {clock:.3f} s a step (blocks {lowest:.3f}-{highest:.3f}), CPU {cpu:.3f} s; "
            f"{next(iter(seconds))} / this, block by block: {ahead:.2f}, CPU {ahead_cpu:.2f}"
        )


if __name__ == "__main__":
    main()
