"""Files of detections."""

import json
import logging

import numpy as np
import pytest
from evaluate.boxed import detections
from PIL import Image

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.boxes import Boxes
from denet.dataset.image.options import ImageOptions
from denet.errors import DataError
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.detector import DatasetDetections
from denet.predict.detect import Found
from denet.predict.detect_output import (
    csv_lines,
    rounded_down,
    text_lines,
    write_coco,
    write_detections,
    write_detections_json,
    write_voc,
)
from denet.report.detections import LEAST_SCORE, draw_detections

LABELS = ["cat", "traffic light"]
FOUND = detections(
    [
        (1, 1, 0.125, (0, 0, 1, 1)),
        (0, 0, 0.5, (10.25, 20.5, 30.75, 40)),
        (0, 1, 0.9, (0, 0, 640, 480)),
        (0, 0, 1 / 3, (5, 5, 6, 6)),
    ]
)
SIZES = np.array([[640, 480], [1, 1], [7, 7]], np.int32)


def images():
    names = ["a.jpg", "b,c.jpg", "d.jpg"]
    return map(Found, names, FOUND.by_image(3), range(3), map(tuple, SIZES.tolist()))


@pytest.mark.parametrize(
    "form, expected",
    [
        (
            "text",
            "a.jpg: traffic light 90.00% (0.0 0.0 640.0 480.0), cat 50.00% (10.2 20.5 30.8 40.0), "
            "cat 33.33% (5.0 5.0 6.0 6.0)\n"
            "b,c.jpg: nothing found with a score of 25% or more\n"
            "d.jpg: nothing found with a score of 25% or more\n",
        ),
        (
            "csv",
            "image,class,score,x0,y0,x1,y1\n"
            "a.jpg,traffic light,0.9,0.0,0.0,640.0,480.0\n"
            "a.jpg,cat,0.5,10.2,20.5,30.8,40.0\n"
            "a.jpg,cat,0.333333,5.0,5.0,6.0,6.0\n"
            '"b,c.jpg",traffic light,0.125,0.0,0.0,1.0,1.0\n',
        ),
        (
            "jsonl",
            '{"image": "a.jpg", "detections": [{"class": "traffic light", "score": 0.9, "box": '
            '[0.0, 0.0, 640.0, 480.0]}, {"class": "cat", "score": 0.5, "box": [10.2, 20.5, 30.8, '
            '40.0]}, {"class": "cat", "score": 0.333333, "box": [5.0, 5.0, 6.0, 6.0]}]}\n'
            '{"image": "b,c.jpg", "detections": [{"class": "traffic light", "score": 0.125, "box": '
            "[0.0, 0.0, 1.0, 1.0]}]}\n"
            '{"image": "d.jpg", "detections": []}\n',
        ),
    ],
)
def test_for_people_and_programs(form, expected, tmp_path, capsys):
    write_detections(images(), LABELS, form)
    assert capsys.readouterr().out == expected
    write_detections(images(), LABELS, form, str(tmp_path / "results"))
    assert (tmp_path / "results").read_text() == expected


def test_what_was_asked_of_that_which_is_not_found():
    """A probability that is no more than the score is said by it: no score is above it."""
    nothing = [Found("a.jpg", detections([]), 0, (64, 48))]
    for probability, also in ((0.1, ""), (0.9, " and a probability (prThreshold) of 90%")):
        told = f"a.jpg: nothing found with a score of 10%{also} or more"
        assert list(text_lines(nothing, LABELS, 0.1, probability)) == [told]


@pytest.mark.parametrize(("score", "shown"), [(LEAST_SCORE, True), (0.249, False)])
def test_people_are_told_and_shown_the_same(score, shown, caplog):
    """Programs are told all, and the log counts what people are not told."""
    image = Image.new("RGB", (64, 48), (128, 128, 128))
    found = detections([(0, 1, score, (1, 1, 9, 9))])
    with caplog.at_level(logging.INFO):
        (told,) = text_lines([Found("a.jpg", found, 0, (64, 48))], LABELS)
    assert ("light 25.00%" in told) == ("nothing found" not in told) == shown
    nothing = draw_detections(image, detections([]), LABELS)
    assert (draw_detections(image, found, LABELS).tobytes() != nothing.tobytes()) == shown
    assert ("1 with less than a score of 25% left out" in caplog.text) != shown
    assert len(list(csv_lines([Found("a.jpg", found, 0, (64, 48))], LABELS))) == 2


def test_voc_counts_pixels_from_1(tmp_path):
    names = write_voc(tmp_path, FOUND, SIZES, ["000007", "000009", "x"], LABELS)
    assert names == ["comp4_det_test_cat.txt", "comp4_det_test_traffic light.txt"]
    assert (tmp_path / names[0]).read_text() == (
        "000007 0.500000 11.250000 21.500000 30.750000 40.000000\n"
        "000007 0.333333 6.000000 6.000000 6.000000 6.000000\n"
    )
    assert (tmp_path / names[1]).read_text() == (
        "000007 0.900000 1.000000 1.000000 640.000000 480.000000\n"
        "000009 0.125000 1.000000 1.000000 1.000000 1.000000\n"
    )


def test_voc_has_six_columns_whatever_photos_are_called(tmp_path, caplog):
    (name, _) = write_voc(tmp_path, FOUND, SIZES, ["my cat 1", "b", "\u2003c"], LABELS)
    lines = (tmp_path / name).read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["my_cat_1"] * 2
    assert {len(line.split()) for line in lines} == {6}
    (message,) = caplog.messages
    assert "blanks in the names of 2 photos are underlines" in message and "my cat 1" in message
    write_voc(tmp_path, FOUND, SIZES, [7, "b", "c"], LABELS)
    assert len(caplog.messages) == 1


def test_voc_has_a_file_for_a_class_without_detections(tmp_path):
    write_voc(tmp_path, detections([]), SIZES, ["a", "b", "c"], LABELS)
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0, 0]


@pytest.mark.parametrize("label", ["../cat", "a/b", "a\nb", "/etc/x", "a\x00b", "\u202eb"])
def test_voc_writes_a_class_that_is_a_path_beside_the_others(label, tmp_path):
    (tmp_path / "in").mkdir()
    write_voc(tmp_path / "in", FOUND, SIZES, ["a", "b", "c"], ["cat", label])
    assert len(list(tmp_path.iterdir())) == 1
    names = [path.name for path in (tmp_path / "in").iterdir()]
    assert len(names) == 2 and all(name.isprintable() for name in names)


@pytest.mark.parametrize("labels", [["cat", "\u00e9" * 130], ["a/b", "a_b"]])
def test_voc_refuses_classes_without_a_file_of_their_own(labels, tmp_path):
    with pytest.raises(DataError, match="does not make the name of a file of its own"):
        write_voc(tmp_path / "in", FOUND, SIZES, ["a", "b", "c"], labels)
    assert not list(tmp_path.iterdir())


def test_coco_counts_pixels_from_0(tmp_path):
    # 2017 added 1 to x and y
    path = tmp_path / "results.json"
    write_coco(path, FOUND, [139, 285, 632], [17, 10])
    assert json.loads(path.read_text()) == [
        {"image_id": 139, "category_id": 10, "bbox": [0, 0, 640, 480], "score": 0.9},
        {"image_id": 139, "category_id": 17, "bbox": [10.2, 20.5, 20.6, 19.5], "score": 0.5},
        {"image_id": 139, "category_id": 17, "bbox": [5, 5, 1, 1], "score": 0.333333},
        {"image_id": 285, "category_id": 10, "bbox": [0, 0, 1, 1], "score": 0.125},
    ]
    write_coco(path, FOUND.take(slice(0, 1)), ["a", "b"])
    assert json.loads(path.read_text())[0]["category_id"] == 2
    write_coco(path, detections([]), [])
    assert json.loads(path.read_text()) == []


def test_detections_json(tmp_path):
    found = detections([(1, 1, 0.9, (0, 0.25, 0.5, 1)), (1, 0, 0.95, (0.1, 0.2, 0.3, 0.4))])
    view = np.array([[1, 1, 0, 0, 0], [0.5, 0.75, 3, -4, 1]], np.float32)
    path = tmp_path / "detections.json"
    # of image 1 of 200 x 100 in a network input of 96 x 80: 96 - (x * .5 - 3), y * .75 + 4
    boxes = Boxes.gather(
        2, [1, 1], [(6, 0, 54, 48), (190, 0, 200, 10)], [1, 0], difficult=[False, True]
    )
    options = ImageOptions(crop=(96, 80), scale=(96, 80))
    sizes = np.array([[9, 8], [200, 100]], np.int32)
    dataset = DetectionDataset(LABELS, ["0.jpg", "1.jpg"], [139, 285], boxes, sizes, options)
    params = DetectParams(corner_max=64)
    write_detections_json(path, DatasetDetections(found, view), dataset, params)
    assert json.loads(path.read_text()) == {
        "dets": [
            {
                "detections": [],
                "meta": {
                    "image": {"fname": "0.jpg", "id": 139, "bboxs": [], "difficult": []},
                    "image_size": [9, 8],
                    "scale": [1, 1],
                    "offset": [0, 0],
                    "mirror": False,
                    "class": [],
                    "bbox": [],
                },
            },
            {
                "detections": [[0.95, 0, [0.1, 0.2, 0.3, 0.4]], [0.9, 1, [0, 0.25, 0.5, 1]]],
                "meta": {
                    "image": {
                        "fname": "1.jpg",
                        "id": 285,
                        "bboxs": [[1, [6, 0, 54, 48]], [0, [190, 0, 200, 10]]],
                        "difficult": [False, True],
                    },
                    "image_size": [200, 100],
                    "scale": [0.5, 0.75],
                    "offset": [3, -4],
                    "mirror": True,
                    "class": [1, 0],
                    "bbox": [[0.75, 0.05, 1, 0.5], [0, 0.05, 0.041667, 0.14375]],
                },
            },
        ],
        "classLabels": {"cat": 0, "traffic light": 1},
        "detectParams": {
            "prThreshold": 0.01,
            "nmsThreshold": 0.5,
            "useSoftNMS": False,
            "cornerMax": 64,
            "matchIOU": 0.5,
        },
    }


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(IndexError):
        write_coco(path, FOUND, [])
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("score", "typed"), [(0.0879, 0.087), (0.5, 0.5), (0.99999, 0.99), (0.001, 0.001), (0, 0)]
)
def test_a_score_to_type_is_no_higher(score, typed):
    assert rounded_down(score) == typed
