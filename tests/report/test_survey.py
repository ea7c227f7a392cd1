"""The report on data reads well for any number of classes, and its command line is a good start."""

import shlex
from collections import Counter

import pytest

from denet.dataset.base import BadSample
from denet.dataset.survey.classes import Split, Survey
from denet.report.survey import survey_report, train_command

PHOTOS = Survey(
    "my photos",
    "jpg",
    [
        Split(
            "train",
            "my photos/train",
            {"cat": 600, "dog": 30, "émeu": 3},
            Counter({(500, 375): 600, (375, 500): 33}),
            Counter({"RGB": 630, "L": 3}),
            turned=2,
            bad=[BadSample(f"my photos/train/cat/{i}.jpg", "not an image") for i in range(25)],
            others=Counter({".txt": 2, "": 1}),
            loose=Counter({".csv": 1}),
            digests={
                "1": [("my photos/train/cat/1.jpg", "cat"), ("my photos/train/dog/1.jpg", "dog")]
            },
        ),
        Split(
            "val",
            "my photos/val",
            {"cat": 60, "dog": 40},
            Counter({(500, 375): 100}),
            Counter({"RGB": 100}),
            digests={"1": [("my photos/val/cat/9.jpg", "cat")]},
        ),
    ],
    ["my photos/old"],
    seconds=1.25,
)
REPORT = """\
my photos: 733 images in 3 classes, --extension jpg, looked at in 1.2 s

class  train  val  total
cat      600   60    660
dog       30   40     70
émeu       3    0      3
total    633  100    733

sizes  500x375 (700), 375x500 (33)
       width 375 to 500
       height 375 to 500
modes  RGB (730), L (3)
EXIF   2 stored lying or mirrored, read upright

problems:
  25 of 758 images cannot be read; the command below leaves them out:
    my photos/train/cat/0.jpg: not an image
"""
PROBLEMS = """\
    my photos/train/cat/19.jpg: not an image
    ... and 5 more
  1 class only in train: émeu
  1 class with fewer than 5 images to train on: émeu
  unequal classes: cat has 600 images, émeu has 3: rare classes will be guessed seldom
  test images that are in the training set too: 1, such as my photos/val/cat/9.jpg = \
my photos/train/cat/1.jpg
  identical images in different classes: 1, such as my photos/train/cat/1.jpg = \
my photos/train/dog/1.jpg
  image sizes differ: --extension ...,crop= brings them to one size
  left out: files with other suffixes in my photos/train: .txt (2), no suffix (1)
  left out: files beside the class directories in my photos/train: .csv (1)
  not looked at: my photos/old

start with:
"""


def one_split(kind="png", size=(32, 32), counts=None, path="data", **options):
    counts = counts or {"a": 3000, "b": 3000}
    sizes = Counter({size: sum(counts.values())})
    return Survey(path, kind, [Split("all", path, counts, sizes, Counter(RGB=6), **options)], [])


def words(survey):
    return shlex.split(train_command(survey).replace("\\\n", ""))


def value(survey, option):
    given = words(survey)
    return given[given.index(option) + 1] if option in given else None


def test_whole_report():
    report = survey_report(PHOTOS)
    assert report.startswith(REPORT) and PROBLEMS in report
    assert report.endswith(train_command(PHOTOS))
    assert max(map(len, report.splitlines())) < 140


def test_command_for_photos():
    given = words(PHOTOS)
    assert given[:5] == ["model-train", "--train", "my photos/train", "--test", "my photos/val"]
    assert value(PHOTOS, "--extension") == "jpg,crop=64"
    assert value(PHOTOS, "--on-bad-data") == "skip"
    assert value(PHOTOS, "--output-prefix") == "run/my photos"


def test_names_that_no_class_can_have_are_a_problem():
    survey = one_split()
    assert "wrong class labels" not in survey_report(survey)
    survey = one_split(counts={"a": 9, "b\nc": 9})
    assert r"'b\nc' is empty or has control characters; rename" in survey_report(survey)


def test_no_problems():
    survey = one_split()
    survey.splits = [survey.splits[0], Split("test", "t", {"a": 9, "b": 9})]
    report = survey_report(survey)
    assert "no problems found" in report and "problems:" not in report


@pytest.mark.parametrize(
    "size, poolings, crop",
    [
        ((1, 1), 0, ""),
        ((8, 200), 0, ""),
        ((28, 28), 2, ""),
        ((32, 32), 2, ""),
        ((64, 48), 2, ""),
        ((224, 224), 4, ""),
        ((800, 600), 3, ",crop=64"),  # too large to start with
    ],
)
def test_network_fits_the_size(size, poolings, crop):
    survey = one_split(size=size)
    network = value(survey, "--model-desc")
    assert network.count("P[2]") == poolings and network.endswith("P.A R")
    assert value(survey, "--extension") == f"png{crop}"
    assert value(survey, "--on-bad-data") is None and value(survey, "--test") is None


def test_crop_is_not_larger_than_most_images():
    survey = one_split()
    survey.train.sizes = Counter({(20, 30): 5, (40, 24): 5, (900, 900): 1})
    assert value(survey, "--extension") == "png,crop=24"
    survey.crop = (48, 32)
    assert value(survey, "--extension") == "png,crop=48x32"


@pytest.mark.parametrize("count, batch", [(10, "16"), (500, "32"), (100_000, "64")])
def test_pace(count, batch):
    assert value(one_split(counts={"a": count}), "--batch-size") == batch


def test_foreign_test_classes_leave_the_test_out():
    survey = one_split()
    survey.splits.append(Split("test", "data/test", {"a": 9, "c": 9}, Counter({(32, 32): 18})))
    assert value(survey, "--test") is None and value(survey, "--val-split") == "0.1"
    assert "1 class only in test: c; --test is left out below" in survey_report(survey)


@pytest.mark.parametrize(
    "count, share", [(19, None), (20, "0.5"), (40, "0.25"), (100, "0.1"), (5000, "0.1")]
)
def test_without_a_test_images_are_held_out(count, share):
    survey = one_split(counts={"a": count})
    assert value(survey, "--val-split") == share
    assert ("(--val-split holds" in survey_report(survey)) == (share is not None)
    survey.splits.append(Split("test", "data/test", {"a": 9}))
    assert value(survey, "--val-split") is None


def test_thousand_classes_stay_readable():
    survey = one_split(counts={f"class {i:03}": 1000 - i for i in range(1000)})
    lines = survey_report(survey).splitlines()
    assert len(lines) < 60
    table = lines[lines.index(next(line for line in lines if line.startswith("class "))) :]
    assert table[1].split() == ["class", "000", "1,000"]
    assert table[11].strip() == "... 980 classes between"
    assert table[21].split() == ["class", "999", "1"] and table[22].split() == ["total", "500,500"]


@pytest.mark.parametrize(
    "path, word",
    [
        ("photos", "photos"),
        ("it's", "'it'\"'\"'s'"),
        ("$HOME", "'$HOME'"),
        ("-x", "./-x"),
        ("a\nb'\udcff", r"$'a\x0ab\x27\xff'"),
        ("猫", "'猫'"),
    ],
)
def test_paths_are_words_of_the_shell(path, word):
    command = train_command(one_split(path=path))
    assert command.startswith(f"model-train --train {word} --val-split 0.1 \\\n")


def test_boxes_beside_images_are_told():
    files = [f"my photos/{label}/1.jpg" for label in "ab"]
    report = survey_report(one_split(path="my photos", boxed=files))
    line = "\n  images with an .xml of their name beside them: 2; their boxes are left out: --data "
    assert f"{line}'my photos/a' would look at" in report
