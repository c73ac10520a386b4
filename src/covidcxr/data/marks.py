"""Letters, arrows, wires, rules: small things that stand out from what surrounds them."""

from collections.abc import Sequence

import cv2
import numpy as np

from covidcxr.array_types import Grey, Integers, Mask

LEAST_PIXELS = 5
"""Smallest mark, in pixels of the picture."""


def find_marks(
    picture: Grey, *, side: float, contrast: int, hats: Sequence[int]
) -> tuple[Mask, Integers]:
    """Return where marks stand in a picture, and how many pixels each has.

    Parameters
    ----------
    picture
        uint8 [size, size].
    side
        Side of the square that a mark fits in, as a share of the picture's.
    contrast
        Grey levels by which a mark stands out from its surroundings.
    hats
        `cv2.MORPH_TOPHAT` for light marks, `cv2.MORPH_BLACKHAT` for dark ones.

    Returns
    -------
    tuple
        bool [size, size], and the sizes of the marks, int64 [marks]. A mark is an 8-connected part
        of at least `LEAST_PIXELS` whose white or black top hat reaches the contrast.
    """
    pixels = max(3, round(side * len(picture)) | 1)
    square = np.ones((pixels, pixels), np.uint8)
    found = [cv2.morphologyEx(picture, hat, square) >= contrast for hat in hats]
    _, parts, numbers, _ = cv2.connectedComponentsWithStats(
        np.any(found, axis=0).astype(np.uint8), connectivity=8
    )
    sizes = np.asarray(numbers[:, cv2.CC_STAT_AREA], np.int64)
    large = sizes >= LEAST_PIXELS
    large[0] = False  # the background
    return large[parts], sizes[large]
