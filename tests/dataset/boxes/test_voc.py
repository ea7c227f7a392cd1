"""Pascal VOC against annotations written by hand, those of people, and those of enemies."""

import logging
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_coco, write_split, write_voc

from denet.dataset import BadDataError, open_dataset
from denet.dataset.boxes.voc import CLASSES, read_annotation, seen, split_names
from denet.dataset.class_names import ForeignClassError
from denet.errors import DataError, UsageError

FILTER = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 has it
BCCD = Path(__file__).resolve().parents[4] / "shared/data/BCCD.tar"


def opened(path, extension="voc,train", **options):
    return open_dataset(path, extension, progress=False, **options)


def boxes(dataset, image=0):
    return dataset.boxes_px[dataset.boxes.of(image)].tolist()


def test_boxes_count_pixels_from_one_and_include_the_last(tmp_path):
    """(xmin, ymin, xmax, ymax) from 1, inclusive: the pixels xmin - 1 to xmax, exclusive."""
    write_voc(
        tmp_path,
        {
            "b": voc_xml(object_xml("dog", (1, 1, 20, 10)), object_xml("cat", (3, 4, 8.5, 9))),
            "a": voc_xml(object_xml("cat", (2, 3, 4, 5), "<difficult>1</difficult>")),
            "c": voc_xml(),
        },
    )
    dataset = opened(tmp_path)
    assert dataset.class_labels == ["cat", "dog"]
    assert dataset.image_ids == ["a", "b", "c"]  # sorted by file
    assert [os.path.basename(name) for name in dataset.names] == ["a.jpg", "b.jpg", "c.jpg"]
    assert boxes(dataset, 0) == [[1, 2, 4, 5]]
    assert boxes(dataset, 1) == [[0, 0, 20, 10], [2, 3, 8.5, 9]]
    assert dataset.box_class.tolist() == [0, 1, 0]
    assert dataset.difficult.tolist() == [True, False, False] and not dataset.crowd.any()
    assert dataset.start.tolist() == [0, 1, 3, 3]
    assert dataset.sizes.tolist() == [[20, 10]] * 3
    assert dataset.shape == (3, 224, 224) and len(dataset) == 3
    for array, dtype in (
        (dataset.boxes_px, np.float32),
        (dataset.box_class, np.int32),
        (dataset.start, np.int64),
    ):
        assert array.dtype == dtype


def test_difficult_flags_stay_with_their_boxes(tmp_path, caplog):
    """In 2017 they moved to other boxes as soon as one was dropped."""
    hard = "<difficult>1</difficult>"
    objects = [
        object_xml("cat", (5, 5, 5, 5)),
        object_xml("cat", (6, 6, 9, 9), hard),
        object_xml("cat", (50, 50, 60, 60), hard),
        object_xml("cat", (7, 7, 9, 9), ""),
    ]
    write_voc(tmp_path, {"a": voc_xml(*objects)})
    with caplog.at_level(logging.INFO):
        dataset = opened(tmp_path)
    assert boxes(dataset) == [[5, 5, 9, 9], [6, 6, 9, 9]]
    assert dataset.difficult.tolist() == [True, False]
    assert dataset.load(np.arange(1), np.zeros(1, np.uint64), False).targets["box_class"][
        0, :3
    ].tolist() == [0, 0, -1]
    assert (
        "2 boxes of 1 class, 1 degenerate boxes dropped, 1 boxes outside their image dropped"
        in (caplog.text)
    )
    assert "1 difficult boxes" in caplog.text


@pytest.mark.parametrize(
    "box, expected",
    [
        ((0, 0, 5, 5), [0, 0, 5, 5]),  # counted from 0: one pixel too far left
        ((-7, 3, 900, 8), [0, 2, 20, 8]),
        ((15, 3, 1e300, 8), [14, 2, 20, 8]),
        ((6, 2, 5, 8), None),
        ((6, 2, 6, 2), None),  # a click
        ((6, 2, 6, 8), None),
        ((0, 0, 0, 0), None),
        ((21, 1, 25, 8), None),
        ((-9, 1, 0, 8), None),
    ],
)
def test_boxes_that_people_make(tmp_path, box, expected):
    write_voc(tmp_path, {"a": voc_xml(object_xml(box=box), object_xml("dog"))})
    found = boxes(opened(tmp_path))
    assert found == ([expected] if expected else []) + [[0, 0, 5, 5]]


def test_years_and_their_splits(tmp_path):
    for year, names in (("2007", "train val test"), ("2012", "train val")):
        for number, split in enumerate(names.split()):
            xml = voc_xml(object_xml("person"))
            write_voc(tmp_path / f"VOC{year}", {f"{year}_{number}": xml}, split)

    def ids(*splits):
        return opened(tmp_path, ",".join(("voc", *splits))).image_ids

    assert ids("2007-trainval") == ["2007_0", "2007_1"]
    assert ids("2007-trainvaltest", "2012-trainval") == [
        *("2007_0", "2007_1", "2007_2"),
        *("2012_0", "2012_1"),
    ]
    assert ids("2007-test") == ["2007_2"]
    assert ids("2012-train", "2012-train") == ["2012_0"]
    dataset = opened(tmp_path, "voc,2007-test")
    assert dataset.class_labels == CLASSES and len(CLASSES) == 20
    assert sorted(CLASSES) == CLASSES and CLASSES.index("tvmonitor") == 19
    assert dataset.box_class.tolist() == [14]
    with pytest.raises(DataError, match="no split 'test'.*has train, val: name one of these"):
        opened(tmp_path, "voc,2012-test")


def test_trainval_file_stands_in_for_its_parts(tmp_path):
    """Only where one of them is missing: the images listed are the same."""
    folder = tmp_path / "VOC2007"
    write_voc(folder, {each: voc_xml(object_xml("dog")) for each in "abc"}, "trainval")
    assert split_names(str(tmp_path)) == ["2007-trainval"]
    assert opened(tmp_path, "voc,2007-trainval").image_ids == ["a", "b", "c"]
    write_split(folder, "train", ["a"])
    assert opened(tmp_path, "voc,2007-trainval").image_ids == ["a", "b", "c"]
    with pytest.raises(DataError, match="no split 'val'.*has train, trainval: name one of these"):
        opened(tmp_path, "voc,2007-val")
    write_split(folder, "val", ["b"])
    assert opened(tmp_path, "voc,2007-trainval").image_ids == ["a", "b"]


def test_own_split_named_like_one_of_a_year(tmp_path):
    write_voc(tmp_path, {"a": voc_xml(object_xml("star"))}, "2007-trainval")
    assert split_names(str(tmp_path)) == ["2007-trainval"]
    dataset = opened(tmp_path, "voc,2007-trainval")
    assert dataset.image_ids == ["a"] and dataset.class_labels == ["star"]


def test_upper_case_suffix_of_annotations(tmp_path):
    write_voc(tmp_path, {"A": voc_xml(object_xml())})
    (tmp_path / "Annotations/A.xml").rename(tmp_path / "Annotations/A.XML")
    assert seen(str(tmp_path))
    assert boxes(opened(tmp_path)) == [[0, 0, 5, 5]]


def test_folders_that_hold_something_else(tmp_path):
    def message(folder, extension):
        with pytest.raises(DataError) as caught:
            opened(folder, extension)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    nowhere, kit, own, coco, empty = (tmp_path / each for each in ("no", "kit", "own", "coco", "e"))
    write_voc(kit / "VOC2007", {"a": voc_xml(object_xml("dog"))})
    write_voc(own, {"a": voc_xml(object_xml("dog"))})
    write_coco(coco, {"images": []}, "val2014")
    empty.mkdir()
    for extension in ("voc,train", "voc,2007-train", "voc"):
        assert message(nowhere, extension) == f"no such directory: {nowhere}"
    lacking = f"no ImageSets/Main in {empty}: give the directory that holds it, of what --extension"
    assert message(empty, "voc,train").startswith(lacking)
    assert message(empty, "voc").startswith(f"no Annotations/*.xml in {empty}: give the dir")
    assert message(kit, "voc,train") == (
        f"no ImageSets/Main in {kit}: give --extension voc,NAME with NAME one of 2007-train; "
        f"model-info --data {kit} prints a whole line"
    )
    assert message(kit, "voc,2012-val").startswith(f"no VOC2012 in {kit}: give --extension voc,NAM")
    assert message(own, "voc,2007-val").endswith(
        f"VOC2007 in {own}: give --extension voc,NAME with NAME one of train; "
        f"model-info --data {own} prints a whole line"
    )
    assert message(coco, "voc,train") == (
        f"no ImageSets/Main in {coco}: give --extension mscoco,NAME with NAME one of val2014; "
        f"model-info --data {coco} prints a whole line"
    )
    (own / "ImageSets/Main/train.txt").unlink()
    assert message(own, "voc,train") == (
        f"no ImageSets/Main/train.txt in {own}: give this directory with --extension voc to take "
        f"all annotated images; model-info --data {own} prints a whole line"
    )


def test_published_classes_are_the_twenty(tmp_path):
    write_voc(tmp_path / "VOC2007", {"a": voc_xml(object_xml("zebra"))})
    with pytest.raises(
        ForeignClassError, match="'zebra' is not one of the 20 classes of Pascal"
    ) as caught:
        opened(tmp_path, "voc,2007-train")
    mend = f"rename it or remove it, or list your classes in {tmp_path}/labels.txt"
    assert str(caught.value).endswith(mend)
    (tmp_path / "labels.txt").write_text("zebra\n")
    assert opened(tmp_path, "voc,2007-train").class_labels == ["zebra"]


def test_test_sets_without_annotations(tmp_path, caplog):
    """The published test set of 2012 has none: all of its images are taken."""
    folder = tmp_path / "VOC2012"
    save_image(folder / "JPEGImages/x.jpg")
    write_split(folder, "test", ["x"])
    dataset = opened(tmp_path, "voc,2012-test")
    assert len(dataset) == 1 and len(dataset.boxes) == 0
    assert f"{folder}: no annotations of split test: its images are taken to be" in caplog.text


def test_splits_of_ones_own(tmp_path):
    write_voc(tmp_path, {"a": voc_xml(object_xml("cat")), "my cat 1": voc_xml()}, "train")
    write_voc(tmp_path, {"b": voc_xml(object_xml("dog"))}, "holdout")
    (tmp_path / "ImageSets/Main/cat_train.txt").write_text("a  1\nb -1\n")  # of one class
    assert opened(tmp_path, "voc,train").image_ids == ["a", "my cat 1"]
    assert opened(tmp_path, "voc,train,holdout").image_ids == ["a", "b", "my cat 1"]
    assert opened(tmp_path, "voc,cat_train").image_ids == ["a", "b"]
    with pytest.raises(UsageError, match="name the splits.*cat_train, holdout, train"):
        opened(tmp_path, "voc")
    with pytest.raises(DataError, match="no split 'tain'.*did you mean 'train'"):
        opened(tmp_path, "voc,tain")
    with pytest.raises(UsageError, match="unknown option 'cropp' .did you mean 'crop'"):
        opened(tmp_path, "voc,train,cropp=5")


def test_without_splits_all_annotated_images(tmp_path):
    write_voc(tmp_path, {"a": voc_xml(object_xml("cat")), "b": "", "c": voc_xml()})
    (tmp_path / "ImageSets/Main/train.txt").unlink()
    assert opened(tmp_path, "voc").image_ids == ["a", "c"]


def test_labels_file(tmp_path):
    write_voc(tmp_path, {"a": voc_xml(object_xml("cat"))})
    (tmp_path / "labels.txt").write_text("dog\n\n cat \n")
    dataset = opened(tmp_path)
    assert dataset.class_labels == ["dog", "cat"] and dataset.box_class.tolist() == [1]
    (tmp_path / "labels.txt").write_text("dog\n")
    with pytest.raises(
        ForeignClassError,
        match="'cat' is not one of the 1 classes of labels.txt.*, or add it to labels.txt$",
    ):
        opened(tmp_path)
    (tmp_path / "labels.txt").write_text("cat\ncat\n")
    with pytest.raises(DataError, match="class 'cat' twice: .*labels.txt"):
        opened(tmp_path)


def test_classes_of_a_model(tmp_path):
    write_voc(tmp_path, {"a": voc_xml(object_xml("cat"), object_xml("dog"))})
    dataset = opened(tmp_path, class_labels=["emu", "dog", "cat"])
    assert dataset.class_labels == ["emu", "dog", "cat"] and dataset.box_class.tolist() == [2, 1]
    with pytest.raises(ForeignClassError, match="'dog' is not one of the 2 classes of the model"):
        opened(tmp_path, class_labels=["cat", "emu"], class_owner="the model")


@pytest.mark.parametrize(
    "xml, reason",
    [
        ("", "no such file or directory: .*bad.xml"),
        ("<annotation><object>", "cannot read the annotation: .*bad.xml: no element found"),
        ("text", "cannot read the annotation: .*bad.xml: syntax error"),
        (voc_xml("<object><name>a</name></object>"), "bad.xml: object 1: bndbox/xmin is missing"),
        (voc_xml(object_xml(), object_xml(box=(1, 2, "x", 4))), "object 2: bndbox/xmax is 'x', no"),
        (voc_xml(object_xml(box=(1, "nan", 3, 4))), "object 1: bndbox/ymin is 'nan', not a number"),
        (voc_xml(object_xml(box=(1, 2, 3, ""))), "object 1: bndbox/ymax is missing"),
        (voc_xml(object_xml(name=" ")), "object 1: name is missing"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "cannot read .*bad.xml: "),
    ],
)
def test_annotations_that_cannot_be_used(tmp_path, xml, reason):
    write_voc(tmp_path, {"good": voc_xml(object_xml()), "bad": xml})
    with pytest.raises(BadDataError, match=f"cannot use 1 of 2 images: .*{reason}") as caught:
        opened(tmp_path)
    assert [os.path.basename(each.name) for each in caught.value.bad] == ["bad.jpg"]
    dataset = opened(tmp_path, on_bad_data="skip")
    assert dataset.image_ids == ["good"] and dataset.bad == caught.value.bad


def test_entities_are_refused(tmp_path):
    """A file of 1 kB could ask for as many GB: nothing is expanded."""
    entities = '<!ENTITY a0 "aaaaaaaaaa">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)
    )
    for encoding in ("utf-8", "utf-16"):
        text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [{entities}]><a>&a11;</a>'
        file = tmp_path / "a.xml"
        file.write_bytes(text.encode(encoding))
        with pytest.raises(DataError, match="a.xml: it has a DOCTYPE"):
            read_annotation(str(file))


def test_annotations_are_bounded(tmp_path):
    file = tmp_path / "a.xml"
    file.write_bytes(b"<a>" + b" " * (1 << 24) + b"</a>")
    with pytest.raises(DataError, match="17 MB are too many"):
        read_annotation(str(file))
    os.remove(file)
    os.mkfifo(file)
    with pytest.raises(DataError, match="not a file"):
        read_annotation(str(file))


@pytest.mark.parametrize(
    "text", ["<a>" * 100_000 + "</a>" * 100_000, f"<a>{'<b/>' * ((1 << 18) - 2)}</a>"]
)
def test_deep_and_long_annotations_do_no_harm(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    assert read_annotation(str(tmp_path / "a.xml")) == ((0, 0), [], "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<a>" * 300_000, "more than 262144 tags for one image: .*a.xml"),
        (f"<a>{'<b/>' * ((1 << 18) - 1)}</a>", "more than 262144 tags for one image: .*a.xml"),
        (f"<a>{' ' * (1 << 22)}</a>", "4 MB are too many: .*a.xml"),
    ],
)
def test_annotations_that_would_grow(tmp_path, text, reason):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=reason):
        read_annotation(str(tmp_path / "a.xml"))


@pytest.mark.parametrize("told", [(0, 0), (-5, 3), ("", ""), ("x", 5), (1e300, 2)])
def test_sizes_that_are_not_told_are_read_from_the_image(tmp_path, told, caplog):
    write_voc(tmp_path, {"a": voc_xml(object_xml(box=(1, 1, 90, 90)), size=told)})
    dataset = opened(tmp_path)
    assert dataset.sizes.tolist() == [[20, 10]] and boxes(dataset) == [[0, 0, 20, 10]]
    assert "another size" not in caplog.text


def test_sizes_that_are_told_wrong(tmp_path, caplog):
    write_voc(
        tmp_path,
        {
            "a": voc_xml(object_xml(), size=(20, 10)),
            "b": voc_xml(object_xml(), size=(20, 11)),
            "c": voc_xml(object_xml()),
        },
    )
    assert opened(tmp_path).sizes.tolist() == [[20, 10]] * 3
    assert "1 image: of another size than their annotations say" in caplog.text
    assert "b.jpg" in caplog.text


@pytest.mark.skipif(not BCCD.is_file(), reason=f"no {BCCD}: photos of blood cells")
def test_blood_cells(tmp_path):
    """Counts of the annotations: two of 4888 are clicks, not boxes."""
    shutil.unpack_archive(BCCD, tmp_path, **FILTER)
    root = tmp_path / "BCCD"
    numbers = {}
    for split in ("train", "val", "trainval", "test"):
        dataset = opened(root, f"voc,{split},crop=64")
        numbers[split] = len(dataset)
        assert dataset.class_labels == ["Platelets", "RBC", "WBC"]
    assert numbers == {"train": 205, "val": 87, "trainval": 292, "test": 72}
    dataset = opened(root, "voc,trainval,test,crop=64")
    assert np.bincount(dataset.box_class).tolist() == [361, 4153, 372]
    assert (dataset.sizes == [640, 480]).all()
