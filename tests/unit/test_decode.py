from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

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


WIDE = (np.arange(64, dtype=np.uint16)[None].repeat(48, 0) * 1000) + 37


def expected_of(wide: np.ndarray) -> np.ndarray:
    span = wide.astype(float) - wide.min()
    return span / span.max() * 255


@pytest.mark.parametrize("suffix", ["png", "tif", "jp2", "ppm"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shift", [0, 6])
def test_deep_images_come_out_alike_in_every_container_and_number_of_channels(
    tmp_path: Path, suffix: str, channels: int, shift: int
):
    wide = (RAMP.astype(np.uint16) << shift) if shift else WIDE
    if suffix == "ppm" and channels == 1:
        suffix = "pgm"
    if channels == 4 and suffix == "ppm":
        pytest.skip("a PPM has no transparency")
    pixels = wide if channels == 1 else np.stack([wide] * channels, -1)
    if channels == 4:
        pixels[..., 3] = 65535
    assert cv2.imwrite(str(tmp_path / f"a.{suffix}"), pixels)
    np.testing.assert_allclose(decode_gray(tmp_path / f"a.{suffix}"), expected_of(wide), atol=1.01)


def test_deep_colours_become_luma_and_transparency_is_black(tmp_path: Path):
    pixels = np.zeros((8, 8, 4), np.uint16)
    pixels[..., 3] = 65535
    pixels[:4, :, 2] = 40000  # red
    pixels[4:, :4] = (40000, 40000, 40000, 65535)
    pixels[4:, 4:] = (60000, 60000, 60000, 0)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    decoded = decode_gray(tmp_path / "a.png")
    assert decoded[0, 0] == round(0.299 * 255)
    assert decoded[7, 0] == 255
    assert decoded[7, 7] == 0


@pytest.mark.parametrize("mode", ["F", "I"])
def test_floats_and_long_integers_are_stretched_and_gaps_are_black(tmp_path: Path, mode: str):
    values = RAMP.astype(np.float32 if mode == "F" else np.int32) * 3 - 100
    if mode == "F":
        values[0, 0], values[0, 1] = np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    decoded = decode_gray(tmp_path / "a.tif")
    assert mode == "I" or not decoded[0, :2].any()
    np.testing.assert_allclose(decoded[1:], expected_of(RAMP)[1:], atol=0.51)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_lowest_value_is_white_is_inverted(tmp_path: Path, bits: int):
    pixels = RAMP if bits == 8 else RAMP.astype(np.uint16) * 200
    # Pillow inverts 8 bits as it writes them, and leaves 16 bits as they are.
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={262: 0})
    decoded = decode_gray(tmp_path / "a.tif").astype(int)
    expected = RAMP if bits == 8 else 255 - expected_of(RAMP)
    np.testing.assert_allclose(decoded, expected, atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_orientation_says(tmp_path: Path, orientation: int):
    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as saved:
        expected = np.asarray(ImageOps.exif_transpose(saved))
    np.testing.assert_array_equal(decode_gray(tmp_path / "a.png"), expected)
    assert decode_gray(tmp_path / "a.png").shape == ((48, 64) if orientation < 5 else (64, 48))


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_a_file_of_several_images_is_refused_with_their_number(tmp_path: Path, suffix: str):
    pages = [Image.fromarray(page) for page in (RAMP, 255 - RAMP, RAMP // 2)]
    pages[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="holds 3 images; give each as a file of its own"):
        decode_gray(tmp_path / f"a.{suffix}")


def test_a_smaller_copy_in_a_tiff_is_no_second_image(tmp_path: Path):
    small = Image.fromarray(RAMP).resize((16, 12))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(RAMP).save(
        tmp_path / "a.tif", save_all=True, append_images=[small], tiffinfo={254: 0}
    )
    with Image.open(tmp_path / "a.tif") as image:
        image.seek(1)
        reduced = image.tag_v2.get(254)
    if reduced != 1:
        pytest.skip("this Pillow does not write the kind of a page")
    np.testing.assert_array_equal(decode_gray(tmp_path / "a.tif"), RAMP)


def test_an_image_too_large_for_a_job_is_refused_before_it_is_decoded(tmp_path: Path):
    Image.new("L", (10_000, 8_000)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="10000 x 8000 pixels large"):
        decode_gray(tmp_path / "a.png")
