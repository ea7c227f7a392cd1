"""Decoded images that are kept: what they are, how many, and how much memory is told."""

import numpy as np
import pytest
from PIL import Image

from denet.dataset.image import kept_images
from denet.dataset.image.decode import decode_upright, open_image
from denet.dataset.image.kept_images import KeptImages


@pytest.fixture(params=[1, 6], ids=["upright", "lying"])
def photo(tmp_path, request):
    pixels = np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = request.param
    stored = pixels if request.param == 1 else pixels.transpose(1, 0, 2)
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif)
    return str(tmp_path / "a.jpg")


@pytest.mark.parametrize("size", [(80, 60), (10, 8), (200, 100)])
def test_it_is_what_decoding_gives(photo, size):
    kept = KeptImages()
    wanted, shrink = decode_upright(open_image(photo), *size)
    for _ in range(2):
        found, by = kept.decode(photo, open_image(photo), *size)
        assert by == shrink
        np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


@pytest.fixture
def decoded(monkeypatch):
    """The sizes of what has been decoded so far."""
    sizes, decode_pixels = [], kept_images.decode_pixels

    def noted(image):
        upright = decode_pixels(image)
        sizes.append(upright.size)
        return upright

    monkeypatch.setattr(kept_images, "decode_pixels", noted)
    return sizes


def test_an_image_is_decoded_once_at_each_size(photo, decoded):
    kept = KeptImages()
    for _ in range(2):
        assert kept.decode(photo, open_image(photo), 80, 60)[0].size == (80, 60)
        small, shrink = kept.decode(photo, open_image(photo), 2, 2)
        assert shrink == 8 and small.size == (10, 8)
    assert decoded == [(80, 60), (10, 8)]


def test_what_does_not_fit_is_not_kept(photo, decoded, monkeypatch):
    """80 x 60 pixels of 3 bytes are 14,400."""
    monkeypatch.setattr(kept_images, "MOST_BYTES", 2 * 14_400 - 1)
    kept = KeptImages()
    for name in "abab":
        kept.decode(name, open_image(photo), 80, 60)
    assert len(decoded) == 3


def test_the_most_that_images_can_take():
    """Whole, a quarter, a sixteenth and a sixty-fourth of the pixels: 85 / 64 of them."""
    kept = KeptImages()
    assert kept.at_most(np.array([[64, 8], [8, 8]], np.int32)) == 3 * (512 + 64) * 85 // 64
    most = kept.at_most(np.array([[60_000, 60_000]], np.int32))
    assert most == kept.at_most(np.array([[64, 8], [0, 0]], np.int32))  # one of unknown size
    assert most <= kept_images.MOST_BYTES
