"""Training of a CycleGAN between two classes of chest images (Zhu et al. 2017)."""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from covidcxr.cyclegan import checkpoint, losses
from covidcxr.cyclegan.fast import FAST, FusedAdam
from covidcxr.cyclegan.inputs import (
    Grey,
    Unit,
    position,
    random_crop,
    resize,
    seen_table,
    to_grey_values,
    to_unit_range,
    training_rows,
)
from covidcxr.cyclegan.networks import Blocks, build_discriminator, build_generator
from covidcxr.cyclegan.pool import Exchange, ImagePool
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.provenance import code_digest
from covidcxr.runtime import configure, set_precision
from covidcxr.seeding import generator, integer_seed

log = logging.getLogger("covidcxr")

BETA_1 = 0.5
LOG_EVERY = 10
SAMPLES = 8
AUGMENTED = (1, 1, 2, 2)
"""Images that a step augments: the new target and source image for the generators' losses, then a
real and a shown one for the source and for the target discriminator."""
LOSSES = (
    "adversarial_forward",
    "adversarial_backward",
    "cycle_source",
    "cycle_target",
    "identity_source",
    "identity_target",
    "discriminator_source",
    "discriminator_target",
)
"""Losses of a step, unweighted; `forward` is source to target, `backward` target to source."""


@dataclass(frozen=True)
class CycleGANSettings:
    """Settings of a training, the keys of `cyclegan` in the config; its schema explains them."""

    source_class: str
    target_class: str
    image_size: int
    iterations: int
    decay_from: float
    filters: int
    residual_blocks: int
    learning_rate: float
    cycle_weight: float
    identity_weight: float
    pool_size: int
    ema_decay: float
    checkpoint_every: int

    def __post_init__(self) -> None:
        if self.source_class == self.target_class:
            raise InputError(
                f"cyclegan.source_class and cyclegan.target_class are both '{self.source_class}'; "
                "name two classes"
            )


@dataclass(frozen=True)
class Networks:
    """All that is trained. `forward` translates source to target, `backward` target to source.

    The weights of both generators also stand in one vector, as do their moving averages and the
    weights of both discriminators. An optimizer updates its vector, and the models take their
    weights from it: a dozen operations a step, where a dozen for each of some hundred variables
    would take longer to trace and, on a GPU, to start.
    """

    forward: keras.Model
    backward: keras.Model
    source_discriminator: keras.Model
    target_discriminator: keras.Model
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    generator_weights: keras.Variable
    generator_average: keras.Variable
    discriminator_weights: keras.Variable

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """Trained variables of both generators."""
        return self.forward.trainable_variables + self.backward.trainable_variables

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """Trained variables of both discriminators."""
        models = (self.source_discriminator, self.target_discriminator)
        return [variable for model in models for variable in model.trainable_variables]

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that a step changes."""
        return [
            self.generator_weights,
            self.generator_average,
            self.discriminator_weights,
            *self.generator_optimizer.variables,
            *self.discriminator_optimizer.variables,
        ]


@dataclass(frozen=True)
class Batch:
    """What one step takes in; `augmentation` as `make_step` tells."""

    source: Unit
    target: Unit
    source_exchange: Exchange
    target_exchange: Exchange
    augmentation: Unit


def build_networks(
    settings: CycleGANSettings,
    seed: int,
    *,
    mixed_precision: bool,
    blocks: Blocks = FAST,
    adam: type[keras.optimizers.Adam] = FusedAdam,
) -> Networks:
    """Return networks with their initial weights, and optimizers whose variables exist already.

    To be saved, the weights of the networks of `blocks` move to plain ones: `averaged_generators`.
    """

    def translator(name: str) -> keras.Model:
        return build_generator(
            settings.image_size,
            settings.filters,
            settings.residual_blocks,
            seed=integer_seed(seed, "cyclegan", name),
            name=name,
            blocks=blocks,
        )

    def discriminator(name: str) -> keras.Model:
        return build_discriminator(
            settings.image_size,
            settings.filters,
            seed=integer_seed(seed, "cyclegan", name),
            name=name,
            blocks=blocks,
        )

    def optimizer() -> keras.optimizers.Optimizer:
        plain = adam(settings.learning_rate, beta_1=BETA_1)
        return keras.optimizers.LossScaleOptimizer(plain) if mixed_precision else plain

    forward, backward = translator("forward"), translator("backward")
    of_source, of_target = (
        discriminator("discriminator_source"),
        discriminator("discriminator_target"),
    )
    generator_weights = pack(forward.trainable_variables + backward.trainable_variables)
    discriminator_weights = pack(of_source.trainable_variables + of_target.trainable_variables)
    networks = Networks(
        forward=forward,
        backward=backward,
        source_discriminator=of_source,
        target_discriminator=of_target,
        generator_optimizer=optimizer(),
        discriminator_optimizer=optimizer(),
        generator_weights=keras.Variable(generator_weights, name="generators"),
        generator_average=keras.Variable(generator_weights, name="average"),
        discriminator_weights=keras.Variable(discriminator_weights, name="discriminators"),
    )
    networks.generator_optimizer.build([networks.generator_weights])
    networks.discriminator_optimizer.build([networks.discriminator_weights])
    if mixed_precision:
        for model in (forward, backward, of_source, of_target):
            set_precision(model, "mixed_float16")
    return networks


def pack(tensors: Sequence[Any]) -> tf.Tensor:
    """Return tensors or variables as one vector, float32 [sum of their sizes]."""
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)


def unpack(vector: tf.Tensor, variables: Sequence[keras.Variable]) -> None:
    """Assign the parts of `vector` to `variables`; undoes `pack`."""
    parts = tf.split(vector, [math.prod(variable.shape) for variable in variables])
    for variable, part in zip(variables, parts, strict=True):
        variable.assign(tf.reshape(part, variable.shape))


def make_step(
    networks: Networks, settings: CycleGANSettings, *, xla: bool
) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Return the training step, one graph for all losses and both optimizers.

    The step takes source and target image, float32 [1, size, size, 1]; the past image and whether
    to use it, for the source and for the target discriminator; the draws of `losses.augment` for
    the images of `AUGMENTED`, float32 [4, 6]; and the decay of the moving average. It returns the
    losses, float32 [8] in the order of `LOSSES`, and the new images: the target image translated
    to the source class and the source image translated to the target class, float32
    [1, size, size, 1].
    """
    n = networks

    def scores(discriminator: keras.Model, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        augmented = losses.augment(images, draws)
        return tf.cast(discriminator(augmented, training=True), tf.float32)

    def translate(model: keras.Model, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(images, training=True), tf.float32)

    @tf.function(jit_compile=xla, autograph=False)
    def step(
        source: tf.Tensor,
        target: tf.Tensor,
        past_source: tf.Tensor,
        use_past_source: tf.Tensor,
        past_target: tf.Tensor,
        use_past_target: tf.Tensor,
        augmentation: tf.Tensor,
        decay: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        draws = tf.split(augmentation, AUGMENTED, axis=1)
        with tf.GradientTape() as tape:
            # Instance normalisation knows no batch: translation and identity go through as one.
            made_target, same_target = tf.split(
                translate(n.forward, tf.concat([source, target], 0)), 2
            )
            made_source, same_source = tf.split(
                translate(n.backward, tf.concat([target, source], 0)), 2
            )
            back_source = translate(n.backward, made_target)
            back_target = translate(n.forward, made_source)
            parts = [
                losses.adversarial_loss(scores(n.target_discriminator, made_target, draws[0])),
                losses.adversarial_loss(scores(n.source_discriminator, made_source, draws[1])),
                losses.absolute_difference(back_source, source),
                losses.absolute_difference(back_target, target),
                losses.absolute_difference(same_source, source),
                losses.absolute_difference(same_target, target),
            ]
            total = (
                parts[0]
                + parts[1]
                + settings.cycle_weight * (parts[2] + parts[3])
                + settings.identity_weight * (parts[4] + parts[5])
            )
            scaled = n.generator_optimizer.scale_loss(total)
        generator_gradients = tape.gradient(scaled, n.generator_variables)

        shown_source = tf.where(use_past_source, past_source, made_source)
        shown_target = tf.where(use_past_target, past_target, made_target)
        with tf.GradientTape() as tape:
            for model, real, shown, chance in (
                (n.source_discriminator, source, shown_source, draws[2]),
                (n.target_discriminator, target, shown_target, draws[3]),
            ):
                both = scores(model, tf.concat([real, tf.stop_gradient(shown)], 0), chance)
                parts.append(losses.discriminator_loss(*tf.split(both, 2)))
            scaled = n.discriminator_optimizer.scale_loss(parts[6] + parts[7])
        discriminator_gradients = tape.gradient(scaled, n.discriminator_variables)

        for optimizer, gradients, weights, variables in (
            (
                n.generator_optimizer,
                generator_gradients,
                n.generator_weights,
                n.generator_variables,
            ),
            (
                n.discriminator_optimizer,
                discriminator_gradients,
                n.discriminator_weights,
                n.discriminator_variables,
            ),
        ):
            optimizer.apply([pack(gradients)], [weights])
            unpack(weights.value, variables)
        change = n.generator_weights.value - n.generator_average.value
        n.generator_average.assign_add((1.0 - decay) * change)
        return tf.stack(parts), made_source, made_target

    return step


def draw_batch(
    iteration: int,
    source: Grey,
    target: Grey,
    source_pool: ImagePool,
    target_pool: ImagePool,
    size: int,
    seed: int,
) -> Batch:
    """Return the inputs of step `iteration`, which follow from it, `seed` and the pools alone."""
    rng = generator(seed, "cyclegan", iteration)
    return Batch(
        source=random_crop(source[position(iteration, len(source), seed, "source")], size, rng),
        target=random_crop(target[position(iteration, len(target), seed, "target")], size, rng),
        source_exchange=source_pool.draw(rng),
        target_exchange=target_pool.draw(rng),
        augmentation=rng.random((4, sum(AUGMENTED)), np.float32),
    )


def train_cyclegan(
    images: str | Path,
    manifest: str | Path,
    holdout: str | Path,
    output_generator: str | Path,
    output_backward: str | Path,
    losses_csv: str | Path,
    samples_png: str | Path,
    seen_csv: str | Path,
    *,
    left_out_fold: int | None = None,
    checkpoints: str | Path,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    mixed_precision: bool = False,
    xla: bool = False,
) -> None:
    """Train a CycleGAN on the training images of two classes.

    An interrupted training goes on from its last checkpoint and gives, on a CPU bit for bit, the
    same result as one that was not.

    Parameters
    ----------
    images
        `images/frames.npy`, uint8 [n, size, size].
    manifest, holdout
        Tables of the images; only images whose split is `train` are used.
    output_generator, output_backward
        `.keras` files to write: source to target class, and target to source class; both float32
        [n, s, s, 1] in [-1, 1] to the same, with the moving average of the trained weights.
    losses_csv
        Table to write: `iteration`, `learning_rate` and the `LOSSES`, means over ten steps.
    samples_png
        Picture to write; rows are source images, translated, translated back, and target images.
    seen_csv
        Table to write: every image that was fed to the networks, see `inputs.seen_table`.
    left_out_fold
        Fold whose images are not used either; `holdout` is then `split.csv`. Its training starts
        from the same weights as the one on all folds.
    checkpoints
        Folder for checkpoints and samples on the way; removed in the end.
    settings
        Fields of `CycleGANSettings`.
    seed
        The run's seed.
    threads
        CPU threads.
    mixed_precision
        Compute in half precision (for a GPU).
    xla
        Compile the step with XLA.

    Raises
    ------
    InputError
        If a class has no training image, the tables do not fit, or a loss is no longer finite.
    """
    options = CycleGANSettings(**settings)
    configure(threads=threads, seed=integer_seed(seed, "cyclegan"))
    tables = images, manifest, holdout
    source, source_rows = training_rows(*tables, options.source_class, left_out_fold)
    target, target_rows = training_rows(*tables, options.target_class, left_out_fold)
    log.info(
        "CycleGAN of %d '%s' and %d '%s' training images at %d px",
        len(source), options.source_class, len(target), options.target_class, options.image_size,
    )  # fmt: skip
    networks = build_networks(options, seed, mixed_precision=mixed_precision)
    digest = training_digest(
        options, source, target, seed=seed, mixed_precision=mixed_precision, xla=xla
    )
    pools = ImagePool(options.pool_size), ImagePool(options.pool_size)
    history = np.zeros((options.iterations, len(LOSSES)), np.float32)
    start = _restore(checkpoints, digest, networks, pools, history)

    step = make_step(networks, options, xla=xla)
    began = time.perf_counter()
    bar = progress(range(start, options.iterations), desc="CycleGAN", initial=start,
                   total=options.iterations, unit="step")  # fmt: skip
    for iteration in bar:
        batch = draw_batch(iteration, source, target, *pools, options.image_size, seed)
        rate = learning_rate_at(iteration, options)
        networks.generator_optimizer.learning_rate = rate
        networks.discriminator_optimizer.learning_rate = rate
        history[iteration] = _advance(step, batch, iteration, pools, options)
        done = iteration + 1
        if iteration == start:
            log.info("first step, tracing included: %.1f s", time.perf_counter() - began)
        _check_finite(history[iteration], done, options)
        if done % options.checkpoint_every == 0 and done < options.iterations:
            checkpoint.save(checkpoints, done, digest, _state(networks, pools, history[:done]))
            sample = Path(checkpoints) / f"samples-{done:08d}.png"
            write_samples(*averaged_generators(networks, options), source, target, sample)

    averaged = averaged_generators(networks, options)
    for model, path in zip(averaged, (output_generator, output_backward), strict=True):
        with atomic(path) as temporary:
            model.save(temporary)
    write_table(loss_table(history, options), losses_csv)
    write_table(seen_table(source, source_rows, target, target_rows), seen_csv)
    write_samples(*averaged, source, target, samples_png)
    checkpoint.remove(checkpoints)


def learning_rate_at(iteration: int, settings: CycleGANSettings) -> float:
    """Return the learning rate of step `iteration` (0-based) under `settings`."""
    return losses.learning_rate(
        iteration,
        initial=settings.learning_rate,
        iterations=settings.iterations,
        decay_from=settings.decay_from,
    )


def training_digest(settings: CycleGANSettings, source: Grey, target: Grey, **others: float) -> str:
    """Return a digest of all that a training depends on: settings, images, code, library versions.

    `checkpoint_every` is left out: it does not change the result.
    """
    facts = asdict(settings) | others | {
        "code": code_digest(__file__), "keras": keras.__version__, "tensorflow": tf.__version__,
        "checkpoint_every": None,
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in (source, target):
        digest.update(str(array.shape).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def loss_table(history: np.ndarray, settings: CycleGANSettings) -> pd.DataFrame:
    """Return means over every `LOG_EVERY` steps of `history`, float32 [iterations, losses].

    `iteration` counts the steps done, `learning_rate` is that of the last of them.
    """
    table = pd.DataFrame(history, columns=list(LOSSES))
    means = table.groupby(table.index // LOG_EVERY).mean()
    done = np.minimum((means.index.to_numpy() + 1) * LOG_EVERY, len(history))
    means.insert(0, "iteration", done)
    means.insert(1, "learning_rate", [learning_rate_at(int(d) - 1, settings) for d in done])
    return means


def averaged_generators(
    networks: Networks, settings: CycleGANSettings
) -> tuple[keras.Model, keras.Model]:
    """Return forward and backward generator in float32, with their weights' moving average."""
    forward, backward = (
        build_generator(
            settings.image_size, settings.filters, settings.residual_blocks, seed=0, name=name
        )
        for name in ("forward", "backward")
    )
    variables = forward.trainable_variables + backward.trainable_variables
    unpack(networks.generator_average.value, variables)
    return forward, backward


def write_samples(
    forward: keras.Model, backward: keras.Model, source: Grey, target: Grey, path: str | Path
) -> None:
    """Write a grid of eight columns, evenly spaced over the classes.

    Rows: source images, translated to the target class, translated back, and target images.
    """
    originals, real = (_evenly(images, forward.input_shape[1]) for images in (source, target))
    made = _one_by_one(forward, originals)
    rows = originals, made, _one_by_one(backward, made), real
    grid = np.concatenate([np.concatenate(list(row[..., 0]), axis=1) for row in rows])
    with atomic(path) as temporary:
        cv2.imwrite(str(temporary), to_grey_values(grid))


def _one_by_one(model: keras.Model, images: Unit) -> Unit:
    return np.concatenate([np.asarray(model(image[None], training=False)) for image in images])


def _evenly(images: Grey, size: int) -> Unit:
    """Return `SAMPLES` images evenly spaced over `images` (repeated if there are fewer)."""
    places = np.linspace(0, len(images) - 1, SAMPLES).astype(int)
    return to_unit_range(np.stack([resize(images[place], size) for place in places]))[..., None]


def _advance(
    step: Callable[..., Any],
    batch: Batch,
    iteration: int,
    pools: tuple[ImagePool, ImagePool],
    settings: CycleGANSettings,
) -> np.ndarray:
    """Do one step, hand the new translations to the pools, return the losses."""
    exchanges = batch.source_exchange, batch.target_exchange
    past = []
    for exchange, stand_in in zip(exchanges, (batch.source, batch.target), strict=True):
        image = stand_in if exchange.past is None else exchange.past
        past += [tf.constant(image[None]), tf.constant(exchange.past is not None)]
    values, *made = step(
        tf.constant(batch.source[None]),
        tf.constant(batch.target[None]),
        *past,
        tf.constant(batch.augmentation),
        tf.constant(losses.average_decay(iteration, limit=settings.ema_decay), tf.float32),
    )
    for pool, exchange, new in zip(pools, exchanges, made, strict=True):
        pool.put(exchange, new.numpy()[0])
    return np.asarray(values.numpy())


def _check_finite(values: np.ndarray, done: int, settings: CycleGANSettings) -> None:
    if not np.isfinite(values).all():
        raise InputError(
            f"CycleGAN training diverged by step {done}: a loss is not finite; lower "
            f"cyclegan.learning_rate (now {settings.learning_rate})"
        )


def _state(
    networks: Networks, pools: tuple[ImagePool, ImagePool], history: np.ndarray
) -> dict[str, np.ndarray]:
    state = {f"variable{i}": v.numpy() for i, v in enumerate(networks.variables)}
    for i, pool in enumerate(pools):
        state[f"pool{i}"] = np.array(pool.images, np.float32)
    return state | {"history": history}


def _restore(
    folder: str | Path,
    digest: str,
    networks: Networks,
    pools: tuple[ImagePool, ImagePool],
    history: np.ndarray,
) -> int:
    """Fill in the newest checkpoint, if there is one; return the steps done."""
    found = checkpoint.latest(folder, digest)
    if found is None:
        return 0
    done, state = found
    for i, variable in enumerate(networks.variables):
        variable.assign(state[f"variable{i}"])
    unpack(networks.generator_weights.value, networks.generator_variables)
    unpack(networks.discriminator_weights.value, networks.discriminator_variables)
    for i, pool in enumerate(pools):
        pool.images[:] = list(state[f"pool{i}"])
    history[:done] = state["history"]
    log.info("going on from the checkpoint of step %d", done)
    return done
