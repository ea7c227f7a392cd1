"""model-report: one page on a run or several, from whole, damaged and hostile files."""

import hashlib
import os
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from browser import MISSING, PROGRAM, Browser
from cli.test_detect import DESC, TRAIN, make_set
from conftest import Command, run_command
from PIL import Image

CLASSES = ("dark", "<i>light<b>")
NETWORK = ["--model-desc", "C[4,3] BN A P.A R", "--backend", "numpy", "--batch-size", 4]


@pytest.fixture(scope="module")
def first_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two classifiers and a detector for two epochs each."""
    root = tmp_path_factory.mktemp("runs")
    make_set(root / "set")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for number, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(4):
                pixels = rng.integers(0, 256, (8, 8, 3), np.uint8) // 2 + 100 * number
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"<script>{index}.png")
    sets = ["--train", "train", "--test", "test", "--extension", "png", "--epochs", 2]
    for name, rate in (("a", 0.1), ("b", 0.01)):
        words = [*NETWORK, *sets, "--learn-rate", rate, "--output-prefix", f"run/{name}"]
        done = run_command(root, "model-train", *words)
        assert done.returncode == 0, done.stderr
    words = [*TRAIN.split(), "--test", "set", "--test-extension", "voc,test,crop=32"]
    words += ["--model-desc", DESC, "--epochs", "2", "--batch-size", "3"]
    done = run_command(root, *words, "--output-prefix", "boxes/d")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def runs(first_runs: Path, tmp_path: Path) -> Path:
    shutil.copytree(first_runs, tmp_path, dirs_exist_ok=True)
    return tmp_path


def words_of(page: str) -> str:
    """Return the text of a page without its style."""
    return unescape(re.sub(r"<[^>]+>", " ", page.partition("</style>")[2]))


def test_one_run(runs: Path, command: Command) -> None:
    done = command("model-report", "run/a")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{runs}/run/a_report.html\n"
    page = (runs / "run/a_report.html").read_text()
    words = " ".join(words_of(page).split())
    assert "epochs 2 of 2" in words and "top-1 error" in words and "parameters 128" in words
    # options that differ come before the others
    assert words.index("batch-size 4 32") < words.index("options as they are by default")
    best = (runs / "run/a_best.mdl").read_bytes()
    assert hashlib.sha256(best).hexdigest() in words and f"{len(best):,}" in words
    assert "8 images of 3x8x8 in 2 classes" in words and "processor" in words
    assert page.count("<svg") == 3 and page.count("data:image/png") >= 16


def test_what_the_page_tells_agrees_with_model_predict(runs: Path, command: Command) -> None:
    assert command("model-report", "--runs", "run/a", "--output", "a.html").returncode == 0
    words = " ".join(words_of((runs / "a.html").read_text()).split())
    model = ["--backend", "numpy", "--model", "run/a_best.mdl", "--input", "test"]
    errors = command("model-predict", *model, "--extension", "png").stdout.split()
    assert f"top-1 error {float(errors[2].rstrip('%')):.2f}%" in words
    assert command("model-report", "boxes/d", "--output", "d.html").returncode == 0
    words = " ".join(words_of((runs / "d.html").read_text()).split())
    model = ["--backend", "numpy", "--model", "boxes/d_best.mdl", "--input", "set", "--extension"]
    voc = ["voc,test,crop=32", "--predict-mode", "detect,voc"]
    mean = command("model-predict", *model, *voc).stdout.splitlines()[-1].split()
    assert f"mean AP (area) {mean[3]} mean AP (11 points) {mean[1]}" in words


def test_a_detector(runs: Path, command: Command) -> None:
    done = command("model-report", "boxes")
    assert done.returncode == 0, done.stderr
    page = (runs / "boxes/d_report.html").read_text()
    words = " ".join(words_of(page).split())
    for each in ("best F1", "false alarm", "missed", "Detections beside truth", "known: 1"):
        assert each in words
    assert "Sizes of objects, and how many are found" in words
    assert "6 images of 3x32x32 with 6 boxes of 2 classes" in words


@pytest.mark.parametrize("kind", ["test", "val", "none"])
def test_the_set_that_is_tested(kind: str, runs: Path, command: Command) -> None:
    """A set that is divided between training and test, a share held out, or nothing to test on."""
    extension = "auto,crop=32" + ",split=0.5" * (kind == "test")
    words = ["--backend", "numpy", "--model-desc", DESC, "--border-mode", "half", "--epochs", 1]
    words += ["--train", "set", "--extension", extension, "--batch-size", 2]
    words += {"test": ["--test", "set"], "val": ["--val-split", 0.5], "none": []}[kind]
    done = command("model-train", *words, "--output-prefix", "other/m")
    assert done.returncode == 0, done.stderr
    done = command("model-report", "other/m")
    assert done.returncode == 0, done.stderr
    told = " ".join(words_of((runs / "other/m_report.html").read_text()).split())
    assert ("the run has no test set" in told) == (kind == "none")
    title = {"test": "Test set: set", "val": "Held out of set", "none": "Training set: set"}[kind]
    assert title in told and ("Detections beside truth" in told) == (kind != "none")
    if kind == "test":  # no image is in both parts
        names = re.findall(r"\d\.png", told.partition("Training set: set")[2])
        assert len(names) == len(set(names)) > 2, names


def test_runs_side_by_side(runs: Path, command: Command) -> None:
    done = command("model-report", "run", "boxes/d", "run/a", "--output", "all.html")
    assert done.returncode == 0, done.stderr
    page = (runs / "all.html").read_text()
    words = " ".join(words_of(page).split())
    assert words.startswith("3 runs") and page.count('<section id="run') == 3
    assert "learn-rate 0.1 0.01" in words and "Options that differ" in words


def test_nothing_is_replaced_unasked(runs: Path, command: Command) -> None:
    words = ["model-report", "run/a", "--no-evaluate", "--output"]
    assert command(*words, "x.html").returncode == 0
    first = (runs / "x.html").read_bytes()
    again = command(*words, "x.html")
    assert (again.returncode, (runs / "x.html").read_bytes()) == (2, first)
    assert again.stderr == (
        "error: --output: x.html is there already: give another, or --overwrite\n"
    )
    assert command(*words, "x.html", "--overwrite").returncode == 0
    assert command(*words, "run/a_best.mdl", "--overwrite").returncode == 2
    assert command(*words, "no/x.html").returncode == 3


def test_the_files_of_a_run_alone(runs: Path, command: Command) -> None:
    """--no-evaluate reads neither data nor models."""
    for name in ("train", "test"):
        shutil.rmtree(runs / name)
    (runs / "run/a_best.mdl").write_bytes(b"no model")
    done = command("model-report", "run/a", "--no-evaluate")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    words = " ".join(words_of((runs / "run/a_report.html").read_text()).split())
    assert "epochs 2 of 2" in words and "Training set" not in words


DAMAGE = {
    "a_metrics.csv": [b"", b"\0", b"x,y\n1,2\n", b"epoch\n\xff\n", b'"' + b"a" * 200_000],
    "a_run.yaml": [
        b"",
        b"a: 1\n",
        b"# model-train, denet 1\nno-such: 1\n",
        b"\xff\xfe",
        b"[" * 900,
    ],
    "a_best.mdl": [b"", b"\0" * 100, b"\xff" * 64],
    "a_log.txt": [b"\xff\xfe\n", b"2026-01-01 10:00:00,0 WARNING <script>x</script>\n"],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_told(name: str, runs: Path, command: Command) -> None:
    for number, content in enumerate(DAMAGE[name]):
        (runs / "run" / name).write_bytes(content)
        done = command("model-report", "run/a", "--output", f"{number}.html")
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        page = (runs / f"{number}.html").read_text()
        assert "<script" not in page and "SHA-256" in page
        if name != "a_log.txt":
            (note,) = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
            assert note.removeprefix("warning: a: ") in words_of(page)


def test_a_pipe_in_the_place_of_a_file(runs: Path, command: Command) -> None:
    for name in ("a_metrics.csv", "a_log.txt", "a_run.yaml", "a_best.mdl"):
        (runs / "run" / name).unlink()
        os.mkfifo(runs / "run" / name)
    done = command("model-report", "run/a", "--output", "x.html")
    assert done.returncode == 0 and "not a file" in done.stderr, done.stderr


def test_data_that_is_gone_is_told(runs: Path, command: Command) -> None:
    shutil.rmtree(runs / "train")
    done = command("model-report", "run/a")
    assert done.returncode == 0, done.stderr
    words = " ".join(words_of((runs / "run/a_report.html").read_text()).split())
    assert "top-1 error" in words and "train" in done.stderr


ERRORS = [
    ("nothing", 3, "no run: nothing: give the --output-prefix of a run"),
    ("run/aa", 3, "(did you mean 'a'?)"),
    ("train", 3, "no run: train"),
    ("", 2, "--runs is missing"),
    ("run/a --output a.pdf", 2, "--output: a.pdf: end the name in .html"),
]


@pytest.mark.parametrize(("words", "code", "told"), ERRORS)
def test_errors(words: str, code: int, told: str, runs: Path, command: Command) -> None:
    done = command("model-report", *words.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_in_a_browser(runs: Path, command: Command, tmp_path: Path) -> None:
    """The page fits wide and narrow windows, shows what it has, and asks for nothing else."""
    assert command("model-report", "run", "boxes", "--output", "all.html").returncode == 0
    url = (runs / "all.html").as_uri()
    with Browser(tmp_path / "profile") as page:
        for width, dark in ((1400, False), (400, False), (400, True)):
            page.size(width, dark=dark)
            page.open(url)
            assert page.requests() == [url] and page.complaints() == []
            assert page.value("document.documentElement.scrollWidth <= innerWidth")
            ground = page.value("getComputedStyle(document.body).backgroundColor")
            assert ground == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")
            assert page.value("document.scripts.length") == 0
            seen = page.value("document.body.innerText")
            for each in ("Side by side", "Options that differ", "dark", "false alarm", "SHA-256"):
                assert each in seen
            assert CLASSES[1] in seen
            # every picture is there, and none is wider than the page
            loaded = "every(each => each.complete && each.naturalWidth > 0)"
            assert page.value(f"[...document.images].{loaded}")
            sides = "[...document.querySelectorAll('svg, img')].map(each => each.clientWidth)"
            widths = page.value(sides)
            assert len(widths) > 30 and min(widths) > 0 and max(widths) <= width
            # tables scroll in their boxes
            box = "[...document.querySelectorAll('.scroll')]"
            assert page.value(f"{box}.every(each => each.clientWidth <= innerWidth)")
