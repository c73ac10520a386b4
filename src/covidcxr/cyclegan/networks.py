"""Generator and discriminator of a CycleGAN for square grayscale images.

Architecture: Zhu et al. 2017, appendix 7.2.
Both are functional models without custom layers, so a saved `.keras` file opens with Keras alone.
"""

import keras
from keras import layers

from covidcxr.seeding import integer_seed

INITIAL_SPREAD = 0.02
"""Standard deviation of the normal distribution that every convolution starts from."""

LEAK = 0.2
FULL_DEPTH_FROM = 128
"""Smallest image side, in pixels, that gets the 70x70 PatchGAN; see `patch_layers`."""


def patch_layers(image_size: int) -> int:
    """Return the number of strided layers of a PatchGAN for images of `image_size` pixels.

    3 gives the 70x70 receptive field of the paper. Below 128 px one patch would see nearly the
    whole image, so 2 is used there, a receptive field of 34x34.
    """
    return 3 if image_size >= FULL_DEPTH_FROM else 2


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    *,
    seed: int,
    name: str,
    strides: int = 1,
    padding: str = "valid",
    use_bias: bool = False,
) -> keras.KerasTensor:
    initializer = keras.initializers.RandomNormal(0.0, INITIAL_SPREAD, integer_seed(seed, name))
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer=initializer,
        name=name,
    )(x)


def _instance_normalization(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Normalise each channel of each image by its own mean and variance (Ulyanov et al. 2016)."""
    return layers.GroupNormalization(groups=-1, epsilon=1e-5, name=name)(x)


def _reflect(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    return keras.ops.pad(x, [(0, 0), (width, width), (width, width), (0, 0)], mode="reflect")


def build_generator(
    image_size: int,
    filters: int,
    residual_blocks: int,
    *,
    seed: int,
    name: str = "generator",
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

    Returns
    -------
    keras.Model
        float32 [n, image_size, image_size, 1] in [-1, 1] to the same shape and range.
    """

    def normalised(x: keras.KerasTensor, layer: str) -> keras.KerasTensor:
        x = _instance_normalization(x, name=f"{layer}_norm")
        return layers.ReLU(name=f"{layer}_relu")(x)

    inputs = keras.Input((image_size, image_size, 1), name="image")
    x = _convolution(_reflect(inputs, 3), filters, 7, seed=seed, name="stem")
    stem = x = normalised(x, "stem")
    for level in (1, 2):
        layer = f"down{level}"
        x = _convolution(_reflect(x, 1), filters * 2**level, 3, strides=2, seed=seed, name=layer)
        x = normalised(x, layer)
    for block in range(1, residual_blocks + 1):
        layer = f"block{block}"
        y = _reflect(x, 1)
        y = _convolution(y, filters * 4, 3, seed=seed, name=f"{layer}_1")
        y = _reflect(normalised(y, f"{layer}_1"), 1)
        y = _convolution(y, filters * 4, 3, seed=seed, name=f"{layer}_2")
        y = _instance_normalization(y, name=f"{layer}_2_norm")
        x = layers.Add(name=f"{layer}_add")([x, y])
    for level in (1, 0):
        layer = f"up{level}"
        x = layers.UpSampling2D(2, name=f"{layer}_resize")(x)
        x = _convolution(_reflect(x, 1), filters * 2**level, 3, seed=seed, name=layer)
        x = normalised(x, layer)
    x = layers.Concatenate(name="skip")([x, stem])
    x = _convolution(_reflect(x, 3), 1, 7, seed=seed, name="head", use_bias=True)
    x = layers.Activation("tanh", name="translated")(x)
    return keras.Model(inputs, x, name=name)


def build_discriminator(
    image_size: int,
    filters: int,
    *,
    seed: int,
    name: str = "discriminator",
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
        x = _convolution(
            x,
            filters * min(2**level, 8),
            4,
            strides=2 if level < depth else 1,
            padding="same",
            seed=seed,
            name=layer,
            use_bias=level == 0,
        )
        if level > 0:
            x = _instance_normalization(x, name=f"{layer}_norm")
        x = layers.LeakyReLU(LEAK, name=f"{layer}_relu")(x)
    x = _convolution(x, 1, 4, padding="same", seed=seed, name="score", use_bias=True)
    return keras.Model(inputs, x, name=name)
