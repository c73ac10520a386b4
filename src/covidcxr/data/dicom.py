"""Radiographs in DICOM files, as a viewer would show them, in 8 bits."""

import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from covidcxr.errors import InputError

SUFFIXES = (".dcm", ".dicom")
RADIOGRAPHS = ("CR", "DX", "RG", "SC", "OT", "")
"""Modalities that are or may be radiographs; films that were scanned come as SC or OT."""

GRAY = ("MONOCHROME1", "MONOCHROME2")


def is_dicom(path: str | Path) -> bool:
    """Tell by the content (`DICM` after 128 bytes) or the suffix whether a file is DICOM."""
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def decode_dicom(path: str | Path) -> npt.NDArray[np.uint8]:
    """Decode a DICOM radiograph to 8-bit grayscale, bone bright.

    The grayscale pipeline of the standard (PS3.4 annex N.2): stored values -> modality LUT or
    rescale slope and intercept -> VOI LUT, else the first window, else the image's own range ->
    0..255. MONOCHROME1, whose lowest value is shown white, is inverted. Padding, where the file
    names its value, is black and does not take part in the range.

    Read are uncompressed, deflated, RLE, JPEG baseline (8 bits) and JPEG 2000 files. JPEG lossless,
    JPEG-LS and 12-bit JPEG are read where a decoder for them is installed that pydicom finds.

    Returns
    -------
    uint8 [height, width], 0..255.

    Raises
    ------
    InputError
        The file is missing or damaged, holds no single gray radiograph meant to be shown, or its
        compression cannot be read.
    """
    try:
        dataset = pydicom.dcmread(path)
        _check(dataset, path)
        return to_gray(dataset, pixel_array(dataset))
    except InputError:
        raise
    except InvalidDicomError as error:
        raise InputError(f"{path} cannot be decoded: it is called DICOM but is none") from error
    # Broken files make pydicom and the decoders below it raise nearly anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be decoded: {reason}") from error


def to_gray(dataset: Dataset, stored: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Carry stored pixel values [height, width] through the grayscale pipeline, see `decode_dicom`.

    Returns
    -------
    uint8 [height, width], 0..255.
    """
    dataset = _with_wide_tables(dataset)
    values = _integers(apply_modality_lut(stored, dataset))
    padding = _padding(dataset, stored)
    limits = _output_limits(dataset)
    if limits is None:
        shown = values.astype(np.float64)
        inside = shown[~padding]
        limits = (inside.min(), inside.max()) if inside.size else (0.0, 0.0)
    else:
        shown = np.asarray(apply_voi_lut(values, dataset), np.float64)
    low, high = limits
    scale = 255 / (high - low) if high > low else 0.0
    gray = np.rint(np.clip((shown - low) * scale, 0, 255)).astype(np.uint8)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 255 - gray
    gray[padding] = 0
    return gray


def _check(dataset: Dataset, path: str | Path) -> None:
    """Refuse what is no single gray radiograph for presentation, or is compressed unreadably."""
    modality = str(dataset.get("Modality") or "")
    if modality not in RADIOGRAPHS:
        raise InputError(f"{path} is no radiograph: its modality is {modality}")
    if "PixelData" not in dataset:
        raise InputError(f"{path} holds no image (no pixel data)")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise InputError(f"{path} holds {frames} frames; give each frame as a file of its own")
    colours = dataset.PhotometricInterpretation
    if colours not in GRAY or int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise InputError(f"{path} is in colour ({colours}); radiographs are MONOCHROME1 or 2")
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        raise InputError(
            f"{path} holds the detector's raw values (FOR PROCESSING); "
            "export the image that is FOR PRESENTATION"
        )
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and not get_decoder(syntax).is_available:
        raise InputError(
            f"{path} is compressed as {syntax.name}, for which no decoder is installed; "
            "`pip install python-gdcm`, or decompress it (`gdcmconv --raw`)"
        )


def _with_wide_tables(dataset: Dataset) -> Dataset:
    """Return a copy of the attributes of the pipeline, lookup tables declared to have 16 bits.

    pydicom 3.0 counts positions in a table of 8 bits in 8 bits too, so that 4096 entries wrap
    around, and knows no 12-bit modality tables. The depth declared has no other effect here, as
    the range of the output is taken from the entries.
    """
    copied = Dataset()
    copied.file_meta = dataset.file_meta
    for element in dataset:
        if element.tag.group == 0x0028:
            copied[element.tag] = copy.deepcopy(element)
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        for item in copied.get(name) or []:
            count, first, _ = item.LUTDescriptor
            item.LUTDescriptor = [count, first, 16]
    return copied


def _integers(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return whole numbers as integers: a VOI LUT is looked up by them, rescaling makes floats."""
    whole = np.rint(values)
    return whole.astype(np.int64) if np.array_equal(whole, values) else values


def _padding(dataset: Dataset, stored: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Tell which stored values are padding: the padding value, or from it to the range limit."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    other = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if other is None else other)))
    return (stored >= low) & (stored <= high)


def _output_limits(dataset: Dataset) -> tuple[float, float] | None:
    """Return the lowest and highest value that the VOI LUT or window can give; None without one.

    They are asked of the transform itself, by values that it clips. Between them lies the range
    that a viewer spreads over black to white.
    """
    if dataset.get("VOILUTSequence"):
        count, first, _ = dataset.VOILUTSequence[0].LUTDescriptor
        probe = np.arange(first, first + (count or 2**16))
    elif dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        centre, width = (
            float(np.ravel(dataset[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
        )
        # Far enough for the sigmoid, whose exponential must not overflow.
        probe = centre + width * np.array([-100.0, 100.0])
    else:
        return None
    shown = apply_voi_lut(probe, dataset)
    return float(shown.min()), float(shown.max())
