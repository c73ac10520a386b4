import numpy as np
import pytest
import tensorflow as tf

from covidcxr.cyclegan import losses


def tensor(*values):
    return tf.constant(values, tf.float32)


def test_adversarial_loss_is_mean_squared_distance_from_one():
    assert float(losses.adversarial_loss(tensor(0, 1, 3))) == pytest.approx((1 + 0 + 4) / 3)


def test_discriminator_loss_is_half_the_sum_of_both_squared_distances():
    real, made = tensor(1, 0), tensor(0.5, 0.5)
    assert float(losses.discriminator_loss(real, made)) == pytest.approx(0.5 * (0.5 + 0.25))


def test_discriminator_loss_is_zero_for_perfect_scores_only():
    assert float(losses.discriminator_loss(tensor(1, 1), tensor(0, 0))) == 0
    assert float(losses.discriminator_loss(tensor(0, 0), tensor(1, 1))) == pytest.approx(1)


def test_cycle_and_identity_loss_are_the_mean_absolute_difference():
    assert float(losses.absolute_difference(tensor(-1, 0, 1), tensor(1, 0, 0.5))) == pytest.approx(
        2.5 / 3
    )


def test_moving_average_forgets_fast_in_the_beginning_and_never_faster_than_its_limit():
    decays = [losses.average_decay(i, limit=0.999) for i in range(20_000)]
    assert decays[0] == pytest.approx(0.1)
    assert decays == sorted(decays)
    assert decays[-1] == 0.999


def numbers(count, seed):
    return np.random.default_rng(seed).random((4, count), np.float32)


def test_middle_numbers_leave_an_image_as_it_is_and_extreme_ones_reach_the_limits():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 1)).astype(np.float32)
    middle, low = np.full((4, 1), 0.5, np.float32), np.zeros((4, 1), np.float32)
    np.testing.assert_allclose(losses.augment(image, middle), image, atol=1e-6)
    moved = losses.augment(image, low).numpy()
    expected = 0.5 * (image - image.mean()) + image.mean() - 0.5
    np.testing.assert_allclose(moved[0, :-2, :-2], expected[0, 2:, 2:], atol=1e-6)
    assert (moved[0, -2:] == 0).all()
    assert (moved[0, :, -2:] == 0).all()


def test_every_image_of_a_batch_gets_its_own_numbers():
    images = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 1)).astype(np.float32)
    together = losses.augment(images, numbers(3, 1)).numpy()
    for i in range(3):
        alone = losses.augment(images[i : i + 1], numbers(3, 1)[:, i : i + 1]).numpy()
        np.testing.assert_allclose(together[i], alone[0], atol=1e-6)


def test_augmentation_is_a_shift_of_an_affine_map_of_the_grey_values():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 1)).astype(np.float32)
    for seed in range(20):
        out = losses.augment(image, numbers(1, seed)).numpy()[0, ..., 0]
        fits = []
        for dy in range(-4, 5):
            for dx in range(-4, 5):
                there = out[max(0, dy) : 32 + min(0, dy), max(0, dx) : 32 + min(0, dx)]
                here = image[0, max(0, -dy) : 32 + min(0, -dy), max(0, -dx) : 32 + min(0, -dx), 0]
                slope, offset = np.polyfit(here.ravel(), there.ravel(), 1)
                residual = np.abs(slope * here + offset - there).max()
                fits.append((residual, slope, offset))
        residual, slope, offset = min(fits)
        assert residual < 1e-4
        assert 0.5 <= slope <= 1.5
        assert abs(offset - (1 - slope) * image.mean()) <= 0.5 + 1e-4


def test_augmentation_passes_gradients_to_the_images():
    images = tf.Variable(np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 1)).astype("float32"))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(losses.augment(images, numbers(2, 5)))
    gradient = tape.gradient(value, images).numpy()
    assert (np.abs(gradient).sum(axis=(1, 2, 3)) > 0).all()
