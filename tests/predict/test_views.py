"""Views of each image: where their windows lie, worked out by hand, and what they show."""

import numpy as np
import pytest
from PIL import Image
from training.tiny import TinySet

from denet.dataset.loader import Normalise
from denet.errors import DataError
from denet.model.preprocessing import Preprocessing
from denet.predict.image_files import CoveringFiles
from denet.predict.loose import Files
from denet.predict.request import VIEW_NAMES
from denet.predict.views import VIEWS, Pictures, Views, scaled

SIZE, SIDE = (257, 257), (225, 225)  # of ccv
FIVE = [(16, 16), (0, 0), (32, 0), (0, 32), (32, 32)]  # of 225 in 257: x, y


def places(name, picture, size=SIZE, view=SIDE):
    found = VIEWS[name].of(picture, size, view)
    assert len(found) == VIEWS[name].count
    half = len(found) // (1 + VIEWS[name].mirrored)
    for plain, mirrored in zip(found, found[half:], strict=False):
        assert mirrored == plain._replace(mirrored=True)
    return [(each.x, each.y) for each in found[:half]], found[:half]


def test_images_are_scaled_as_256_to_224_along_both_sides():
    assert scaled(224, 448) == (256, 512)
    assert scaled(32, 7) == (37, 8)


def test_the_command_line_knows_the_names():
    assert tuple(VIEWS) == VIEW_NAMES
    assert [views.count for views in VIEWS.values()] == [1, 10, 10, 2, 6, 1]


def test_views_are_centre_corners_and_mirrored():
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 40, 3), np.uint8)
    views = Views(TinySet(images, [0, 1], 2), (3, 12, 16), VIEWS["alex10"], (40, 20))
    assert views.labels.tolist() == [0] * 10 + [1] * 10
    for index, image in enumerate(images):
        places = [(4, 12), (0, 0), (0, 24), (8, 0), (8, 24)]  # upper row, left column
        cut = [image[y : y + 12, x : x + 16] for y, x in places]
        expected = np.array(cut + [each[:, ::-1] for each in cut])
        assert (views.read(np.arange(10) + 10 * index) == expected).all()


def test_windows_of_a_square():
    assert places("centre", SIZE)[0] == FIVE[:1]
    assert places("alex10", SIZE)[0] == places("caffe10", SIZE)[0] == FIVE
    assert places("alex10", (256, 256), (256, 256), (224, 224))[0][:2] == [(16, 16), (0, 0)]


def test_crops_along_a_photo():
    """ccv: of 343x257, three crops of 257x257, or all of it but what no cell reaches."""
    crops, found = places("ccv30", (343, 257), view=SIZE)
    assert crops == [(0, 0), (43, 0), (86, 0)]
    assert {(each.right, each.down) for each in found} == {(0, 0)}  # each is its own middle
    assert places("ccv30", (257, 300), view=SIZE)[0] == [(0, 0), (0, 22), (0, 43)]
    for name in ("ccv10", "dense"):
        whole, found = places(name, (343, 257), view=(337, 257))
        assert whole == [(3, 0)] and {(each.right, each.down) for each in found} == {(0, 0)}


@pytest.fixture
def photo(tmp_path):
    """Write a photo whose colours are a ramp from left to right, 60x40."""
    ramp = np.broadcast_to(np.arange(0, 240, 4, np.uint8)[None, :, None], (40, 60, 3))
    Image.fromarray(ramp).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_pictures_of_files(photo):
    files = CoveringFiles(Files([str(photo)]), ["x"], (3, 20, 20))
    cover, warp, whole = (
        Pictures(files, files.loose, (20, 20), scaling, 3)(0)
        for scaling in ("cover", "warp", "whole")
    )
    assert cover.shape == warp.shape == (20, 20, 3) and whole.shape == (20, 30, 3)
    np.testing.assert_allclose(whole[5, 1:-1, 0], np.arange(1, 29) * 8 + 2, atol=1)
    np.testing.assert_allclose(cover[5, 1:-1, 0], np.arange(6, 24) * 8 + 2, atol=1)
    np.testing.assert_allclose(warp[5, 1:-1, 0], np.arange(1, 19) * 12 + 4, atol=1)


def test_crops_of_a_file(photo):
    files = CoveringFiles(Files([str(photo)]), ["x"], (3, 20, 20))
    picture = Pictures(files, files.loose, (20, 20), "whole", 3)
    views = Views(files, (3, 20, 20), VIEWS["ccv30"], (20, 20), picture)
    found = views.read(np.arange(6))
    whole = picture(0)
    for number, left in enumerate((0, 5, 10)):
        assert (found[number] == whole[:, left : left + 20]).all()
        assert (found[number + 3] == found[number][:, ::-1]).all()
    assert views.load(np.arange(6), np.zeros(6, np.uint64), False).targets.keys() == {"shift"}


def test_views_of_any_size(photo):
    files = CoveringFiles(Files([str(photo)] * 2), ["x"], (3, 20, 20))
    picture = Pictures(files, files.loose, (20, 20), "whole", 3)
    views = Views(
        files, (3, 20, 20), VIEWS["ccv10"], (20, 20), picture, lambda size: (size[0] - 3, size[1])
    )
    found = views.read(np.arange(2, 4))
    assert (found == [picture(1)[:, 2:29], picture(1)[:, 28:1:-1]]).all()


@pytest.mark.parametrize("name", ["centre", "alex10", "caffe10"])
def test_each_view_is_less_its_own_window_of_the_mean_image(name):
    """An image less itself is black, whatever is cut from it."""
    image = np.random.default_rng(4).integers(0, 256, (1, 20, 20, 3), np.uint8)
    views = Views(TinySet(image, [0], 1), (3, 16, 16), VIEWS[name], (20, 20))
    normalise = Normalise((3, 16, 16), Preprocessing((), (), image[0] / 255))
    cut, targets, _ = views.load(np.arange(len(views)), np.zeros(len(views), np.uint64), False)
    np.testing.assert_allclose(normalise(cut, targets["shift"]), 0, atol=1e-6)


def test_a_picture_that_would_be_huge_is_damaged(tmp_path):
    Image.fromarray(np.zeros((1, 5000, 3), np.uint8)).save(tmp_path / "thin.png")
    files = CoveringFiles(Files([str(tmp_path / "thin.png")]), ["x"], (3, 200, 200))
    picture = Pictures(files, files.loose, (200, 200), "whole", 3, max_image_pixels=10_000_000)
    assert not picture(0).any() and picture(0).shape == (200, 200, 3)
    ((_, why),) = files.bad
    assert "1000000x200 pixels when it is scaled" in why


def test_images_that_are_too_small():
    images = np.zeros((1, 10, 20, 3), np.uint8)
    with pytest.raises(DataError, match="images are 3x10x20 .* views of 3x12x16"):
        Views(TinySet(images, [0], 1), (3, 12, 16), VIEWS["ccv10"], (20, 10))
