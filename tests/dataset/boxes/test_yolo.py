"""YOLO against folders written by hand as its documentation has them, and damaged ones."""

import numpy as np
import pytest
from annotated_files import save_image

from denet.dataset import BadDataError, open_dataset
from denet.dataset.boxes import yolo
from denet.errors import DataError, UsageError

SIZE = (40, 20)  # of every image
DATA = "path: /datasets/cells\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: no\n"


def put(root, image, labels="", text=None):
    """Write an image and, unless it is None, its text."""
    save_image(root / image, SIZE)
    if text is not None:
        (root / labels).parent.mkdir(parents=True, exist_ok=True)
        (root / labels).write_text(text)


def standard(root, yaml=DATA, text="0 0.5 0.5 0.5 0.5\n"):
    """As ultralytics has it: images/SPLIT, labels/SPLIT and data.yaml."""
    put(root, "images/train/a.jpg", "labels/train/a.txt", text)
    put(root, "images/train/b.jpg")
    put(root, "images/val/c.jpg", "labels/val/c.txt", "1 0.25 0.5 0.1 0.2\n")
    (root / "data.yaml").write_text(yaml)


def opened(path, extension="yolo,train"):
    return open_dataset(path, f"{extension},crop=8", progress=False)


def boxes(dataset, position=0):
    return dataset.boxes_px[dataset.boxes.of(position)].tolist()


def test_centre_and_sides_are_shares_of_the_image(tmp_path):
    standard(tmp_path)
    assert yolo.seen(str(tmp_path)) == "data.yaml with names and splits"
    assert yolo.split_names(str(tmp_path)) == ["train", "val"]
    found = opened(tmp_path)
    assert found.names == [str(tmp_path / f"images/train/{name}.jpg") for name in "ab"]
    assert found.class_labels == ["cat", "no"]  # YAML takes no for false
    assert found.boxes.counts.tolist() == [1, 0]  # an image without text shows nothing
    assert boxes(found) == [[10, 5, 30, 15]]
    found = opened(tmp_path, "yolo,val")
    np.testing.assert_allclose(boxes(found), [[8, 8, 12, 12]], rtol=1e-6)
    assert found.box_class.tolist() == [1] and found.image_ids == ["c"]
    assert len(opened(tmp_path / "data.yaml", "yolo,train,val")) == 3
    with pytest.raises(UsageError, match="name the splits to use, such as yolo,train: .*val"):
        opened(tmp_path, "yolo")
    with pytest.raises(DataError, match="no split 'valid' .did you mean 'val'"):
        opened(tmp_path, "yolo,valid")


def test_an_outline_is_the_box_around_it(tmp_path):
    """Class x1 y1 x2 y2 x3 y3 ...; four corners of a turned box as well."""
    standard(tmp_path, text="1 0.1 0.2 0.5 0.1 0.3 0.9\n0 0.25 0 0.75 0.5 0.5 1 0 0.5\n")
    found = opened(tmp_path)
    np.testing.assert_allclose(boxes(found), [[4, 2, 20, 18], [0, 0, 30, 20]], rtol=1e-6)
    standard(tmp_path, DATA + "kpt_shape: [1, 3]\n", "0 0.5 0.5 0.5 0.5 0.1 0.1 2\n")
    assert boxes(opened(tmp_path)) == [[10, 5, 30, 15]]  # then one key point with its visibility


def test_six_decimals_leave_no_box_beside_its_image(tmp_path, caplog):
    standard(tmp_path, text="0 0.833334 0.166666 0.333334 0.333334\n")
    with caplog.at_level("INFO"):
        found = opened(tmp_path)
    assert "clipped" not in caplog.text
    corners = boxes(found)[0]
    assert corners[1] == 0 and corners[2] == 40


def test_folders_as_exports_have_them(tmp_path):
    """SPLIT/images and SPLIT/labels, with ../ in data.yaml that means its own folder."""
    for split in ("train", "valid"):
        put(tmp_path, f"{split}/images/{split}.jpg", f"{split}/labels/{split}.txt", "0 .5 .5 1 1\n")
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: ['x']"
    (tmp_path / "data.yaml").write_text(yaml)
    assert yolo.split_names(str(tmp_path)) == ["train", "val"]  # test was left out of the export
    assert opened(tmp_path, "yolo,val").image_ids == ["valid"]
    (tmp_path / "data.yaml").unlink()
    assert yolo.split_names(str(tmp_path)) == ["train", "valid"]
    found = opened(tmp_path, "yolo,valid")
    assert found.image_ids == ["valid"] and found.class_labels == ["class 0"]
    assert boxes(found) == [[0, 0, 40, 20]]


@pytest.mark.parametrize("names", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_one_set_without_data_yaml(tmp_path, names):
    put(tmp_path, "Images/a.jpg", "labels/a.txt", "1 0.5 0.5 0.5 0.5\n")
    (tmp_path / names).write_text("dog\ncat\n")
    if names.startswith("labels"):
        (tmp_path / "labels").rename(tmp_path / "Labels")
    found = opened(tmp_path, "yolo")
    assert found.class_labels == ["dog", "cat"] and found.box_class.tolist() == [1]


def test_texts_beside_the_images(tmp_path):
    put(tmp_path, "a.jpg", "a.txt", "")
    put(tmp_path, "b.jpg", "b.txt", "2 0.5 0.5 0.5 0.5\n")
    found = opened(tmp_path, "yolo")
    assert found.image_ids == ["a", "b"] and found.class_labels == ["class 2"]


def test_splits_that_are_lists(tmp_path):
    yaml = "train: train.txt\nval: [images/val, images/more]\nnames: [cat, dog]\n"
    standard(tmp_path, yaml)
    put(tmp_path, "images/more/d.jpg")
    lines = ["./images/train/b.jpg", str(tmp_path / "images/val/c.jpg"), "images/train/b.jpg"]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    assert opened(tmp_path, "yolo,train").image_ids == ["b", "c"]
    assert sorted(opened(tmp_path, "yolo,val").image_ids) == ["c", "d"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.5 0.5", "class 2 has no name: there are 2"),
        ("cat 0.5 0.5 0.5 0.5", "the class is 'cat', not a number"),
        ("-1 0.5 0.5 0.5 0.5", "the class is '-1'"),
        ("0 200 100 50 50", "coordinates are no shares of the image, from 0 to 1"),
        ("0 nan 0.5 0.5 0.5", "coordinates are no shares of the image"),
        ("0 inf 0.5 0.5 0.5", "coordinates are no shares of the image"),
        ("0 1e999 0.5 0.5 0.5", "coordinates are no shares of the image"),
        ("0 0.5 0.5 -0.5 0.5", "coordinates are no shares of the image"),
        ("0 a b c d", "coordinates are no shares of the image"),
        ("0 0.5 0.5 0.5 0.5 0.9", "5 numbers behind the class: give four"),
        ("0", "0 numbers behind the class"),
        ("99999999999 0.5 0.5 0.5 0.5", "the class is '99999999999'"),
    ],
)
def test_a_line_that_is_wrong(tmp_path, line, message):
    standard(tmp_path, text=f"0 0.5 0.5 0.5 0.5\n{line}\n")
    with pytest.raises(BadDataError, match=f"a.txt: line 2: {message}"):
        opened(tmp_path)
    found = open_dataset(tmp_path, "yolo,train,crop=8", progress=False, on_bad_data="skip")
    assert found.image_ids == ["b"]


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: images/train\nnames: [cat, cat]", "names: 'cat' comes twice"),
        ("train: images/train\nnames: {0: cat, 00: dog}", "comes twice|of its own"),
        ("train: images/train\nnames: {a: cat}", "give each class from 0 on a name"),
        ("train: images/train\nnames: {999999999: cat}", "give each class from 0 on a name"),
        ("train: images/train\nnames: cat", "names holds no classes"),
        ("train: images/train\nnames: [[cat]]", "give each class from 0 on a name"),
        ("train: {a: b}\nnames: [cat]", "train is no path and no list"),
        (
            "train: ../../etc\nnames: [cat]",
            "none of its splits is in its folder: train '../",
        ),
        ("train: /etc\nnames: [cat]", "none of its splits is in its folder: train '/etc'"),
        ("train: data.yaml\nnames: [cat]", "not a folder of images, or a .txt"),
        ("train: [", "cannot read YAML"),
        ("a: &a [x]\nnames: [*a]", "it has aliases"),
        ("- 1", "no mapping of names"),
        ("[" * 5000, "cannot read YAML"),
        ("x" * (1 << 19), "MB are too many"),
    ],
)
def test_a_data_yaml_that_is_wrong(tmp_path, yaml, message):
    standard(tmp_path, yaml)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_a_list_leads_to_no_other_place(tmp_path):
    root = tmp_path / "set"
    standard(root, "train: train.txt\nnames: [cat]\n")
    save_image(tmp_path / "secret.jpg", SIZE)
    (root / "train.txt").write_text(f"../secret.jpg\n{tmp_path}/secret.jpg\nimages/train/b.jpg\n")
    found = open_dataset(root, "yolo,train,crop=8", progress=False, on_bad_data="skip")
    assert found.names == [str(root / "images/train/b.jpg")]
    assert {each.name for each in found.bad} == {str(root / "secret.jpg")}


def test_no_text_at_all_is_told(tmp_path, caplog):
    standard(tmp_path)
    (tmp_path / "labels/train/a.txt").unlink()
    assert len(opened(tmp_path)) == 2
    assert "no labels/*.txt: its images are taken to be empty" in caplog.text
