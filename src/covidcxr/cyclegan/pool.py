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

    def choose(self, rng: np.random.Generator) -> int | None:
        """Return the place that the next new image will take; None if it is not kept."""
        if len(self.images) < self.size:
            return len(self.images)
        if self.size and rng.random() < 0.5:
            return int(rng.integers(self.size))
        return None

    def exchange(self, place: int | None, new: np.ndarray) -> np.ndarray:
        """Put a new image in the chosen place; return the image to show, which stood there."""
        if place is None:
            return new
        if place == len(self.images):
            self.images.append(new)
            return new
        past, self.images[place] = self.images[place], new
        return past
