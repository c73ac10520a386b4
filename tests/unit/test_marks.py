import cv2
import numpy as np
import pytest

from covidcxr.data.marks import LEAST_PIXELS, find_marks


def picture() -> np.ndarray:
    """Return grey ground with a light letter, a dark wire, a broad light patch and a speck."""
    ground = np.full((100, 100), 120, np.uint8)
    ground[10:13, 10:14] = 220
    ground[50, 20:60] = 20
    ground[70:100, 70:100] = 250
    ground[30, 80 : 80 + LEAST_PIXELS - 1] = 220
    return ground


@pytest.mark.parametrize(
    ("hats", "sizes"),
    [
        ([cv2.MORPH_TOPHAT], [12]),
        ([cv2.MORPH_BLACKHAT], [40]),
        ([cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT], [12, 40]),
    ],
)
def test_marks_are_small_contrasting_parts_light_or_dark_as_asked(hats, sizes):
    where, found = find_marks(picture(), side=0.07, contrast=90, hats=hats)
    assert sorted(found) == sizes
    assert where.sum() == sum(sizes)
    assert where[10:13, 10:14].all() == (12 in sizes)
    assert where[50, 20:60].all() == (40 in sizes)


def test_a_mark_below_the_contrast_is_none():
    where, found = find_marks(picture(), side=0.07, contrast=101, hats=[cv2.MORPH_TOPHAT])
    assert not where.any()
    assert len(found) == 0
