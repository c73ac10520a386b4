"""The one place where image files become arrays, whatever their bit depth, colours or suffix."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from covidcxr.array_types import Floats, Grey, Values
from covidcxr.data.dicom import MOST_PIXELS, decode_dicom, decoding, is_dicom
from covidcxr.errors import InputError

WIDE_MODES = ("I", "F")
"""Pillow modes with more than 8 bits a pixel; 16-bit modes are called `I;16` and the like."""
LUMA = (0.114, 0.587, 0.299)
"""Weights of blue, green and red (ITU-R 601)."""
PHOTOMETRIC, REDUCED, WHITE_IS_ZERO = 262, 254, 0
"""Tags of TIFF: photometric interpretation, and kind of a page; an interpretation."""


def decode_gray(path: str | Path) -> Grey:
    """Decode an image file to 8-bit grayscale.

    The format is read from the content, so a WebP file called `.png` decodes. Every pixel
    is decoded: a truncated file is an error, where OpenCV would hand out the part that is there.
    Colours become luma (ITU-R 601), palettes are looked up, transparent pixels lie on black. Images
    of more than 8 bits, gray or in colours, are stretched linearly, their own minimum to 0 and
    maximum to 255, since the bits in use (10, 12, 16) are seldom known. An image is turned as its
    EXIF orientation says, as every viewer shows it. Files of several images are refused. DICOM
    files are shown as their own window or lookup table says, see `covidcxr.data.dicom`.

    Returns
    -------
    uint8 [height, width], 0..255.

    Raises
    ------
    InputError
        If the file is missing, truncated, no image that Pillow or `decode_dicom` reads, larger than
        `MOST_PIXELS`, or holds several.
    """
    if is_dicom(path):
        return decode_dicom(path)
    with decoding(path), Image.open(path) as image:
        return _decode(image, Path(path))


def _decode(image: ImageFile.ImageFile, path: Path) -> Grey:
    if image.width * image.height > MOST_PIXELS:
        raise InputError(
            f"{path} is {image.width} x {image.height} pixels large, more than {MOST_PIXELS:,}; it "
            "is damaged, or must be scaled down"
        )
    pages = _pages(image)
    if pages > 1:
        raise InputError(f"{path} holds {pages} images; give each as a file of its own")
    deep = _is_deep(image, path)
    inverted = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
    image.load()
    if deep:
        gray = stretch(_deep_luma(path))
    elif image.mode in WIDE_MODES or image.mode.startswith("I;16"):
        gray = stretch(np.asarray(image))
        # Pillow itself inverts 8-bit images whose lowest value is white.
        gray = 255 - gray if inverted else gray
    else:
        shown: Image.Image = image
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            shown = Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba)
        gray = np.array(shown.convert("L"))
    orientation = image.getexif().get(0x0112, 1)
    if orientation == 1:
        return gray
    turned = Image.fromarray(gray)
    turned.getexif()[0x0112] = orientation
    return np.array(ImageOps.exif_transpose(turned))


def _pages(image: ImageFile.ImageFile) -> int:
    """Count the images of a file, without previews: a camera's, or smaller copies in a TIFF."""
    count = getattr(image, "n_frames", 1)
    if count == 1 or image.format in ("MPO", "ICO", "ICNS"):
        return 1
    if image.format == "TIFF":
        kinds = []
        for page in range(count):
            image.seek(page)
            kinds.append(image.tag_v2.get(REDUCED, 0) & 1)  # type: ignore[attr-defined]
        image.seek(kinds.index(0) if 0 in kinds else 0)
        return max(kinds.count(0), 1)
    return count


def _is_deep(image: ImageFile.ImageFile, path: Path) -> bool:
    """Tell whether a file has several channels of more than 8 bits, of which Pillow keeps 8."""
    if len(image.getbands()) == 1:
        return False
    if image.format == "JPEG2000":
        head = path.read_bytes()
        size = head.find(b"\xff\x4f\xff\x51")
        return size >= 0 and (head[size + 42] & 0x7F) + 1 > 8
    return any(";16" in str(tile[3]) for tile in image.tile) or (
        image.format == "PPM" and _is_wide_ppm(image)
    )


def _is_wide_ppm(image: ImageFile.ImageFile) -> bool:
    arguments = image.tile[0][3] if image.tile else ()
    return isinstance(arguments, tuple) and any(
        isinstance(value, int) and value > 255 for value in arguments
    )


def _deep_luma(path: Path) -> Floats:
    """Return the luma of an image of deep channels on black, in its own range [height, width]."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(content, flags)
    if pixels is None or pixels.dtype == np.uint8:
        raise InputError(
            f"{path} cannot be decoded: no decoder for its channels of more than 8 bits; "
            "save it as 16-bit PNG"
        )
    if pixels.ndim == 2:
        return pixels.astype(np.float64)
    luma = sum(weight * pixels[..., channel] for channel, weight in enumerate(LUMA))
    if pixels.shape[2] == 4:
        luma = luma * (pixels[..., 3] / np.iinfo(pixels.dtype).max)
    return np.asarray(luma, np.float64)


def stretch(wide: Values) -> Grey:
    """Scale an array from its own minimum and maximum to uint8 0..255; a constant gives 0.

    Values that are no finite number are black and do not take part in the range.
    """
    values = wide.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        values[~finite] = values[finite].min() if finite.any() else 0
    low, high = values.min(), values.max()
    if high == low:
        return np.zeros(wide.shape, np.uint8)
    values -= low
    values *= 255 / (high - low)
    return np.rint(values, out=values).astype(np.uint8)
