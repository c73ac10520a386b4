"""The networks' blocks, and Adam, as training computes them: the same functions in less time.

Every layer has the weights, the names and, to rounding, the results of its counterpart in
`networks.PLAIN`. What each saves is in benchmarks/README.md. Where a convolution is taken apart,
its kernel is put together out of the trained one in every step; so gradients reach the trained one.
"""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from covidcxr.cyclegan.networks import NORM_EPSILON, Blocks

SQUARE = 4
"""Side of the squares of pixels that `SinglePlaneConvolution` computes as channels."""

FUSED_FROM = 2**17
"""Values in a batch of maps from which on `InstanceNormalization` takes one operation."""

ODD_AND_EVEN = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]])
"""Taps, as `recombine` tells, of a 3-tap kernel on a row resized to twice its length.

Pixels 2i + 1 and 2i + 2 of the resized row see pixels i and i + 1 of the row: the first sees i
twice, the second i + 1.
"""


def recombine(kernel: tf.Tensor, taps: np.ndarray) -> tf.Tensor:
    """Return the kernel that computes several shifted or summed forms of `kernel` at once.

    Parameters
    ----------
    kernel
        float [k, k, c, f].
    taps
        Numbers [p, m, k]; in form p, row (and column) m of the new kernel is the sum of the old
        rows (columns) with these weights.

    Returns
    -------
    tf.Tensor
        As `kernel`, [m, m, c, p * p * f]; all forms of the rows with all of the columns, in the
        order of `tf.nn.depth_to_space`.
    """
    forms, side, old = taps.shape
    *_, channels, filters = kernel.shape
    weights = np.einsum("atk,bul->tuabkl", taps, taps).reshape(-1, old * old)
    flat = tf.reshape(kernel, [old * old, channels * filters])
    mixed = tf.matmul(tf.constant(weights, kernel.dtype), flat)
    mixed = tf.reshape(mixed, [side, side, forms * forms, channels, filters])
    shape = [side, side, channels, forms * forms * filters]
    return tf.reshape(tf.transpose(mixed, [0, 1, 3, 2, 4]), shape)


def reflect(x: tf.Tensor, width: int) -> tf.Tensor:
    """Return maps [n, h, w, c] with `width` reflected pixels more on every side.

    Put together out of rows and columns: `MirrorPad` copies number by number. Its gradient does
    not.
    """
    borders = [[0, 0], [width, width], [width, width], [0, 0]]
    before, after = range(width, 0, -1), range(-2, -width - 2, -1)

    @tf.custom_gradient
    def reflected(x: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return tf.raw_ops.MirrorPadGrad(input=upstream, paddings=borders, mode="REFLECT")

        y = tf.concat([*(x[:, i, None] for i in before), x, *(x[:, i, None] for i in after)], 1)
        above, below = ([y[:, :, i, None] for i in places] for places in (before, after))
        return tf.concat([*above, y, *below], 2), gradient

    return reflected(x)


def _repeat_borders(x: tf.Tensor) -> tf.Tensor:
    """Return maps [n, h, w, c] with their outermost pixels twice."""
    y = tf.concat([x[:, :1], x, x[:, -1:]], 1)
    return tf.concat([y[:, :, :1], y, y[:, :, -1:]], 2)


@tf.custom_gradient
def _interleave(x: tf.Tensor) -> Any:
    """Return [n, 2h - 2, 2w - 2, c] of [n, h, w, 4c]: channels as pixels, without the outermost.

    The gradient of a slice with steps, which TensorFlow would take, is slow.
    """

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return tf.nn.space_to_depth(tf.pad(upstream, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2)

    return tf.nn.depth_to_space(x, 2)[:, 1:-1, 1:-1], gradient


class ReflectedConvolution(layers.Conv2D):
    """A convolution of maps with `width` reflected pixels more on every side."""

    def __init__(self, width: int, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.width = width

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve."""
        return super().call(reflect(inputs, self.width))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of what `call` gives."""
        images, height, width, channels = input_shape
        grown = images, height + 2 * self.width, width + 2 * self.width, channels
        shape: tuple[Any, ...] = super().compute_output_shape(grown)
        return shape


class SinglePlaneConvolution(ReflectedConvolution):
    """A convolution of reflected maps, whose sides are multiples of 4, to one channel.

    oneDNN is slow with a single filter. So the filter stands 4 x 4 times, shifted, in a larger
    kernel that moves by 4 pixels: twice the multiplications in a third of the time.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve."""
        side = self.kernel_size[0]
        shifted = [np.eye(side + SQUARE - 1, side, -shift) for shift in range(SQUARE)]
        kernel = recombine(tf.convert_to_tensor(self.kernel), np.stack(shifted))
        y = tf.nn.conv2d(reflect(inputs, self.width), kernel, SQUARE, "VALID")
        return tf.nn.depth_to_space(y, SQUARE) + self.bias


class ResizeConvolution(layers.Conv2D):
    """A 3x3 convolution of maps that were resized to twice the side, done on the small maps.

    Of three neighbouring pixels of the resized map two are the same. So each of the four pixels
    that one becomes is a 2x2 convolution of the small map, by sums of the kernel's taps: 4
    multiplications instead of 9. What the resized map reflects at its border is the border itself.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Resize and convolve."""
        kernel = recombine(tf.convert_to_tensor(self.kernel), ODD_AND_EVEN)
        return _interleave(tf.nn.conv2d(_repeat_borders(inputs), kernel, 1, "VALID"))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of what `call` gives."""
        images, height, width, _ = input_shape
        return images, 2 * height, 2 * width, self.filters


class InstanceNormalization(layers.GroupNormalization):
    """Instance normalisation; of large maps, as the batch normalisation of one image at a time.

    Keras makes it out of a dozen operations that each go through the whole map. The single
    operation goes through it less often, but takes longer to start.
    """

    def __init__(self, name: str) -> None:
        super().__init__(groups=-1, epsilon=NORM_EPSILON, name=name)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalise."""
        if inputs.shape[0] is None or math.prod(inputs.shape) < FUSED_FROM:
            return super().call(inputs)
        scale, offset = (tf.cast(weight, tf.float32) for weight in (self.gamma, self.beta))
        empty = tf.zeros([0])
        images = [
            tf.raw_ops.FusedBatchNormV3(
                x=image, scale=scale, offset=offset, mean=empty, variance=empty,
                epsilon=self.epsilon,
            ).y
            for image in tf.split(inputs, inputs.shape[0])
        ]  # fmt: skip
        return tf.concat(images, 0)


FAST = Blocks(
    reflected_convolution=ReflectedConvolution,
    single_plane_convolution=SinglePlaneConvolution,
    resize_convolution=ResizeConvolution,
    instance_normalization=InstanceNormalization,
)


class FusedAdam(keras.optimizers.Adam):
    """Adam in one operation a variable, where that of Keras goes through its values ten times."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Change `variable` and its moments."""
        place = self._get_variable_index(variable)
        done = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=tf.pow(self.beta_1, done),
            beta2_power=tf.pow(self.beta_2, done),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
