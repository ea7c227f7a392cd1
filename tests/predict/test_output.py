"""Answers as text, JSON lines and CSV, read back by other readers."""

import csv
import json
import re

from denet.predict.classify import Answer
from denet.predict.output import OUTPUTS, write_answers

ANSWERS = [
    Answer("a,b.png", [("cat", 0.97314567), ('dog "x"', 0.02)], "cat", (2, 0, 1)),
    Answer("d\u00e9j\u00e0.png", [("dog", 1.0), ("cat", 1e-9)], None, (0, 2)),
]


def test_text():
    assert list(OUTPUTS["text"](ANSWERS)) == [
        'a,b.png: cat 97.31%, dog "x" 2.00%',
        "d\u00e9j\u00e0.png: dog 100.00%, cat 0.00%",
    ]


def test_json_lines():
    first, second = (json.loads(line) for line in OUTPUTS["jsonl"](ANSWERS))
    assert first == {
        "image": "a,b.png",
        "classes": [
            {"class": "cat", "probability": 0.973146},
            {"class": 'dog "x"', "probability": 0.02},
        ],
        "label": "cat",
    }
    assert second["image"] == "d\u00e9j\u00e0.png" and "label" not in second


def test_csv():
    header, first, second = csv.reader(OUTPUTS["csv"](ANSWERS))
    assert header == ["image", "label", "class_1", "probability_1", "class_2", "probability_2"]
    assert first == ["a,b.png", "cat", "cat", "0.973146", 'dog "x"', "0.02"]
    assert second[1:] == ["", "dog", "1.0", "cat", "1e-09"]


def test_ccv():
    """Ids count from 1; %f has six digits behind the point; one image alone is timed."""
    lines = ["3 0.973146 1 0.020000", "1 1.000000 3 0.000000"]
    assert list(OUTPUTS["ccv"](ANSWERS)) == lines
    first, time = OUTPUTS["ccv"](ANSWERS[:1])
    assert first == lines[0] and re.fullmatch(r"elapsed time \d+ms", time)


def test_a_damaged_image_has_an_empty_line_in_the_form_of_ccv_alone(tmp_path):
    """Line i is image i: ccv's cnnvldtr.rb reads no number there and counts a miss."""
    answers = [ANSWERS[0], Answer("damaged.png", []), ANSWERS[1]]
    found = {}
    for form in OUTPUTS:
        write_answers(answers, form, 2, str(tmp_path / form))
        found[form] = (tmp_path / form).read_text().splitlines()
    assert found["ccv"] == ["3 0.973146 1 0.020000", "", "1 1.000000 3 0.000000"]
    assert [len(lines) for lines in found.values()] == [2, 2, 3, 3]
    assert not any("damaged" in line for lines in found.values() for line in lines)


def test_nothing_to_tell():
    assert [list(output([])) for output in OUTPUTS.values()] == [[]] * 4
