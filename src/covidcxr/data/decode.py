"""The one place where image files become arrays, whatever their bit depth, colours or suffix."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from covidcxr.data.dicom import decode_dicom, is_dicom
from covidcxr.errors import InputError

WIDE_MODES = ("I", "F")
"""Pillow modes with more than 8 bits a pixel; 16-bit modes are called `I;16` and the like."""


def decode_gray(path: str | Path) -> npt.NDArray[np.uint8]:
    """Decode an image file to 8-bit grayscale.

    The format is read from the content, so a WebP file called `.png` decodes. Every pixel
    is decoded: a truncated file is an error, where OpenCV would hand out the part that is there.
    Colours become luma (ITU-R 601), palettes are looked up, transparent pixels lie on black. Images
    of more than 8 bits are stretched linearly, their own minimum to 0 and maximum to 255, since the
    bits in use (10, 12, 16) are seldom told. EXIF orientation is not applied: scanners and viewers
    write it unreliably on radiographs. DICOM files are shown as their own window or lookup table
    says, see `covidcxr.data.dicom`.

    Returns
    -------
    uint8 [height, width], 0..255.

    Raises
    ------
    InputError
        If the file is missing, truncated, or no image that Pillow or `decode_dicom` reads.
    """
    if is_dicom(path):
        return decode_dicom(path)
    try:
        with Image.open(path) as image:
            image.load()
            return _to_gray(image)
    # Corrupt files make Pillow's decoders raise nearly anything (OSError, SyntaxError, ValueError,
    # struct.error, zlib.error, DecompressionBombError ...), and all of it means the same here.
    except Exception as error:
        raise InputError(f"{path} cannot be decoded: {error or type(error).__name__}") from error


def _to_gray(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode in WIDE_MODES or image.mode.startswith("I;16"):
        return stretch(np.asarray(image))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba)
    return np.array(image.convert("L"))


def stretch(wide: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale an array from its own minimum and maximum to uint8 0..255; a constant gives 0."""
    values = wide.astype(np.float64)
    low, high = values.min(), values.max()
    if high == low:
        return np.zeros(wide.shape, np.uint8)
    return np.rint((values - low) * (255 / (high - low))).astype(np.uint8)
