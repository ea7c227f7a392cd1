"""Annotations from strangers: boxes within their images, or an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_coco, write_voc
from hypothesis import given, settings
from untrusted.damage import damaged, damaged_json, outcome

from denet.dataset import annotation_file, open_dataset
from denet.dataset import imagenet as imagenet_reader
from denet.errors import DataError

VOC = voc_xml(object_xml("cat", (1, 2, 10, 9)), object_xml("dog", (3, 3, 8, 8)))
COCO: dict[str, Any] = {
    "info": {"year": 2014},
    "images": [
        {"id": 5, "file_name": "5.png", "width": 20, "height": 10},
        {"id": 9, "file_name": "9.png", "width": 20, "height": 10},
    ],
    "annotations": [
        {"id": 1, "image_id": 9, "category_id": 3, "bbox": [1, 2, 3, 4.5], "iscrowd": 0},
        {"id": 2, "image_id": 5, "category_id": 8, "bbox": [0, 0, 20, 10], "area": 17.5},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}],
}


def check(root: Path, extension: str, file: str) -> None:
    def read() -> None:
        dataset = open_dataset(root, extension, progress=False)
        assert 1 <= len(dataset) <= 100
        sizes = dataset.sizes[dataset.boxes.image]
        assert (dataset.boxes_px >= 0).all() and (dataset.boxes_px[:, 2:] <= sizes).all()
        assert (dataset.boxes_px[:, 2:] > dataset.boxes_px[:, :2]).all()
        assert (dataset.box_class >= 0).all()
        assert (dataset.box_class < len(dataset.class_labels)).all()
        assert np.isfinite(dataset.area).all()

    outcome(read, file)


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("voc")
    write_voc(root, {"a": VOC, "b": VOC})
    return root


@settings(max_examples=150)
@given(content=damaged(VOC.encode()))
def test_damaged_voc(voc: Path, content: bytes) -> None:
    (voc / "Annotations/a.xml").write_bytes(content)
    check(voc, "voc,train", "a.xml")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("coco")
    write_coco(root, COCO)
    return root


@settings(max_examples=150)
@given(value=damaged_json(COCO).map(json.dumps).map(str.encode))
def test_wrong_coco(coco: Path, value: bytes) -> None:
    (coco / "annotations/instances_train.json").write_bytes(value)
    check(coco, "mscoco,train", "")


@settings(max_examples=100)
@given(content=damaged(json.dumps(COCO).encode()))
def test_damaged_coco(coco: Path, content: bytes) -> None:
    (coco / "annotations/instances_train.json").write_bytes(content)
    check(coco, "mscoco,train", "")


IMAGES: dict[str, Any] = {
    "images": [
        {"fname": "a/1.png", "bboxs": [{"x0": 1, "x1": 9.5, "y0": 2, "y1": 8}]},
        {"fname": "/train/b/1.png", "bboxs": []},
        "b/2.png",
    ],
    "version": 1,
}


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imagenet") / "train"
    for name in ("a/1.png", "b/1.png", "b/2.png", "../outside.png"):
        save_image(root / name)
    (root.parent / "bbox/b").mkdir(parents=True)
    (root.parent / "bbox/b/2.xml").write_text(VOC)
    return root


def check_images(root: Path, content: bytes) -> None:
    (root / "image_list.json").write_bytes(content)
    check(root, "imagenet,crop=8", "")
    listed = outcome(lambda: imagenet_reader.read(str(root)))
    for name in getattr(listed, "names", ()):
        assert Path(name).parent in (root / "a", root / "b"), name


@settings(max_examples=100)
@given(value=damaged_json(IMAGES).map(json.dumps).map(str.encode))
def test_wrong_list_of_images(imagenet: Path, value: bytes) -> None:
    check_images(imagenet, value)


@settings(max_examples=100)
@given(content=damaged(json.dumps(IMAGES).encode()))
def test_damaged_list_of_images(imagenet: Path, content: bytes) -> None:
    check_images(imagenet, content)


def test_lists_of_nothing_are_bounded(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two characters of text are a list of 56 bytes."""
    monkeypatch.setattr(annotation_file, "MAX_JSON_PARTS", 1000)
    (coco / "annotations/instances_train.json").write_text(f"[{'[],' * 1000}[]]")
    with pytest.raises(DataError, match="too many lists and objects for annotations: .*train.json"):
        open_dataset(coco, "mscoco,train", progress=False)


def test_long_files_are_bounded(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_file, "MAX_JSON_BYTES", 1000)
    (coco / "annotations/instances_train.json").write_text("[" + " " * 1000 + "]")
    with pytest.raises(DataError, match="0 MB are too many for annotations: .*train.json"):
        open_dataset(coco, "mscoco,train", progress=False)
