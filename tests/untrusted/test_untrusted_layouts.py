"""Sets as tools for labelling export them, damaged: boxes within images, or an error of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated_files import save_image
from hypothesis import given, settings
from hypothesis import strategies as st
from untrusted.damage import damaged, damaged_json, outcome

from denet.dataset import open_dataset

CVAT = b"""<?xml version="1.0"?><annotations><version>1.1</version><meta><task><labels>
<label><name>cat</name></label></labels></task></meta><image id="0" name="a.png" width="20"
height="10"><box label="cat" xtl="1" ytl="2" xbr="9" ybr="8" rotation="5"/>
<polygon label="dog" points="1,2;3,4;5,1"/></image><image id="1" name="b.png"/></annotations>"""
YAML = b"path: .\ntrain: images\nval: [images, ./images]\nnames:\n  0: cat\n  1: dog\nnc: 2\n"
YOLO = b"0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.9 0.2 0.5 0.9\n"
CSV = b"filename,class,xmin,ymin,xmax,ymax\na.png,cat,1,2,9,8\nb.png,dog,0,0,20,10\nb.png,,,,,\n"
LABELME: dict[str, Any] = {
    "imagePath": "a.png",
    "imageWidth": 20,
    "imageHeight": 10,
    "shapes": [
        {"label": "cat", "points": [[1, 2], [9, 8]], "shape_type": "rectangle"},
        {"label": "dog", "points": [[5, 5], [7, 5]], "shape_type": "circle"},
        {"label": "dog", "points": [[1, 1], [7, 5], [3, 9]], "shape_type": "polygon"},
    ],
}
PARTS: dict[str, bytes] = {"annotations.xml": CVAT, "data.yaml": YAML, "boxes.csv": CSV}


def check(root: Path, extension: str) -> None:
    """What is opened has boxes inside its images; what is not is an error for people."""

    def read() -> None:
        dataset = open_dataset(root, f"{extension},crop=8", progress=False, on_bad_data="skip")
        assert all(Path(name).resolve().is_relative_to(root) for name in dataset.names)
        sizes = dataset.sizes[dataset.boxes.image]
        assert (dataset.boxes_px >= 0).all() and (dataset.boxes_px[:, 2:] <= sizes).all()
        assert np.isfinite(dataset.boxes_px).all() and np.isfinite(dataset.area).all()
        assert (dataset.boxes_px[:, 2:] > dataset.boxes_px[:, :2]).all()
        assert (dataset.box_class >= 0).all()
        assert (dataset.box_class < len(dataset.class_labels)).all()

    outcome(read)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("layouts")
    for name in ("a", "b"):
        save_image(root / f"images/{name}.png")
    (root / "labels").mkdir()
    return root


@pytest.mark.parametrize(
    ("extension", "name"),
    [("cvat", "annotations.xml"), ("yolo,train", "data.yaml"), ("csv", "boxes.csv")],
)
@settings(max_examples=150)
@given(data=st.data())
def test_damaged_files(root: Path, extension: str, name: str, data: st.DataObject) -> None:
    (root / "labels/a.txt").write_bytes(YOLO)
    (root / name).write_bytes(data.draw(damaged(PARTS[name])))
    check(root, extension)


@settings(max_examples=150)
@given(content=damaged(YOLO))
def test_damaged_yolo_texts(root: Path, content: bytes) -> None:
    (root / "data.yaml").write_bytes(YAML)
    (root / "labels/a.txt").write_bytes(content)
    check(root, "yolo,train")


@settings(max_examples=150)
@given(content=damaged_json(LABELME))
def test_damaged_labelme(root: Path, content: Any) -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (root / "labels/a.json").write_bytes(text)
    (root / "labels/b.json").write_text(json.dumps(LABELME))
    check(root, "labelme")


@settings(max_examples=100)
@given(name=st.text(max_size=40) | st.sampled_from(["../" * 9 + "etc/passwd", "C:\\a.png", "~"]))
def test_names_lead_nowhere(root: Path, name: str) -> None:
    (root / "images/labels").mkdir(exist_ok=True)
    told = json.dumps({**LABELME, "imagePath": name}).encode()
    (root / "labels/z.json").write_bytes(told)
    check(root, "labelme")
    (root / "labels/z.json").unlink()
