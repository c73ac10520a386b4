import numpy as np
import pytest

from covidcxr.cyclegan.pool import ImagePool


def shown(pool, image, rng):
    """Show one image to the pool; return what the discriminator sees."""
    return pool.exchange(pool.choose(rng), image)


def reference_query(stored, size, image, rng):
    """The published rule: `ImagePool.query` of the authors' code, in one piece."""
    if size == 0:
        return image
    if len(stored) < size:
        stored.append(image)
        return image
    if rng.random() < 0.5:
        place = int(rng.integers(size))
        old, stored[place] = stored[place], image
        return old
    return image


@pytest.mark.parametrize("size", [0, 1, 5, 50])
def test_pool_follows_the_published_rule(size):
    pool, stored = ImagePool(size), []
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    for value in range(300):
        seen = shown(pool, np.float32(value), ours)
        assert seen == reference_query(stored, size, np.float32(value), theirs)
    assert pool.images == stored


def test_full_pool_shows_a_past_image_half_of_the_time_and_holds_its_size():
    pool, rng = ImagePool(10), np.random.default_rng(0)
    past = sum(shown(pool, value, rng) != value for value in range(2010))
    # 2,000 fair coins: 5 standard deviations are 112.
    assert abs(past - 1000) < 112
    assert len(pool.images) == 10


def test_every_image_is_shown_no_more_than_twice():
    """Once when new at the most, and once when it is taken out of the pool."""
    pool, rng = ImagePool(5), np.random.default_rng(1)
    seen = [shown(pool, value, rng) for value in range(1000)]
    assert np.bincount(seen).max() == 2
