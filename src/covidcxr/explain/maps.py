"""Grad-CAM maps as they stand on disk, apart from the networks that made them."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Explained:
    """Images with their Grad-CAM maps, means over the folds' models.

    Attributes
    ----------
    image_id, cohort, label
        str [n]; `cohort` is `test` or `timeline`.
    day
        float64 [n], NaN where unknown.
    class_index
        int64 [n], the class that the map explains.
    images
        uint8 [n, size, size].
    maps
        float32 [n, size, size] in [0, 1].
    probabilities
        float32 [n, classes].
    """

    image_id: npt.NDArray[np.str_]
    cohort: npt.NDArray[np.str_]
    label: npt.NDArray[np.str_]
    day: npt.NDArray[np.float64]
    class_index: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]
    maps: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]

    def of_cohort(self, cohort: str) -> "Explained":
        """Return the images of one cohort."""
        chosen = self.cohort == cohort
        return Explained(**{name: values[chosen] for name, values in vars(self).items()})


def read_gradcam(path: str | Path) -> Explained:
    """Read a file of `covidcxr.explain.gradcam.write_gradcam`."""
    with np.load(path) as arrays:
        return Explained(**{name: arrays[name] for name in arrays.files})


def upsample(maps: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Enlarge maps [n, h, w] to float32 [n, size, size] by bilinear interpolation."""
    larger = [cv2.resize(one, (size, size), interpolation=cv2.INTER_LINEAR) for one in maps]
    return np.array(larger, np.float32).reshape(len(maps), size, size)
