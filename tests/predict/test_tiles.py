"""Parts of large images, and what is found in several of them."""

import numpy as np
import pytest
from evaluate.boxed import detections
from PIL import Image, ImageOps

from denet.backend.select import choose_backend
from denet.dataset.base import BadDataError
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.boxes import Boxes
from denet.dataset.image.options import ImageOptions
from denet.errors import UsageError
from denet.evaluate.detector import Detector, in_images
from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.predict.detect import detect_images
from denet.predict.detect_tiles import detect_tiled
from denet.predict.image_files import ContainedFiles
from denet.predict.loose import Files, Held
from denet.predict.tiles import Tiles, clipped, whole_objects


def test_tiles_lie_evenly():
    # 100 wide, 40 high: columns that share 8 pixels or more of 40 start at 0, 30, 60
    assert Tiles(40, 0.2).parts((100, 40)) == [
        (0, 0, 100, 40),
        (0, 0, 40, 40),
        (30, 0, 70, 40),
        (60, 0, 100, 40),
    ]
    assert Tiles(40, 0).parts((80, 80))[1:] == [
        *((0, 0, 40, 40), (40, 0, 80, 40)),
        *((0, 40, 40, 80), (40, 40, 80, 80)),
    ]
    # lower than a tile
    assert Tiles(40, 0).parts((60, 10)) == [(0, 0, 60, 10), (0, 0, 40, 10), (20, 0, 60, 10)]


@pytest.mark.parametrize("size", [(40, 40), (10, 40), (1, 1)])
def test_small_images_have_no_tiles(size):
    assert Tiles(40, 0.2).parts(size) == [(0, 0, *size)]
    assert Tiles(40, 0.2).count(size) == 1


def test_more_tiles_than_can_be_compared_are_refused():
    assert Tiles(1, 0).count((64, 64)) == 4097
    with pytest.raises(
        UsageError, match="--tiles 1: 4,160 tiles of an image of 65x64 pixels: give"
    ):
        Tiles(1, 0).count((65, 64))


@pytest.mark.parametrize("seed", range(20))
def test_every_pixel_and_every_small_object_is_in_a_tile(seed):
    rng = np.random.default_rng(seed)
    tiles = Tiles(int(rng.integers(20, 60)), rng.choice([0, 0.2, 0.5, 0.9]))
    size = width, height = tuple(rng.integers(1, 200, 2).tolist())
    parts = np.array(tiles.parts(size))
    assert len(parts) == tiles.count(size) == len({*map(tuple, parts.tolist())})
    assert (parts[:, :2] >= 0).all() and (parts[:, 2:] <= size).all()
    seen = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in parts[1:] if len(parts) > 1 else parts:
        seen[y0:y1, x0:x1] = True
        assert x1 - x0 == min(tiles.side, width) and y1 - y0 == min(tiles.side, height)
    assert seen.all()
    shared = int(tiles.side * tiles.overlap)
    low = rng.integers(0, np.maximum(np.array(size) - shared, 0) + 1)
    high = np.minimum(low + shared, size)
    assert ((parts[:, :2] <= low) & (parts[:, 2:] >= high)).all(axis=1).any()


def test_what_a_tile_did_not_show_is_cut_off():
    found = detections([(0, 0, 0.9, (5, 5, 30, 30)), (0, 1, 0.8, (25, 0, 30, 9))])
    inside = clipped(found, np.array([[0, 0, 20, 20], [0, 0, 20, 20]], np.int32))
    assert list(inside.rows()) == [(0, 0, pytest.approx(0.9), [5, 5, 20, 20])]
    assert inside.box.dtype == np.float32


# found in the tile to the left, 0 to 50 of 100 pixels; its right side cuts
LEFT, RIGHT, ALL = (0, 0, 50, 50), (50, 0, 100, 50), (0, 0, 100, 50)


@pytest.mark.parametrize(
    "other, stays",
    [
        ((ALL, 0, 0.6, (35, 10, 70, 30)), False),  # the whole of it
        ((ALL, 1, 0.6, (35, 10, 70, 30)), True),  # of another class
        ((ALL, 0, 0.3, (35, 10, 70, 30)), True),  # hardly believed
        ((ALL, 0, 0.6, (45, 10, 70, 30)), True),  # covers a third
        ((RIGHT, 0, 0.6, (50, 10, 70, 30)), True),  # its other half, cut too
    ],
)
def test_a_piece_goes_where_the_whole_is_found(other, stays):
    part, class_index, score, box = other
    found = detections([(0, 0, 0.9, (35, 10, 49.5, 30)), (0, class_index, score, box)])
    kept = whole_objects(found, np.array([LEFT, part]), (100, 50))
    assert len(kept) == 1 + stays and kept.box.tolist()[-1] == list(box)


def test_a_box_at_the_border_of_the_image_is_no_piece():
    found = detections([(0, 0, 0.9, (0, 0, 20, 50)), (0, 0, 0.9, (0, 0, 30, 50))])
    assert len(whole_objects(found, np.array([LEFT, ALL]), (100, 50))) == 2


def tiled_images(tmp_path, factor=1):
    """Return files: one larger than tiles of 8 pixels, one damaged, one turned, one small."""
    rng = np.random.default_rng(1)
    paths = [str(tmp_path / name) for name in ("a.png", "b.jpg", "c.jpg", "d.png")]
    for path, size in zip(paths, [(12, 20), (9, 9), (8, 20), (5, 5)], strict=True):
        exif = Image.Exif()
        exif[0x0112] = 6 if path.endswith("c.jpg") else 1
        height, width = (factor * side for side in size)
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(path, exif=exif)
    (tmp_path / "b.jpg").write_bytes(b"nothing")
    return paths


def test_samples_are_the_parts_of_each_image(tmp_path):
    paths = tiled_images(tmp_path)
    files = ContainedFiles(Files(paths), ["x"], (3, 8, 8), Tiles(8, 0.25))
    # 20 x 12 pixels: 3 x 2 tiles; 8 x 20 when upright: 3
    assert files.image.tolist() == [0] * 7 + [1] + [2] * 4 + [3]
    samples = files.load(np.arange(len(files)), np.zeros(len(files), np.uint64), False)
    assert files.part[1:7].tolist() == [
        *([0, 0, 8, 8], [6, 0, 14, 8], [12, 0, 20, 8]),
        *([0, 4, 8, 12], [6, 4, 14, 12], [12, 4, 20, 12]),
    ]
    picture = np.asarray(Image.open(paths[0]))
    np.testing.assert_array_equal(samples.images[5], picture[4:12, 6:14])
    assert samples.targets["view"][5].tolist() == [1, 1, 6, 4, 0]
    upright = np.asarray(ImageOps.exif_transpose(Image.open(paths[2])))
    np.testing.assert_array_equal(samples.images[9], upright[:8])
    assert files.sizes.tolist() == [[20, 12], [0, 0], [8, 20], [5, 5]]
    assert [name for name, _ in files.bad] == [paths[1]]


def test_what_all_parts_show_is_found_once(tmp_path):
    """A network that finds its whole input finds all of each part."""
    text = "C[4,3,2] BN A P.A[8] DNC[2] DNS[2,3] DND[0.5,1,1]"
    model = Model.create(text, (3, 32, 32), ["cat", "dog"], LayerOptions(border_mode="half"))
    model.parameters[4]["corner.bias"][:] = -5
    detector = Detector(model, 3, choose_backend("numpy"))
    bad, paths = [], tiled_images(tmp_path, factor=4)
    plain = {each.index: each for each in detect_images(detector, Files(paths), bad)}
    found = detect_images(detector, Files(paths), bad, 2, Tiles(32, 0))
    tiled = {each.index: each for each in found}
    assert [name for name, _ in bad] == [paths[1]] * 2
    assert [each.size for each in tiled.values()] == [(80, 48), (32, 80), (20, 20)]
    assert plain.keys() == tiled.keys() == {0, 2, 3}
    assert {each.name for each in tiled.values()} == {paths[0], paths[2], paths[3]}
    for index, found in plain.items():
        # tiles are pieces of what the whole image shows
        np.testing.assert_allclose(tiled[index].objects.box, found.objects.box, atol=1e-4)
        assert tiled[index].objects.image.tolist() == [0] * len(found.objects)


def test_tiles_of_pictures_in_memory():
    pictures = [np.zeros((12, 20, 3), np.uint8), Image.new("L", (5, 5))]
    files = ContainedFiles(Held(pictures, ["a", "b"]), ["x"], (3, 8, 8), Tiles(8, 0.25))
    assert [*files.names] == ["a"] * 7 + ["b"] and not files.bad


def test_held_bytes_that_are_no_image():
    held = Held([b"\0"], ["stdin"])
    files = ContainedFiles(held, ["x"], (3, 8, 8))
    files.load(np.arange(1), np.zeros(1, np.uint64), False)
    assert files.bad == [("stdin", "not an image")]


def labelled(paths, **options):
    """Return images with a box each: all of what files of the sizes of ``tiled_images`` show."""
    sizes = np.array([(80, 48), (36, 36), (32, 80), (20, 20)], np.int32)
    corners = [(0, 0, *size) for size in sizes.tolist()]
    boxes = Boxes.gather(4, range(4), corners, [0] * 4)
    settings = ImageOptions(crop=(32, 32), scale=(32, 32), **options)
    names = [str(path) for path in paths]
    skip = {"on_bad_data": "skip"} if options else {}
    return DetectionDataset(["cat", "dog"], names, names, boxes, sizes, settings, **skip)


@pytest.fixture
def detector():
    """Return a network that takes every cell of 8 x 8 for a corner, and boxes of 16 pairs."""
    text = "C[4,3,2] BN A P.A[2] DNC[2] DNS[4] DND[0.5,1,1]"
    model = Model.create(text, (3, 32, 32), ["cat", "dog"], LayerOptions(border_mode="half"))
    model.parameters[4]["corner.bias"][:] = -5
    return Detector(model, 3, choose_backend("numpy"))


def test_tiles_of_a_labelled_set_are_those_of_its_files(tmp_path, detector):
    """In all but the damaged one the same is found as without what is known."""
    paths, tiles = tiled_images(tmp_path, factor=4), Tiles(16, 0.25)
    dataset = labelled(paths, scale_mode="warp")
    samples = detect_tiled(detector, dataset, tiles)
    found = in_images(samples, dataset, detector.params).by_image(4)
    loose = {each.index: each for each in detect_images(detector, Files(paths), [], 1, tiles)}
    for index, own in enumerate(found):
        assert (len(own) > 0) == (index in loose) == (index != 1)
        if len(own):
            wanted = loose[index].objects.best_first()
            np.testing.assert_allclose(own.box, wanted.box, atol=1e-3)
            np.testing.assert_array_equal(own.score, wanted.score)
    assert dataset.usable_images.tolist() == [True, False, True, True]
    assert len(samples.found) > 100  # in tiles too


def test_a_damaged_image_of_a_labelled_set_ends_the_run(tmp_path, detector):
    with pytest.raises(BadDataError, match="cannot read the image: .*b.jpg.*--on-bad-data skip"):
        detect_tiled(detector, labelled(tiled_images(tmp_path, factor=4)), Tiles(16, 0))


def test_tiles_and_crops_of_a_labelled_set_are_two_ways(tmp_path, detector):
    dataset = labelled(tiled_images(tmp_path), multicrop=True)
    with pytest.raises(UsageError, match="--tiles: together with multicrop"):
        detect_tiled(detector, dataset, Tiles(16, 0))
