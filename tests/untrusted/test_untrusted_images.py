"""Images from strangers: pixels, or a fault in words; nothing else and nothing endless."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from untrusted.damage import damaged

from denet.dataset.image.decode import decode_files
from denet.dataset.image.inspect import inspect_image

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
LIMIT = 1_000_000  # pixels

# name: mode, options of Pillow's save
KINDS = {
    "a.png": ("RGB", {}),
    "palette.png": ("P", {}),
    "deep.png": ("I;16", {}),
    "a.jpg": ("RGB", {}),
    "progressive.jpg": ("CMYK", {"progressive": True}),
    "a.gif": ("P", {}),
    "a.tif": ("RGB", {}),
    "packed.tif": ("L", {"compression": "tiff_lzw"}),
    "jpeg.tif": ("RGB", {"compression": "jpeg"}),
    "a.bmp": ("RGB", {}),
    "a.webp": ("RGB", {}),
    "lossless.webp": ("RGBA", {"lossless": True}),
    "a.ppm": ("RGB", {}),
    "a.tga": ("RGB", {"compression": "tga_rle"}),
    "a.ico": ("RGB", {}),
    "a.jp2": ("RGB", {}),
}


def encoded(name: str) -> bytes:
    mode, options = KINDS[name]
    image = Image.fromarray(PIXELS)
    if mode == "I;16":
        image = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    file = io.BytesIO()
    turned = {"exif": exif.tobytes()} if name.endswith((".png", ".jpg", ".webp", "a.tif")) else {}
    usual = Image.registered_extensions()[Path(name).suffix]
    image.convert(mode).save(file, usual, **options, **turned)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


def check(path: Path) -> None:
    """Decode in every way: as it is, as grey, brought to a size, and to tell what it is."""
    for channels, crop in [(3, False), (1, False), (3, True)]:
        out = np.zeros((1, 16, 12, channels), np.uint8)
        faults = decode_files([str(path)], out, crop=crop, max_image_pixels=LIMIT)
        assert [fault.position for fault in faults] in ([], [0])
        for fault in faults:
            assert fault.kind in ("unreadable", "pixels", "size", "colour")
            assert fault.text and fault.text.isprintable() and len(fault.text) < 300, fault
    inspect_image(str(path), LIMIT)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_image(folder: Path, name: str) -> None:
    path = folder / name

    @given(damaged(encoded(name)))
    def damage(content: bytes) -> None:
        path.write_bytes(content)
        check(path)

    path.write_bytes(encoded(name))
    check(path)
    damage()


SCAN, END = b"\xff\xda", b"\xff\xd9"  # of a JPEG


def repeated_scan(content: bytes, count: int) -> bytes:
    """Return a progressive JPEG with its last scan repeated up to so many."""
    first = content.rindex(SCAN)
    last = content[first:].removesuffix(END)
    return content[:first] + last * (count - content.count(SCAN) + 1) + END


@given(st.integers(30, 200))
def test_scans_of_a_jpeg(folder: Path, count: int) -> None:
    """Each scan goes over all pixels again, however few bytes it has."""
    path = folder / "scans.jpg"
    path.write_bytes(repeated_scan(encoded("progressive.jpg"), count))
    check(path)
    fault = inspect_image(str(path), LIMIT).fault
    assert fault == (f"{count} scans, at most 100 are decoded" if count > 100 else "")


@given(st.sampled_from(list(KINDS)), st.sampled_from(list(KINDS)), st.binary(max_size=60))
def test_noise(folder: Path, name: str, other: str, content: bytes) -> None:
    """Noise behind the first bytes of any format, under the name of this or another one."""
    path = folder / f"noise_{other}"
    path.write_bytes(encoded(name)[:12] + content)
    check(path)
