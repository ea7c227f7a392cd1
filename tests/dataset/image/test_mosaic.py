"""Mosaics: where their tiles lie, what they show, and that boxes stay around their objects."""

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from PIL import Image

from denet.dataset import open_dataset
from denet.dataset.image.augment import MODES
from denet.dataset.image.mosaic import Shown, Tile, joined, tiles
from denet.dataset.loader import Loader
from denet.errors import UsageError
from denet.model.preprocessing import Preprocessing

COUNT = 9
BOX = (21, 15, 40, 50)  # first and last pixels, counted from 1, of a white object on grey
CROP = (96, 64)


@pytest.fixture
def pictures(tmp_path):
    """Make 9 photos, 90x60, each with a white object of its own class on a grey of its own."""
    for number in range(COUNT):
        write_voc(tmp_path, {f"{number}": voc_xml(object_xml(f"{number}", BOX), size=(90, 60))})
        pixels = np.full((60, 90, 3), 10 * (number + 1), np.uint8)
        pixels[BOX[1] - 1 : BOX[3], BOX[0] - 1 : BOX[2]] = 255
        Image.fromarray(pixels).save(tmp_path / f"JPEGImages/{number}.jpg", quality=100)
    names = "".join(f"{number}\n" for number in range(COUNT))
    (tmp_path / "ImageSets/Main/train.txt").write_text(names)
    return tmp_path


def opened(path, options):
    return open_dataset(path, f"voc,train,crop={CROP[0]}x{CROP[1]},{options}", progress=False)


def keys(count):
    return np.arange(count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (96, 64), (7, 300)])
def test_tiles_cover_an_input_once(size):
    for seed in range(20):
        covered = np.zeros(size[::-1], int)
        for tile in tiles(size, np.random.default_rng(seed)):
            assert min(tile.size) >= 1
            covered[tile.y0 : tile.y1, tile.x0 : tile.x1] += 1
        assert (covered == 1).all()


def test_tiles_are_put_together_by_hand():
    """Two tiles side by side of an input of 4x2: the second box ends at its border."""
    left = Shown(np.full((2, 1, 3), 5, np.uint8), np.array([[0, 0, 1, 0.5]]), np.array([3]))
    right = Shown(np.full((2, 3, 3), 9, np.uint8), np.array([[1 / 3, 0, 2, 1]]), np.array([1]))
    found = joined([(Tile(0, 0, 1, 2), left), (Tile(1, 0, 4, 2), right)])
    assert found.pixels[..., 0].tolist() == [[5, 9, 9, 9]] * 2
    np.testing.assert_allclose(found.box, [[0, 0, 1 / 4, 0.5], [2 / 4, 0, 1, 1]])
    assert found.box_class.tolist() == [3, 1]


def test_boxes_stay_around_their_objects(pictures):
    """White is inside the boxes and nowhere else, but for the pixels at their edges."""
    dataset = opened(pictures, "crop_mode=denet,area_min=0.5,mosaic=1")
    samples = dataset.load(np.arange(COUNT), keys(COUNT), True)
    seen = 0
    for image, box, box_class in zip(
        samples.images, samples.targets["box"], samples.targets["box_class"], strict=True
    ):
        inside, near = np.zeros(image.shape[:2], bool), np.zeros(image.shape[:2], bool)
        for x0, y0, x1, y1 in box[box_class >= 0] * np.tile(CROP, 2):
            inside[int(y0 + 1.5) : int(y1 - 0.5), int(x0 + 1.5) : int(x1 - 0.5)] = True
            near[max(int(y0 - 1), 0) : int(y1 + 2), max(int(x0 - 1), 0) : int(x1 + 2)] = True
            seen += 1
        white = image.min(axis=-1) > 200
        assert white[inside].all()
        # objects of which less than half is shown have no box
        assert white[~near].sum() <= 0.5 * white.sum()
    assert seen > 2 * COUNT


@pytest.mark.parametrize("mode", MODES)
def test_a_key_decides_whatever_the_threads(pictures, mode):
    dataset = opened(pictures, f"crop_mode={mode},mosaic=0.5,augment_photo")
    one, four = (
        Loader(dataset, 4, Preprocessing(), thread_num=threads, training=True).epoch(2)
        for threads in (1, 4)
    )
    for first, second in zip(one, four, strict=True):
        np.testing.assert_array_equal(first.data, second.data)
        np.testing.assert_equal(first.targets, second.targets)


def test_a_share_of_the_samples_are_mosaics(pictures):
    """Those that are none show what they did without mosaics."""
    index = np.arange(COUNT).repeat(20)
    plain = opened(pictures, "crop_mode=denet").load(index, keys(len(index)), True)
    mixed = opened(pictures, "crop_mode=denet,mosaic=0.3").load(index, keys(len(index)), True)
    same = (plain.targets["view"] == mixed.targets["view"]).all(axis=1)
    close = np.abs(plain.images[same].astype(int) - mixed.images[same]).mean()
    assert close < 1  # another filter
    np.testing.assert_array_equal(plain.targets["box"][same], mixed.targets["box"][same])
    # four standard deviations of 180 draws
    assert abs(same.mean() - 0.7) < 4 * (0.3 * 0.7 / len(index)) ** 0.5
    assert (mixed.targets["box_class"] >= 0).sum() > (plain.targets["box_class"] >= 0).sum()


def test_prediction_shows_single_images(pictures):
    index = np.arange(COUNT)
    plain, mixed = (opened(pictures, options) for options in ("crop_mode=denet", "mosaic=1"))
    one, other = (dataset.load(index, keys(COUNT), False) for dataset in (plain, mixed))
    np.testing.assert_array_equal(one.images, other.images)


def test_what_is_kept_changes_no_pixel(pictures):
    index = np.arange(COUNT).repeat(3)
    options = "crop_mode=denet,area_min=0.2,mosaic=0.5"
    dataset = opened(pictures, options)
    first = dataset.load(index, keys(len(index)), True)
    again = dataset.load(index, keys(len(index)), True)
    np.testing.assert_array_equal(first.images, again.images)
    fresh = opened(pictures, options).load(index[::-1], keys(len(index))[::-1], True)
    np.testing.assert_array_equal(first.images, fresh.images[::-1])


def test_a_crop_of_one_pixel_has_no_tiles(pictures):
    with pytest.raises(UsageError, match="mosaic: --extension: .* 2x2 pixels or more"):
        open_dataset(pictures, "voc,train,crop=1x64,mosaic=0.5", progress=False)
