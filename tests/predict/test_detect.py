"""From outputs of a network to objects in pixels of images."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps

from denet.backend.select import choose_backend
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.boxes import Boxes
from denet.dataset.image.decode import decode_image
from denet.dataset.image.inspect import read_header
from denet.dataset.image.options import ImageOptions
from denet.detect.detections import Detections
from denet.errors import DataError, UsageError
from denet.evaluate.detect_params import DetectParams, parse_params
from denet.evaluate.detector import (
    DatasetDetections,
    Detector,
    candidates,
    detect_dataset,
    in_images,
    in_pixels,
    suppressed,
)
from denet.graph.op.corner_search import CornerSearch
from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.predict.detect import detect_images
from denet.predict.image_files import contained
from denet.predict.loose import Files

BOX = [[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1.0, 1.0]]]


def outputs(probability, fitness=None, count=2):
    """Return the outputs for one image of ``count`` samples, of two at most."""
    found = {
        "sample_count": np.array([count], np.int32),
        "detection_probability": np.array([probability], np.float32),
        "detection_box": np.array(BOX, np.float32),
    }
    if fitness is not None:
        found["detection_fitness"] = np.array([fitness], np.float32)
    return found


def by_name(answers):
    """Return what was found in each image by its name."""
    return {each.name: each.objects for each in answers}


def rows(found):
    """Return what was found as (image, class, score, first side of the box)."""
    return [(i, k, pytest.approx(s, rel=1e-5), pytest.approx(b[0])) for i, k, s, b in found.rows()]


def test_plain_scores():
    # two classes and null; 0.3 is on the threshold
    found = candidates(outputs([[0.3, 0.1, 0.6], [0.2, 0.5, 0.3]]), 2, np.float32(0.3))
    assert rows(found) == [(0, 0, 0.3, 0.1), (0, 1, 0.5, 0.5)]
    assert found.box.tolist()[1] == [0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("count", [0, 1])
def test_places_without_a_sample_say_nothing(count):
    """Whatever is asked for: a probability of 0 is enough here."""
    fitness = [[0, 0, 0, 0, 0, 1]] * 2
    for probability in ([[0.3, 0.7]] * 2, [[0, 0, 0, 0, 0.9, 0.1]] * 2):
        assert len(candidates(outputs(probability, fitness, count), 1, 0)) == count


def test_joint_fitness():
    # one class in five steps: Pr(c) = .1 + .2 + .3 = .6, score .1 * .5 + .2 * .7 + .3 * .9 = .46
    first = [0.1, 0, 0.2, 0, 0.3, 0.4]
    # Pr(c) = .3 is on the threshold though the score .3 * .5 is not
    second = [0.3, 0, 0, 0, 0, 0.7]
    found = candidates(outputs([first, second]), 1, np.float32(0.3))
    assert rows(found) == [(0, 0, 0.46, 0.1), (0, 0, 0.15, 0.5)]
    # v_f from a threshold of .75: .75 .8 .85 .9 .95
    found = candidates(outputs([first, second]), 1, 0.5, overlap_threshold=0.75)
    assert rows(found) == [(0, 0, 0.1 * 0.75 + 0.2 * 0.85 + 0.3 * 0.95, 0.1)]


def test_joint_fitness_of_several_classes_is_class_by_class():
    probability = np.zeros((2, 11))
    probability[0, 5 * 1 + 4] = 1  # class 1, the best fitness
    probability[1, 5 * 0 + 1] = 1  # class 0, the second
    assert rows(candidates(outputs(probability), 2, 0.01)) == [(0, 1, 0.9, 0.1), (0, 0, 0.6, 0.5)]


def test_independent_fitness():
    # E[v] = .2 * 0 + .5 * .5 + .3 * .9 = .52 and 0; 2017 took the wrong values apart
    fitness = [[0.2, 0.5, 0, 0, 0, 0.3], [1, 0, 0, 0, 0, 0]]
    found = candidates(outputs([[0.5, 0.1, 0.4], [0, 1, 0]], fitness), 2, 0.2)
    assert rows(found) == [(0, 0, 0.26, 0.1), (0, 1, 0.0, 0.5)]


def test_suppression_is_by_class_and_image():
    same = np.tile(np.array([0, 0, 1, 1], np.float32), (5, 1))
    table = Detections(
        np.array([0, 0, 1, 1, 0]),
        np.array([0, 0, 0, 3, 3], np.int32),
        np.array([0.5, 0.9, 0.3, 0.2, 0.1], np.float32),
        same,
    )
    assert suppressed(table, DetectParams()).score.tolist() == pytest.approx([0.9, 0.3, 0.2, 0.1])
    assert len(suppressed(table, DetectParams(nms_threshold=1))) == 5
    soft = suppressed(table, DetectParams(use_soft_nms=True))
    assert soft.score.tolist() == pytest.approx([0.5 * np.exp(-2), 0.9, 0.3, 0.2, 0.1])
    empty = table.take(np.zeros(5, bool))
    assert len(suppressed(empty, DetectParams())) == 0


@pytest.mark.parametrize("mirrored", [0, 1])
def test_boxes_go_back_to_the_image(mirrored):
    # network pixel = image pixel * scale - offset, then mirrored
    image_box = np.array([[30, 40, 100, 90], [0, 0, 200, 120]], np.float64)
    view = np.array([[0.5, 0.8, 3, -7, mirrored], [2, 1.5, 0, 11, mirrored]])
    width, height = 640, 480
    x = image_box[:, [0, 2]] * view[:, :1] - view[:, 2:3]
    y = image_box[:, [1, 3]] * view[:, 1:2] - view[:, 3:4]
    if mirrored:
        x = width - x[:, ::-1]
    box = np.stack([x[:, 0] / width, y[:, 0] / height, x[:, 1] / width, y[:, 1] / height], 1)
    found = Detections(np.arange(2), np.zeros(2, np.int32), np.ones(2, np.float32), box)
    sizes = np.array([[640, 480], [0, 0]])  # 0: unknown
    back = in_pixels(found, view, (width, height), sizes)
    np.testing.assert_allclose(back.box, image_box, atol=1e-3)


def test_boxes_are_clipped_to_the_image():
    box = np.array([[-0.1, 0.2, 0.6, 1.3], [0.8, 0.1, 0.9, 0.9]], np.float32)
    found = Detections(np.zeros(2, int), np.arange(2), np.ones(2, np.float32), box)
    # an image of 50 x 100 in the left half of the network input: the second box is beside it
    back = in_pixels(found, np.array([[1, 1, 0, 0, 0]]), (100, 100), np.array([[50, 100]]))
    assert back.box.round(3).tolist() == [[0, 20, 50, 100]]
    assert back.class_index.tolist() == [0]


def test_crops_of_one_image_are_merged():
    # two crops of image 1 show the same object, the second mirrored
    box = np.array([[0.5, 0, 1.0, 1], [0.5, 0, 1.0, 1], [0.5, 0, 1.0, 1]], np.float32)
    found = Detections(
        np.array([1, 2, 3]), np.zeros(3, int), np.array([0.5, 0.7, 0.9], np.float32), box
    )
    view = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 50, 0, 0], [1, 1, -50, 0, 1]])
    dataset = SimpleNamespace(shape=(3, 100, 100), view_num=2, sizes=np.full((2, 2), 200))
    merged = in_images(DatasetDetections(found, view), dataset, DetectParams())
    # sample 1 is image 0; samples 2 and 3 give 100..150 and (100 - 100 - 50 -> 0) .. 0: outside
    assert merged.image.tolist() == [0, 1]
    assert merged.box[:, 0].tolist() == [50, 100]
    view[3] = [1, 1, 100, 0, 1]  # 100..150
    merged = in_images(DatasetDetections(found, view), dataset, DetectParams())
    assert merged.score.tolist() == pytest.approx([0.5, 0.9])
    apart = in_images(DatasetDetections(found, view), dataset, DetectParams(nms_threshold=0))
    assert len(apart) == 3


@pytest.mark.parametrize(
    "words, changed",
    [
        ([], {}),
        ([""], {}),
        (["prThreshold=.2"], {"pr_threshold": 0.2}),
        (["prThreshold=0.2,nmsThreshold=.3"], {"pr_threshold": 0.2, "nms_threshold": 0.3}),
        (["nmsThreshold=.1", "useSoftNMS=1"], {"nms_threshold": 0.1, "use_soft_nms": True}),
        (["nmsThreshold=-1"], {"nms_threshold": -1}),
        (["useSoftNMS=0", "matchIOU=0.75"], {"match_iou": 0.75}),
        (
            ["cornerThreshold=0.5", "cornerMax=64"],
            {"corner_threshold": 0.5, "corner_max": 64},
        ),
    ],
)
def test_params(words, changed):
    assert parse_params(words) == replace(DetectParams(), **changed)


@pytest.mark.parametrize(
    "word, told",
    [
        ("prThresold=1", r"unknown name 'prThresold' \(did you mean 'prThreshold'\?\): give"),
        ("prThreshold", "a number at least 0"),
        ("prThreshold=2", "at most 1; got '2'"),
        ("prThreshold=nan", "got 'nan'"),
        ("useSoftNMS=maybe", "true or false"),
        ("useSoftNMS=1,nmsThreshold=0", "useSoftNMS: nmsThreshold=0 switches it off"),
        ("useSoftNMS=1,nmsThreshold=1", "useSoftNMS: nmsThreshold=1 switches it off"),
        ("cornerMax=0", "a whole number from 1"),
        ("matchIOU=0", "above 0"),
        ("=3", "unknown name ''"),
        ("0.5", "unknown name '0.5'"),
    ],
)
def test_wrong_params(word, told):
    with pytest.raises(UsageError, match=f"--params: .*{told}"):
        parse_params([word])


def test_params_are_told_by_their_names():
    assert parse_params(["cornerMax=9"]).named() == {
        "prThreshold": 0.01,
        "nmsThreshold": 0.5,
        "useSoftNMS": False,
        "cornerMax": 9,
        "matchIOU": 0.5,
    }


NETWORK = "C[8,3,4] BN A P.XA[4,6] DNC[8,1] DNS[2,3] C[8,1] BNA "


def model(text="DND[0.5,1,1]", corner=-5.0):
    """Return a new network whose map has 2 x 2 cells, all of them likely corners.

    They span one box, the whole image. With ``corner`` above 0 none is likely.
    """
    made = Model.create(NETWORK + text, (3, 32, 48), ["cat", "dog"], LayerOptions(), 0)
    made.parameters[4]["corner.bias"][:] = corner
    return made


def detector(text="DND[0.5,1,1]", **params):
    return Detector(model(text), 2, choose_backend("numpy"), params=DetectParams(**params))


@pytest.fixture
def photos(tmp_path):
    """Return files of some sizes: the second is turned by EXIF, the fourth is damaged."""
    rng = np.random.default_rng(0)
    paths = []
    for name, (width, height) in {"a": (48, 32), "b": (60, 40), "c": (10, 100)}.items():
        paths.append(str(tmp_path / f"{name}.jpg"))
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "b" else 1
        image.save(paths[-1], exif=exif)
    paths.append(str(tmp_path / "d.jpg"))
    (tmp_path / "d.jpg").write_bytes(b"nothing")
    return paths


@pytest.mark.parametrize(
    "text, score", [("DND[0.5,1,1]", 1 / 3), ("DND.J[0.5,1,1]", 3.5 / 11), ("DND[0.5,1,0,1]", None)]
)
def test_files(photos, text, score):
    bad = []
    found = by_name(detect_images(detector(text), Files(photos), bad))
    assert [name for name, _ in bad] == [photos[3]] and bad[0].reason
    assert list(found) == photos[:3]
    for path, size in zip(photos, [(48, 32), (40, 60), (10, 100)], strict=False):
        # an untrained network says each class with the same probability, of the whole image
        np.testing.assert_allclose(found[path].box, [[0, 0, *size]] * 2, atol=1e-4)
        assert found[path].class_index.tolist() == [0, 1]
        # fitness, of five or with none of six: (.5 + .6 + .7 + .8 + .9) / 5 or / 6
        expected = score or 1 / 3 * 3.5 / 6
        assert found[path].score.tolist() == pytest.approx([expected] * 2)


@pytest.mark.parametrize("backend", ["numpy", None], ids=["numpy", "fastest"])
@pytest.mark.parametrize("text", ["DND[0.5,1,1]", "DND.J[0.5,1]", "DND.B[0.5,1,1,1]"])
def test_without_corners_nothing_is_found(text, backend, photos):
    for params in ({}, {"use_soft_nms": True}, {"nms_threshold": 0}):
        told = DetectParams(pr_threshold=0, **params)
        none = Detector(model(text, 5.0), 2, choose_backend(backend), params=told)
        found = by_name(detect_images(none, Files(photos), []))
        assert [len(each) for each in found.values()] == [0, 0, 0]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_once(orientation, suffix, tmp_path):
    """What the network is shown of a file is what Pillow shows of it upright, as arrays."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = str(tmp_path / f"a.{suffix}")
    Image.fromarray(stored).save(path, exif=exif)
    upright = Image.fromarray(np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")))
    pixels, view = contained(decode_image(path), (3, 24, 40))
    expected, expected_view = contained(upright, (3, 24, 40))
    np.testing.assert_array_equal(pixels, expected)
    assert view == expected_view


def dataset(paths, **options):
    sizes = np.array([read_header(path)[:2] for path in paths], np.int32)
    boxes = Boxes.gather(len(paths), [], [], [])
    size = {"crop": (48, 32), "scale": (48, 32)}
    settings = ImageOptions(**size, **options)
    return DetectionDataset(["cat", "dog"], paths, paths, boxes, sizes, settings)


def test_datasets(photos):
    whole = dataset(photos[:3], scale_mode="large")
    detections = detect_dataset(detector(), whole)
    assert detections.found.image.tolist() == [0, 0, 1, 1, 2, 2]
    assert detections.found.box.tolist() == [[0, 0, 1, 1]] * 6
    found = in_images(detections, whole, DetectParams())
    np.testing.assert_allclose(found.box[::2], [[0, 0, *size] for size in whole.sizes], atol=1e-4)


def test_datasets_of_several_crops(photos):
    crops = dataset(photos[:1] * 2, multicrop=True)
    detector_ = detector()
    detections = detect_dataset(detector_, crops)
    assert detections.view.shape == (20, 5)
    assert detections.view[:, 4].tolist() == ([0] * 5 + [1] * 5) * 2
    assert len(detections.found) == 20 * 2  # samples, classes: not suppressed yet
    found = in_images(detections, crops, DetectParams())
    assert found.image.tolist() == [0, 0, 1, 1]


def test_corner_search_follows_the_params():
    # 2017 read both and used neither
    def search(**params):
        graph = detector(**params).model.graph(1)
        return next(node.op for node in graph.nodes if isinstance(node.op, CornerSearch))

    assert (search().corner_threshold, search().corner_max) == (0.01, 1024)
    assert search(corner_threshold=0.25).corner_threshold == 0.25
    assert search(corner_max=3).corner_max == 3


def test_models_that_detect_nothing():
    other = Model.create("C[4,3] R", (3, 8, 8), ["cat", "dog"], LayerOptions(), 0)
    with pytest.raises(UsageError, match="end its network with DND"):
        Detector(other, 1, choose_backend("numpy"))
    with pytest.raises(UsageError, match="searches no corners"):
        Detector(other, 1, choose_backend("numpy"), params=DetectParams(corner_max=5))


def test_answers_that_are_no_numbers(photos):
    broken = model()
    values = broken.values()
    next(value for name, value in values.items() if name.endswith("detect.bias"))[:] = np.nan
    with pytest.raises(DataError, match=r"not a number: .*a\.jpg.*earlier epoch"):
        list(detect_images(Detector(broken, 2, choose_backend("numpy")), Files(photos), []))
