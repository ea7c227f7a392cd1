"""COCO as Roboflow exports it, written by hand."""

import json

import pytest
from annotated_files import save_image

from denet.dataset import open_dataset
from denet.dataset.boxes import roboflow
from denet.errors import DataError, UsageError

CATEGORIES = [
    {"id": 0, "name": "fruits", "supercategory": "none"},
    {"id": 1, "name": "apple", "supercategory": "fruits"},
    {"id": 2, "name": "pear", "supercategory": "fruits"},
]


def content(name="a.jpg", category=2, categories=CATEGORIES, **more):
    box = {"id": 0, "image_id": 0, "category_id": category, "bbox": [2, 3, 4, 5], "area": 20}
    image = {"id": 0, "license": 1, "file_name": name, "height": 10, "width": 20}
    return {"images": [image], "annotations": [{**box, **more}], "categories": categories}


def put(folder, told):
    save_image(folder / "a.jpg")
    (folder / "_annotations.coco.json").write_text(json.dumps(told))


def opened(path, extension):
    return open_dataset(path, f"{extension},crop=8", progress=False)


def test_splits_are_folders(tmp_path):
    for split in ("train", "valid"):
        put(tmp_path / split, content())
    assert roboflow.split_names(str(tmp_path)) == ["train", "valid"]
    assert roboflow.seen(str(tmp_path)).startswith("train/_annotations.coco.json, valid/")
    found = opened(tmp_path, "roboflow,valid")
    assert found.names == [str(tmp_path / "valid/a.jpg")]
    assert found.class_labels == ["apple", "pear"]  # the project is no class
    assert found.category_ids == [1, 2] and found.box_class.tolist() == [1]
    assert found.boxes_px.tolist() == [[2, 3, 6, 8]]
    assert len(opened(tmp_path, "roboflow,train,valid")) == 2
    with pytest.raises(UsageError, match="such as roboflow,train"):
        opened(tmp_path, "roboflow")


def test_one_folder_is_one_set(tmp_path):
    put(tmp_path, content())
    assert roboflow.split_names(str(tmp_path)) == []
    assert opened(tmp_path, "roboflow").image_ids == [0]


def test_a_category_with_objects_is_a_class(tmp_path):
    """Also one that others belong to, and one that belongs to itself."""
    put(tmp_path, content(category=0))
    assert opened(tmp_path, "roboflow").class_labels == ["fruits", "apple", "pear"]
    put(tmp_path, content(category=7, categories=[
        {"id": 7, "name": "cat", "supercategory": "cat"}, {"id": 9, "name": "dog"}
    ]))  # fmt: skip
    assert opened(tmp_path, "roboflow").class_labels == ["cat", "dog"]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (content("../a.jpg"), "leaves the folder of the images"),
        (content(category=5), "category_id 5 is not in categories"),
        (content(bbox=[1, 2, 3]), "is not .x, y, width, height."),
        (content(bbox=[1, 2, 3, float("nan")]), "something else than numbers"),
        (content(categories=CATEGORIES[1:2] * 2), "two categories are called|twice"),
        ([], "no '{'"),
        ({"images": 5}, "images is not a list"),
    ],
)
def test_faults_are_named(tmp_path, told, message):
    put(tmp_path, told)
    with pytest.raises(DataError, match=message):
        opened(tmp_path, "roboflow")
