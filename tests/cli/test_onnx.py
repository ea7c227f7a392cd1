"""model-modify writes .onnx files, and what others do with them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_voc
from cli.test_missing import without
from conftest import ROOT, Command
from model.onnx_files import drawn
from PIL import Image

from denet.cli.modify import main
from denet.model.format import save_model
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing
from denet.tolerance import TOLERANCE

AS_IN_THE_FILE = ("--model", "m.mdl", "--precision", "f32")
DETECTOR = "C[8,3,2] A DNC.C[8] DNS[3,6,0.3,0,1] DND[0.5,1,1]"


def saved(directory: Path, text: str = "C[4,3] A R", **settings) -> Path:
    """Save a model of 12x16 pixels; return its path."""
    own = Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    save_model(drawn(text, (3, 12, 16), 3, own, **settings), directory / "m.mdl")
    return directory / "m.mdl"


def test_a_file_tells_what_it_takes_and_gives(tmp_path: Path, command: Command) -> None:
    saved(tmp_path)
    words = "--input m.mdl --output net.onnx --onnx-input uint8,nhwc --onnx-batch-norm"
    done = command("model-modify", *words.split())
    assert done.returncode == 0, done.stderr
    assert "computes the same in batches of 1 and 3" in done.stderr
    file = onnx.load(tmp_path / "net.onnx")
    told = {each.key: each.value for each in file.metadata_props}
    assert json.loads(told["class_labels"]) == ["name 0", "name 1", "name 2"]
    assert json.loads(told["input_shape"]) == [12, 16, 3]
    assert (told["layout"], told["pixels"]) == ("nhwc", "uint8 from 0 to 255, RGB")
    assert told["network"] == "C[4,3] A R"
    (images,), (probabilities,) = file.graph.input, file.graph.output
    sizes = [each.dim_param or each.dim_value for each in images.type.tensor_type.shape.dim]
    assert sizes == ["n", 12, 16, 3] and probabilities.name == "probabilities"
    assert [(each.domain, each.version) for each in file.opset_import] == [("", 18)]


def test_nothing_is_left_of_a_file_that_gives_other_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is the one that was there touched."""
    saved(tmp_path)
    (tmp_path / "net.onnx").write_text("of before")
    monkeypatch.setitem(TOLERANCE, "network", -1.0)
    code = main(["--input", str(tmp_path / "m.mdl"), "--output", str(tmp_path / "net.onnx")])
    assert code == 1
    assert "computes something else than this program: 3.class-conv" in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.mdl", "net.onnx"]
    assert (tmp_path / "net.onnx").read_text() == "of before"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--output x.mdl --onnx-input uint8,nchw", "--onnx-input: x.mdl: it is for an .onnx file"),
        ("--output x.mdl --int8 photos", "--int8: x.mdl: it is for an .onnx file"),
        ("--output x.onnx --extension jpg", "--extension: without --int8 no data is read"),
        ("--output x.onnx --on-bad-data skip", "--on-bad-data: without --int8 no data is read"),
        ("--output x.onnx --half", "--half: x.onnx: only .sqlite3 holds 16-bit floats"),
        ("--output x.onnx --int8 d --onnx-batch-norm", "8 bits need it folded"),
        ("--output x.onnx --params prThreshold=0.1", "--params: the model detects no objects"),
        ("--output x.onnx --params useSoftNMS=1", "--params: the model detects no objects"),
        ("--output x.onnx --onnx-input int8", "float32,nchw"),
        ("--output x.onnx --layer-remove 1", "neither class probabilities nor boxes"),
    ],
)
def test_options_that_do_not_fit(words: str, told: str, tmp_path: Path, command: Command) -> None:
    saved(tmp_path)
    done = command("model-modify", "--input", "m.mdl", "--image-size", "16", "12", *words.split())
    assert done.returncode == 2 and told in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["m.mdl"]


def test_params_that_no_file_can_do(tmp_path: Path, command: Command) -> None:
    saved(tmp_path, DETECTOR)
    for name in ("useSoftNMS=1", "matchIOU=0.7"):
        done = command("model-modify", "--input", "m.mdl", "--output", "x.onnx", "--params", name)
        assert done.returncode == 2 and "an .onnx file cannot do it" in done.stderr


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_without_the_libraries_it_says_what_to_install(
    library: str, tmp_path: Path, command: Command
) -> None:
    saved(tmp_path)
    words = ("--input", "m.mdl", "--output", "x.onnx")
    done = command("model-modify", *words, env=without(library, tmp_path))
    assert done.returncode == 2 and not (tmp_path / "x.onnx").exists()
    assert "pip install onnx onnxruntime" in done.stderr


def asked(directory: Path, *words: str) -> list[str]:
    """Return the lines of the example."""
    program = [sys.executable, str(ROOT / "examples" / "onnx_predict.py"), *words]
    done = subprocess.run(program, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_example_says_what_model_predict_says_of_classes(
    tmp_path: Path, command: Command
) -> None:
    """Of a picture as large as the input, and of a JPEG decoded at a quarter of its size."""
    saved(tmp_path)
    assert command("model-modify", "--input", "m.mdl", "--output", "net.onnx").returncode == 0
    save_image(tmp_path / "p.png", size=(16, 12))
    noise = np.random.default_rng(0).integers(0, 256, (144, 160, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "p.jpg")
    done = command("model-predict", *AS_IN_THE_FILE, "--input", "p.png", "p.jpg")
    assert asked(tmp_path, "net.onnx", "p.png", "p.jpg") == done.stdout.splitlines()


def test_the_example_makes_grey_of_colours_as_model_predict_does(
    tmp_path: Path, command: Command
) -> None:
    """Once they have the size of the input."""
    own = Preprocessing((0.5,), (0.25,))
    save_model(drawn("C[4,3] A R", (1, 12, 16), 3, own), tmp_path / "m.mdl")
    assert command("model-modify", "--input", "m.mdl", "--output", "net.onnx").returncode == 0
    names = [f"{number}.png" for number in range(8)]
    for noise, name in zip(
        np.random.default_rng(0).integers(0, 256, (8, 31, 23, 3)), names, strict=True
    ):
        Image.fromarray(noise.astype(np.uint8)).save(tmp_path / name)
    done = command("model-predict", *AS_IN_THE_FILE, "--input", *names)
    assert asked(tmp_path, "net.onnx", *names) == done.stdout.splitlines()


def test_the_example_reads_16_bits_as_model_predict_does(tmp_path: Path, command: Command) -> None:
    saved(tmp_path)
    assert command("model-modify", "--input", "m.mdl", "--output", "net.onnx").returncode == 0
    grey = np.random.default_rng(0).integers(0, 1 << 16, (12, 16), np.uint16)
    Image.fromarray(grey).save(tmp_path / "p.png")
    done = command("model-predict", *AS_IN_THE_FILE, "--input", "p.png")
    assert asked(tmp_path, "net.onnx", "p.png") == done.stdout.splitlines()


def test_the_example_says_what_model_predict_says_of_objects(
    tmp_path: Path, command: Command
) -> None:
    """Of a large photo that is higher than wide: its width in the input, 3.4, is rounded up."""
    saved(tmp_path, DETECTOR, seed=3)
    assert command("model-modify", "--input", "m.mdl", "--output", "net.onnx").returncode == 0
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (53, 15, 3), np.uint8)).save(tmp_path / "p.png")
    words = "--predict-mode detect --input p.png --format jsonl"
    done = command("model-predict", *AS_IN_THE_FILE, *words.split())
    expected = json.loads(done.stdout)["detections"]
    found = [
        line.removeprefix("p.png: name ").split()
        for line in asked(tmp_path, "net.onnx", "p.png", "--min-score", "0")
    ]
    assert len(found) > 5
    told = sorted((int(name), *map(float, box)) for name, _, *box in found)
    known = sorted((int(each["class"].split()[1]), *each["box"]) for each in expected)
    np.testing.assert_allclose(told, known, atol=0.1)


def coloured(directory: Path, name: str = "set", suffix: str = "png") -> Model:
    """Draw a set of red, green and blue pictures; return a model that knows them by its weights."""
    rng = np.random.default_rng(0)
    names = ("blue", "green", "red")
    for index, colour in enumerate(names):
        folder = directory / name / colour
        folder.mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 200, (12, 16, 3), np.uint8)
            pixels[..., 2 - index] += 55
            Image.fromarray(pixels).save(folder / f"{number}.{suffix}")
    model = Model.create("C[3,1] A P.A R", (3, 12, 16), names)
    model.parameters[0]["weight"][:] = np.eye(3)[:, ::-1, None, None]
    model.parameters[-2]["weight"][:] = 40 * np.eye(3)[..., None, None]
    return model


def test_8_bits_tell_the_errors_before_and_after(tmp_path: Path, command: Command) -> None:
    save_model(coloured(tmp_path), tmp_path / "m.mdl")
    words = "--input m.mdl --output net.onnx --int8 set --extension png"
    done = command("model-modify", *words.split())
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.splitlines()
    assert before.startswith("float32: top-1 error 0.000%")
    assert after.startswith("int8: top-1 error 0.000%")
    assert "Warning" not in done.stderr and "INFO" not in done.stderr
    file = onnx.load(tmp_path / "net.onnx")
    weights = {each.name: each.data_type for each in file.graph.initializer}
    assert weights["1.conv.weight_quantized"] == onnx.TensorProto.INT8
    assert weights["4.class-conv.weight"] == onnx.TensorProto.FLOAT  # what answers stays exact
    assert json.loads(
        next(each.value for each in file.metadata_props if each.key == "class_labels")
    )
    assert asked(tmp_path, "net.onnx", "set/red/0.png")[0].startswith("set/red/0.png: red ")


def test_8_bits_of_a_detector(tmp_path: Path, command: Command) -> None:
    saved(tmp_path, DETECTOR)
    photo = voc_xml(object_xml("name 1", (4, 2, 9, 8)), size=(16, 12))
    write_voc(tmp_path / "photos", {"train": photo}, "train", (16, 12))
    words = "--input m.mdl --output net.onnx --int8 photos --extension voc,train,crop=16x12"
    done = command("model-modify", *words.split())
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.splitlines()
    assert before.startswith("float32: mean AP ") and after.startswith("int8: mean AP ")


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    """All commands of docs/onnx.md but pip, on small networks."""
    page = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "some").mkdir()
    save_image(tmp_path / "some" / "photo.jpg")
    save_model(drawn(DETECTOR, (3, 12, 16), 3), tmp_path / "run" / "cells_best.mdl")
    save_model(coloured(tmp_path, "CIFAR10/test", "jpg"), tmp_path / "run" / "cifar_best.mdl")
    lines = [line.split() for line in page.splitlines() if line.startswith("    ")]
    programs = [words[0] for words in lines]
    assert programs == ["pip", *["model-modify"] * 2, "python", *["model-modify"] * 2]
    for name, *words in lines[1:]:
        file = ROOT / words.pop(0) if name == "python" else ROOT / "bin" / name
        done = subprocess.run(
            [sys.executable, file, *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, (words, done.stderr)
