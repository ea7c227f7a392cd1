"""Directories that hold something else than classes are told what they are."""

import json
import shlex
import shutil

import pytest
from annotated_files import object_xml, save_image, voc_xml, write_split, write_voc

from denet.dataset import BadDataError, open_dataset
from denet.dataset.boxes import voc
from denet.dataset.survey.classes import survey
from denet.errors import DataError, UsageError

PAIR = ("1.jpg", "2.png")


def as_photos(root):
    """Photos and their XML as people find them."""
    for name in ("1", "2"):
        save_image(root / f"images/{name}.jpg")
        (root / "annots").mkdir(exist_ok=True)
        (root / f"annots/{name}.xml").write_text(voc_xml(object_xml()))


def as_yolo(root):
    save_image(root / "Images/1.jpg")
    (root / "Labels").mkdir()
    (root / "Labels/1.txt").write_text("0 0.5 0.5 0.1 0.1\n")


def as_voc(root):
    write_voc(root, {"1": voc_xml(object_xml())})


def as_voc_of_a_year(root):
    write_voc(root / "VOC2007", {"1": voc_xml(object_xml())})


def as_coco(root):
    save_image(root / "train/1.jpg")
    (root / "annotations").mkdir()
    (root / "annotations/instances_train.json").write_text(json.dumps({"images": []}))


def as_other_coco(root):
    save_image(root / "images/1.jpg")
    (root / "annotations").mkdir()
    (root / "annotations/all.json").write_text("{}")


def as_wrapped_classes(root):
    save_image(root / "images/cat/1.jpg")
    save_image(root / "images/dog/1.jpg")


LAYOUTS = {
    as_photos: "annots and images cannot be classes: .*annots \\(2 .xml\\), images \\(2 .jpg\\).*"
    "give this directory with --extension voc to take all annotated images; model-info --data .* "
    "prints a whole line$",
    as_yolo: "Images and Labels cannot be classes: .*give this directory with --extension yolo to "
    "take all annotated images",
    as_voc: "Annotations and ImageSets and JPEGImages cannot .*give --extension voc,NAME with NAME "
    "one of train; model-info --data .* prints a whole line$",
    as_voc_of_a_year: "no .ppm images in 1 class directories: .*give --extension voc,NAME",
    as_coco: "annotations cannot be classes: .*give --extension mscoco,NAME with NAME one of train",
    as_other_coco: "annotations and images cannot be classes: .*mscoco .*instances_NAME.json",
    as_wrapped_classes: "images cannot be classes: .*give .*/images if its directories are classes",
}


@pytest.mark.parametrize("make", LAYOUTS)
def test_what_is_not_classes(tmp_path, make):
    make(tmp_path)
    with pytest.raises(DataError, match=LAYOUTS[make]):
        open_dataset(tmp_path, "ppm" if make is as_voc_of_a_year else "jpg", progress=False)


def test_the_line_to_type_holds_for_a_path_with_blanks(tmp_path):
    place = tmp_path / "my photos"
    as_photos(place)
    with pytest.raises(DataError) as caught:
        open_dataset(place, "jpg", progress=False)
    assert shlex.split(str(caught.value))[-5:-3] == [str(place), "prints"]


@pytest.mark.parametrize("make", [as_photos, as_yolo, as_other_coco, as_wrapped_classes])
def test_a_survey_takes_no_annotations_for_classes(tmp_path, make):
    make(tmp_path)
    with pytest.raises(DataError, match=LAYOUTS[make]):
        survey(str(tmp_path), progress=False)


def put(folder, name, photos="", annotations="", label="cat"):
    """Write a photo and its annotation into these folders."""
    save_image(folder / photos / name)
    file = (folder / annotations / name).with_suffix(".xml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(voc_xml(object_xml(label)))


@pytest.mark.parametrize(
    ("photos", "annotations"),
    [
        *[("images", each) for each in ("annots", "annotations", "Annotations", "labels")],
        *[("JPEGImages", each) for each in ("annots", "Annotations")],
        *[("Images", ""), ("", "annots"), ("", "")],
    ],
)
def test_photos_and_annotations_as_they_lie(tmp_path, photos, annotations):
    files = ["1.jpg", "2.jpeg", "3.JPG", "4.png", "5.bmp", "6.webp", "7.rf.0.jpg"]
    for name in files:
        put(tmp_path, name, photos, annotations)
    (tmp_path / "README.txt").write_text("What it is")
    found = open_dataset(tmp_path, "voc,crop=8", progress=False)
    assert found.names == [str(tmp_path / photos / name) for name in files]
    assert found.boxes.counts.tolist() == [1] * 7 and found.class_labels == ["cat"]


def test_empty_folders_are_passed_over(tmp_path):
    put(tmp_path, "1.jpg", "images", "annots")
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations").mkdir()
    assert open_dataset(tmp_path, "voc,crop=8", progress=False).image_ids == ["1"]


def test_folders_that_are_splits(tmp_path):
    """As sites for annotation give them: photos and XML beside each other in each."""
    for number, split in enumerate(("train", "valid", "test")):
        for name in ("a.jpg", f"{number}.jpg"):
            put(tmp_path / split, name)
    put(tmp_path / "Test", "x.jpg", "images", "annotations")
    (tmp_path / "extra").mkdir()
    assert voc.split_names(str(tmp_path)) == ["Test", "test", "train", "valid"]

    def ids(extension):
        return open_dataset(tmp_path, f"{extension},crop=8", progress=False).image_ids

    assert ids("voc,train") == ["0", "a"] and ids("voc,Test") == ["x"]
    assert ids("voc,valid,test") == ["2", "a", "1", "a"]  # by file: test comes first
    with pytest.raises(
        UsageError, match="name the splits to use, such as voc,Test: .*train, valid"
    ):
        ids("voc")
    for wrong in ("voc,val", "voc,train,val"):
        with pytest.raises(DataError, match="no split 'val' .did you mean 'valid'.*: name one of"):
            ids(wrong)
    with pytest.raises(DataError, match=f"no split 'dev': {tmp_path} has Test, test, train, valid"):
        ids("voc,dev")
    with pytest.raises(DataError, match="give --extension voc,NAME with NAME one of Test, test"):
        ids("voc,2007-trainval")
    write_split(tmp_path, "own", ["x"])  # what is listed comes before folders
    assert voc.split_names(str(tmp_path)) == ["own"]


@pytest.mark.parametrize(
    ("photos", "annotations"),
    [
        ("images/{}", "annots/{}"),
        ("JPEGImages/{}", "Annotations/{}"),
        ("Images/{}", "labels/{}"),
        ("{}", "annotations/{}"),
        ("{}/images", "labels/{}"),
    ],
)
def test_splits_that_are_folders_within(tmp_path, photos, annotations):
    for split, names in (("Train", "ab"), ("val", "bc"), ("other", "d")):
        for name in names:
            put(tmp_path, f"{name}.jpg", photos.format(split), annotations.format(split), split)
    assert voc.seen(str(tmp_path))
    assert voc.split_names(str(tmp_path)) == ["Train", "val"]
    found = open_dataset(tmp_path, "voc,val,crop=8", progress=False)
    assert found.names == [str(tmp_path / photos.format("val") / f"{name}.jpg") for name in "bc"]
    assert found.class_labels == ["val"] and found.boxes.counts.tolist() == [1, 1]


def test_splits_in_one_of_both_folders_are_none(tmp_path):
    put(tmp_path, "a.jpg", "images/train", "annots")
    assert not voc.seen(str(tmp_path))
    with pytest.raises(DataError, match="give the directory that holds it, .* around them or in b"):
        survey(str(tmp_path), progress=False)


@pytest.mark.parametrize("parts", [("", ""), ("images", "annots")])
def test_photos_beside_the_folders_of_splits(tmp_path, parts):
    """They are what is trained on, unless there is a folder for that."""

    def ids(split):
        return open_dataset(tmp_path, f"voc,{split},crop=8", progress=False).image_ids

    for name in ("a.jpg", "b.jpg"):
        put(tmp_path, name, *parts)
    put(tmp_path / "val", "c.jpg", *parts)
    put(tmp_path / "Test", "d.jpg", *parts)
    assert voc.split_names(str(tmp_path)) == ["train", "Test", "val"]
    assert [ids(split) for split in ("train", "val", "Test")] == [["a", "b"], ["c"], ["d"]]
    with pytest.raises(UsageError, match="such as voc,train: .* has train, Test, val"):
        open_dataset(tmp_path, "voc,crop=8", progress=False)
    put(tmp_path / "Training", "e.jpg", *parts)
    assert voc.split_names(str(tmp_path)) == ["Test", "Training", "val"]
    assert ids("Training") == ["e"]


@pytest.mark.parametrize("make", [as_photos, as_voc, as_coco])
def test_several_sets_are_named(tmp_path, make):
    names = [f"set {number}" for number in range(7)]
    for name in names:
        make(tmp_path / name)
    save_image(tmp_path / "0 other/1.jpg")
    words = f"it holds 7 sets of images with boxes, {', '.join(names[:5])} and 2 more: give one of "
    words += f"them, such as {tmp_path}/set 0$"
    with pytest.raises(DataError, match=f"no class directories: {tmp_path}: {words}"):
        survey(str(tmp_path), progress=False)
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path, "jpg", progress=False)
    with pytest.raises(DataError, match=rf"no Annotations/\*.xml in {tmp_path}: {words}"):
        open_dataset(tmp_path, "voc", progress=False)


@pytest.mark.parametrize(
    "make", [as_photos, as_voc, as_voc_of_a_year, as_coco, lambda path: put(path, "1.jpg")]
)
def test_what_was_downloaded_has_a_directory_around_it(tmp_path, make):
    """Not a class of images, whether a directory of something else is beside it or not."""
    make(tmp_path / "download")
    for beside in ("", "__MACOSX"):
        (tmp_path / beside).mkdir(exist_ok=True)
        with pytest.raises(DataError, match=f"boxes lie .* deeper than .*: give {tmp_path}/down"):
            survey(str(tmp_path), progress=False)
    with pytest.raises(DataError, match=f"{tmp_path}/download, which holds images with boxes$"):
        open_dataset(tmp_path, "voc", progress=False)


def test_classes_may_have_boxes_too(tmp_path):
    """The boxes are told as left out; the directories stay classes."""
    for label in ("cat", "dog"):
        for name in PAIR:
            put(tmp_path / label, name)
        save_image(tmp_path / f"{label}/3.jpg")
    found = survey(str(tmp_path), progress=False)
    assert found.class_labels == ["cat", "dog"]
    expected = [str(tmp_path / f"{label}/{name}") for label in found.class_labels for name in PAIR]
    assert found.train.boxed == expected
    put(tmp_path / "only", "1.jpg")
    for label in ("cat", "dog"):
        shutil.rmtree(tmp_path / label)
    assert survey(str(tmp_path), "image", progress=False).class_labels == ["only"]


def test_an_xml_among_classes_is_no_annotation(tmp_path):
    for name in ("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test/dog/2.jpg"):
        save_image(tmp_path / name)
    for name in ("notes.xml", "train/notes.xml", "train/cat/notes.xml"):
        (tmp_path / name).write_text("<notes/>")
    assert not voc.seen(str(tmp_path)) and not voc.split_names(str(tmp_path))


@pytest.mark.parametrize("kind", ["voc", "mscoco,train"])
def test_every_layout_is_named_where_none_fits(tmp_path, kind):
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path, kind, progress=False)
    for words in ("Annotations/ID.xml", "annotations/instances_NAME.json", "CLASS/*.jpg"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: (path / "annots/1.xml", voc_xml(object_xml())),
            "no JPEGImages or images with the photos in .*annots .1 .xml.*voc JPEGImages/ID.jpg",
        ),
        (lambda path: (path / "images/1.xml", ""), "no Annotations/.*images .1 .xml"),
    ],
)
def test_what_is_missing_is_named(tmp_path, make, message):
    file, text = make(tmp_path)
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path, "voc,crop=8", progress=False)


@pytest.mark.parametrize("place", ["", "/train"])
def test_boxes_of_yolo_are_known(tmp_path, place):
    save_image(tmp_path / f"images{place}/1.jpg")
    (tmp_path / f"labels{place}").mkdir(parents=True)
    (tmp_path / f"labels{place}/0.txt").write_text("")
    (tmp_path / f"labels{place}/1.txt").write_text("3 0.5 0.5 0.1 1e-2\n")
    with pytest.raises(DataError, match="--extension yolo"):
        open_dataset(tmp_path, "voc,crop=8", progress=False)
    (tmp_path / f"labels{place}/1.txt").write_text("a cat on 5 sofas\n")
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path, "voc,crop=8", progress=False)
    assert "--extension yolo" not in str(caught.value)


def test_the_photo_of_the_annotations_own_name_counts(tmp_path, caplog):
    """2.xml names photo 1, as copies do; 3.xml names one that is not there."""
    for name, told in (
        ("1", "1.jpg"),
        ("2", "1.jpg"),
        ("3", "kangaroo.jpg"),
        ("4", "C:\\x\\4.png"),
    ):
        put(tmp_path, f"{name}.jpg")
        xml = voc_xml(f"<filename>{told}</filename>", object_xml())
        (tmp_path / f"{name}.xml").write_text(xml)
    found = open_dataset(tmp_path, "voc,crop=8", progress=False)
    assert found.image_ids == ["1", "2", "3", "4"]
    assert found.names == [str(tmp_path / f"{name}.jpg") for name in "1234"]
    assert "2 annotations name another photo: the photo called as the annotation" in caplog.text


def test_the_photo_has_another_name_than_its_annotation(tmp_path):
    def write(name, told):
        xml = voc_xml(f"<filename>{told}</filename>", object_xml())
        (tmp_path / f"Annotations/{name}.xml").write_text(xml)

    save_image(tmp_path / "JPEGImages/raccoon-1.jpg")
    (tmp_path / "Annotations").mkdir()
    write("000", "photos/raccoon-1.jpg")
    found = open_dataset(tmp_path, "voc,crop=8", progress=False)
    assert found.names == [str(tmp_path / "JPEGImages/raccoon-1.jpg")]
    write("raccoon-1", "raccoon-1.jpg")  # now it has an annotation of its own
    with pytest.raises(BadDataError, match="no JPEGImages/000.jpg .*<filename> is raccoon-1.jpg: "):
        open_dataset(tmp_path, "voc,crop=8", progress=False)
    (tmp_path / "Annotations/000.xml").write_text("<damaged")
    with pytest.raises(BadDataError, match="no JPEGImages/000.jpg or the like.: repair"):
        open_dataset(tmp_path, "voc,crop=8", progress=False)
