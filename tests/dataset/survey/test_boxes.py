"""What is told of images with boxes: splits, objects, sizes, damage, and what to train on."""

import os
import shutil

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_coco, write_split, write_voc
from PIL import Image

from denet.dataset.survey.boxes import detection_kind, survey_detection
from denet.errors import DataError

CAT = voc_xml(object_xml("cat", (1, 1, 4, 4)))


def look(path, extension="voc", **options):
    return survey_detection(str(path), extension, thread_num=1, progress=False, **options)


def names(root, files):
    return [os.path.relpath(file, root) for file in files]


def test_kind(tmp_path):
    write_voc(tmp_path / "own", {"1": CAT})
    write_voc(tmp_path / "kit/VOC2007", {"1": CAT})
    write_coco(tmp_path / "coco", {"images": []})
    save_image(tmp_path / "classes/annotations/1.png")
    kinds = {name: detection_kind(str(tmp_path / name)) for name in os.listdir(tmp_path)}
    assert kinds == {"own": "voc", "kit": "voc", "coco": "mscoco", "classes": None}
    assert detection_kind("nowhere") is None
    assert detection_kind("nowhere", "mscoco,train") == "mscoco"
    assert detection_kind(str(tmp_path / "own"), "png") is None


def test_objects_of_splits(tmp_path):
    """Three images: a of one cat and two dogs, b of a cat of 4x9 pixels, c of none."""
    two = (
        object_xml("dog", (1, 1, 3, 3)),
        object_xml("dog", (2, 2, 6, 6), "<difficult>1</difficult>"),
    )
    write_voc(tmp_path, {"a": voc_xml(object_xml("cat", (1, 1, 4, 4)), *two)}, "train")
    write_voc(tmp_path, {"b": voc_xml(object_xml("cat", (2, 1, 5, 9)))}, "test")
    write_voc(tmp_path, {"c": voc_xml()}, "val")
    write_split(tmp_path, "trainval", ["a", "c"])
    write_split(tmp_path, "cat_train", ["a 1"])
    found = look(tmp_path)
    assert [split.name for split in found.splits] == ["train", "val", "trainval", "test"]
    assert (found.train, found.test, found.unused) == (["trainval"], ["test"], ["cat_train"])
    assert found.class_labels == ["cat", "dog"]
    assert [split.class_objects().tolist() for split in found.splits] == [
        *([1, 2], [0, 0], [1, 2], [1, 0])
    ]
    assert [split.class_images().tolist() for split in found.splits] == [
        *([1, 1], [0, 0], [1, 1], [1, 0])
    ]
    assert found.class_objects(["trainval", "test"]) == {"cat": 2, "dog": 2}
    assert found.splits[0].boxes.difficult.tolist() == [False, False, True]
    assert len(found.sizes()) == 3 and (found.sizes() == (20, 10)).all()
    boxes, classes, sizes = found.objects()  # each image once, though a is in two splits
    assert boxes.tolist() == [[0, 0, 4, 4], [0, 0, 3, 3], [1, 1, 6, 6], [1, 0, 5, 9]]
    assert classes.tolist() == [0, 1, 1, 0] and sizes.shape == (4, 2)


@pytest.mark.parametrize(
    "splits, train, test",
    [
        ("train val trainval test", ["trainval"], ["test"]),
        ("train val test", ["train", "val"], ["test"]),
        ("train val trainval", ["train"], ["val"]),
        ("train validation", ["train"], ["validation"]),
        ("trainval val", ["trainval"], []),
        ("day test", ["day"], ["test"]),
        ("val", ["val"], []),
        ("day night", ["day", "night"], []),
    ],
)
def test_what_to_train_on(tmp_path, splits, train, test):
    for split in splits.split():
        write_voc(tmp_path, {"1": CAT}, split)
    found = look(tmp_path)
    assert (found.train, found.test) == (train, test)


def test_years(tmp_path):
    for year, splits in (("2007", ("train", "val", "test")), ("2012", ("train", "val"))):
        for split in splits:
            xml = voc_xml(object_xml("dog", (1, 1, 4, 4)))
            write_voc(tmp_path / f"VOC{year}", {f"{year}{split}": xml}, split)
    write_split(tmp_path / "VOC2012", "test", ["2012 none"])
    save_image(tmp_path / "VOC2012/JPEGImages/2012 none.jpg")
    found = look(tmp_path)
    assert found.train == ["2007-trainval", "2012-trainval"] and found.test == ["2007-test"]
    assert len(found.sizes()) == 6 and len(found.objects()[0]) == 5


def test_coco(tmp_path):
    """The crowd is no object; one box has no area, one is outside, one reaches 5 pixels out."""
    boxes = [[0, 0, 4, 4], [1, 1, 0, 3], [30, 1, 5, 5], [15, 2, 10, 4]]
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 10, "height": 20}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": box, "iscrowd": int(box[0] == 0)}
            for box in boxes
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    write_coco(tmp_path, content, "train2017")
    write_coco(tmp_path, {**content, "annotations": []}, "val2017")
    found = look(tmp_path, "mscoco,crop=64x48")
    assert (found.train, found.test, found.crop) == (["train2017"], [], (64, 48))
    split = found.splits[0]
    assert split.class_objects().tolist() == [1, 0] and split.boxes.crowd.sum() == 1
    assert [box.corners for box in split.degenerate()] == [(1, 1, 1, 4)]
    assert [box.corners for box in split.outside()] == [(30, 1, 35, 6)]
    assert [box.corners for box in split.clipped()] == [(15, 2, 25, 6)]
    assert split.outside()[0].class_label == "cat" and split.outside()[0].size == (20, 10)
    assert found.objects()[0].tolist() == [[15, 2, 20, 6]]
    assert [len(each.other_size()) for each in found.splits] == [1, 1]


def test_damage_is_found(tmp_path):
    write_voc(tmp_path, {"1": CAT, "2": CAT, "3": "", "4": CAT, "5": CAT}, "train")
    write_voc(tmp_path, {"6": voc_xml(object_xml(), size=(20, 11)), "7": CAT}, "test")
    os.remove(tmp_path / "JPEGImages/2.jpg")
    (tmp_path / "JPEGImages/4.jpg").write_bytes(b"text")
    save_image(tmp_path / "JPEGImages/beside.jpg")
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "JPEGImages/5.jpg", exif=exif)
    found = look(tmp_path)
    bad = [
        (os.path.relpath(name, tmp_path), why.split(":")[0]) for name, why in found.splits[0].bad
    ]
    assert sorted(bad) == [
        ("JPEGImages/2", "no JPEGImages/2.jpg or the like"),
        ("JPEGImages/3.jpg", "no such file or directory"),
        ("JPEGImages/4.jpg", "not an image"),
    ]
    assert names(tmp_path, found.splits[0].files) == ["JPEGImages/1.jpg", "JPEGImages/5.jpg"]
    assert (found.turned, found.stored) == (1, 1)
    assert found.splits[0].sizes.tolist() == [[20, 10], [10, 20]]
    assert names(tmp_path, found.splits[1].other_size()) == ["JPEGImages/6.jpg"]
    assert names(tmp_path, found.unlisted) == ["JPEGImages/beside.jpg"]


@pytest.mark.parametrize("parts", [("", ""), ("images/", "annots/")])
def test_photos_beside_the_folders_of_splits(tmp_path, parts):
    """None is lost: they are trained on, or told as left out where a folder is to train on."""
    photos, annotations = parts

    def put(folder, name):
        save_image(tmp_path / f"{folder}{photos}{name}.jpg")
        file = tmp_path / f"{folder}{annotations}{name}.xml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(CAT)

    put("test/", "c")
    assert look(tmp_path).train == ["test"]  # there is nothing else
    for name in "ab":
        put("", name)
    found = look(tmp_path)
    assert (found.train, found.test, found.unlisted) == (["train"], ["test"], [])
    assert [len(split) for split in found.splits] == [2, 1]
    put("train/", "d")
    found = look(f"{tmp_path}/.")
    assert (found.train, found.test) == (["train"], ["test"])
    assert [len(split) for split in found.splits] == [1, 1]
    assert names(tmp_path, found.unlisted) == [f"{photos}a.jpg", f"{photos}b.jpg"]


def test_images_in_two_splits(tmp_path):
    for name, split in (("1", "train"), ("2", "train"), ("3", "test")):
        write_voc(tmp_path, {name: CAT}, split)
        pixels = np.random.default_rng(int(name)).integers(0, 256, (10, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"JPEGImages/{name}.jpg")
    shutil.copy(tmp_path / "JPEGImages/1.jpg", tmp_path / "JPEGImages/4.jpg")
    shutil.copy(tmp_path / "Annotations/1.xml", tmp_path / "Annotations/4.xml")
    write_split(tmp_path, "train", ["1", "2"])
    write_split(tmp_path, "test", ["2", "3", "4"])
    pairs = [names(tmp_path / "JPEGImages", pair) for pair in look(tmp_path).leaks()]
    assert pairs == [["2.jpg", "2.jpg"], ["4.jpg", "1.jpg"]]


def test_more_objects_than_a_network_is_shown(tmp_path):
    many = {"128": voc_xml(*[object_xml()] * 128), "129": voc_xml(*[object_xml()] * 129)}
    write_voc(tmp_path, many)
    assert names(tmp_path, look(tmp_path).splits[0].crowded()) == ["JPEGImages/129.jpg"]


def test_nothing_to_train_on(tmp_path):
    write_voc(tmp_path, {"1": voc_xml()})
    with pytest.raises(DataError, match="no objects in 1 image: /.*: none has a box"):
        look(tmp_path)
    os.remove(tmp_path / "JPEGImages/1.jpg")
    with pytest.raises(DataError, match="1 cannot be used, .*JPEGImages/1: no JPEGImages/1.jpg"):
        look(tmp_path)
