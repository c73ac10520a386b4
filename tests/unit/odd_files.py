"""Files of every kind that a folder may hold: all PNGs, pydicom's own test files, damaged ones."""

import io
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom.data
from PIL import Image

from tests.unit.dicom_files import radiograph, write

PNG_KINDS = {
    0: (1, 2, 4, 8, 16),
    2: (8, 16),
    3: (1, 2, 4, 8),
    4: (8, 16),
    6: (8, 16),
}
"""Bit depths of each colour type: gray, colours, palette, gray and colours with transparency."""
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
ADAM7 += [(0, 1, 1, 2)]
FUZZED = 200


def png(gray: np.ndarray, colour: int, bits: int, *, interlaced: bool) -> bytes:
    """Encode levels [height, width] below 2 ** bits as a PNG of a colour type."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    full = np.repeat(gray[..., None], channels, axis=2).astype(np.uint32)
    if colour in (4, 6):
        full[..., -1] = 2**bits - 1

    def packed(part: np.ndarray) -> bytes:
        rows = []
        for row in part.reshape(len(part), -1):
            digits = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
            rows.append(b"\0" + np.packbits(digits.astype(np.uint8)).tobytes())
        return b"".join(rows)

    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [full[top::down, left::right] for left, top, right, down in passes]
    data = b"".join(packed(part) for part in parts if part.size)
    height, width = gray.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    levels = np.arange(2**bits) * 255 // (2**bits - 1) if bits <= 8 else np.zeros(0)
    palette = np.repeat(levels[:, None], 3, axis=1).astype(np.uint8).tobytes()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"PLTE", palette) if colour == 3 else b"")
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def good_files(folder: Path) -> list[bytes]:
    """Return the content of one good file of each common kind."""
    wide = (np.random.default_rng(3).normal(size=(8, 8)).cumsum(axis=0) * 4000 + 30000).clip(0)
    pixels = np.kron(wide, np.ones((8, 8))).astype(np.uint16)
    eight = Image.fromarray((pixels >> 8).astype(np.uint8))
    contents = []
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "PPM"):
        stream = io.BytesIO()
        eight.save(stream, kind)
        contents.append(stream.getvalue())
    for kind, options in (("PNG", {}), ("TIFF", {"compression": "tiff_lzw"})):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kind, **options)
        contents.append(stream.getvalue())
    contents.append(write(radiograph(pixels, 16), folder / "good").read_bytes())
    packed = radiograph(pixels, 16)
    packed.compress(pydicom.uid.RLELossless)
    contents.append(write(packed, folder / "good", pydicom.uid.RLELossless).read_bytes())
    (folder / "good").unlink()
    return contents


def write_fuzzed(folder: Path, number: int = FUZZED, seed: int = 17) -> int:
    """Write damaged files: bytes flipped, content cut, the head of another file in front."""
    rng = np.random.default_rng(seed)
    good = good_files(folder)
    for k in range(number):
        content = bytearray(good[k % len(good)])
        damage = k // len(good) % 3
        if damage == 0:
            for place in rng.integers(0, len(content), rng.integers(1, 20)):
                content[place] ^= int(rng.integers(1, 256))
            # Headers decide most, so some of the flips fall there.
            for place in rng.integers(0, min(64, len(content)), rng.integers(0, 4)):
                content[place] ^= int(rng.integers(1, 256))
        elif damage == 1:
            del content[int(rng.integers(0, len(content))) :]
        else:
            other, length = good[int(rng.integers(len(good)))], int(rng.integers(2, 200))
            content[:length] = other[:length]
        suffix = ("png", "dcm", "jpg", "tif", "")[int(rng.integers(5))]
        (folder / f"fuzzed{k:03}.{suffix}".rstrip(".")).write_bytes(content)
    return number


def write_pngs(folder: Path) -> int:
    """Write a ramp as a PNG of every colour type, bit depth and order of pixels."""
    count = 0
    for colour, depths in PNG_KINDS.items():
        for bits in depths:
            for interlaced in (False, True):
                ramp = np.linspace(0, 2**bits - 1, 37).round().astype(np.uint32)
                content = png(np.tile(ramp, (29, 1)), colour, bits, interlaced=interlaced)
                name = f"type{colour}_{bits}{'i' if interlaced else ''}.png"
                (folder / name).write_bytes(content)
                count += 1
    return count


def copy_pydicoms(folder: Path) -> int:
    """Copy the test files that pydicom ships, whatever they hold."""
    source = Path(pydicom.data.__file__).parent / "test_files"
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    for number, path in enumerate(files):
        shutil.copyfile(path, folder / f"pydicom{number:03}_{path.name}")
    return len(files)
