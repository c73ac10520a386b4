"""Losses, moving average and augmentation of CycleGAN training."""

import tensorflow as tf

SHIFT_SHARE = 0.125
"""Largest shift of `augment`, as a share of the image side (Zhao et al. 2020)."""


def adversarial_loss(scores: tf.Tensor) -> tf.Tensor:
    """Return the least-squares loss of a generator whose images got `scores` (Mao et al. 2017).

    Mean over all patches of (score - 1)^2; float32 scalar.
    """
    return tf.reduce_mean(tf.square(scores - 1.0))


def discriminator_loss(real: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Return the least-squares loss of a discriminator from its scores of `real` and `made` images.

    Half the sum of mean (real - 1)^2 and mean made^2; the half slows it against the generator as in
    Zhu et al. 2017, section 4. float32 scalar.
    """
    return 0.5 * (tf.reduce_mean(tf.square(real - 1.0)) + tf.reduce_mean(tf.square(made)))


def absolute_difference(images: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Return the mean absolute difference of two batches of images.

    With an image and its round trip through both generators it is the cycle-consistency loss, with
    an image and its translation by the generator *into its own class* the identity loss (Zhu et al.
    2017, equation 2 and section 5.2). float32 scalar.
    """
    return tf.reduce_mean(tf.abs(images - others))


def average_decay(iteration: int, *, limit: float) -> float:
    """Return the decay of the moving average at step `iteration` (0-based), at most `limit`.

    min(limit, (1 + t) / (10 + t)), so that the initial random weights fade in short trainings too
    (the schedule of `tf.train.ExponentialMovingAverage`).
    """
    return min(limit, (1 + iteration) / (10 + iteration))


def augment(images: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
    """Return randomly altered images, differentiable in them (Zhao et al. 2020, "DiffAugment").

    Brightness (an offset in [-0.5, 0.5]), contrast (a factor in [0.5, 1.5] about the image's mean)
    and a shift of up to 1/8 of the side, filled with 0. A discriminator that sees real and made
    images only through it, each time altered differently, cannot memorise a small training set.

    Parameters
    ----------
    images
        float32 [n, size, size, 1], size known when the graph is traced.
    random
        float32 [4, n], uniform in [0, 1): brightness, contrast, vertical and horizontal shift of
        each image. They come from outside, for XLA has other random numbers than plain TensorFlow.

    Returns
    -------
    tf.Tensor
        float32 [n, size, size, 1]; values may leave [-1, 1].
    """
    size = images.shape[1]
    brightness = random[0][:, None, None, None] - 0.5
    contrast = random[1][:, None, None, None] + 0.5
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    altered = (images - mean) * contrast + mean + brightness

    # A shift as a product with shifted identity matrices: batched, and XLA compiles it once for all
    # offsets, which it does not for slices (their gradient pads by the offset).
    reach = round(size * SHIFT_SHARE)
    offsets = tf.floor(random[2:] * (2 * reach + 1)) - reach
    places = tf.range(size, dtype=tf.float32)
    apart = places[:, None] - places[None, :]
    rows, columns = (tf.cast(apart == o[:, None, None], tf.float32) for o in tf.unstack(offsets))
    shifted = tf.matmul(tf.matmul(rows, altered[..., 0]), columns, transpose_b=True)
    return shifted[..., None]
