"""Directories that hold something else than classes are told what they are."""

import json

import pytest
from annotated_files import object_xml, save_image, voc_xml, write_voc

from denet.dataset import BadDataError, open_dataset
from denet.dataset.survey import survey
from denet.errors import DataError


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
    "rename images to JPEGImages and annots to Annotations and give --extension voc",
    as_yolo: "Images and Labels cannot be classes: .*voc JPEGImages/ID.jpg.*, mscoco NAME/.*CLASS",
    as_voc: "Annotations and ImageSets and JPEGImages cannot .*give --extension voc,NAME with NAME "
    "one of train",
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


@pytest.mark.parametrize("make", [as_photos, as_yolo, as_other_coco, as_wrapped_classes])
def test_a_survey_takes_no_annotations_for_classes(tmp_path, make):
    make(tmp_path)
    with pytest.raises(DataError, match=LAYOUTS[make]):
        survey(str(tmp_path), progress=False)


def test_renamed_as_told_they_are_read(tmp_path):
    as_photos(tmp_path)
    for kind in ("voc", "mscoco,train"):
        with pytest.raises(DataError, match="rename images to JPEGImages and annots to Annota"):
            open_dataset(tmp_path, kind, progress=False)
    (tmp_path / "images").rename(tmp_path / "JPEGImages")
    (tmp_path / "annots").rename(tmp_path / "Annotations")
    assert len(open_dataset(tmp_path, "voc,crop=8", progress=False)) == 2


@pytest.mark.parametrize("kind", ["voc", "mscoco,train"])
def test_every_layout_is_named_where_none_fits(tmp_path, kind):
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path, kind, progress=False)
    for words in ("Annotations/ID.xml", "annotations/instances_NAME.json", "CLASS/*.jpg"):
        assert words in str(caught.value)


def test_the_photo_has_another_name_than_its_annotation(tmp_path):
    save_image(tmp_path / "JPEGImages/raccoon-1.jpg")
    (tmp_path / "Annotations").mkdir()
    xml = voc_xml("<filename>photos/raccoon-1.jpg</filename>", object_xml())
    (tmp_path / "Annotations/000.xml").write_text(xml)
    with pytest.raises(BadDataError, match="no JPEGImages/000.jpg .*<filename> is raccoon-1.jpg: "):
        open_dataset(tmp_path, "voc,crop=8", progress=False)
    (tmp_path / "Annotations/000.xml").write_text("<damaged")
    with pytest.raises(BadDataError, match="no JPEGImages/000.jpg or the like.: repair"):
        open_dataset(tmp_path, "voc,crop=8", progress=False)
