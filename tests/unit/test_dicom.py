"""DICOM radiographs against the formulas of the standard (PS3.3 C.11.1 and C.11.2)."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from covidcxr.data.decode import decode_gray, stretch
from covidcxr.data.dicom import to_gray
from covidcxr.errors import InputError
from tests.unit.dicom_files import radiograph, write

RAMP = np.arange(64, dtype=np.uint16)[None].repeat(32, 0) * 65  # 0..4095, 12 bits


def lut(values: np.ndarray, first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = values.tolist()
    item["LUTDescriptor"].VR = "US"
    item["LUTData"].VR = "US"
    return item


@given(
    bits=st.sampled_from([12, 14, 16]),
    signed=st.booleans(),
    centre=st.integers(-500, 3000),
    width=st.integers(2, 4000),
    slope=st.sampled_from([0.5, 1.0, 2.0]),
    intercept=st.sampled_from([-1024.0, 0.0, 100.0]),
    inverted=st.booleans(),
)
def test_rescaling_and_a_linear_window_follow_the_standard(
    bits: int,
    signed: bool,
    centre: int,
    width: int,
    slope: float,
    intercept: float,
    inverted: bool,
) -> None:
    stored = RAMP.astype(np.int16) - 2048 if signed else RAMP
    stored = stored // (2 if signed and bits == 12 else 1)
    dataset = radiograph(
        stored,
        bits,
        WindowCenter=centre,
        WindowWidth=width,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
    )
    x = stored * slope + intercept
    expected = np.clip((x - (centre - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
    expected = 255 - expected if inverted else expected
    np.testing.assert_allclose(to_gray(dataset, stored), expected, atol=0.51)


def test_a_sigmoid_window_and_the_first_of_several_windows_are_used() -> None:
    dataset = radiograph(
        RAMP, 12, WindowCenter=[1000, 3000], WindowWidth=[500, 100], VOILUTFunction="SIGMOID"
    )
    expected = 255 / (1 + np.exp(-4 * (RAMP - 1000.0) / 500))
    np.testing.assert_allclose(to_gray(dataset, RAMP), expected, atol=0.51)


def test_a_window_wider_than_the_image_is_not_stretched_back() -> None:
    dataset = radiograph(RAMP // 4 + 1000, 12, WindowCenter=2048, WindowWidth=4096)
    gray = to_gray(dataset, RAMP // 4 + 1000)
    assert 55 < gray.min() < 70
    assert 120 < gray.max() < 130


def test_a_lookup_table_comes_before_a_window_and_after_the_rescaling() -> None:
    values = (np.linspace(0, 1, 1000) ** 2 * 4095).round().astype(np.uint16)
    dataset = radiograph(
        RAMP,
        12,
        RescaleSlope=1,
        RescaleIntercept=-100,
        WindowCenter=10,
        WindowWidth=2,
        VOILUTSequence=[lut(values, 200, 12)],
    )
    position = np.clip(RAMP.astype(int) - 100 - 200, 0, 999)
    expected = values[position] / 4095 * 255
    np.testing.assert_allclose(to_gray(dataset, RAMP), expected, atol=0.51)


def test_a_long_lookup_table_of_eight_bits_is_not_wrapped_at_256() -> None:
    values = (np.arange(4096) // 16).astype(np.uint16)
    dataset = radiograph(RAMP, 12, VOILUTSequence=[lut(values, 0, 8)])
    np.testing.assert_array_equal(to_gray(dataset, RAMP), RAMP // 16)


@pytest.mark.parametrize("bits", [12, 16])
def test_a_modality_table_is_looked_up(bits: int) -> None:
    values = np.arange(4096, dtype=np.uint16)[::-1].copy()
    dataset = radiograph(RAMP, 12, ModalityLUTSequence=[lut(values, 0, bits)])
    dataset.ModalityLUTSequence[0].ModalityLUTType = "US"
    np.testing.assert_array_equal(to_gray(dataset, RAMP), stretch(values[RAMP]))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_without_a_window_the_range_is_the_images_own_and_padding_is_black(
    photometric: str,
) -> None:
    stored = RAMP + 1000
    padded = stored.copy()
    padded[:8] = 0
    dataset = radiograph(padded, 16, PixelPaddingValue=0, PhotometricInterpretation=photometric)
    gray = to_gray(dataset, padded)
    assert not gray[:8].any()
    expected = stretch(stored[8:])
    np.testing.assert_array_equal(
        gray[8:], 255 - expected if photometric == "MONOCHROME1" else expected
    )


@pytest.mark.parametrize("name", ["a.dcm", "a"])
def test_a_file_is_known_by_its_content_and_decodes_like_a_png_of_its_values(
    name: str, tmp_path: Path
) -> None:
    write(radiograph(RAMP, 12), tmp_path / name)
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_gray(tmp_path / name), decode_gray(tmp_path / "a.png"))


def compressed(syntax: str) -> tuple[Any, np.ndarray, str]:
    eight = (RAMP // 16).astype(np.uint8)
    if syntax == RLELossless:
        dataset = radiograph(RAMP, 12)
        dataset.compress(RLELossless)
        return dataset, RAMP, syntax
    pixels = eight if syntax == JPEGBaseline8Bit else RAMP
    data = io.BytesIO()
    if syntax == JPEGBaseline8Bit:
        Image.fromarray(pixels).save(data, "JPEG", quality=100)
    else:
        Image.fromarray(pixels).save(data, "JPEG2000", irreversible=False, no_jp2=True)
    dataset = radiograph(pixels, 8 if syntax == JPEGBaseline8Bit else 16)
    dataset.PixelData = encapsulate([data.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    return dataset, pixels, syntax


@pytest.mark.parametrize("syntax", [RLELossless, JPEGBaseline8Bit, JPEG2000Lossless])
def test_the_compressions_named_as_readable_are_read(syntax: Any, tmp_path: Path) -> None:
    dataset, pixels, syntax = compressed(syntax)
    path = write(dataset, tmp_path / "a.dcm", syntax)
    np.testing.assert_allclose(decode_gray(path).astype(int), stretch(pixels), atol=3)


def test_a_compression_without_decoder_is_named_with_the_remedy(tmp_path: Path) -> None:
    dataset, *_ = compressed(JPEGBaseline8Bit)
    path = write(dataset, tmp_path / "a.dcm", JPEGLosslessSV1)
    with pytest.raises(InputError, match=r"JPEG Lossless.*python-gdcm"):
        decode_gray(path)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "in colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "in colour"),
        ({"Modality": "CT"}, "modality is CT"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "raw values"),
        ({"Rows": 64}, "cannot be decoded"),
    ],
)
def test_what_is_no_gray_radiograph_is_refused_in_words(
    attributes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = write(radiograph(RAMP, 12, **attributes), tmp_path / "a.dcm")
    with pytest.raises(InputError, match=words) as caught:
        decode_gray(path)
    assert str(path) in str(caught.value)


def test_files_without_image_or_content_are_refused_in_words(tmp_path: Path) -> None:
    dataset = radiograph(RAMP, 12)
    del dataset.PixelData
    with pytest.raises(InputError, match="no image"):
        decode_gray(write(dataset, tmp_path / "a.dcm"))
    (tmp_path / "b.dcm").write_bytes(b"nothing of DICOM")
    with pytest.raises(InputError, match="cannot be decoded"):
        decode_gray(tmp_path / "b.dcm")
    with pytest.raises(InputError, match=r"c\.dcm"):
        decode_gray(tmp_path / "c.dcm")


def without_preamble(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[132:])
    return path


@pytest.mark.parametrize("name", ["a.dcm", "1.2.826.0.1.36.5"])
def test_a_file_without_its_first_132_bytes_is_read(tmp_path: Path, name: str) -> None:
    path = write(radiograph(RAMP, 12), tmp_path / name)
    expected = decode_gray(path)
    np.testing.assert_array_equal(decode_gray(without_preamble(path)), expected)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_a_file_without_meta_information_is_read(tmp_path: Path, syntax: Any) -> None:
    dataset = radiograph(RAMP, 12)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = RAMP.byteswap().tobytes()
    expected = decode_gray(write(radiograph(RAMP, 12), tmp_path / "b.dcm"))
    bare = Dataset()
    bare.update(dataset)
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    bare.save_as(tmp_path / "a.dcm", implicit_vr=implicit, little_endian=little)
    np.testing.assert_array_equal(decode_gray(tmp_path / "a.dcm"), expected)


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": None, "RescaleIntercept": 0},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": 0, "RescaleIntercept": 5},
        {"RescaleSlope": 1},
        {"RescaleIntercept": -1024},
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100, "WindowWidth": -5},
        {"WindowCenter": 100},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": [], "WindowWidth": [4]},
        {"VOILUTSequence": []},
        {"ModalityLUTSequence": [], "VOILUTFunction": "OTHER"},
    ],
)
def test_empty_and_senseless_values_of_the_pipeline_are_passed_over(
    attributes: dict[str, Any], tmp_path: Path
) -> None:
    path = write(radiograph(RAMP, 12, **attributes), tmp_path / "a.dcm")
    np.testing.assert_array_equal(decode_gray(path), stretch(RAMP))


def test_the_first_window_that_makes_sense_is_used() -> None:
    two = radiograph(RAMP, 12, WindowCenter=[0, 2048], WindowWidth=[0, 4096])
    one = radiograph(RAMP, 12, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_array_equal(to_gray(two, RAMP), to_gray(one, RAMP))


@pytest.mark.parametrize(
    "missing", ["PixelRepresentation", "SamplesPerPixel", "BitsStored", "HighBit", "Modality"]
)
def test_what_follows_from_the_rest_may_be_missing(missing: str, tmp_path: Path) -> None:
    dataset = radiograph(RAMP, 16)
    expected = decode_gray(write(dataset, tmp_path / "a.dcm"))
    delattr(dataset, missing)
    np.testing.assert_array_equal(decode_gray(write(dataset, tmp_path / "a.dcm")), expected)


@pytest.mark.parametrize("missing", ["PhotometricInterpretation", "Rows", "BitsAllocated"])
def test_what_is_needed_and_missing_is_named_with_its_tag(missing: str, tmp_path: Path) -> None:
    dataset = radiograph(RAMP, 16)
    delattr(dataset, missing)
    with pytest.raises(InputError, match=rf"lacks {missing} \(0028,0"):
        decode_gray(write(dataset, tmp_path / "a.dcm"))


def test_a_file_that_claims_more_pixels_than_memory_holds_is_refused(tmp_path: Path) -> None:
    path = write(radiograph(RAMP, 12, Rows=65535, Columns=65535), tmp_path / "a.dcm")
    with pytest.raises(InputError, match="65535 x 65535 pixels large"):
        decode_gray(path)
