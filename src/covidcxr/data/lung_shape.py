"""Where the lungs lie on a frontal radiograph, estimated from the picture.

The boxes around the two lungs are a linear (ridge) regression on the coarse picture, in two stages:
the first reads the whole image, the second reads it cropped to what the first found, so that images
of children, which show the body down to the hips, and images that the chest fills look alike to it.
In each box stands the outline of a lung. That gives a region for controls and for shares of
attention, opaque lungs included, which a threshold on darkness would leave out; it is no
segmentation to measure lungs by.

The coefficients (`lung_boxes.npz`) were fitted by `tests/real/lung_boxes.py` to the boxes that
radiologists drew on the COVID-19 Image Data Collection (CC BY 4.0,
github.com/GeneralBlockchain/covid-19-chest-xray-lung-bounding-boxes-dataset) and to moved, scaled
and mirrored copies of these images; `docs/experiments` says how they do on patients left out.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import cv2
import numpy as np

from covidcxr.array_types import Floats, Grey, Mask

Boxes = Floats
"""float64 [2, 4]: of the lung on the viewer's left (the patient's right) and of the other: left,
top, right, bottom, as shares of the image's width and height."""

Picture = Grey
"""uint8 [size, size]."""

FINE, COARSE = 96, 24
"""Side in pixels at which contrast is evened out, and of what the regression reads."""

FRAME = (0.12, 0.10, 0.88, 0.84)
"""Where the second stage expects both lungs together: left, top, right, bottom."""

ROUNDS = 2
"""How often the second stage is applied."""

# Outlines in a lung's box: x from lateral 0 to medial 1, y from apex 0 to base 1. Drawn after
# images: apex, lateral wall, costophrenic angle, dome of the diaphragm, mediastinum; the second
# with the heart's bay.
_LATERAL = (
    (0.66, 0.0),
    (0.46, 0.03),
    (0.30, 0.12),
    (0.16, 0.30),
    (0.06, 0.55),
    (0.0, 0.85),
    (0.02, 1.0),
)
RIGHT_LUNG = (
    *_LATERAL,
    *((0.14, 0.93), (0.36, 0.86), (0.60, 0.85), (0.84, 0.89), (1.0, 0.96)),
    *((0.98, 0.70), (0.95, 0.45), (0.98, 0.25), (0.92, 0.08), (0.82, 0.01)),
)
LEFT_LUNG = (
    *_LATERAL,
    *((0.14, 0.94), (0.34, 0.89), (0.50, 0.88), (0.58, 0.80)),
    *((0.68, 0.62), (0.86, 0.47), (0.98, 0.36), (0.96, 0.22), (0.92, 0.08), (0.82, 0.01)),
)


@dataclass(frozen=True)
class BoxRegression:
    """Coefficients of the two stages.

    Attributes
    ----------
    whole, cropped
        float64 [1 + COARSE * COARSE, 8]: intercepts first; to the boxes of one image, flat.
    """

    whole: Floats
    cropped: Floats


@cache
def box_regression() -> BoxRegression:
    """Return the coefficients that come with the package."""
    with (resources.files("covidcxr.data") / "lung_boxes.npz").open("rb") as file:
        stored = np.load(file)
        return BoxRegression(stored["whole"].astype(float), stored["cropped"].astype(float))


def coarse_picture(image: Picture) -> Floats:
    """Return what the regression reads of a picture.

    Local contrast is evened out (CLAHE; Zuiderveld, Graphics Gems IV, 1994), since images differ in
    exposure more than lungs do.

    Returns
    -------
    float64 [1 + COARSE * COARSE]: 1, then grey values of mean 0 and standard deviation 1.
    """
    fine = cv2.resize(image, (FINE, FINE), interpolation=cv2.INTER_AREA)
    even = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(fine)
    small = cv2.resize(even.astype(np.float32), (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    values = np.asarray(small, np.float64).ravel()
    return np.concatenate([[1.0], (values - values.mean()) / (values.std() + 1e-6)])


@dataclass(frozen=True)
class Window:
    """A crop: where its top left corner lies and its size, as shares of the image's sides."""

    left: float
    top: float
    width: float
    height: float

    def crop(self, image: Picture) -> Picture:
        """Cut the window out, at the image's size; beyond the edge its pixels are repeated."""
        size = image.shape[0]
        matrix = np.array(
            [
                [1 / self.width, 0, -self.left * size / self.width],
                [0, 1 / self.height, -self.top * size / self.height],
            ]
        )
        cropped = cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(cropped, np.uint8)

    def inside(self, boxes: Boxes) -> Boxes:
        """Return boxes of the image as shares of the window."""
        return (boxes - self._corner) / self._size

    def outside(self, boxes: Boxes) -> Boxes:
        """Return boxes of the window as shares of the image."""
        return boxes * self._size + self._corner

    @property
    def _corner(self) -> Floats:
        return np.array([self.left, self.top, self.left, self.top])

    @property
    def _size(self) -> Floats:
        return np.array([self.width, self.height, self.width, self.height])


def window_around(boxes: Boxes) -> Window:
    """Return the window in which the two boxes together fill `FRAME`."""
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = boxes[:, 2:].max(axis=0)
    width = max(right - left, 0.1) / (FRAME[2] - FRAME[0])
    height = max(bottom - top, 0.1) / (FRAME[3] - FRAME[1])
    return Window(left - FRAME[0] * width, top - FRAME[1] * height, width, height)


def estimate_boxes(image: Picture, regression: BoxRegression | None = None) -> Boxes:
    """Estimate the boxes of both lungs.

    Parameters
    ----------
    image
        uint8 [size, size], a frontal image stretched to a square.
    regression
        Coefficients; those of the package by default.
    """
    fitted = regression or box_regression()
    boxes = (coarse_picture(image) @ fitted.whole).reshape(2, 4)
    for _ in range(ROUNDS):
        window = window_around(boxes)
        found = (coarse_picture(window.crop(image)) @ fitted.cropped).reshape(2, 4)
        boxes = window.outside(found)
    return boxes


def estimate_lungs(image: Picture) -> Mask:
    """Estimate the region of the lungs; bool, of the shape of `image` (uint8 [size, size])."""
    return lung_region(estimate_boxes(image), image.shape[0])


def lung_region(boxes: Boxes, size: int) -> Mask:
    """Draw the outlines of lungs in their boxes.

    Parameters
    ----------
    boxes
        As `Boxes`; a row of NaN where a lung has none.
    size
        Side of the picture in pixels.

    Returns
    -------
    bool [size, size].
    """
    canvas = np.zeros((size, size), np.uint8)
    for box, outline, mirrored in zip(boxes, (RIGHT_LUNG, LEFT_LUNG), (False, True), strict=True):
        if np.isnan(box).any():
            continue
        left, top, right, bottom = box
        across, down = np.array(outline).T
        x = left + (1 - across if mirrored else across) * (right - left)
        y = top + down * (bottom - top)
        # The share s of a side is the pixel coordinate s * size - 0.5; four fractional bits.
        points = np.round((np.stack([x, y], axis=1) * size - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(canvas, [points], 1, shift=4)
    return canvas.astype(bool)
