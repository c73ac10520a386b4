import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.data import hash_index
from covidcxr.data.hash_index import PIECES, HashIndex

Hashes = np.ndarray


def by_brute_force(hashes: Hashes, value: Hashes, radius: int) -> tuple[int, int] | None:
    if not len(hashes):
        return None
    distances = np.bitwise_count(hashes ^ value).sum(axis=1, dtype=int)
    nearest = int(distances.argmin())
    return (nearest, int(distances[nearest])) if distances[nearest] <= radius else None


def flipped(value: Hashes, bits: int, rng: np.random.Generator) -> Hashes:
    unpacked = np.unpackbits(value.view(np.uint8))
    unpacked[rng.choice(256, bits, replace=False)] ^= 1
    return np.packbits(unpacked).view(np.uint64)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    number=st.integers(0, 300),
    tail=st.sampled_from([1, 2, 7, 64]),
    radius=st.sampled_from([0, 5, 12, 13, 24, 25]),
    clusters=st.integers(1, 20),
)
def test_the_nearest_hash_is_that_of_brute_force_after_every_addition(
    seed: int, number: int, tail: int, radius: int, clusters: int
) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, (clusters, 4), dtype=np.uint64)
    hashes = np.zeros((number, 4), np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_index, "TAIL", tail)
        index = HashIndex(256, radius)
        for i in range(number):
            # Near, at the radius and just beyond it, and exact copies, so that there are ties.
            value = flipped(centres[rng.integers(clusters)], int(rng.integers(0, 40)), rng)
            if i and rng.random() < 0.2:
                value = flipped(hashes[rng.integers(i)], int(rng.choice([0, radius])), rng)
            assert index.nearest(value) == by_brute_force(hashes[:i], value, radius)
            index.add(value)
            hashes[i] = value
    assert len(index) == number


@pytest.mark.parametrize("piece", range(PIECES))
def test_a_neighbour_whose_other_pieces_all_differ_is_found(piece: int) -> None:
    rng = np.random.default_rng(piece)
    value = rng.integers(0, 2**64, 4, dtype=np.uint64)
    bits = np.unpackbits(value.view(np.uint8))
    # 24 bits: two in each other piece, none in this one; the hardest case of the pigeonhole.
    for other in set(range(PIECES)) - {piece}:
        bits[[other, other + PIECES]] ^= 1
    index = HashIndex(256, 24)
    index.add(np.packbits(bits).view(np.uint64))
    for _ in range(hash_index.TAIL):
        index.add(rng.integers(0, 2**64, 4, dtype=np.uint64))
    assert index.nearest(value) == (0, 24)


def test_a_radius_that_the_pieces_cannot_promise_is_refused() -> None:
    with pytest.raises(ValueError, match="26"):
        HashIndex(256, 26)
