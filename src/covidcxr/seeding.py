"""One seed for a run, from which every step draws its own independent stream by name."""

import hashlib

import numpy as np


def seed_sequence(seed: int, *names: str | int) -> np.random.SeedSequence:
    """Return the seed sequence of the step called `names` under the run's `seed`.

    Streams of different names are independent, so adding a backbone, a fold or an image changes no
    other result. The names enter as the SHA-256 of their joined text, in the `spawn_key` of
    `numpy.random.SeedSequence`.
    """
    digest = hashlib.sha256("\0".join(str(name) for name in names).encode()).digest()
    return np.random.SeedSequence(seed, spawn_key=tuple(np.frombuffer(digest, np.uint32).tolist()))


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for the step called `names` under the run's `seed`."""
    return np.random.default_rng(seed_sequence(seed, *names))


def integer_seed(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2**31) for libraries that take an integer (Keras, TensorFlow, CBC)."""
    return int(seed_sequence(seed, *names).generate_state(1)[0] >> 1)
