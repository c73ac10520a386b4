"""The random affine warp: closed forms, limits, independence of other images."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.features.augment import Transform, affine, augmented_view, magnified, random_affine
from covidcxr.seeding import generator

STILL: Transform = {
    "rotation": 0,
    "width_shift": 0,
    "height_shift": 0,
    "horizontal_flip": False,
    "vertical_flip": False,
}


def warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Nearest-neighbour warp by the inverse map, pixel by pixel, borders repeated."""
    height, width = image.shape
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            u, v, _ = inverse @ [x, y, 1]
            column = int(np.clip(np.rint(u), 0, width - 1))
            row = int(np.clip(np.rint(v), 0, height - 1))
            result[y, x] = image[row, column]
    return result


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 7), np.uint8)


def test_no_transform_leaves_the_image_as_it_is(image: np.ndarray) -> None:
    np.testing.assert_array_equal(augmented_view(magnified(image), "a", 0, STILL, 1), image)


def test_quarter_turn_is_counter_clockwise_about_the_centre(image: np.ndarray) -> None:
    np.testing.assert_array_equal(warp(image, affine((7, 7), angle=90)), np.rot90(image))


def test_shift_moves_right_and_down_and_repeats_the_border(image: np.ndarray) -> None:
    expected = np.pad(image, ((1, 0), (2, 0)), mode="edge")[:7, :7]
    np.testing.assert_array_equal(warp(image, affine((7, 7), shift=(2, 1))), expected)


def test_mirror_and_vertical_are_exact_flips(image: np.ndarray) -> None:
    np.testing.assert_array_equal(warp(image, affine((7, 7), mirror=True)), image[:, ::-1])
    np.testing.assert_array_equal(warp(image, affine((7, 7), vertical=True)), image[::-1])


def test_flipped_views_are_exact_and_come_up_in_half_of_the_views(image: np.ndarray) -> None:
    transform: Transform = {**STILL, "horizontal_flip": True}
    views = [augmented_view(magnified(image), "a", k, transform, 1) for k in range(200)]
    flipped = [np.array_equal(view, image[:, ::-1]) for view in views]
    same = [np.array_equal(view, image) for view in views]
    assert all(f or s for f, s in zip(flipped, same, strict=True))
    assert 60 < sum(flipped) < 140


def test_a_large_rotation_agrees_with_the_pixelwise_reference() -> None:
    smooth = (np.add.outer(np.arange(40), 2 * np.arange(40)) * 2).astype(np.uint8)
    transform: Transform = {**STILL, "rotation": 40, "width_shift": 0.2}
    matrix = random_affine((40, 40), transform, generator(3, "augment", "x", 5))
    view = augmented_view(magnified(smooth), "x", 5, transform, 3).astype(int)
    # Linear and nearest interpolation of a ramp of slope (2, 4) differ by up to 3 grey levels.
    assert np.abs(view - warp(smooth, matrix).astype(int)).max() <= 4


@given(
    rotation=st.floats(0, 180),
    width=st.floats(0, 1),
    height=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_drawn_maps_stay_within_the_limits(
    rotation: float, width: float, height: float, seed: int
) -> None:
    transform: Transform = {
        "rotation": rotation,
        "width_shift": width,
        "height_shift": height,
        "horizontal_flip": False,
        "vertical_flip": False,
    }
    matrix = random_affine((50, 80), transform, np.random.default_rng(seed))
    angle = np.rad2deg(np.arctan2(matrix[0, 1], matrix[0, 0]))
    moved = matrix @ [39.5, 24.5, 1] - [39.5, 24.5]
    assert abs(angle) <= rotation + 1e-6
    assert abs(moved[0]) <= width * 80 + 1e-6
    assert abs(moved[1]) <= height * 50 + 1e-6
    np.testing.assert_allclose(np.linalg.det(matrix[:, :2]), 1)


def test_views_depend_on_seed_image_and_number_alone(image: np.ndarray) -> None:
    transform: Transform = {**STILL, "rotation": 90}
    first = augmented_view(magnified(image), "a", 0, transform, 1)
    np.testing.assert_array_equal(first, augmented_view(magnified(image), "a", 0, transform, 1))
    for name, view, seed in (("b", 0, 1), ("a", 1, 1), ("a", 0, 2)):
        assert not np.array_equal(
            first, augmented_view(magnified(image), name, view, transform, seed)
        )


def test_the_magnified_image_holds_the_image_and_lanczos_interpolation_between() -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (40, 56), np.uint8), (0, 0), 1.5)
    fine = magnified(image)
    np.testing.assert_array_equal(fine[::2, ::2], image)
    matrix = np.array([[2.0, 0, 0], [0, 2, 0]])
    reference = cv2.warpAffine(image, matrix, (112, 80), flags=cv2.INTER_LANCZOS4)
    # OpenCV weighs the pixels in fixed point. Near the border it knows no pixels beyond.
    apart = np.abs(fine.astype(int) - reference)[10:-10, 10:-10]
    assert apart.max() <= 2
