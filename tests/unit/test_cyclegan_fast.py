import keras
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.cyclegan.fast import FAST
from covidcxr.cyclegan.networks import PLAIN, build_generator

SIDES = st.integers(1, 6)
CHANNELS = st.integers(1, 5)


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def made_of(blocks, block, shape, *args, **options):
    """The model that is one block, with weights that do not depend on `blocks`."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, getattr(blocks, block)(*args, **options)(inputs))
    for place, variable in enumerate(model.trainable_variables):
        variable.assign(normal(*variable.shape, seed=place))
    return model


def results(model, images):
    """Output, and the gradients of its sum with random weights, images first."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        made = model(images, training=True)
        total = tf.reduce_sum(made * normal(*made.shape, seed=1))
    return [made, *tape.gradient(total, [images, *model.trainable_variables])]


def assert_same(plain, quick, images):
    """Both models have the same weights and give the same, but for rounding."""
    kinds = [[(v.name, v.shape) for v in m.trainable_variables] for m in (plain, quick)]
    assert kinds[0] == kinds[1]
    assert quick.output_shape == plain.output_shape
    for old, new in zip(results(plain, images), results(quick, images), strict=True):
        assert old.shape == new.shape
        # An offset that the next normalisation takes out has no gradient but rounding.
        tolerance = 1e-4 * np.abs(old).max() + 1e-5
        np.testing.assert_allclose(new, old, rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 3), height=SIDES, width=SIDES, channels=CHANNELS, filters=CHANNELS)
def test_convolution_of_the_small_map_equals_that_of_the_resized_one(
    n, height, width, channels, filters
):
    shape, name = (height, width, channels), "up"
    models = [
        made_of(blocks, "resize_convolution", shape, filters, 3, use_bias=False, name=name)
        for blocks in (PLAIN, FAST)
    ]
    assert_same(*models, normal(n, *shape, seed=2))


@settings(deadline=None, max_examples=15)
@given(
    rows=st.integers(1, 4), columns=st.integers(1, 4), channels=CHANNELS, width=st.integers(0, 3)
)
def test_single_plane_computed_in_squares_equals_the_convolution(rows, columns, channels, width):
    shape = 4 * rows, 4 * columns, channels
    models = [
        made_of(blocks, "single_plane_convolution", shape, width, 1, 2 * width + 1, name="head")
        for blocks in (PLAIN, FAST)
    ]
    assert_same(*models, normal(2, *shape, seed=2))


def test_generator_for_training_equals_the_plain_one():
    models = [build_generator(32, 3, 2, seed=5, blocks=blocks) for blocks in (PLAIN, FAST)]
    for old, new in zip(*(model.trainable_variables for model in models), strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())
    assert_same(*models, tf.tanh(normal(2, 32, 32, 1)))
