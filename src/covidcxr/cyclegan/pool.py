"""The pool of past translations that discriminators are trained on (Zhu et al. 2017, section 4)."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class ImagePool:
    """Up to `size` past images.

    While it fills, every new image is kept and shown. Once full, with probability 1/2 a random
    past image is shown and the new one takes its place; else the new one is shown and not kept. A
    pool of size 0 always shows the new image.
    """

    size: int
    images: list[np.ndarray] = field(default_factory=list)

    def query(self, new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Take in a new image; return the one to show."""
        if len(self.images) < self.size:
            self.images.append(new)
        elif self.size and rng.random() < 0.5:
            place = int(rng.integers(self.size))
            new, self.images[place] = self.images[place], new
        return new
