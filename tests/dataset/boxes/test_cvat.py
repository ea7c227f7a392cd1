"""CVAT for images 1.1 against a file written by hand as its documentation has it."""

import os

import numpy as np
import pytest
from annotated_files import save_image

from denet.dataset import BadDataError, open_dataset
from denet.dataset.boxes import cvat
from denet.errors import DataError, UsageError

META = """<meta><task><labels>
<label><name>car</name><color>#ff00cc</color><attributes><attribute><name>hue</name></attribute>
</attributes></label><label><name>man</name></label></labels></task></meta>"""
BOX = '<box label="man" occluded="0" xtl="2.50" ytl="1" xbr="9.5" ybr="4" z_order="0"/>'


def image(shapes="", name="a.jpg", **more):
    words = "".join(f' {key}="{value}"' for key, value in more.items())
    return f'<image id="0" name="{name}" width="20" height="10"{words}>{shapes}</image>'


def put(root, *images, photos=("images/a.jpg",), meta=META):
    for photo in photos:
        save_image(root / photo)
    root.mkdir(exist_ok=True)
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}'
    (root / "annotations.xml").write_text(text + "".join(images) + "</annotations>")


def opened(path, extension="cvat", **settings):
    return open_dataset(path, f"{extension},crop=8", progress=False, **settings)


def test_boxes_and_the_labels_of_the_task(tmp_path):
    put(tmp_path, image(BOX))
    assert cvat.seen(str(tmp_path)) == "annotations.xml of one <annotations>"
    found = opened(tmp_path)
    assert found.names == [str(tmp_path / "images/a.jpg")]
    assert found.class_labels == ["car", "man"] and found.box_class.tolist() == [1]
    assert found.boxes_px.tolist() == [[2.5, 1, 9.5, 4]]
    assert opened(tmp_path / "annotations.xml").image_ids == ["a"]


def test_every_shape_with_an_area(tmp_path, caplog):
    """A box of 8 by 2 about (10, 5), turned by a quarter, is one of 2 by 8."""
    shapes = (
        '<polygon label="car" points="1.00,2.00;5.50,3;4,8.5" z_order="0"/>'
        '<ellipse label="car" cx="10" cy="5" rx="4" ry="2"/>'
        '<mask label="car" rle="1, 2" left="3" top="2" width="5" height="4"/>'
        '<box label="car" xtl="6" ytl="4" xbr="14" ybr="6" rotation="90.0"/>'
        '<polyline label="car" points="1,2;3,4"/><points label="car" points="1,2"/>'
        '<tag label="sunny"/>'
    )
    put(tmp_path, image(shapes))
    found = opened(tmp_path)
    expected = [[1, 2, 5.5, 8.5], [6, 3, 14, 7], [3, 2, 8, 6], [9, 1, 11, 9]]
    np.testing.assert_allclose(found.boxes_px, expected, atol=1e-5)
    assert "left out, no boxes: 1 polyline, 1 points" in caplog.text
    assert found.class_labels == ["car", "man"]


def test_a_turned_box_without_area_is_none(tmp_path):
    """Of sides 8 and -2 the box around it would have the side 8 cos 45 - 2 sin 45."""
    wrong = '<box label="car" xtl="6" ytl="6" xbr="14" ybr="4" rotation="45"/>'
    put(tmp_path, image(BOX + wrong))
    assert opened(tmp_path).boxes_px.tolist() == [[2.5, 1, 9.5, 4]]


def test_subsets_are_splits(tmp_path):
    images = image(BOX, subset="Train"), image(BOX, "b.jpg", subset="Validation")
    put(tmp_path, *images, photos=("images/Train/a.jpg", "images/Validation/b.jpg"))
    assert cvat.split_names(str(tmp_path)) == ["Train", "Validation"]
    assert opened(tmp_path, "cvat,Validation").image_ids == ["b"]
    with pytest.raises(UsageError, match="such as cvat,Train"):
        opened(tmp_path)


@pytest.mark.parametrize("photo", ["images/x/a.jpg", "x/a.jpg", "a.jpg", "images/a.jpg"])
def test_images_as_they_lie(tmp_path, photo):
    put(tmp_path, image(BOX, "x/a.jpg"), photos=(photo,))
    assert opened(tmp_path).names == [str(tmp_path / photo)]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<box label="man" xtl="nan" ytl="1" xbr="9" ybr="4"/>', "<box>: xtl is 'nan', not a"),
        ('<box label="man" xtl="1e400" ytl="1" xbr="9" ybr="4"/>', "xtl is '1e400'"),
        ('<box label="man" xtl="1" ytl="1" xbr="9"/>', "ybr is '', not a number"),
        ('<box xtl="1" ytl="1" xbr="9" ybr="4"/>', "label is missing"),
        ('<polygon label="man" points="1,2;3"/>', "points are not x,y"),
    ],
)
def test_a_shape_that_is_wrong(tmp_path, shape, message):
    put(tmp_path, image(shape))
    with pytest.raises(BadDataError, match=message):
        opened(tmp_path)


def test_images_that_are_not_there(tmp_path):
    save_image(tmp_path / "secret.jpg")
    root = tmp_path / "set"
    put(root, image(BOX), image(BOX, "../../secret.jpg"), image(BOX, "..", subset="../.."))
    with pytest.raises(BadDataError) as caught:
        opened(root)
    assert [each.reason for each in caught.value.bad] == [
        "no image '../../secret.jpg' there",
        "'..' leads out of its folder",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations>", "cannot read the annotations"),
        ("<annotations></annotations>", "no <image> in it"),
        ("<annotations><track id='0' label='car'></track></annotations>", "it is of a video"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "it has a DOCTYPE"),
        ("<annotations><image id='0'/></annotations>", "an <image> has no name"),
        (f"<annotations><image name='{'x' * (1 << 23)}'/></annotations>", "a tag of more than"),
    ],
)
def test_a_file_that_is_wrong(tmp_path, text, message):
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "annotations.xml")
    assert not cvat.seen(str(tmp_path)) and not cvat.seen(str(tmp_path / "annotations.xml"))
