"""LabelMe against files written by hand as its documentation has them."""

import json

import numpy as np
import pytest
from annotated_files import save_image

from denet.dataset import BadDataError, open_dataset
from denet.dataset.boxes import labelme
from denet.dataset.survey.classes import survey
from denet.errors import DataError, UsageError


def shape(points, label="cat", kind="rectangle", **more):
    return {
        "label": label,
        "points": points,
        "group_id": None,
        "shape_type": kind,
        "flags": {},
        **more,
    }


def content(*shapes, path="a.jpg", **more):
    sides = {"imageHeight": 10, "imageWidth": 20}
    return {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": path,
            "imageData": None, **sides, **more}  # fmt: skip


def put(folder, told, name="a", photo="a.jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    if photo:
        save_image(folder / photo)
    (folder / f"{name}.json").write_text(told if isinstance(told, str) else json.dumps(told))


def opened(path, extension="labelme", **settings):
    return open_dataset(path, f"{extension},crop=8", progress=False, **settings)


def test_every_shape_with_an_area(tmp_path, caplog):
    """A rectangle from any corner, an outline, a circle about (10, 5) through (13, 9)."""
    shapes = (
        shape([[9, 8], [2.5, 1]]),
        shape([[1, 2], [5, 3], [4, 8.5]], "dog", "polygon"),
        shape([[10, 5], [13, 9]], "dog", "circle"),
        shape([[1, 1], [2, 2]], kind="line"),
        shape([[1, 1]], kind="point"),
    )
    put(tmp_path, content(*shapes))
    assert labelme.seen(str(tmp_path)) == "a.json with imagePath and shapes"
    found = opened(tmp_path)
    assert found.class_labels == ["cat", "dog"] and found.box_class.tolist() == [0, 1, 1]
    np.testing.assert_allclose(found.boxes_px, [[2.5, 1, 9, 8], [1, 2, 5, 8.5], [5, 0, 15, 10]])
    assert "left out, no boxes: 1 line, 1 point" in caplog.text


def test_splits_that_are_folders(tmp_path):
    for split in ("train", "val"):
        put(tmp_path / split, content(shape([[1, 1], [5, 5]])))
    assert labelme.split_names(str(tmp_path)) == ["train", "val"]
    assert opened(tmp_path, "labelme,val").names == [str(tmp_path / "val/a.jpg")]
    with pytest.raises(UsageError, match="such as labelme,train"):
        opened(tmp_path)


def test_annotations_in_a_folder_of_their_own(tmp_path):
    save_image(tmp_path / "images/a.jpg")
    put(
        tmp_path / "annotations",
        content(shape([[1, 1], [5, 5]]), path="..\\images\\a.jpg"),
        photo="",
    )
    assert opened(tmp_path).names == [str(tmp_path / "images/a.jpg")]


def test_the_image_of_its_own_name_comes_first(tmp_path):
    put(tmp_path, content(shape([[1, 1], [5, 5]]), path="b.jpg"))
    put(tmp_path, content(shape([[1, 1], [5, 5]]), path="b.jpg"), "c", "b.jpg")
    assert [name[-5:] for name in opened(tmp_path).names] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (content(shape([[1, 1]])), "shapes.0.: points is no list of pairs"),
        (content(shape([[1, "x"], [2, 2]])), "points is no list of pairs"),
        (content(shape([[1, float("nan")], [2, 2]])), "points is no list of pairs"),
        (content(shape([[1, 10**400], [2, 2]])), "points is no list of pairs"),
        (content(shape([[True, 1], [2, 2]])), "points is no list of pairs"),
        (content(shape([[1, 1], [2, 2]], "")), "label is missing"),
        (content(shape([[1, 1], [2, 2]], None)), "label is missing"),
        (content(shape([[1, 1], [2, 2]], kind=None)), "shape_type is missing"),
        ('{"imageWidth": %s}' % ("9" * 5000), "b.json: a whole number of 5000 digits"),
        (content(5), "shape_type is missing"),
        (content(shapes=5), "shapes is no list"),
        ("{", "cannot read the annotation"),
        ("[" * 100_000, "cannot read the annotation"),
        ("[]", "it is no object"),
    ],
)
def test_faults_are_named(tmp_path, told, message):
    put(tmp_path, content(shape([[1, 1], [5, 5]])))
    put(tmp_path, told, "b", "b.jpg")
    with pytest.raises(BadDataError, match=message):
        opened(tmp_path)
    assert opened(tmp_path, on_bad_data="skip").image_ids == ["a"]


@pytest.mark.parametrize(
    "path", ["../secret.jpg", "/etc/secret.jpg", "..", "", None, "x" * 9999, "\0"]
)
def test_an_image_that_is_not_there(tmp_path, path):
    save_image(tmp_path / "secret.jpg")
    put(tmp_path / "set", content(shape([[1, 1], [5, 5]]), path=path), photo="")
    with pytest.raises(BadDataError, match="there|leads out of its folder"):
        opened(tmp_path / "set")


def test_damage_in_all_that_tells_the_layout_is_told(tmp_path):
    save_image(tmp_path / "a.jpg")
    (tmp_path / "a.json").write_text('{"imagePath": "a.jpg", "shapes": [')
    for extension in ("auto", "labelme", "image"):
        with pytest.raises(DataError, match="cannot read the annotation: .*a.json: Expecting"):
            opened(tmp_path, extension)
    with pytest.raises(DataError, match="^cannot read the annotation: .*a.json"):
        survey(str(tmp_path))
    put(tmp_path, {"images": [], "shapes": []})
    assert not labelme.fault(str(tmp_path))


def test_other_json_is_none_of_it(tmp_path):
    put(tmp_path, {"images": [], "shapes": []})
    assert not labelme.seen(str(tmp_path))
    with pytest.raises(DataError, match="no ID.json of LabelMe in"):
        opened(tmp_path)
