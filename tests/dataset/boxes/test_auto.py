"""--extension auto: every layout is recognised, what is none is refused, one set is divided."""

import json
import logging

import pytest
from annotated_files import object_xml, save_image, voc_xml, write_coco, write_split, write_voc

from denet.dataset import open_dataset
from denet.dataset.boxes.layouts import LAYOUTS, recognise
from denet.dataset.boxes.splits import choose, share_rows
from denet.dataset.survey.boxes import detection_kind, survey_detection
from denet.errors import DataError, UsageError

XML = voc_xml(object_xml("cat", (3, 2, 8, 6)))  # from (2, 1) to (8, 6), pixels counted from 1
IMAGES = [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10}]
COCO = {
    "images": IMAGES,
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 1, 6, 5]}],
    "categories": [{"id": 1, "name": "cat"}],
}
CVAT = (
    "<annotations><version>1.1</version><image id='0' name='a.jpg' width='20' height='10'>"
    "<box label='cat' xtl='2' ytl='1' xbr='8' ybr='6'/></image></annotations>"
)
LABELME = {"imagePath": "a.jpg", "shapes": [
    {"label": "cat", "shape_type": "rectangle", "points": [[2, 1], [8, 6]]}]}  # fmt: skip
YOLO = "0 0.25 0.35 0.3 0.5\n"
CSV = "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,2,1,8,6\n"


def write(root, files):
    """Write photos, and texts or JSON, by their paths."""
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            save_image(place)
        else:
            place.write_text(content if isinstance(content, str) else json.dumps(content))


SETS = {  # a box from (2, 1) to (8, 6) in every one
    "yolo": {
        "data.yaml": "train: images\nnames: [cat]",
        "images/a.jpg": None,
        "labels/a.txt": YOLO,
    },
    "yolo without data.yaml": {
        "images/a.jpg": None,
        "labels/a.txt": YOLO,
        "classes.txt": "cat\n",
    },
    "yolo in one folder": {"a.jpg": None, "a.txt": YOLO, "classes.txt": "cat\n"},
    "roboflow": {"a.jpg": None, "_annotations.coco.json": COCO},
    "roboflow with a split": {"train/a.jpg": None, "train/_annotations.coco.json": COCO},
    "cvat": {"images/a.jpg": None, "annotations.xml": CVAT},
    "mscoco": {"train/a.jpg": None, "annotations/instances_train.json": COCO},
    "labelme": {"a.jpg": None, "a.json": LABELME},
    "voc": {"a.jpg": None, "a.xml": XML},
    "voc in annots": {"images/a.jpg": None, "annots/a.xml": XML},
    "voc in annotations": {"images/a.jpg": None, "annotations/a.xml": XML},
    "csv": {"a.jpg": None, "boxes.csv": CSV},
    "csv beside images": {"images/a.jpg": None, "boxes.csv": CSV},
}


@pytest.mark.parametrize("name", SETS)
def test_every_layout_is_recognised(tmp_path, name, caplog):
    write(tmp_path, SETS[name])
    write(tmp_path, {"README.md": "What it is", "LICENSE": "free"})
    kind = name.split()[0]
    with caplog.at_level(logging.INFO):
        found = open_dataset(tmp_path, "auto,crop=8", progress=False)
    assert f"{tmp_path}: {kind}: it holds " in caplog.text
    assert found.class_labels == ["cat"]
    assert found.boxes_px.round(4).tolist() == [[2, 1, 8, 6]]
    assert detection_kind(str(tmp_path)) == detection_kind(str(tmp_path), "auto,crop=8") == kind
    survey = survey_detection(str(tmp_path), kind, progress=False)
    assert survey.why in caplog.text and survey.splits[0].boxes.boxes_px.round(4).tolist() == [
        [2, 1, 8, 6]
    ]


def test_every_layout_has_a_set_here():
    assert {name.split()[0] for name in SETS} == {*LAYOUTS}


NONE = {
    "nothing": {},
    "images": {"a.jpg": None, "b.jpg": None},
    "classes": {"cat/a.jpg": None, "dog/a.jpg": None},
    "classes in splits": {"train/cat/a.jpg": None, "test/cat/a.jpg": None},
    "classes called images and labels": {"images/a.jpg": None, "labels/a.jpg": None},
    "texts that are no boxes": {"images/a.jpg": None, "labels/a.txt": "a cat on 5 sofas\n"},
    "captions": {"a.jpg": None, "a.txt": "2 cats\n"},
    "empty texts": {"images/a.jpg": None, "labels/a.txt": ""},
    "boxes without images": {"labels/a.txt": YOLO},
    "a yaml": {"a.jpg": None, "config.yaml": "train: images\nepochs: 5"},
    "a broken yaml": {"a.jpg": None, "settings.yaml": "{"},
    "a json": {"a.jpg": None, "a.json": {"version": 1}},
    "a json list": {"a.jpg": None, "a.json": [1, 2]},
    "a coco of another name": {"images/a.jpg": None, "annotations/all.json": COCO},
    "xml without images": {"annotations/a.xml": XML},
    "xml of no images": {"a.jpg": None, "notes.xml": "<notes/>"},
    "masks": {"images/a.jpg": None, "masks/a.png": None},
    "a table of classes": {"a.jpg": None, "labels.csv": "filename,label\na.jpg,cat\n"},
    "a table of numbers": {"a.jpg": None, "log.csv": "epoch,x1,y1,x2,y2\n1,2,3,4,5\n"},
    "an empty table": {"a.jpg": None, "boxes.csv": ""},
    "a binary table": {"a.jpg": None, "boxes.csv/a.jpg": None},
    "arrays": {"train_data.npy": "x", "train_labels.npy": "y"},
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_none_is_refused(tmp_path, name):
    """Never taken for classes: the message lists what is known."""
    write(tmp_path, NONE[name])
    assert recognise(str(tmp_path)) is None
    with pytest.raises(DataError, match="no images with boxes in a layout that is known") as caught:
        open_dataset(tmp_path, "auto,crop=8", progress=False)
    for kind in LAYOUTS:
        assert f"{kind} " in str(caught.value)


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (("cat/a.jpg", "dog/a.jpg"), "{root}"),
        (("train/cat/a.jpg", "train/dog/a.jpg", "test/cat/a.jpg"), "{root}/train"),
        (("images/a.jpg", "masks/a.jpg"), ""),
        (("train/a.jpg", "val/a.jpg"), ""),
        (("cat/a.jpg", "dog/a.txt"), ""),
    ],
)
def test_what_may_be_classes_is_told_how_to_be_taken(tmp_path, files, place):
    write(tmp_path, {name: None if name.endswith("jpg") else "" for name in files})
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path, "auto", progress=False)
    told = f"if cat, dog are classes, give {place.format(root=tmp_path)} with --extension image "
    assert (told in str(caught.value)) == bool(place)


def test_no_place_at_all(tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        open_dataset(tmp_path / "gone", "auto", progress=False)


def test_it_is_not_there_yet_but_deeper(tmp_path):
    write(tmp_path / "download", SETS["yolo"])
    with pytest.raises(DataError, match="give .*download, which holds images with boxes"):
        open_dataset(tmp_path, "auto", progress=False)


def names(path, extension, **settings):
    return open_dataset(path, f"{extension},crop=8", progress=False, **settings).image_ids


def test_splits_by_their_names(tmp_path):
    for split in ("train", "valid"):
        write(tmp_path / split, {f"{split}.jpg": None, f"{split}.xml": XML})
    assert names(tmp_path, "auto", training=True) == ["train"]
    assert names(tmp_path, "auto") == ["valid"]
    write(tmp_path / "test", {"test.jpg": None, "test.xml": XML})
    assert names(tmp_path, "auto") == ["test"]
    assert names(tmp_path, "auto,train,valid") == ["train", "valid"]


def test_years_of_voc(tmp_path):
    write_voc(
        tmp_path / "VOC2007", {"a": voc_xml(object_xml()), "b": voc_xml(object_xml())}, "train"
    )
    write_split(tmp_path / "VOC2007", "val", ["b"])
    write_split(tmp_path / "VOC2007", "test", ["b"])
    assert names(tmp_path, "auto", training=True) == ["a", "b"]  # trainval
    assert names(tmp_path, "auto") == ["b"]


@pytest.mark.parametrize(
    ("known", "train", "test"),
    [
        ([], [], []),
        (["all"], ["all"], ["all"]),
        (
            ["2007-trainval", "2007-train", "2007-val", "2007-test"],
            ["2007-trainval"],
            ["2007-test"],
        ),
        (["train2017", "val2017"], ["train2017"], ["val2017"]),
        (["Test", "Training", "val"], ["Training"], ["Test"]),
    ],
)
def test_which_split_is_for_what(known, train, test):
    assert choose(known, True) == train and choose(known, False) == test


def test_splits_that_do_not_tell():
    with pytest.raises(UsageError, match="which splits to train on. It has a, b: .*auto,a"):
        choose(["a", "b"], True)
    with pytest.raises(UsageError, match="to test on"):
        choose(["train", "trainval"], False)


def many(root, count=200):
    write(root, {f"{number}.xml": XML for number in range(count)})
    for number in range(count):
        save_image(root / f"{number}.jpg")


def test_one_set_is_divided(tmp_path):
    many(tmp_path)
    train = names(tmp_path, "auto,split=0.8", training=True)
    test = names(tmp_path, "auto,split=0.8")
    assert sorted([*train, *test], key=int) == [str(number) for number in range(200)]
    assert 140 <= len(train) <= 178  # 160 give or take three deviations of 5.7
    assert names(tmp_path, "voc,split=0.8,test", training=True) == test
    assert names(tmp_path, "voc,split=0.8,train") == train
    assert len(names(tmp_path, "voc,split=0.8,train,test")) == 200
    assert names(tmp_path, "auto,split=0.8", seed=1) != test
    # one that is both trained and tested on, and one that is not
    assert names(tmp_path, "auto", divided=True) == test
    assert names(tmp_path, "auto", divided=True, training=True) == train
    assert len(names(tmp_path, "auto")) == 200
    found = survey_detection(str(tmp_path), "voc,split=0.8", progress=False)
    assert [len(split) for split in found.splits] == [len(train), len(test)]
    assert (found.train, found.test) == (["train"], ["test"])


def test_images_stay_where_they_are_when_others_come(tmp_path):
    many(tmp_path / "a", 100)
    before = names(tmp_path / "a", "auto,split=0.8")
    many(tmp_path / "a", 150)
    (tmp_path / "a").rename(tmp_path / "b")
    after = names(tmp_path / "b", "auto,split=0.8")
    assert [name for name in after if int(name) < 100] == before


def test_neither_part_is_empty(tmp_path):
    for count in (2, 3, 5):
        files = [f"set/{number}.jpg" for number in range(count)]
        for seed in range(20):
            parts = [share_rows(files, "set", 0.99, seed, part) for part in ("train", "test")]
            assert all(len(part) for part in parts) and sum(map(len, parts)) == count
    with pytest.raises(DataError, match="1 images cannot be divided"):
        share_rows(["a"], "set", 0.5, 0, "train")
    assert len(share_rows(["set/\ud800", "set/\udc80"], "set", 0.5, 0, "test")) == 1


@pytest.mark.parametrize("share", ["0", "1", "2", "nan", "x", ""])
def test_a_share_is_between_nothing_and_all(tmp_path, share):
    many(tmp_path, 2)
    with pytest.raises(UsageError, match="split="):
        open_dataset(tmp_path, f"auto,split={share}", progress=False)


def test_a_set_of_some_splits_is_divided_too(tmp_path):
    write_coco(tmp_path, {**COCO, "images": [
        {**IMAGES[0], "id": number, "file_name": f"{number}.jpg"} for number in range(9)
    ]})  # fmt: skip
    parts = [names(tmp_path, "mscoco,train,split=0.5", training=each) for each in (True, False)]
    assert sorted(parts[0] + parts[1]) == list(range(9)) and all(parts)
