"""denet.load, predict and denet.train do what the commands do."""

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Command, run_command
from PIL import Image
from small_models import CLASSES, save_classifier, save_detector, save_photos

import denet
from denet.errors import DataError, UsageError
from denet.model.format import save_model
from denet.model.model import Model

HEAVY = ("numpy", "PIL", "scipy", "yaml", "safetensors", "tqdm")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with both models, and photos."""
    directory = tmp_path_factory.mktemp("place")
    save_classifier(directory / "classes.mdl")
    save_detector(directory / "objects.mdl")
    save_photos(directory)
    (directory / "list.txt").write_text("a.png\nb.jpg\nc.png\nd.png\n")
    return directory


@pytest.fixture
def photos(place: Path) -> list[Path]:
    return [place / name for name in ("a.png", "b.jpg", "c.png", "d.png")]


def told(place: Path, *words: str) -> list[dict]:
    """Return what model-predict tells of the photos."""
    model = ["--backend", "numpy", "--format", "jsonl", "--input", "list.txt", *words]
    done = run_command(place, "model-predict", *model)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_import_is_light() -> None:
    program = f"import denet, sys; print([each for each in {HEAVY} if each in sys.modules])"
    words = [sys.executable, "-c", program]
    assert subprocess.check_output(words, cwd=ROOT, text=True) == "[]\n"


def test_classes_are_those_of_the_command(place: Path, photos: list[Path]) -> None:
    model = denet.load(place / "classes.mdl", backend="numpy", batch_size=3)
    assert (model.detects, model.class_labels, model.input_shape) == (False, CLASSES, (3, 24, 24))
    assert "tells 3 classes, input 24x24" in repr(model)
    answers = model.predict(photos)
    wanted = told(place, "--model", "classes.mdl", "--batch-size", "3")
    assert [answer.name for answer in answers] == list(map(str, photos))
    for answer, line in zip(answers, wanted, strict=True):
        classes = [{"class": name, "probability": float(f"{p:.6g}")} for name, p in answer.classes]
        assert classes == line["classes"]
    assert model.predict(photos[0]).classes == answers[0].classes
    assert denet.load(place / "classes.mdl", top=1).predict(photos[0]).classes[0][0] in CLASSES


def test_threads_take_turns(tmp_path: Path, photos: list[Path]) -> None:
    """On a network that takes long enough for them to meet."""
    network = Model.create("C[32,5] A C[32,5] A C[32,5] A P.A R", (3, 96, 96), CLASSES, seed=1)
    network.parameters[7]["weight"][:] = np.random.default_rng(1).normal(size=(3, 32, 1, 1))
    save_model(network, tmp_path / "slow.mdl")
    model = denet.load(tmp_path / "slow.mdl", precision="f32")
    wanted = [model.predict(photo).classes for photo in photos]
    assert len({str(each) for each in wanted}) == len(photos)
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(model.predict, 10 * photos)
    assert [answer.classes for answer in answers] == 10 * wanted


def test_objects_are_those_of_the_command(place: Path, photos: list[Path]) -> None:
    model = denet.load(place / "objects.mdl", backend="numpy", thread_num=2)
    wanted = told(place, "--model", "objects.mdl", "--predict-mode", "detect")
    found = model.predict(photos)
    assert sum(map(len, found)) == 8
    for objects, line in zip(found, wanted, strict=True):
        rows = zip(objects.labels, objects.scores, objects.boxes, strict=True)
        assert line["detections"] == [
            {
                "class": label,
                "score": float(f"{score:.6g}"),
                "box": [round(float(side), 1) for side in box],
            }
            for label, score, box in rows
        ]
    few = denet.load(place / "objects.mdl", params=["prThreshold=0.99"])
    assert len(few.predict(photos[0])) == 0


@pytest.mark.parametrize("name", ["classes.mdl", "objects.mdl"])
def test_a_picture_may_be_a_path_bytes_an_image_or_an_array(
    name: str, place: Path, photos: list[Path]
) -> None:
    model = denet.load(place / name, backend="numpy")

    def numbers(answer):
        return (
            [list(answer.boxes.ravel()), list(answer.scores)] if model.detects else answer.classes
        )

    for path in (photos[0], photos[3]):
        image = Image.open(path)
        ways = [path, str(path), path.read_bytes(), image, np.asarray(Image.open(path))]
        answers = [numbers(model.predict(way)) for way in ways]
        assert answers == answers[:1] * len(ways)
    turned = [numbers(model.predict(way)) for way in (photos[1], Image.open(photos[1]))]
    assert turned[0] == turned[1]
    pixels = np.asarray(Image.open(photos[0]))
    both = model.predict(np.stack([pixels, pixels]))
    assert [each.name for each in both] == ["picture 1", "picture 2"]
    assert numbers(both[0]) == numbers(both[1]) == numbers(model.predict(photos[0]))
    assert model.predict([]) == []


def test_an_image_stays_as_it_was(place: Path, photos: list[Path]) -> None:
    image = Image.open(photos[1])
    denet.load(place / "classes.mdl").predict(image)
    assert image.size == (60, 40) and image.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    ("picture", "error", "text"),
    [
        (np.zeros((4, 4, 3)), UsageError, r"picture 1: an array \(4, 4, 3\) of float64: give"),
        (np.zeros((4, 4, 4), np.uint8), UsageError, r"an array \(4, 4, 4\) of uint8"),
        (np.zeros((0, 4), np.uint8), UsageError, r"an array \(0, 4\)"),
        ([7], UsageError, "picture 1: int: give a path, an image of Pillow or an array"),
        (b"", DataError, "picture 1: an empty file"),
        (b"nothing", DataError, "picture 1: not an image"),
        ("no such.png", DataError, "no such.png: no such file or directory"),
        (".", DataError, "cannot read the image: .: not a file"),
    ],
)
def test_what_is_no_picture(picture, error: type[Exception], text: str, place: Path) -> None:
    with pytest.raises(error, match=text):
        denet.load(place / "classes.mdl").predict(picture)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"backend": "cuda"}, UsageError, "--backend: must be one of auto, onednn, numpy"),
        ({"top": 0}, UsageError, "--top: must be a whole number from 1"),
        ({"params": ["nms=1"]}, UsageError, "unknown name 'nms'"),
        ({"params": ["nmsThreshold=1"]}, UsageError, "the model detects no objects"),
    ],
)
def test_load_checks_as_the_command(options, error, text: str, place: Path) -> None:
    with pytest.raises(error, match=text):
        denet.load(place / "classes.mdl", **options)


def test_a_file_that_is_no_model(place: Path) -> None:
    with pytest.raises(DataError, match="none.mdl"):
        denet.load(place / "none.mdl")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a directory with dark and light pictures in train and test."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name, low in (("dark", 0), ("light", 128)):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(6):
                pixels = rng.integers(low, low + 128, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{index}.png")
    return tmp_path


def test_train_gives_the_file_of_the_command(
    data: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    monkeypatch.chdir(data)
    log = logging.getLogger("denet")
    before = log.level, log.handlers[:]
    run = denet.train(
        backend="numpy",
        train=Path("train"),
        test="test",
        extension="png",
        model_desc="C[4,3] BN A P.A R",
        distort_mode=["m50"],
        learn_rate=0.05,
        learn_anneal=0.5,
        learn_anneal_epochs=[1],
        augment_mirror=False,
        minutes=None,
        epochs=2,
        batch_size=5,
        output_prefix="here/a",
    )
    out, err = capfd.readouterr()
    assert out == "" and "epoch 2/2" in err
    assert (log.level, log.handlers) == before
    words = "--backend numpy --train train --test test --extension png --distort-mode m50 "
    words += (
        "--learn-rate 0.05 --learn-anneal 0.5 --learn-anneal-epochs 1 --epochs 2 --batch-size 5 "
    )
    words += "--model-desc C[4,3] BN A P.A R --output-prefix there/a"
    done = command("model-train", *words.split())
    assert done.returncode == 0 and done.stdout == f"{data / 'there'}\n", done.stderr
    there = data / "there" / "a_epoch002_final.mdl"
    assert run.final.read_bytes() == there.read_bytes()
    assert run.best is not None and run.directory == data / "here"
    assert [row["epoch"] for row in run.metrics] == [1, 2]
    assert run.metrics[1]["train_error"] is None
    answer = run.model.predict(data / "test" / "dark" / "0.png")
    assert answer.classes == denet.load(run.best).predict(data / "test" / "dark" / "0.png").classes

    with pytest.raises(UsageError, match="--overwrite"):
        denet.train(train="train", extension="png", output_prefix="here/a")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"learn_rat": 1}, r"unknown option 'learn_rat' \(did you mean 'learn_rate'\?\)"),
        ({"learn-rate": 1}, "unknown option 'learn-rate'"),
        ({"learn_rate": "fast"}, "--learn-rate: must be a number"),
        ({"resume": "maybe"}, "resume: must be true or false"),
        ({"solver": "adm"}, "--solver: must be one of .*did you mean 'adam'"),
        ({"epochs": True}, "--epochs: must be a whole number"),
        ({}, "--train is missing"),
        ({"skip_train": True}, "skip_train: it leaves no run"),
        ({"train": "x", "dry_run": True}, "dry_run: it leaves no run"),
        ({"epochs": 2, "minutes": 1}, "--minutes: together with --epochs"),
        ({"config": "none.yaml"}, "cannot read the configuration: none.yaml"),
    ],
)
def test_train_checks_as_the_command(
    options, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=text):
        denet.train(**options)
    assert not list(tmp_path.iterdir())


def test_the_example(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "notebook.py")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *epochs, network, file, image, array, several = done.stdout.splitlines()
    assert len(epochs) == 8 and "tells 3 classes" in network
    assert file.startswith("[('disc', ")
    assert image == array and image.startswith("[('square', ")
    assert several == "['bar', 'disc']"
