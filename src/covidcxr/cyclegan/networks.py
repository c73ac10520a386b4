"""Generator and discriminator of a CycleGAN for square grayscale images.

Architecture: Zhu et al. 2017, appendix 7.2.
Out of the `PLAIN` blocks both are functional models without custom layers, so a saved `.keras` file
opens with Keras alone; `covidcxr.cyclegan.fast` has the blocks that training takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from covidcxr.seeding import integer_seed

INITIAL_SPREAD = 0.02
"""Standard deviation of the normal distribution that every convolution starts from."""

NORM_EPSILON = 1e-5
LEAK = 0.2
FULL_DEPTH_FROM = 128
"""Smallest image side, in pixels, that gets the 70x70 PatchGAN; see `patch_layers`."""


def patch_layers(image_size: int) -> int:
    """Return the number of strided layers of a PatchGAN for images of `image_size` pixels.

    3 gives the 70x70 receptive field of the paper. Below 128 px one patch would see nearly the
    whole image, so 2 is used there, a receptive field of 34x34.
    """
    return 3 if image_size >= FULL_DEPTH_FROM else 2


Block = Callable[[keras.KerasTensor], keras.KerasTensor]
"""What a layer is to the functional interface of Keras."""


def reflected_convolution(width: int, *args: Any, **options: Any) -> Block:
    """Return a `Conv2D` of maps with `width` reflected pixels more on every side."""
    borders = [(0, 0), (width, width), (width, width), (0, 0)]
    convolution = layers.Conv2D(*args, **options)
    return lambda x: convolution(keras.ops.pad(x, borders, mode="reflect"))


def resize_convolution(*args: Any, name: str, **options: Any) -> Block:
    """Return a nearest-neighbour resize to twice the side, then a reflected 3x3 convolution."""
    resize = layers.UpSampling2D(2, name=f"{name}_resize")
    convolution = reflected_convolution(1, *args, name=name, **options)
    return lambda x: convolution(resize(x))


def instance_normalization(name: str) -> Block:
    """Return a layer that normalises each channel of each image (Ulyanov et al. 2016)."""
    return layers.GroupNormalization(groups=-1, epsilon=NORM_EPSILON, name=name)


@dataclass(frozen=True)
class Blocks:
    """The parts of a generator that can be computed in more than one way.

    Generators that differ in their blocks have the same weights, with the same names and order.

    Attributes
    ----------
    single_plane_convolution
        Called as `reflected_convolution`, for one filter, with bias and without strides.
    resize_convolution
        Called as `resize_convolution`.
    """

    single_plane_convolution: Callable[..., Block]
    resize_convolution: Callable[..., Block]


PLAIN = Blocks(
    single_plane_convolution=reflected_convolution, resize_convolution=resize_convolution
)
"""Out of the layers of Keras."""


def _start(seed: int, name: str) -> keras.initializers.Initializer:
    """Return the initial weights of layer `name`."""
    return keras.initializers.RandomNormal(0.0, INITIAL_SPREAD, integer_seed(seed, name))


def build_generator(
    image_size: int,
    filters: int,
    residual_blocks: int,
    *,
    seed: int,
    name: str = "generator",
    blocks: Blocks = PLAIN,
) -> keras.Model:
    """Return a residual generator c7s1-f, d2f, d4f, R4f x blocks, u2f, uf, c7s1-1.

    Two changes to the paper: its u (transposed convolution) is a nearest-neighbour resize followed
    by a 3x3 convolution, which leaves no checkerboard (Odena et al. 2016); and the last
    convolution also sees the features of the first, so that fine detail need not pass the
    bottleneck.

    Parameters
    ----------
    image_size
        Side of the images in pixels, a multiple of 4.
    filters
        Filters f of the first convolution.
    residual_blocks
        Residual blocks; the paper has 6 for 128 px and 9 from 256 px on.
    seed
        Of the initial weights.
    name
        Of the model.
    blocks
        What it is made of.

    Returns
    -------
    keras.Model
        float32 [n, image_size, image_size, 1] in [-1, 1] to the same shape and range.
    """

    def without_bias(layer: str) -> dict[str, Any]:
        return {"use_bias": False, "kernel_initializer": _start(seed, layer), "name": layer}

    def convolved(x: keras.KerasTensor, layer: str, width: int, *args: int) -> keras.KerasTensor:
        return reflected_convolution(width, *args, **without_bias(layer))(x)

    def normalised(x: keras.KerasTensor, layer: str) -> keras.KerasTensor:
        x = instance_normalization(f"{layer}_norm")(x)
        return layers.ReLU(name=f"{layer}_relu")(x)

    inputs = keras.Input((image_size, image_size, 1), name="image")
    stem = x = normalised(convolved(inputs, "stem", 3, filters, 7), "stem")
    for level in (1, 2):
        layer = f"down{level}"
        x = normalised(convolved(x, layer, 1, filters * 2**level, 3, 2), layer)
    for block in range(1, residual_blocks + 1):
        first, second = f"block{block}_1", f"block{block}_2"
        y = normalised(convolved(x, first, 1, filters * 4, 3), first)
        y = convolved(y, second, 1, filters * 4, 3)
        y = instance_normalization(f"{second}_norm")(y)
        x = layers.Add(name=f"block{block}_add")([x, y])
    for level in (1, 0):
        layer = f"up{level}"
        resized = blocks.resize_convolution(filters * 2**level, 3, **without_bias(layer))
        x = normalised(resized(x), layer)
    x = layers.Concatenate(name="skip")([x, stem])
    head = _start(seed, "head")
    x = blocks.single_plane_convolution(3, 1, 7, kernel_initializer=head, name="head")(x)
    x = layers.Activation("tanh", name="translated")(x)
    return keras.Model(inputs, x, name=name)


def build_discriminator(
    image_size: int, filters: int, *, seed: int, name: str = "discriminator"
) -> keras.Model:
    """Return a PatchGAN discriminator (Isola et al. 2017) with `patch_layers(image_size)` layers.

    4x4 convolutions of f, 2f, 4f, ... filters (at most 8f) with stride 2, one more with stride 1,
    and the score map; instance normalisation everywhere but in the first and last layer.

    Returns
    -------
    keras.Model
        float32 [n, image_size, image_size, 1] in [-1, 1] to float32 [n, k, k, 1], a score for each
        patch: 1 stands for real, 0 for made.
    """
    depth = patch_layers(image_size)
    inputs = keras.Input((image_size, image_size, 1), name="image")
    x = inputs
    for level in range(depth + 1):
        layer = f"patch{level + 1}"
        x = layers.Conv2D(
            filters * min(2**level, 8),
            4,
            strides=2 if level < depth else 1,
            padding="same",
            use_bias=level == 0,
            kernel_initializer=_start(seed, layer),
            name=layer,
        )(x)
        if level > 0:
            x = instance_normalization(f"{layer}_norm")(x)
        x = layers.LeakyReLU(LEAK, name=f"{layer}_relu")(x)
    score = _start(seed, "score")
    x = layers.Conv2D(1, 4, padding="same", kernel_initializer=score, name="score")(x)
    return keras.Model(inputs, x, name=name)
