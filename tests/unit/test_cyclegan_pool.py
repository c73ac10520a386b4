import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.cyclegan.pool import ImagePool


def test_pool_shows_every_image_until_it_is_full_and_without_a_size_always():
    rng = np.random.default_rng(3)
    for size in (0, 1, 5):
        pool = ImagePool(size)
        assert [pool.query(value, rng) for value in range(size)] == list(range(size))
        assert pool.images == list(range(size))
    assert [ImagePool(0).query(value, rng) for value in range(9)] == list(range(9))


@given(st.integers(1, 9), st.integers(0, 1000))
def test_no_image_is_lost_or_made(size, seed):
    """What was shown and what is kept are together what came in, as often as it did or twice."""
    pool, rng = ImagePool(size), np.random.default_rng(seed)
    seen = [pool.query(value, rng) for value in range(50)]
    assert set(seen) | set(pool.images) == set(range(50))
    assert len(set(pool.images)) == size


def test_full_pool_shows_a_past_image_half_of_the_time_and_holds_its_size():
    pool, rng = ImagePool(10), np.random.default_rng(0)
    past = sum(pool.query(value, rng) != value for value in range(2010))
    # 2,000 fair coins: 5 standard deviations are 112.
    assert abs(past - 1000) < 112
    assert len(pool.images) == 10


def test_every_image_is_shown_no_more_than_twice():
    """Once when new at the most, and once when it is taken out of the pool."""
    pool, rng = ImagePool(5), np.random.default_rng(1)
    seen = [pool.query(value, rng) for value in range(1000)]
    assert np.bincount(seen).max() == 2
