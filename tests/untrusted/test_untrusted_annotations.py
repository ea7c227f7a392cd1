"""Annotations from strangers: boxes within their images, or an error that names the file."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_coco, write_voc
from hypothesis import given, settings
from hypothesis import strategies as st
from untrusted.damage import damaged, damaged_json, outcome

from denet.dataset import annotation_file, open_dataset
from denet.dataset.boxes import imagenet as imagenet_reader
from denet.dataset.boxes import json_lists
from denet.errors import DataError
from denet.predict.image_files import find_images

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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json")


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


@pytest.mark.parametrize(
    "told",
    [
        *["../outside.jpg", "/etc/hostname", "..\\outside.jpg", "..", ".", "/", "\0", "x" * 9999],
        *["../../outside.jpg", "a.jpg/..", "JPEGImages/../../outside.jpg", "~/outside.jpg"],
    ],
)
def test_names_in_annotations_lead_nowhere(tmp_path: Path, told: str) -> None:
    """The photo of annotation b is missing: what it names is only looked for among the photos."""
    root = tmp_path / "set"
    write_voc(root, {"a": VOC, "b": VOC})
    (root / "JPEGImages/b.jpg").unlink()
    save_image(tmp_path / "outside.jpg")
    text = VOC.replace("<annotation>", f"<annotation><filename>{told}</filename>")
    (root / "Annotations/b.xml").write_text(text)
    with pytest.raises(DataError, match="no JPEGImages/b.jpg or the like"):
        open_dataset(root, "voc,train", progress=False)
    found = open_dataset(root, "voc,train", progress=False, on_bad_data="skip")
    assert list(found.names) == [str(root / "JPEGImages/a.jpg")]


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


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("MAX_JSON_BYTES", "{" + " " * 1000, "0 MB are too many: .*train.json"),
        ("MAX_ENTRY", f'{{"x": ["{"y" * 1000}"]}}', "more than 1000 characters in one entry"),
        ("MAX_ENTRIES", f'{{"x": [{"[]," * 999}[], []]}}', "more than 1000 entries"),
    ],
)
def test_annotations_are_bounded(
    coco: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    monkeypatch.setattr(json_lists, name, 1000)
    (coco / "annotations/instances_train.json").write_text(text)
    with pytest.raises(DataError, match=words):
        open_dataset(coco, "mscoco,train", progress=False)


def test_long_lists_take_little_memory(coco: Path) -> None:
    """10 MB of whole numbers, which would be 50 MB of them in Python."""
    numbers = "[" + "1000000," * 100_000 + "1]"
    text = f'{{"x": [{numbers}{f", {numbers}" * 11}], "images": []}}'
    (coco / "annotations/instances_train.json").write_text(text)
    del text
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="it holds no categories"):
            open_dataset(coco, "mscoco,train", progress=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=9
)


@settings(max_examples=50)
@given(
    content=st.dictionaries(st.text(), VALUES | st.lists(VALUES), max_size=5),
    indent=st.none() | st.integers(0, 9),
    ascii_only=st.booleans(),
    window=st.integers(1, 99),
)
def test_lists_read_a_window_at_a_time_are_those_of_the_json_module(
    folder: Path, content: dict[str, Any], indent: int | None, ascii_only: bool, window: int
) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=ascii_only)
    (folder / "x.json").write_bytes(text.encode())
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    found: dict[str, list[Any]] = {name: [] for name in lists}
    takers = {name: (lambda place, entry, to=to: to.append(entry)) for name, to in found.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lists, "_WINDOW", window)
        patch.setattr(json_lists, "MAX_ENTRY", len(text))
        assert json_lists.read_lists(str(folder / "x.json"), takers) == found.keys()
    assert found == lists


@given(st.integers(0, 3000), st.sampled_from(["", "a", "a 1", "b -1", "é", "../a", " "]))
def test_any_number_of_lines(voc: Path, count: int, line: str) -> None:
    (voc / "Annotations/a.xml").write_text(VOC)
    (voc / "ImageSets/Main/val.txt").write_text(f"{line}\n" * count, encoding="utf-8")
    check(voc, "voc,val", "")


def test_lines_are_bounded(voc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_file, "MAX_LIST_LINES", 1000)
    for line in ("a\n", "\n"):
        (voc / "ImageSets/Main/val.txt").write_text(line * 1001)
        with pytest.raises(DataError, match="more than 1000 lines: .*val.txt"):
            open_dataset(voc, "voc,val", progress=False)


def test_lines_of_image_files_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_file, "MAX_LIST_LINES", 1000)
    (folder / "list.txt").write_text("a.png\n" * 1001)
    with pytest.raises(
        DataError, match="input: cannot read the list: more than 1000 lines: .*t.txt"
    ):
        find_images(folder / "list.txt")
