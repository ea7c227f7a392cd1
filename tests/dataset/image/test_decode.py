"""Single image files: how they lie, what damages them, and what could exhaust memory."""

import os
import resource
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from denet.dataset.image.decode import (
    decode_files,
    decode_image,
    decode_upright,
    fit_image,
    image_suffixes,
    open_image,
    reason,
)
from denet.dataset.image.decoder import Decoder
from denet.dataset.image.inspect import inspect_files, inspect_image

CORNERS = np.zeros((32, 48, 3), np.uint8)  # one colour in each quarter, 48 wide and 32 high
CORNERS[:16, :24, 0] = CORNERS[:16, 24:, 1] = CORNERS[16:, :24, 2] = CORNERS[16:, 24:] = 255
# where the top left, top right, bottom left and bottom right quarter of the stored pixels are
# to be seen (TIFF 6.0, tag 274): r(ed), g(reen), b(lue), w(hite), read row by row
SEEN = {1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb"}


def colour(pixel):
    values = np.asarray(pixel) > 127
    return {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}[tuple(values.tolist())]


def quarters(image):
    pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    places = [(y * height // 4, x * width // 4) for y in (1, 3) for x in (1, 3)]
    return "".join(colour(pixels[place]) for place in places)


@pytest.mark.parametrize("crop", [None, (24, 24), (6, 4), (4, 6)])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", SEEN)
def test_orientation(tmp_path, orientation, suffix, crop):
    """All eight, whether the file is decoded as it is or a JPEG at a fraction of its size."""
    exif = Image.Exif()
    exif[274] = orientation
    path = str(tmp_path / f"1.{suffix}")
    Image.fromarray(CORNERS).save(path, exif=exif)
    image = decode_image(path, crop=crop)
    upright = (32, 48) if orientation >= 5 else (48, 32)
    assert image.size == (crop or upright) and quarters(image) == SEEN[orientation]
    found = inspect_image(path)
    assert found[:3] == (*upright, "RGB") and found.orientation == orientation


def test_cropped_jpeg_looks_as_if_decoded_in_full(tmp_path):
    y, x = np.mgrid[:400, :600]
    pixels = np.stack([x * 255 // 600, y * 255 // 400, 127 + 100 * np.sin(x / 40)], 2)
    whole = Image.fromarray(pixels.astype(np.uint8))
    path = str(tmp_path / "1.jpg")
    whole.save(path, quality=95)
    cropped = np.asarray(decode_image(path, crop=(40, 30)), float)
    expected = np.asarray(fit_image(whole, 40, 30), float)
    assert np.abs(cropped - expected).mean() < 1


def test_fit_keeps_the_centre():
    pixels = np.repeat(np.arange(12, dtype=np.uint8) * 20, 4)[None].repeat(16, 0)  # 48 wide
    fitted = np.asarray(fit_image(Image.fromarray(pixels), 4, 4))
    np.testing.assert_allclose(fitted[0], [90 - 5, 100, 120, 130 + 5], atol=16)
    assert fit_image(Image.fromarray(pixels), 48, 16).size == (48, 16)


def test_what_needs_no_scaling_keeps_its_pixels():
    """One column or row more than the half goes at the left or top (ccv)."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    wide, high = (np.asarray(fit_image(Image.fromarray(pixels), *s)) for s in ((6, 9), (9, 8)))
    assert (wide == pixels[:, 2:8]).all() and (high == pixels[1:]).all()


def test_16_bits_a_channel(tmp_path):
    """A 16-bit colour PNG gives the high byte of each value."""
    values = np.array([[[0x12FF, 0xFF00, 0x0080], [0x8001, 0x7FFF, 0xFFFF]]], ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (tmp_path / "1.png").write_bytes(png(2, 1, rows, depth=16))
    image = decode_image(str(tmp_path / "1.png"))
    assert np.asarray(image).tolist() == [[[0x12, 0xFF, 0], [0x80, 0x7F, 0xFF]]]


def test_cmyk_jpeg(tmp_path):
    """No ink is white, full black ink is black, cyan ink takes the red."""
    ink = np.zeros((8, 24, 4), np.uint8)
    ink[:, 8:16, 3] = ink[:, 16:, 0] = 255
    Image.fromarray(ink, "CMYK").save(tmp_path / "1.jpg", quality=100)
    pixels = np.asarray(decode_image(str(tmp_path / "1.jpg"))).astype(int)
    for column, expected in ((3, (255, 255, 255)), (11, (0, 0, 0)), (19, (0, 255, 255))):
        assert np.abs(pixels[4, column] - expected).max() <= 3


def test_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), name) for name in ("red", "lime", "blue")]
    for suffix in ("gif", "tif", "webp", "png"):
        path = str(tmp_path / f"1.{suffix}")
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert colour(np.asarray(decode_image(path).convert("RGB"))[4, 4]) == "r", suffix


def noise():
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (24, 24, 3), np.uint8))


@pytest.mark.parametrize(
    "suffix, options",
    [
        ("jpg", {}),
        ("jpg", {"progressive": True}),
        ("png", {}),
        ("gif", {}),
        ("bmp", {}),
        ("tif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("webp", {}),
        ("ppm", {}),
    ],
)
def test_truncated_file_is_bad_or_complete(tmp_path, suffix, options):
    """Wherever a file is cut off, its pixels are all there or it is bad: none are made up."""
    path = tmp_path / f"1.{suffix}"
    noise().save(path, **options)
    whole, bad = path.read_bytes(), 0
    expected = np.asarray(decode_image(str(path)))
    out = np.zeros((1, 24, 24, 3), np.uint8)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        if faults := decode_files([str(path)], out):
            bad += 1
            assert faults[0].kind == "unreadable" and inspect_image(str(path)).fault
        else:
            np.testing.assert_array_equal(out[0], expected)
    assert bad > len(whole) // 7 * 0.9


def test_truncated_jpeg_is_bad_when_it_is_reduced_too(tmp_path):
    path = tmp_path / "1.jpg"
    noise().resize((256, 256)).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    out = np.zeros((1, 16, 16, 3), np.uint8)
    assert "truncated" in decode_files([str(path)], out, crop=True)[0].text


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, rows, depth=8, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            extra,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


@pytest.mark.parametrize("limit, sides", [(10_000, (100, 101)), (200_000_000, (20_000, 10_001))])
def test_too_many_pixels(tmp_path, limit, sides):
    """Refused by the header, in decoder processes too; the limit can be raised beyond Pillow's."""
    path = str(tmp_path / "1.png")
    (tmp_path / "1.png").write_bytes(png(*sides, b""))
    out = np.zeros((1, 100, 100, 3), np.uint8)
    settings = {"max_image_pixels": limit, "crop": True}
    decoder = Decoder()
    faults = decode_files([path], out, **settings) + decoder.perform(
        "decode", [path], out, settings
    )
    decoder.close()
    text = f"more pixels than --max-image-pixels {limit}"
    assert [fault.text for fault in faults] == [text, text]
    assert inspect_image(path, limit).fault == text
    allowed = decode_files([path], out, max_image_pixels=sides[0] * sides[1])
    assert allowed[0].kind == "size"  # its header passed


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


ZEROS = zlib.compress(b"\0" * 200_000_000, 9)
ROWS = b"\0\1\2\3"


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"key\0\0" + ZEROS),
        chunk(b"iTXt", b"key\0\1\0\0\0" + ZEROS),
        chunk(b"iCCP", b"key\0\0" + ZEROS),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + ZEROS),
    ],
    ids=["zTXt", "iTXt", "iCCP", "exif"],
)
def test_compressed_chunks_of_png_are_not_inflated(tmp_path, extra):
    (tmp_path / "1.png").write_bytes(png(1, 1, ROWS, extra=extra))
    before = memory()
    decode_files([str(tmp_path / "1.png")], np.zeros((1, 1, 1, 3), np.uint8))
    assert memory() - before < 50_000_000


def test_file_that_is_too_large(tmp_path):
    path = tmp_path / "1.ppm"
    noise().save(path)
    os.truncate(path, 200_000_000)  # sparse
    assert "--max-image-pixels 10000" in inspect_image(str(path), 10_000).fault


def test_what_is_not_an_image(tmp_path):
    """Nothing waits for a pipe, runs a PostScript program, or takes an empty file for more."""
    noise().save(tmp_path / "program.eps")
    os.rename(tmp_path / "program.eps", tmp_path / "program.jpg")
    (tmp_path / "empty.jpg").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.symlink("nowhere", tmp_path / "link.jpg")
    (tmp_path / "directory.jpg").mkdir()
    reasons = {each.name: inspect_image(str(each)).fault for each in tmp_path.iterdir()}
    assert reasons == {
        "program.jpg": "not an image",
        "empty.jpg": "an empty file",
        "pipe.jpg": "not a file",
        "link.jpg": "no such file or directory",
        "directory.jpg": "not a file",
    }
    assert ".eps" not in image_suffixes() and ".png" in image_suffixes()


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\xff", b"Exif\0\0nothing"])
def test_damaged_exif_does_not_make_an_image_bad(tmp_path, exif):
    path = str(tmp_path / "1.jpg")
    noise().save(path, exif=exif)
    (found,) = inspect_files([path])
    assert found[:2] == (24, 24) and not found.fault
    assert not decode_files([path], np.zeros((1, 24, 24, 3), np.uint8))


def test_same_digest_for_same_file(tmp_path):
    for name in ("1", "2"):
        noise().save(tmp_path / f"{name}.png")
    ImageOps.mirror(noise()).save(tmp_path / "3.png")
    first, second, third = (inspect_image(str(tmp_path / f"{n}.png")).digest for n in "123")
    assert first == second != third


def test_reasons_are_one_line():
    assert reason(ValueError("a\nb")) == "a b" and reason(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("wide", "high", "by"), [(300, 200, 1), (150, 100, 2), (75, 51, 2), (75, 50, 4), (1, 1, 8)]
)
def test_by_how_much_a_jpeg_shrinks(tmp_path, wide, high, by):
    """600x400 pixels: twice the wanted size is left along both sides, an eighth at least."""
    Image.new("RGB", (600, 400)).save(tmp_path / "1.jpg")
    Image.new("RGB", (600, 400)).save(tmp_path / "1.png")
    image, shrink = decode_upright(open_image(str(tmp_path / "1.jpg")), wide, high)
    assert (shrink, image.size) == (by, (600 // by, 400 // by))
    image, shrink = decode_upright(open_image(str(tmp_path / "1.png")), wide, high)
    assert (shrink, image.size) == (1, (600, 400))


def test_the_limit_of_pillow_is_that_of_its_user_again(tmp_path, monkeypatch):
    """Programs that use the Python interface have limits of their own."""
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 777)
    out = np.zeros((1, 10, 20, 3), np.uint8)
    assert decode_files([str(tmp_path / "a.png")], out, max_image_pixels=200) == []
    assert decode_files([str(tmp_path / "a.png")], out, max_image_pixels=80)[0].kind == "pixels"
    assert Image.MAX_IMAGE_PIXELS == 777
