"""Two of the generator's convolutions as training computes them: the same functions in less time.

Each has the weights, the names and, to rounding, the results of its counterpart in
`networks.PLAIN`; benchmarks/README.md has what they save. Their kernels are put together out of the
trained ones in every step; so gradients reach the trained ones.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers

from covidcxr.cyclegan.networks import Blocks

SQUARE = 4
"""Side of the squares of pixels that `SinglePlaneConvolution` computes as channels."""

ODD_AND_EVEN = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]])
"""Taps, as `recombine` takes them, of a 3-tap kernel on a row resized to twice its length.

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


class SinglePlaneConvolution(layers.Conv2D):
    """A convolution of maps with `width` reflected pixels more on every side to one channel.

    Sides are multiples of 4. oneDNN is slow with a single filter. So the filter stands 4 x 4 times,
    shifted, in a larger kernel that moves by 4 pixels: twice the multiplications in a third of the
    time.
    """

    def __init__(self, width: int, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.borders = [[0, 0], [width, width], [width, width], [0, 0]]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve."""
        side = self.kernel_size[0]
        shifted = [np.eye(side + SQUARE - 1, side, -shift) for shift in range(SQUARE)]
        kernel = recombine(tf.convert_to_tensor(self.kernel), np.stack(shifted))
        reflected = tf.pad(inputs, self.borders, mode="REFLECT")
        y = tf.nn.conv2d(reflected, kernel, SQUARE, "VALID")
        return tf.nn.depth_to_space(y, SQUARE) + self.bias

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of what `call` gives."""
        return *input_shape[:3], 1


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


FAST = Blocks(single_plane_convolution=SinglePlaneConvolution, resize_convolution=ResizeConvolution)
