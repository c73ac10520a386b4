"""Training of a CycleGAN between two classes of chest images (Zhu et al. 2017)."""

import hashlib
import json
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

from covidcxr.array_types import Grey, Singles
from covidcxr.cyclegan import checkpoint, inputs, losses
from covidcxr.cyclegan.fast import FAST
from covidcxr.cyclegan.networks import Blocks, build_discriminator, build_generator
from covidcxr.cyclegan.pool import ImagePool
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import log, progress
from covidcxr.provenance import code_digest
from covidcxr.runtime import configure, set_precision
from covidcxr.seeding import generator, integer_seed

BETA_1 = 0.5
LOG_EVERY = 10
SAMPLES = 8
AUGMENTED = 6
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
    """Settings of a training.

    The keys of `cyclegan` in the config, which its schema explains; the run's seed; whether to
    compute in half precision (for a GPU), and whether to compile the steps with XLA.
    """

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
    seed: int
    mixed_precision: bool = False
    xla: bool = False

    def __post_init__(self) -> None:
        if self.source_class == self.target_class:
            raise InputError(
                f"cyclegan.source_class and cyclegan.target_class are both '{self.source_class}'; "
                "name two classes"
            )

    def learning_rate_at(self, iteration: int) -> float:
        """Return the learning rate of step `iteration` (0-based): constant, then linear to 0.

        The decline starts at `decay_from` x `iterations` and would reach 0 at step `iterations`.
        """
        start = self.decay_from * self.iterations
        if iteration <= start:
            return self.learning_rate
        return self.learning_rate * (self.iterations - iteration) / (self.iterations - start)


@dataclass(frozen=True)
class Networks:
    """All that is trained. `forward` translates source to target, `backward` target to source.

    The weights of both generators also stand in one vector, as do their moving averages and the
    weights of both discriminators. An optimizer updates its vector, and the models take their
    weights from it: a dozen operations a step, where a dozen for each of some hundred variables
    take seconds longer to trace.
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
        return (
            self.source_discriminator.trainable_variables
            + self.target_discriminator.trainable_variables
        )

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
class Steps:
    """The two halves of a training step, each one graph; see `make_steps`."""

    translate: Callable[..., Any]
    judge: Callable[..., Any]


def build_networks(settings: CycleGANSettings, blocks: Blocks = FAST) -> Networks:
    """Return networks with their initial weights, and optimizers whose variables exist already.

    To be saved, the weights of the networks of `blocks` move to plain ones: `averaged_generators`.
    """
    size, filters = settings.image_size, settings.filters
    forward, backward = (
        build_generator(
            size,
            filters,
            settings.residual_blocks,
            seed=integer_seed(settings.seed, "cyclegan", name),
            name=name,
            blocks=blocks,
        )
        for name in ("forward", "backward")
    )
    of_source, of_target = (
        build_discriminator(
            size, filters, seed=integer_seed(settings.seed, "cyclegan", name), name=name
        )
        for name in ("discriminator_source", "discriminator_target")
    )

    def optimizer() -> keras.optimizers.Optimizer:
        adam = keras.optimizers.Adam(settings.learning_rate, beta_1=BETA_1)
        return keras.optimizers.LossScaleOptimizer(adam) if settings.mixed_precision else adam

    generator_weights = pack(forward.trainable_variables + backward.trainable_variables)
    discriminator_weights = pack(of_source.trainable_variables + of_target.trainable_variables)
    networks = Networks(
        forward=forward,
        backward=backward,
        source_discriminator=of_source,
        target_discriminator=of_target,
        generator_optimizer=optimizer(),
        discriminator_optimizer=optimizer(),
        generator_weights=keras.Variable(generator_weights),
        generator_average=keras.Variable(generator_weights),
        discriminator_weights=keras.Variable(discriminator_weights),
    )
    networks.generator_optimizer.build([networks.generator_weights])
    networks.discriminator_optimizer.build([networks.discriminator_weights])
    if settings.mixed_precision:
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


def make_steps(networks: Networks, settings: CycleGANSettings) -> Steps:
    """Return the two halves of a training step; the first trains generators, the second judges.

    `translate` takes source and target image, float32 [1, size, size, 1]; the random numbers of
    `losses.augment` for the translations, float32 [4, 2]; and the decay of the moving average. It
    returns the first six `LOSSES`, float32 [6], and the new images: the target image translated to
    the source class and the source image translated to the target class.

    `judge` takes source and target image, what to show for a translation to either class, and the
    random numbers for a real and a shown image of either class, float32 [4, 4]. It returns the
    other `LOSSES`, float32 [2].
    """
    n = networks

    def scores(discriminator: keras.Model, images: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        augmented = losses.augment(images, random)
        return tf.cast(discriminator(augmented, training=True), tf.float32)

    def translated(model: keras.Model, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(images, training=True), tf.float32)

    @tf.function(jit_compile=settings.xla, autograph=False)
    def translate(
        source: tf.Tensor, target: tf.Tensor, random: tf.Tensor, decay: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            # Instance normalisation knows no batch: translation and identity go through as one.
            made_target, same_target = tf.split(
                translated(n.forward, tf.concat([source, target], 0)), 2
            )
            made_source, same_source = tf.split(
                translated(n.backward, tf.concat([target, source], 0)), 2
            )
            parts = [
                losses.adversarial_loss(scores(n.target_discriminator, made_target, random[:, :1])),
                losses.adversarial_loss(scores(n.source_discriminator, made_source, random[:, 1:])),
                losses.absolute_difference(translated(n.backward, made_target), source),
                losses.absolute_difference(translated(n.forward, made_source), target),
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
        gradients = tape.gradient(scaled, n.generator_variables)
        n.generator_optimizer.apply([pack(gradients)], [n.generator_weights])
        unpack(n.generator_weights.value, n.generator_variables)
        change = n.generator_weights.value - n.generator_average.value
        n.generator_average.assign_add((1.0 - decay) * change)
        return tf.stack(parts), made_source, made_target

    @tf.function(jit_compile=settings.xla, autograph=False)
    def judge(
        source: tf.Tensor,
        target: tf.Tensor,
        shown_source: tf.Tensor,
        shown_target: tf.Tensor,
        random: tf.Tensor,
    ) -> tf.Tensor:
        parts = []
        with tf.GradientTape() as tape:
            for model, real, shown, numbers in (
                (n.source_discriminator, source, shown_source, random[:, :2]),
                (n.target_discriminator, target, shown_target, random[:, 2:]),
            ):
                both = scores(model, tf.concat([real, shown], 0), numbers)
                parts.append(losses.discriminator_loss(*tf.split(both, 2)))
            scaled = n.discriminator_optimizer.scale_loss(parts[0] + parts[1])
        gradients = tape.gradient(scaled, n.discriminator_variables)
        n.discriminator_optimizer.apply([pack(gradients)], [n.discriminator_weights])
        unpack(n.discriminator_weights.value, n.discriminator_variables)
        return tf.stack(parts)

    return Steps(translate, judge)


def advance(
    iteration: int,
    steps: Steps,
    images: tuple[Grey, Grey],
    pools: tuple[ImagePool, ImagePool],
    settings: CycleGANSettings,
) -> np.ndarray:
    """Do step `iteration`, with the pools between its halves; return its losses, float32 [8].

    It is determined by its number, the seed, the networks and the pools alone.

    Parameters
    ----------
    images, pools
        Of the source and of the target class.
    """
    rng = generator(settings.seed, "cyclegan", iteration)
    size, seed = settings.image_size, settings.seed
    source, target = (
        tf.constant(
            inputs.random_crop(
                part[inputs.position(iteration, len(part), seed, domain)], size, rng
            )[None]
        )
        for part, domain in zip(images, ("source", "target"), strict=True)
    )
    random = tf.constant(rng.random((4, AUGMENTED), np.float32))
    decay = losses.average_decay(iteration, limit=settings.ema_decay)
    of_generators, *made = steps.translate(
        source, target, random[:, :2], tf.constant(decay, tf.float32)
    )
    shown = [
        tf.constant(pool.query(new.numpy(), rng)) for pool, new in zip(pools, made, strict=True)
    ]
    of_discriminators = steps.judge(source, target, *shown, random[:, 2:])
    return np.concatenate([of_generators.numpy(), of_discriminators.numpy()])


def run(
    *,
    images: str | Path,
    manifest: str | Path,
    split: str | Path,
    generators: Sequence[str | Path],
    losses_table: str | Path,
    seen: str | Path,
    samples: str | Path,
    settings: Mapping[str, Any],
    left_out_fold: int | None = None,
    threads: int,
) -> None:
    """Train a CycleGAN on the training images of two classes.

    An interrupted training goes on from its last checkpoint and gives, on a CPU bit for bit, the
    same result as one that was not.

    Parameters
    ----------
    images
        `images/frames.npy`, uint8 [n, size, size].
    manifest, split
        Tables of the images; only images whose split is `train` are used.
    generators
        Two `.keras` files to write: source to target class, and target to source class; both
        float32 [n, s, s, 1] in [-1, 1] to the same, with the moving average of the trained weights.
        Checkpoints, and samples on the way, stand in a folder beside them until the end.
    losses_table
        CSV to write: `iteration`, `learning_rate` and the `LOSSES`, means over ten steps.
    seen
        CSV to write: every image that was fed to the networks, see `inputs.seen_table`.
    samples
        Picture to write; rows are source images, translated, translated back, and target images.
    settings
        Fields of `CycleGANSettings`.
    left_out_fold
        Fold whose images are not used either; `split` is then `split.csv`. Its training starts from
        the same weights as the one on all folds.

    Raises
    ------
    InputError
        If a class has no training image, the tables do not fit, or a loss is no longer finite.
    """
    options = CycleGANSettings(**settings)
    configure(threads=threads, seed=integer_seed(options.seed, "cyclegan"))
    (source, source_rows), (target, target_rows) = (
        inputs.training_rows(images, manifest, split, label, left_out_fold)
        for label in (options.source_class, options.target_class)
    )
    log.info(
        "CycleGAN of %d '%s' and %d '%s' training images at %d px",
        len(source), options.source_class, len(target), options.target_class, options.image_size,
    )  # fmt: skip
    checkpoints = Path(generators[0]).parent / "checkpoints"
    networks, history = train((source, target), checkpoints, options)
    averaged = averaged_generators(networks, options)
    for model, path in zip(averaged, generators, strict=True):
        with atomic(path) as temporary:
            model.save(temporary)
    write_table(loss_table(history, options), losses_table)
    write_table(inputs.seen_table(source, source_rows, target, target_rows), seen)
    write_samples(averaged, (source, target), samples)
    checkpoint.remove(checkpoints)


def train(
    images: tuple[Grey, Grey], checkpoints: Path, settings: CycleGANSettings
) -> tuple[Networks, np.ndarray]:
    """Train on images of the source and the target class, from the newest checkpoint on.

    Returns
    -------
    tuple
        The trained networks, and the losses of every step, float32 [iterations, 8].
    """
    networks = build_networks(settings)
    digest = training_digest(settings, *images)
    pools = ImagePool(settings.pool_size), ImagePool(settings.pool_size)
    history = np.zeros((settings.iterations, len(LOSSES)), np.float32)
    start = _restore(checkpoints, digest, networks, pools, history)
    steps = make_steps(networks, settings)
    began = time.perf_counter()
    bar = progress(range(start, settings.iterations), desc="CycleGAN", initial=start,
                   total=settings.iterations, unit="step")  # fmt: skip
    for iteration in bar:
        rate = settings.learning_rate_at(iteration)
        networks.generator_optimizer.learning_rate = rate
        networks.discriminator_optimizer.learning_rate = rate
        history[iteration] = advance(iteration, steps, images, pools, settings)
        done = iteration + 1
        if iteration == start:
            log.info("first step, tracing included: %.1f s", time.perf_counter() - began)
        if not np.isfinite(history[iteration]).all():
            raise InputError(
                f"CycleGAN training diverged by step {done}: a loss is not finite; lower "
                f"cyclegan.learning_rate (now {settings.learning_rate})"
            )
        if done % settings.checkpoint_every == 0 and done < settings.iterations:
            checkpoint.save(checkpoints, done, digest, _state(networks, pools, history[:done]))
            sample = checkpoints / f"samples-{done:08d}.png"
            write_samples(averaged_generators(networks, settings), images, sample)
    return networks, history


def training_digest(settings: CycleGANSettings, source: Grey, target: Grey) -> str:
    """Return a digest of all that a training depends on: settings, images, code, library versions.

    `checkpoint_every` is left out: it does not change the result.
    """
    facts = asdict(settings) | {
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
    means.insert(1, "learning_rate", [settings.learning_rate_at(int(d) - 1) for d in done])
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
    generators: tuple[keras.Model, keras.Model], images: tuple[Grey, Grey], path: str | Path
) -> None:
    """Write a grid of eight columns, evenly spaced over the classes.

    Rows: source images, translated to the target class, translated back, and target images.
    """
    forward, backward = generators
    originals, real = (_evenly(part, forward.input_shape[1]) for part in images)
    made = _one_by_one(forward, originals)
    rows = originals, made, _one_by_one(backward, made), real
    grid = np.concatenate([np.concatenate(list(row[..., 0]), axis=1) for row in rows])
    with atomic(path) as temporary:
        cv2.imwrite(str(temporary), inputs.to_grey_values(grid))


def _one_by_one(model: keras.Model, images: Singles) -> Singles:
    return np.concatenate([np.asarray(model(image[None], training=False)) for image in images])


def _evenly(images: Grey, size: int) -> Singles:
    """Return `SAMPLES` images evenly spaced over `images` (repeated if there are fewer)."""
    places = np.linspace(0, len(images) - 1, SAMPLES).astype(int)
    return inputs.to_unit_range(np.stack([inputs.resize(images[place], size) for place in places]))[
        ..., None
    ]


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
