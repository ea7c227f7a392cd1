"""Photos that EXIF turns: their boxes, told upright or as the pixels lie, in every layout."""

import json
import logging

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml
from PIL import Image

from denet.dataset import open_dataset
from denet.dataset.survey.boxes import survey_detection
from denet.report.detection_survey import detection_report

UPRIGHT, BOX = (10, 20), (2, 1, 7, 5)  # a red box is seen from (2, 1) to (7, 5)
# EXIF orientation -> size of what is stored and where the box lies in it, worked by hand: the
# first stored row and column are seen at 3: bottom, right; 5: left, top; 6: right, top; 7: right,
# bottom; 8: left, bottom (TIFF 6.0, tag 274)
STORED = {
    3: ((10, 20), (3, 15, 8, 19)),
    5: ((20, 10), (1, 2, 5, 7)),
    6: ((20, 10), (1, 3, 5, 8)),
    7: ((20, 10), (15, 3, 19, 8)),
    8: ((20, 10), (15, 2, 19, 7)),
}


def coco(size, box):
    x0, y0, x1, y1 = box
    told = {"image_id": 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    image = {"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}
    category = {"id": 1, "name": "cat"}
    return json.dumps({"images": [image], "annotations": [told], "categories": [category]})


def labelme(size, box):
    shape = {"label": "cat", "shape_type": "rectangle", "points": [box[:2], box[2:]]}
    sides = {"imageWidth": size[0], "imageHeight": size[1]}
    return json.dumps({"imagePath": "a.png", "shapes": [shape], **sides})


def cvat(size, box):
    corners = zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True)
    words = " ".join(f'{name}="{value}"' for name, value in corners)
    image = f'<image id="0" name="a.png" width="{size[0]}" height="{size[1]}">'
    return f'<annotations>{image}<box label="cat" {words}/></image></annotations>'


def voc(size, box):  # which counts pixels from 1
    return voc_xml(object_xml("cat", (box[0] + 1, box[1] + 1, *box[2:])), size=size)


def table(size, box):
    words = ",".join(map(str, (*size, *box)))
    return f"filename,class,width,height,xmin,ymin,xmax,ymax\na.png,cat,{words}\n"


TELLING = {
    "roboflow": ("_annotations.coco.json", coco),
    "labelme": ("a.json", labelme),
    "cvat": ("annotations.xml", cvat),
    "voc": ("a.xml", voc),
    "csv": ("boxes.csv", table),
}
SILENT = {
    "yolo": ("a.txt", "0 0.45 0.15 0.5 0.2\n"),
    "csv": ("boxes.csv", "filename,class,xmin,ymin,xmax,ymax\na.png,cat,2,1,7,5\n"),
}


def put_photo(folder, orientation, name="a.png"):
    size, (x0, y0, x1, y1) = STORED[orientation]
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[y0:y1, x0:x1, 0] = 255
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(folder / name, exif=exif)


def check_red(folder, kind):
    """The box that is read, and what is red where the network sees all of the photo, is BOX."""
    dataset = open_dataset(str(folder), f"{kind},crop=10x20", progress=False)
    assert dataset.sizes.tolist() == [[10, 20]]
    np.testing.assert_allclose(dataset.boxes_px, [BOX], atol=1e-5)
    red = dataset.images(np.arange(1))[0, :, :, 0] > 127
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == BOX
    found = survey_detection(str(folder), kind, thread_num=1, progress=False)
    np.testing.assert_allclose(found.splits[0].boxes.boxes_px, [BOX], atol=1e-5)
    return detection_report(found)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", TELLING)
def test_told_upright(tmp_path, kind, orientation, caplog):
    put_photo(tmp_path, orientation)
    name, write = TELLING[kind]
    (tmp_path / name).write_text(write(UPRIGHT, BOX))
    with caplog.at_level(logging.INFO):
        report = check_red(tmp_path, kind)
    assert "1 photo that EXIF turns: read upright, as their boxes are taken to mean" in caplog.text
    assert "\nEXIF   1 stored lying or mirrored, read upright, as their boxes" in report


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", TELLING)
def test_told_as_stored(tmp_path, kind, orientation, caplog):
    put_photo(tmp_path, orientation)
    name, write = TELLING[kind]
    (tmp_path / name).write_text(write(*STORED[orientation]))
    with caplog.at_level(logging.INFO):
        report = check_red(tmp_path, kind)
    assert (
        "1 photo that EXIF turns: read upright; in 1 of them boxes mean the pixels" in caplog.text
    )
    assert "\nEXIF   1 stored lying or mirrored, read upright; in 1 of them boxes mean" in report
    assert "another size" not in caplog.text + report


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("kind", SILENT)
def test_nothing_is_told(tmp_path, kind, orientation):
    put_photo(tmp_path, orientation)
    name, text = SILENT[kind]
    (tmp_path / name).write_text(text)
    assert "read upright, as their boxes are taken to mean" in check_red(tmp_path, kind)


def test_shares_of_what_is_stored(tmp_path):
    """Corners 1, 3, 5, 8 of 20x10 stored pixels are 2, 1, 7, 5 upright (orientation 6)."""
    put_photo(tmp_path, 6)
    (tmp_path / "boxes.csv").write_text(table((20, 10), (0.05, 0.3, 0.25, 0.8)))
    check_red(tmp_path, "csv")


def test_a_square_does_not_tell(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png", exif=exif)
    (tmp_path / "a.xml").write_text(voc((20, 20), BOX))
    assert open_dataset(str(tmp_path), "voc,crop=8", progress=False).boxes_px.tolist() == [[*BOX]]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_reduced_photo_is_seen_where_it_lies(tmp_path, orientation):
    """801x601 pixels are decoded at a quarter, 200.25 of 201 columns: no part of one is lost."""
    ramp = np.add.outer(np.linspace(0, 90, 601), np.linspace(0, 160, 801)).astype(np.uint8)
    backwards = {3: ramp[::-1, ::-1], 6: ramp.T[::-1], 8: ramp.T[:, ::-1]}
    seen = []
    for lies, pixels in ((1, ramp), (orientation, backwards[orientation])):
        exif = Image.Exif()
        exif[274] = lies
        Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=98, exif=exif)
        (tmp_path / "a.xml").write_text(voc((801, 601), BOX))
        found = open_dataset(str(tmp_path), "voc,crop=96x72,scale_mode=warp", progress=False)
        seen.append(found.images(np.arange(1))[0].astype(int))
    assert np.abs(seen[1] - seen[0]).mean() < 0.3
