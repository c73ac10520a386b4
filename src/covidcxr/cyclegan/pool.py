"""The pool of past translations that discriminators are trained on (Zhu et al. 2017, section 4)."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Exchange:
    """What the pool decided for one new translation.

    `slot` is the place the new image will take (None: it is not kept); `past` is the image to show
    to the discriminator in its stead (None: show the new one).
    """

    slot: int | None
    past: np.ndarray | None


@dataclass
class ImagePool:
    """Up to `size` past images.

    While it fills, every new image is kept and shown. Once full, with probability 1/2 a random
    past image is shown and the new one takes its place; else the new one is shown and not kept. A
    pool of size 0 always shows the new image.

    The decision (`draw`) does not need the new image, so that a training step can make it inside
    its graph; `put` hands it in afterwards.
    """

    size: int
    images: list[np.ndarray] = field(default_factory=list)

    def draw(self, rng: np.random.Generator) -> Exchange:
        """Decide what becomes of the next new image."""
        if self.size == 0:
            return Exchange(slot=None, past=None)
        if len(self.images) < self.size:
            return Exchange(slot=len(self.images), past=None)
        if rng.random() < 0.5:
            slot = int(rng.integers(self.size))
            return Exchange(slot=slot, past=self.images[slot])
        return Exchange(slot=None, past=None)

    def put(self, exchange: Exchange, new: np.ndarray) -> None:
        """Keep the image that `exchange` was drawn for, if the decision was to keep it."""
        if exchange.slot is None:
            return
        if exchange.slot == len(self.images):
            self.images.append(new)
        else:
            self.images[exchange.slot] = new
