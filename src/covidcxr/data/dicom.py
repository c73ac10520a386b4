"""Radiographs in DICOM files, as a viewer would show them, in 8 bits."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import VR

from covidcxr.array_types import Grey, Mask, Values
from covidcxr.errors import InputError

SUFFIXES = (".dcm", ".dicom")
RADIOGRAPHS = ("CR", "DX", "RG", "SC", "OT", "")
"""Modalities that are or may be radiographs; films that were scanned come as SC or OT."""

GRAY = ("MONOCHROME1", "MONOCHROME2")
WINDOWS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
VRS = {str(kind) for kind in VR}
MOST_PIXELS = 1 << 26
"""An image of more (8192 x 8192) is damaged, or would not fit into the memory of a job."""
NEEDED = ("PhotometricInterpretation", "Rows", "Columns", "BitsAllocated")
"""Attributes without which nobody knows what the pixels mean."""


@contextmanager
def decoding(path: str | Path) -> Iterator[None]:
    """Make an `InputError` that names the file of whatever a broken one makes decoders raise.

    That is nearly anything (OSError, SyntaxError, ValueError, struct.error, zlib.error,
    DecompressionBombError ...), and all of it means the same.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be decoded: {reason}") from error


def is_dicom(path: str | Path) -> bool:
    """Tell by the content, or the suffix, whether a file is DICOM.

    By `DICM` after 128 bytes or, for a file that lost these, by a first data element of group 2 or
    8 with its value representation or a length that such an element can have.
    """
    try:
        return Path(path).suffix.lower() in SUFFIXES or _holds_dicom(path)
    except OSError:
        return False


def _holds_dicom(path: str | Path) -> bool:
    with Path(path).open("rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        return True
    group, element, kind = head[:2], head[2:4], head[4:6]
    if len(head) < 132 or group not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    if kind.decode("latin-1") in VRS:
        return True
    number, length = int.from_bytes(element, "little"), int.from_bytes(head[4:8], "little")
    return group == b"\x08\x00" and number <= 0x0018 and length <= 64


def decode_dicom(path: str | Path) -> Grey:
    """Decode a DICOM radiograph to 8-bit grayscale, bone bright.

    The grayscale pipeline of the standard (PS3.4 annex N.2): stored values -> modality LUT or
    rescale slope and intercept -> VOI LUT, else the first window, else the image's own range ->
    0..255. MONOCHROME1, whose lowest value is shown white, is inverted. Padding, where the file
    names its value, is black and does not take part in the range.

    A file without its preamble or meta information is read by what its first elements are. Where a
    value is empty or senseless (no slope, a window without width), the pipeline goes on without it;
    an attribute that is needed and missing is named.

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
    with decoding(path):
        if not _holds_dicom(path):
            raise InputError(f"{path} cannot be decoded: it is called DICOM but is none")
        dataset = pydicom.dcmread(path, force=True)
        _check(dataset, path)
        return to_gray(dataset, pixel_array(dataset))


def to_gray(dataset: Dataset, stored: npt.NDArray[np.integer]) -> Grey:
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
    lacking = [name for name in NEEDED if dataset.get(name) in (None, "")]
    if lacking:
        tags = ", ".join(f"{name} {Tag(name)}" for name in lacking)
        raise InputError(f"{path} cannot be decoded: it lacks {tags}")
    _complete(dataset)
    if dataset.Rows * dataset.Columns > MOST_PIXELS:
        raise InputError(
            f"{path} is {dataset.Columns} x {dataset.Rows} pixels large, more than "
            f"{MOST_PIXELS:,}; it is damaged, or must be scaled down"
        )
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


def _complete(dataset: Dataset) -> None:
    """Fill in what follows from the rest of a file, where it is missing or empty."""
    bits = int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or bits)
    follows = {"SamplesPerPixel": 1, "BitsStored": stored, "HighBit": stored - 1}
    for name, value in {**follows, "PixelRepresentation": 0}.items():
        if dataset.get(name) in (None, ""):
            setattr(dataset, name, value)
    meta = getattr(dataset, "file_meta", None)
    if meta is None:
        meta = dataset.file_meta = FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _with_sensible_values(dataset: Dataset) -> None:
    """Drop attributes of the grayscale pipeline whose values are empty or make no sense."""
    slope, intercept = (
        _numbers(dataset, name)[:1] for name in ("RescaleSlope", "RescaleIntercept")
    )
    if slope or intercept:
        if not slope or not np.isfinite(float(slope[0])) or float(slope[0]) == 0:
            dataset.RescaleSlope = 1
        if not intercept or not np.isfinite(float(intercept[0])):
            dataset.RescaleIntercept = 0
    else:
        dataset.pop("RescaleSlope", None)
        dataset.pop("RescaleIntercept", None)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    dataset.VOILUTFunction = function if function in WINDOWS else "LINEAR"
    least = 1.0 if dataset.VOILUTFunction == "LINEAR" else 1e-6
    pairs = zip(_numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth"), strict=False)
    fit = [pair for pair in pairs if np.isfinite(float(pair[0])) and float(pair[1]) >= least]
    for name in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"):
        dataset.pop(name, None)
    if fit:
        dataset.WindowCenter, dataset.WindowWidth = fit[0]
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        if name in dataset and not dataset[name].value:
            del dataset[name]


def _numbers(dataset: Dataset, name: str) -> list[Any]:
    """Return the values of an attribute, NaN for an empty one; none where all of it is empty."""
    value = dataset.get(name)
    values = [] if value in (None, "") else np.ravel(np.asarray(value, object)).tolist()
    return [float("nan") if one in (None, "") else one for one in values]


def _with_wide_tables(dataset: Dataset) -> Dataset:
    """Return a copy of the pipeline's sensible attributes, lookup tables declared to have 16 bits.

    pydicom 3.0 counts positions in a table of 8 bits in 8 bits too, so that 4096 entries wrap
    around, and knows no 12-bit modality tables. The depth declared has no other effect here, as
    the range of the output is taken from the entries.
    """
    copied = Dataset()
    copied.file_meta = dataset.file_meta
    for element in dataset:
        if element.tag.group == 0x0028:
            copied[element.tag] = copy.deepcopy(element)
    _with_sensible_values(copied)
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        for item in copied.get(name) or []:
            count, first, _ = item.LUTDescriptor
            item.LUTDescriptor = [count, first, 16]
    return copied


def _integers(values: Values) -> Values:
    """Return whole numbers as integers: a VOI LUT is looked up by them, rescaling makes floats."""
    whole = np.rint(values)
    return whole.astype(np.int64) if np.array_equal(whole, values) else values


def _padding(dataset: Dataset, stored: npt.NDArray[np.integer]) -> Mask:
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
