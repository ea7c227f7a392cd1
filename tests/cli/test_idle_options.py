"""Options beside others, data or a model with which they can do nothing: refused, or told."""

from pathlib import Path

import pytest
from cli.commands import run_here
from PIL import Image
from small_models import save_detector

from denet.model.format import load_model, save_model
from denet.model.model import Model

CLASSES, OBJECTS = "model-predict --model classes.mdl", "model-predict --model objects.mdl"
DETECT = f"{OBJECTS} --predict-mode detect --input a.png"
INFO = "model-info --model-desc C[4,3] R"
TRAIN = "model-train --backend numpy --precision f32 --extension png --output-prefix run/m"
TRAIN += " --overwrite --epochs 1"
MULTI = TRAIN.replace("model-train", "model-train-multi --timeout 9")

# what is typed: the option that is refused, and why
REFUSED = {
    f"{DETECT} --top 3": "--top: it is for the classes of whole images",
    f"{DETECT} --truth list.txt": "--truth: it is for the classes of whole images",
    f"{DETECT} --format ccv": "--format: ccv is for the classes of whole images",
    f"{DETECT} --params matchIOU=0.7": "--params: matchIOU: it is for what detect,voc and",
    f"{DETECT} --frame-step 2": "--frame-step: there is no video in the input",
    f"{CLASSES} --input a.png --frame-step 2": "--frame-step: there is no video in the input",
    f"{CLASSES} --input set --frame-step 2": "--frame-step: a labelled dataset has no videos",
    f"{CLASSES} --input set --top 2": "--top: only the errors are told where the true classes",
    f"{CLASSES} --input a.png --predict-mode segment --top 2": "--top: --predict-mode segment",
    f"{INFO} --thread-num 2": "--thread-num: it is for --data",
    f"{INFO} --extension png": "--extension: it is for --data",
    f"{INFO} --json": "--json: it is a form of --data or --env",
    f"{INFO} --markdown": "--markdown: it is a form of --layers",
    "model-info --data set --batch-size 2": "--batch-size: it is of a network, and --data tells",
    "model-info --data set --image-size 8 8": "--image-size: it is of a network, and --data",
    "model-bench --mode predict --recompute cheap": "--recompute: --mode predict keeps nothing",
    "model-info --data set --layers": "--data: together with --layers: ask for one of the two",
    "model-info --data set --env": "--data: together with --env: ask for one of the two",
    "model-info --env --class-num 2": "--class-num: it is of a network, and --env tells of none",
    "model-report run --no-evaluate --precision f32": "--precision: with --no-evaluate no data",
    "model-report run --no-evaluate --thread-num 2": "--thread-num: with --no-evaluate no data",
    f"{TRAIN} --train set --learn-decay-all": "--learn-decay-all: without --learn-decay",
    f"{TRAIN} --train set --layer-decays C=2": "--layer-decays: without --learn-decay",
}
# likewise of a model-serve whose address is that of its model
SERVED = {
    "objects.mdl --top 3": "--top: it is for classifiers, and the model detects objects",
    "objects.mdl --params matchIOU=0.7": "--params: matchIOU is for a dataset that knows its",
    "classes.mdl --params cornerMax=7": "--params: it is for detectors, and the model detects no",
}
# what is typed: a line of the log
TOLD = {
    "model-modify --input classes.mdl --output b.mdl --merge": "--merge: the model is so already",
    "model-modify --input classes.mdl --output b.mdl --use-cudnn-pool": "--use-cudnn-pool: the mo",
    "model-modify --input plain.mdl --output b.mdl --convert-bn-relu": "--convert-bn-relu: the mo",
    "model-modify --input plain.mdl --output b.mdl --class-num 4 --border-mode full": (
        "--border-mode: no effect: there are no new layers"
    ),
    f"{TRAIN} --train set --model classes.mdl --border-mode half --activation tanh": (
        "--border-mode, --activation: no effect: the network is that of --model"
    ),
    f"{TRAIN} --skip-train --model classes.mdl --test set --learn-rate 2 --dry-run": (
        "--learn-rate, --dry-run: no effect: --skip-train trains nothing"
    ),
    f"{MULTI} --train set --model-desc C[4,3] R --sync-bn --wire bf16": (
        "--sync-bn, --wire, --timeout: no effect: one rank exchanges nothing"
    ),
    f"{CLASSES} --input a.png --extension jpg": "--extension jpg: no effect: a.png is no labelled",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a classifier, one without batch norm, a detector and a set."""
    directory = tmp_path_factory.mktemp("idle")
    save_detector(directory / "objects.mdl")
    labels = ["ant", "bee", "cat"]
    for name, text in (("classes", "C[8,3] BN A P.A R"), ("plain", "C[8,3] A P[2] R")):
        save_model(Model.create(text, (3, 24, 24), labels), directory / f"{name}.mdl")
    Image.new("RGB", (24, 24), "red").save(directory / "a.png")
    for label in labels:
        (directory / "set" / label).mkdir(parents=True)
        Image.new("RGB", (24, 24), "blue").save(directory / "set" / label / "b.png")
    return directory


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.delenv("GPU", raising=False)


@pytest.mark.parametrize("line", REFUSED)
def test_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(*line.split()) == 2
    assert f"error: {REFUSED[line]}" in capsys.readouterr().err


@pytest.mark.parametrize("words", SERVED)
def test_refused_by_the_service(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    assert run_here(*f"model-serve --port 0 --model {words}".split()) == 2
    assert f"error: {SERVED[words]}" in capsys.readouterr().err


@pytest.mark.parametrize("line", TOLD)
def test_told(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(*line.split()) == 0
    assert TOLD[line] in capsys.readouterr().err


def test_a_change_is_not_told_as_none(capsys: pytest.CaptureFixture[str]) -> None:
    """The classifier has one BN before a ReLU, which becomes BNA."""
    line = "model-modify --input classes.mdl --output b.mdl --convert-bn-relu"
    assert run_here(*line.split()) == 0
    assert load_model("b.mdl").text() == "C[8,3] BNA P.A R"
    assert "nothing changed" not in capsys.readouterr().err
