from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covidcxr.data.decode import decode_gray
from covidcxr.errors import InputError

RAMP = np.arange(64, dtype=np.uint8)[None].repeat(48, 0) * 4


def test_eight_bit_gray_is_kept_as_it_is(tmp_path: Path):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    decoded = decode_gray(tmp_path / "a.png")
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, RAMP)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK"])
def test_gray_stored_in_other_modes_comes_out_the_same(tmp_path: Path, mode: str):
    suffix = "tif" if mode == "CMYK" else "png"
    image = Image.fromarray(RAMP)
    image = image.convert("RGB").convert(mode) if mode == "CMYK" else image.convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(decode_gray(tmp_path / f"a.{suffix}").astype(int), RAMP, atol=1)


def test_a_gray_jpeg_comes_out_nearly_the_same(tmp_path: Path):
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(decode_gray(tmp_path / "a.jpg").astype(int), RAMP, atol=6)


def test_colours_become_luma(tmp_path: Path):
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "a.png")
    assert decode_gray(tmp_path / "a.png")[0, 0] == round(0.299 * 255)


def test_transparent_pixels_are_black_whatever_colour_they_hide(tmp_path: Path):
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(tmp_path / "a.png")
    assert not decode_gray(tmp_path / "a.png").any()


def test_a_palette_with_transparency_is_looked_up(tmp_path: Path):
    image = Image.fromarray(RAMP).convert("P")
    image.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_allclose(decode_gray(tmp_path / "a.png").astype(int), RAMP, atol=1)


@pytest.mark.parametrize(("low", "high"), [(0, 65535), (100, 4000), (0, 1)])
def test_sixteen_bits_are_stretched_from_their_own_range(tmp_path: Path, low: int, high: int):
    wide = np.linspace(low, high, 48 * 64).reshape(48, 64).astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "a.png")
    decoded = decode_gray(tmp_path / "a.png")
    expected = (wide.astype(float) - low) / (high - low) * 255
    np.testing.assert_allclose(decoded, expected, atol=0.5)


def test_a_constant_of_sixteen_bits_is_black(tmp_path: Path):
    Image.fromarray(np.full((8, 8), 30000, np.uint16)).save(tmp_path / "a.png")
    assert not decode_gray(tmp_path / "a.png").any()


def test_a_webp_file_called_png_decodes(tmp_path: Path):
    Image.fromarray(RAMP).convert("RGB").save(tmp_path / "a.webp", lossless=True)
    (tmp_path / "a.webp").rename(tmp_path / "a.png")
    np.testing.assert_allclose(decode_gray(tmp_path / "a.png").astype(int), RAMP, atol=1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9])
def test_a_truncated_file_is_an_error(tmp_path: Path, suffix: str, share: float):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=rf"a\.{suffix} cannot be decoded: \w"):
        decode_gray(path)


def test_what_is_no_image_is_an_error(tmp_path: Path):
    (tmp_path / "a.png").write_text("<html>")
    for path in (tmp_path / "a.png", tmp_path / "missing.png", tmp_path):
        with pytest.raises(InputError, match="cannot be decoded"):
            decode_gray(path)
