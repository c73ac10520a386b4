import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.seeding import generator, integer_seed


@given(st.integers(0, 2**40), st.lists(st.text(), min_size=1, max_size=3))
def test_same_name_same_stream(seed: int, names: list[str]) -> None:
    assert generator(seed, *names).random() == generator(seed, *names).random()
    assert 0 <= integer_seed(seed, *names) < 2**31


def test_other_seeds_and_names_give_other_streams() -> None:
    keys = [
        (1, "train", "VGG16"),
        (2, "train", "VGG16"),
        (1, "train", "ResNet50"),
        (1, "trainVGG16"),
    ]
    draws = [generator(seed, *names).random() for seed, *names in keys]
    assert len(set(draws)) == len(draws)


def test_streams_of_neighbouring_names_are_uncorrelated() -> None:
    draws = np.array([generator(0, "view", k).normal(size=2000) for k in range(4)])
    correlation = np.corrcoef(draws)[~np.eye(4, dtype=bool)]
    assert np.abs(correlation).max() < 0.1
