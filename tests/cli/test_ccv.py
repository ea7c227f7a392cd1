"""Models of ccv at the command line: converted, asked, and tested against a list of classes."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from model.files_of_ccv import TEXT, make_file, mean_activity, predicted
from PIL import Image

from denet.model.format import load_model, save_model
from denet.model.model import Model

PREDICT = "model-predict --backend numpy --model a.sqlite3 --input"
NAME = ("model-modify", "--input", "a.sqlite3", "--output", "b.mdl", "--class-labels")
SIDE = 8  # of the images of six colours


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Lay out a file of ccv and images for it."""
    make_file(tmp_path / "a.sqlite3")
    for seed in range(3):
        Image.fromarray(pixels(seed)).save(tmp_path / f"{seed}.png")
    (tmp_path / "list.txt").write_text("0.png\n1.png\n2.png\n")
    return tmp_path


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (13, 11, 3), np.uint8)


def ranked(seed: int) -> list[tuple[int, float]]:
    """Return what ccv computes of an image, as (id from 1, confidence), best first."""
    found = predicted(pixels(seed).astype(float), mean_activity()[2:15, 2:13])
    return [(int(k) + 1, float(found[k])) for k in np.argsort(-found)]


def told(line: str) -> list[tuple[int, float]]:
    words = line.split(" ")
    assert all(re.fullmatch(r"\d\.\d{6}", word) for word in words[1::2])
    return list(zip(map(int, words[::2]), map(float, words[1::2]), strict=True))


def test_answers_in_the_form_of_ccv(files: Path, command: Command) -> None:
    done = command(*PREDICT.split(), "0.png", "--format", "ccv")
    assert (done.returncode, done.stderr) == (0, "")
    answer, time = done.stdout.splitlines()
    assert re.fullmatch(r"elapsed time \d+ms", time)
    assert [number for number, _ in told(answer)] == [number for number, _ in ranked(0)]
    np.testing.assert_allclose(told(answer), ranked(0), atol=1e-4)
    many = command(*PREDICT.split(), "list.txt", "--format", "ccv", "--top", 2).stdout.splitlines()
    assert len(many) == 3  # no time
    for seed, line in enumerate(many):
        np.testing.assert_allclose(told(line), ranked(seed)[:2], atol=1e-4)


def test_modify_there_and_back(files: Path, command: Command) -> None:
    modify = "model-modify --input {} --output {}"
    done = command(*modify.format("a.sqlite3", "b.mdl").split())
    assert (done.returncode, load_model(files / "b.mdl").text()) == (0, TEXT)
    done = command(*modify.format("b.mdl", "c.sqlite3").split(), "--half")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(files / "c.sqlite3")) as connection:
        assert connection.execute("SELECT sum(half_precision) FROM layer_data").fetchone() == (5,)
    found = load_model(files / "c.sqlite3").values()
    for path, value in load_model(files / "b.mdl").values().items():
        np.testing.assert_array_equal(found[path], value.astype(np.float16))
    refused = command(*modify.format("b.mdl", "d.mdl").split(), "--half")
    assert refused.returncode == 2 and "only .sqlite3 holds 16-bit floats" in refused.stderr
    refused = command(*modify.format("b.mdl", "d.sqlite3").split(), "--layer-insert", "3:BN")
    assert refused.returncode == 3 and refused.stderr.count("\n") == 1
    assert 'layer 2 "C.X[8,3,5,2,2]": ccv has a ReLU behind each C' in refused.stderr
    assert not (files / "d.sqlite3").exists()


def test_names_of_classes_that_are_lost_are_told(files: Path, command: Command) -> None:
    save_model(Model.create("C[4] A R", (3, 8, 8), ["cat", "dog"]), files / "pets.mdl")
    done = command("model-modify", "--input", "pets.mdl", "--output", "pets.sqlite3")
    assert done.returncode == 0
    assert "warning: pets.sqlite3: the format of ccv holds no names of classes" in done.stderr


def test_16_bits_become_32(files: Path, command: Command) -> None:
    make_file(files / "half.sqlite3", half=True)
    done = command("model-modify", "--input", "half.sqlite3", "--output", "full.sqlite3")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(files / "full.sqlite3")) as connection:
        assert connection.execute("SELECT sum(half_precision) FROM layer_data").fetchone() == (0,)
    found, stored = (load_model(files / f"{name}.sqlite3").values() for name in ("full", "half"))
    for path, value in stored.items():
        np.testing.assert_array_equal(found[path], value)


def test_classes_have_one_number_everywhere_until_they_are_named(
    files: Path, command: Command
) -> None:
    numbers = [number for number, _ in ranked(0)]
    said = command(*PREDICT.split(), "0.png").stdout
    assert [int(each) for each in re.findall(r"class (\d+) ", said)] == numbers
    (files / "words").write_text("kit fox, Vulpes macrotis\ncrane\nMaltese dog\ncrane\n")
    done = command(*NAME, "words")
    assert (done.returncode, done.stderr.count("\n")) == (0, 2), done.stderr
    assert "words: names that stand on several lines: crane (2), crane (4)" in done.stderr
    labels = ["kit fox, Vulpes macrotis", "crane (2)", "Maltese dog", "crane (4)"]
    assert load_model(files / "b.mdl").class_labels == labels
    said = command(*PREDICT.replace("a.sqlite3", "b.mdl").split(), "0.png").stdout
    assert [said.index(labels[number - 1]) for number in numbers] == sorted(map(said.index, labels))


WRONG_NAMES = {
    "a\nb\nc\n": "3 names for 4 classes: give each class one",
    "": "0 names for 4 classes",
    "a\nb\nc\nd\x1b[31m\n": "has control characters",
    "a\na\na (1)\nb\n": "one of them stands twice",
    "\udcff\nb\nc\nd\n": "not text in UTF-8",
}


@pytest.mark.parametrize("text", WRONG_NAMES)
def test_wrong_names_are_told(files: Path, command: Command, text: str) -> None:
    (files / "words").write_text(text, errors="surrogateescape")
    done = command(*NAME, "words")
    assert done.returncode == 3 and WRONG_NAMES[text] in done.stderr.splitlines()[-1]
    assert not (files / "b.mdl").exists()


def test_folders_and_numbers(files: Path, command: Command) -> None:
    """ImageNet beside a model of ccv: names are missing, and there is a way to give them."""
    (files / "val" / "n01").mkdir(parents=True)
    (files / "0.png").rename(files / "val" / "n01" / "0.png")
    predict = [*PREDICT.split(), "val", "--extension", "imagenet,crop=11x13"]
    done = command(*predict)
    assert done.returncode == 3 and done.stderr.startswith("error: class 'n01' is not one of the 4")
    assert "mere numbers: val: name them: model-modify --class-labels FILE" in done.stderr
    (files / "wnids").write_text("n00\nn01\nn02\nn03\n")
    command(*NAME, "wnids")
    done = command(*(word.replace("a.sqlite3", "b.mdl") for word in predict))
    right = ranked(0)[0][0] == 2
    assert done.stdout.startswith(f"top-1 error {0 if right else 100}.000%"), done.stderr


@pytest.fixture
def colours(files: Path) -> Path:
    """Add a model whose likeliest of seven classes are those of the reddest images first.

    The logits of an image of red r are r * (6, 5, 4, 3, 2, 1, 0): its classes always come in order.
    """
    model = Model.create("P.A R", (3, SIDE, SIDE), [f"class {k}" for k in range(7)])
    model.parameters[1]["weight"][:, 0, 0, 0] = np.arange(6, -1, -1)
    save_model(model, files / "red.mdl")
    for number in range(7):
        Image.new("RGB", (SIDE, SIDE), (100 + number, 0, 0)).save(files / f"red{number}.png")
    (files / "reds.txt").write_text("".join(f"red{number}.png\n" for number in range(7)))
    return files


TRUTHS = {
    # ids from 1: rank 0 is right, ranks from 5 are not among five
    "1 1 2 3 5 6 7": "71.43% (1), 28.57% (5)",
    "1 1 1 1 1 1 1": "0.0% (1), 0.0% (5)",
    "7 6 7 6 7 6 7": "100.0% (1), 100.0% (5)",
}


MODES = [
    *("--predict-mode single", "--predict-mode multicrop"),
    *("--views ccv10", "--views ccv30", "--views dense"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("truth", TRUTHS)
def test_miss_rates(colours: Path, command: Command, truth: str, mode: str) -> None:
    (colours / "truth.txt").write_text(truth.replace(" ", "\n") + "\n")
    words = "model-predict --backend numpy --model red.mdl --input reds.txt --truth truth.txt"
    done = command(*words.split(), *mode.split())
    assert (done.returncode, done.stdout) == (0, TRUTHS[truth] + "\n"), done.stderr
    if mode.endswith("single"):
        shown = command(*words.split(), "--format", "ccv", "--results", "r.txt")
        assert shown.stdout == TRUTHS[truth] + "\n"
        assert len((colours / "r.txt").read_text().splitlines()) == 7


def test_a_truth_tells_what_a_report_needs(colours: Path, command: Command) -> None:
    pytest.importorskip("matplotlib")
    (colours / "truth.txt").write_text("1\n1\n2\n3\n5\n6\n7\n")
    words = "model-predict --backend numpy --model red.mdl --input reds.txt --truth truth.txt"
    assert command(*words.split(), "--report", "report").returncode == 0
    rows = (colours / "report" / "class_errors.csv").read_text().splitlines()
    assert len(rows) == 1 + 7 and (colours / "report" / "mistakes.png").exists()


WRONG = {
    "short": ("1\n2\n", 3, "truth.txt: 2 lines for 7 images"),
    "zero": ("0\n" * 7, 3, "line 1: the class id must be a whole number from 1 to 7; got '0'"),
    "beyond": ("1\n" * 6 + "8\n", 3, "line 7: the class id must be"),
    "words": ("1 2\n" * 7, 3, "line 1: the class id must be"),
    "binary": ("\x00\n" * 7, 3, "line 1: the class id must be"),
    None: ("", 3, "no such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_truth_is_told(colours: Path, command: Command, name: str | None) -> None:
    text, code, words = WRONG[name]
    if name:
        (colours / "truth.txt").write_text(text)
    line = "model-predict --backend numpy --model red.mdl --input reds.txt --truth truth.txt"
    done = command(*line.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert words in done.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("--input set --truth reds.txt", "--truth: set tells the true classes"),
        ("--input reds.txt --truth reds.txt --predict-mode segment", "--truth: --predict-mode"),
        (
            "--input reds.txt --truth reds.txt --predict-mode detect",
            "--truth: it is for the classes",
        ),
    ],
)
def test_a_truth_that_nothing_asks_for(
    colours: Path, command: Command, more: str, words: str
) -> None:
    (colours / "set" / "class 1").mkdir(parents=True)
    (colours / "red1.png").rename(colours / "set" / "class 1" / "a.png")
    done = command(*f"model-predict --backend numpy --model red.mdl {more}".split())
    assert done.returncode == 2 and words in done.stderr
