import keras
import numpy as np
import pytest

from covidcxr.cyclegan.networks import build_discriminator, build_generator, patch_layers


def images(count, size, seed=0):
    values = np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 1))
    return values.astype(np.float32)


@pytest.mark.parametrize("size", [32, 64, 100])
def test_generator_keeps_shape_and_range(size):
    model = build_generator(size, 4, 1, seed=1)
    made = np.asarray(model(images(2, size)))
    assert made.shape == (2, size, size, 1)
    assert made.dtype == np.float32
    assert np.abs(made).max() <= 1


def receptive_field(model):
    """Side of the square of pixels that a value of the output depends on."""
    field, jump = 1, 1
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            field += (layer.kernel_size[0] - 1) * jump
            jump *= layer.strides[0]
    return field


@pytest.mark.parametrize(("size", "field"), [(64, 34), (96, 34), (128, 70), (256, 70)])
def test_receptive_field_of_the_discriminator(size, field):
    assert receptive_field(build_discriminator(size, 4, seed=1)) == field


def test_discriminator_scores_a_map_of_patches():
    scores = np.asarray(build_discriminator(64, 4, seed=1)(images(3, 64)))
    assert scores.shape == (3, 64 // 2 ** patch_layers(64), 64 // 2 ** patch_layers(64), 1)


def test_networks_treat_every_image_of_a_batch_by_itself():
    batch = images(3, 32)
    for model in (build_generator(32, 4, 2, seed=1), build_discriminator(32, 4, seed=1)):
        together = np.asarray(model(batch))
        alone = np.concatenate([np.asarray(model(batch[i : i + 1])) for i in range(3)])
        np.testing.assert_allclose(together, alone, atol=1e-5)


def test_weights_start_from_the_seed_with_the_published_spread():
    def weights(seed):
        model = build_generator(32, 16, 2, seed=seed)
        return [w.numpy() for w in model.trainable_variables if w.ndim == 4]

    first, again, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    values = np.concatenate([w.ravel() for w in first])
    assert abs(values.mean()) < 5 * 0.02 / np.sqrt(values.size)
    assert values.std() == pytest.approx(0.02, rel=0.02)
    # Layers of one shape differ too.
    assert not np.array_equal(first[3], first[4])


def test_saved_generator_opens_with_keras_alone(tmp_path):
    model = build_generator(32, 4, 1, seed=1)
    model.save(tmp_path / "generator.keras")
    loaded = keras.models.load_model(tmp_path / "generator.keras", custom_objects=None)
    batch = images(1, 32)
    np.testing.assert_array_equal(np.asarray(model(batch)), np.asarray(loaded(batch)))
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)


def test_constant_image_stays_constant_so_that_borders_leave_no_mark():
    model = build_generator(64, 8, 2, seed=3)
    made = np.asarray(model(np.full((1, 64, 64, 1), 0.3, np.float32)))
    np.testing.assert_allclose(made, made.mean(), atol=1e-4)
