"""ImageNet's folders, class list and boxes."""

import json
import os

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml

from denet.dataset import BadDataError, open_dataset
from denet.dataset.class_names import ForeignClassError
from denet.errors import DataError


def opened(path, extension="imagenet,crop=8", **options):
    return open_dataset(path, extension, progress=False, **options)


@pytest.fixture
def train(tmp_path):
    """Make 4 images of 3 classes, made in an order that is not sorted."""
    for name in ("n3/n3_0.JPEG", "n1/n1_1.JPEG", "n2/n2_0.png", "n1/n1_0.JPEG"):
        save_image(tmp_path / "train" / name, colour=(255, 0, 0))
    return tmp_path / "train"


def write_boxes(train, name, *objects):
    file = train.parent / "bbox" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(voc_xml(*objects))


def test_classes_are_the_sorted_folders(train):
    """The order of a directory's entries is chance; in 2017 the ids followed it."""
    dataset = opened(train)
    assert dataset.class_labels == ["n1", "n2", "n3"]
    assert [os.path.relpath(name, train) for name in dataset.names] == [
        *("n1/n1_0.JPEG", "n1/n1_1.JPEG", "n2/n2_0.png", "n3/n3_0.JPEG")
    ]
    assert dataset.image_ids == ["n1_0", "n1_1", "n2_0", "n3_0"]
    assert dataset.labels.tolist() == [0, 0, 1, 2]
    assert dataset.shape == (3, 8, 8)  # in 2017 unknown before the images were loaded
    assert dataset.constants == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_targets_are_the_classes_of_the_images(train):
    dataset = opened(train)
    images, targets, _ = dataset.load(np.array([3, 0]), np.zeros(2, np.uint64), True)
    assert sorted(targets) == ["class_index", "shift", "view"]
    assert targets["class_index"].tolist() == [2, 0] and targets["class_index"].dtype == np.int32
    assert images.shape == (2, 8, 8, 3) and images[..., 0].min() > 250 and not dataset.boxed
    assert dataset.text() == "4 images of 3x8x8 in 3 classes"


def test_class_list(train):
    (train.parent / "class_labels.txt").write_text("1 n1\n0 n3\n3 n2\n2 n9\n")
    dataset = opened(train)
    assert dataset.class_labels == ["n3", "n1", "n9", "n2"]
    assert dataset.labels.tolist() == [1, 1, 3, 0]
    (train.parent / "class_labels.txt").write_text("0 n1\n1 n2\n")
    with pytest.raises(ForeignClassError, match="'n3' is not one of the 2 classes of class_labels"):
        opened(train)


def test_class_list_of_2017(train):
    """The second word is the name, whatever follows; numbers may start anywhere and have gaps."""
    text = "449 n2 tench, Tinca tinca\n-1 n1 goldfish\n450\tn3 great white shark\n"
    (train.parent / "class_labels.txt").write_text(text)
    assert opened(train).class_labels == ["n1", "n2", "n3"]
    save_image(train / "hot dog/1.JPEG")
    (train.parent / "class_labels.txt").write_text(text + "7 hot dog\n")
    assert opened(train).class_labels == ["n1", "hot dog", "n2", "n3"]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("0 n1\n0 n2\n", "line 2: give a number and a name of its own"),
        ("0 n1\n1 n1\n", "line 2: give a number and a name"),
        ("n1\n", "line 1: give a number"),
        ("0\n", "line 1: give a number"),
        ("0x1 n1\n", "line 1: give a number"),
        (b"\xff\xff", "not text in UTF-8"),
    ],
)
def test_damaged_class_list(train, text, reason):
    file = train.parent / "class_labels.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=reason):
        opened(train)


def write_list(train, images, **fields):
    (train / "image_list.json").write_text(json.dumps({"images": images, **fields}))


def test_image_list_of_2017(train):
    """It tells images and boxes; where the set lay when it was written does not matter."""
    box = {"x0": 1, "x1": 7.5, "y0": 2, "y1": 9}
    write_boxes(train, "n3/n3_0.xml", object_xml("n3", (5, 5, 9, 9)))
    images = [
        {"fname": "n1/n1_1.JPEG", "bboxs": [box, box | {"x1": 3}]},
        {"fname": "/data/imagenet/train/n2/n2_0.png", "bboxs": [box]},
        {"fname": "ILSVRC\\train\\n3\\n3_0.JPEG", "bboxs": []},
    ]
    write_list(train, images, version=1)
    dataset = opened(train)
    assert [os.path.relpath(name, train) for name in dataset.names] == [
        *("n1/n1_1.JPEG", "n2/n2_0.png", "n3/n3_0.JPEG")
    ]
    assert dataset.class_labels == ["n1", "n2", "n3"] and dataset.labels.tolist() == [0, 1, 2]
    assert dataset.boxes_px.tolist() == [[1, 2, 7.5, 9], [1, 2, 3, 9], [1, 2, 7.5, 9]]
    assert dataset.box_class.tolist() == [0, 0, 1] and dataset.start.tolist() == [0, 2, 3, 3]


def test_image_list_of_names_alone(train):
    """Before its version 1 the list held no boxes: they are where they always are."""
    write_boxes(train, "n3/n3_0.xml", object_xml("n3", (5, 5, 9, 9)))
    write_list(train, ["n3/n3_0.JPEG", "n1/n1_0.JPEG"])
    dataset = opened(train)
    assert dataset.image_ids == ["n3_0", "n1_0"] and dataset.labels.tolist() == [2, 0]
    assert dataset.boxes_px.tolist() == [[5, 5, 9, 9]]


@pytest.mark.parametrize(
    "content, reason",
    [
        ("[]", "no '{' at character 0"),
        ('{"version": 1}', "holds no images"),
        ("{", "cannot read the annotations"),
        ('{"images": [], "version": 1}', "no images"),
        ('{"images": ["n1/n1_0.JPEG", 5]}', r"images\[1\] is not in one of the folders"),
        ('{"images": ["../../etc/passwd"]}', r"images\[0\] is not in one of the folders"),
        ('{"images": ["../secret.png"]}', r"images\[0\] is not in one of the folders"),
        ('{"images": ["n1/.."]}', r"images\[0\] is no file"),
        ('{"images": ["n1/"]}', r"images\[0\] is no file"),
        ('{"images": ["n1/\\u0000"]}', r"images\[0\] is no file"),
        ('{"images": [{"fname": "n9/1.JPEG"}]}', r"images\[0\] is not in one of the folders"),
        ('{"images": [{"fname": "n1/1.JPEG", "bboxs": 1}]}', r"images\[0\].bboxs is not a list"),
        ('{"images": [{"fname": "n1/1.JPEG", "bboxs": [1]}]}', r"images\[0\].bboxs is not a"),
        ('{"images": [{"fname": "n1/1", "bboxs": [{"x0": 1}]}]}', r"images\[0\].bboxs is not"),
        (
            '{"images": [{"fname": "n1/1", "bboxs": [{"x0": NaN, "x1": 1, "y0": 1, "y1": 1}]}]}',
            r"images\[0\].bboxs is not",
        ),
    ],
)
def test_damaged_image_list(train, content, reason):
    (train / "image_list.json").write_text(content)
    with pytest.raises(DataError, match=reason) as caught:
        opened(train)
    assert "image_list.json" in str(caught.value) or "no images" in reason


def test_boxes_are_taken_as_they_are(train):
    """Corners are not shifted; boxes are of the image's class, whatever their annotation says."""
    write_boxes(train, "n1/n1_1.xml", object_xml("x", (2, 3, 9, 8)), object_xml("y", (0, 0, 1, 1)))
    write_boxes(train, "n3/n3_0.xml", object_xml("n3", (5, 5, 5, 9)))
    dataset = opened(train)
    assert dataset.boxes_px.tolist() == [[2, 3, 9, 8], [0, 0, 1, 1]]
    assert dataset.box_class.tolist() == [0, 0] and dataset.start.tolist() == [0, 0, 2, 2, 2]
    targets = dataset.load(np.arange(4), np.zeros(4, np.uint64), False).targets
    assert sorted(targets) == ["box", "box_class", "class_index", "shift", "view"]
    assert opened(train, "imagenet,crop=8,bbox_only").image_ids == ["n1_1"]
    assert dataset.text() == "4 images of 3x8x8 with 2 boxes of 3 classes"


def test_boxes_that_all_lie_outside_are_told(train, caplog):
    write_boxes(train, "n1/n1_0.xml", object_xml(box=(30, 0, 40, 5)), object_xml(box=(5, 5, 5, 9)))
    dataset = opened(train)
    assert "all of its 2 boxes lie outside their images or have no area" in caplog.text
    assert not dataset.boxed and dataset.classified


def test_boxes_are_clipped_and_what_was_dropped_is_told(train, caplog):
    """Images are 20 x 10 pixels; the files of those without boxes are not looked at."""
    (train / "n2/n2_0.png").write_bytes(b"not an image")
    outside, turned, partly = (30, 0, 40, 5), (9, 8, 2, 3), (15, -3, 1e12, 6)
    write_boxes(train, "n1/n1_0.xml", *(object_xml(box=box) for box in (outside, turned, partly)))
    write_boxes(train, "n1/n1_1.xml", *[object_xml(box=(0, 0, 9, 9))] * 130)
    with caplog.at_level("INFO"):
        dataset = opened(train)
    assert dataset.boxes_px[0].tolist() == [15, 0, 20, 6] and dataset.area[0] == 30
    assert dataset.start.tolist() == [0, 1, 131, 131, 131]
    assert dataset.sizes.tolist() == [[20, 10], [20, 10], [0, 0], [0, 0]]
    for words in (
        "1 degenerate boxes dropped, 1 boxes outside their image dropped, 1 boxes clipped",
        "2 images without boxes, 1 images of more than 128 boxes",
    ):
        assert words in caplog.text
    for training in (False, True):
        targets = dataset.load(np.arange(2), np.arange(2, dtype=np.uint64), training).targets
        box, count = targets["box"], (targets["box_class"] >= 0).sum(axis=1)
        assert np.isfinite(box).all() and box.min() >= 0 and box.max() <= 1
        assert count[0] <= 1 and count[1] in (0, 128)


def test_a_damaged_image_with_boxes_is_found_when_the_set_is_opened(train):
    write_boxes(train, "n2/n2_0.xml", object_xml(box=(0, 0, 9, 9)))
    (train / "n2/n2_0.png").write_bytes(b"not an image")
    with pytest.raises(BadDataError, match=r"cannot use 1 of 4 images: .*n2_0\.png"):
        opened(train)


def test_what_stands_in_for_a_damaged_image_has_its_own_class(train):
    """A file cut short is found when it is decoded; the key 1 points to n1_1, 3 to n3_0."""
    file = train / "n2/n2_0.png"
    file.write_bytes(file.read_bytes()[:-30])
    dataset = opened(train, on_bad_data="skip")
    found = dataset.load(np.array([2, 0, 2]), np.array([1, 0, 3], np.uint64), True)
    assert found.targets["class_index"].tolist() == [0, 0, 2]
    assert found.indices.tolist() == [1, 0, 3]


def test_damaged_boxes(train):
    write_boxes(train, "n1/n1_1.xml", object_xml("x", (2, 3, "?", 8)))
    with pytest.raises(BadDataError, match="n1_1.xml: object 1: bndbox/xmax is '.', not a number"):
        opened(train)
    assert opened(train, on_bad_data="skip").image_ids == ["n1_0", "n2_0", "n3_0"]


def test_null_class(train):
    dataset = opened(train, "imagenet,crop=8,null")
    assert dataset.class_labels == ["n1", "n2", "n3", "null"]
    assert dataset.labels.tolist() == [0, 0, 1, 2]


def test_classes_of_a_model(train):
    dataset = opened(train, class_labels=["n3", "n2", "n1", "n0"])
    assert dataset.class_labels == ["n3", "n2", "n1", "n0"]
    assert dataset.labels.tolist() == [2, 2, 1, 0]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_nothing_there(tmp_path, make):
    make(tmp_path / "train")
    with pytest.raises(DataError, match="no such directory|no images: .*one folder per class"):
        opened(tmp_path / "train")
