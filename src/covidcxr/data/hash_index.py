"""Search among perceptual hashes that grows with their number's logarithm, and misses none.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast exact search in Hamming space with
multi-index hashing", 2014): cut into p pieces, two hashes at most d bits apart differ by at most
floor(d / p) bits in one piece at least. So the hashes that agree in a piece up to so few bits hold
every neighbour; only their whole distances are counted.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PIECES = 13
"""With 256 bits and 24 differing: pieces of some 20 bits, one of which differs at most at one."""

TAIL = 1024
"""Newest hashes, compared one by one; then they are sorted into a level."""

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class _Level:
    """The pieces of some hashes, sorted.

    Attributes
    ----------
    keys
        int32 [n * pieces], sorted: number of the piece above the piece's own bits.
    rows
        int32 [n * pieces]: the hash it is of.
    """

    keys: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]


class HashIndex:
    """Hashes in the order in which they were added, and the nearest of them.

    Levels are sorted arrays whose sizes double; two of one size are merged. So adding n hashes
    costs n log n, a search looks at log n levels, and memory is 104 bytes a hash beside the hash.

    Parameters
    ----------
    bits
        Of a hash, a multiple of 64.
    radius
        Differing bits up to which `nearest` answers, below twice `PIECES`.
    """

    def __init__(self, bits: int, radius: int) -> None:
        if not 0 <= radius < 2 * PIECES:
            raise ValueError(f"radius {radius} asks pieces that differ at more than one bit")
        self._radius = radius
        self._hashes: Hashes = np.empty((TAIL, bits // 64), np.uint64)
        self._length = 0
        self._indexed = 0
        self._levels: list[_Level] = []
        width = -(-bits // PIECES)
        # Neighbouring bits of an image's transform go to different pieces: they go together in
        # like images, and pieces of such bits would tell little.
        position = np.arange(bits)
        self._weights = np.zeros((bits, PIECES), np.int32)
        self._weights[position, position % PIECES] = 1 << (position // PIECES)
        self._numbers = (np.arange(PIECES) << width).astype(np.int32)
        flips = [0, *(1 << bit for bit in range(width))] if radius >= PIECES else [0]
        self._flips = np.array(flips, np.int32)

    def __len__(self) -> int:
        return self._length

    def add(self, value: Hashes) -> None:
        """Append a hash, uint64 [bits / 64]."""
        if self._length == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        self._hashes[self._length] = value
        self._length += 1
        if self._length - self._indexed == TAIL:
            self._sort_tail()

    def nearest(self, value: Hashes) -> tuple[int, int] | None:
        """Return position and distance of the nearest hash, the earliest of equals.

        None where none is within the radius.
        """
        rows = np.concatenate([self._candidates(value), np.arange(self._indexed, self._length)])
        if not len(rows):
            return None
        distances = np.bitwise_count(self._hashes[rows] ^ value).sum(axis=1, dtype=np.int64)
        least = int(distances.min())
        return (int(rows[distances == least].min()), least) if least <= self._radius else None

    def _keys(self, hashes: Hashes) -> npt.NDArray[np.int32]:
        """Return the numbered pieces of hashes [n, bits / 64], int32 [n, pieces]."""
        bits = np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=1)
        return np.asarray(bits @ self._weights + self._numbers, np.int32)

    def _candidates(self, value: Hashes) -> npt.NDArray[np.int64]:
        """Return positions, some more than once, that hold every indexed neighbour."""
        found = [np.zeros(0, np.int32)]
        if self._levels:
            probes = np.sort((self._keys(value[None])[0][:, None] ^ self._flips).ravel())
            for level in self._levels:
                starts = np.searchsorted(level.keys, probes)
                ends = np.searchsorted(level.keys, probes, side="right")
                hits = np.flatnonzero(ends > starts)
                found += [level.rows[starts[i] : ends[i]] for i in hits]
        return np.concatenate(found).astype(np.int64)

    def _sort_tail(self) -> None:
        start = self._indexed
        self._indexed = self._length
        while self._levels and len(self._levels[-1].rows) == PIECES * (self._length - start):
            start -= len(self._levels.pop().rows) // PIECES
        keys = self._keys(self._hashes[start : self._length]).ravel()
        order = np.argsort(keys, kind="stable")
        self._levels.append(_Level(keys[order], (order // PIECES + start).astype(np.int32)))
