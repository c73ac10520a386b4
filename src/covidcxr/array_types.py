"""Arrays by what they hold, as signatures name them."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]
Grey = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.floating]
Values = npt.NDArray[np.generic]
