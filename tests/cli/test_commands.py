"""The commands one after the other, as real processes on a small dataset."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, Command, run_command
from PIL import Image

from denet.model.format import load_model

SETS = ["--backend", "numpy", "--train", "train", "--test", "test", "--ext", "png"]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two epochs on images that a glance tells apart: dark and light ones."""
    directory = tmp_path_factory.mktemp("first")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, low in (("dark", 0), ("light", 128)):
            folder = directory / split / name
            folder.mkdir(parents=True)
            for index in range(8):
                pixels = rng.integers(low, low + 128, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    options = ["--epochs", 2, "--batch-size", 4, "--output-prefix", "run/a"]
    desc = ["--model-desc", "C[4,3]", "BN", "A", "P.A", "R"]
    done = run_command(directory, "model-train", *SETS, *desc, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{directory / 'run'}\n"
    return directory


@pytest.fixture
def trained(first_run: Path, tmp_path: Path) -> Path:
    """Return the empty directory of the test, with a copy of the first run in it."""
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_training_leaves_its_files(trained: Path, command: Command) -> None:
    names = {path.name for path in (trained / "run").iterdir()}
    assert names >= {"a_epoch001.mdl", "a_epoch002_final.mdl", "a_best.mdl", "a_epoch002.test"}
    assert names >= {"a_run.yaml", "a_metrics.csv", "a_log.txt"}
    record = yaml.safe_load((trained / "run" / "a_run.yaml").read_text())
    assert (record["model-desc"], record["batch-size"]) == ("C[4,3] BN A P.A R", 4)
    assert (record["backend"], record["precision"]) == ("numpy", "f32")
    log = (trained / "run" / "a_log.txt").read_text()
    assert "16 images" in log and "epoch 2/2" in log

    again = ["--config", "run/a_run.yaml", "--output-prefix", "again/a"]
    assert command("model-train", *again).returncode == 0
    first, second = (trained / name / "a_epoch002_final.mdl" for name in ("run", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_skip_train_tells_the_error_of_the_test_file(trained: Path, command: Command) -> None:
    model = ["--skip-train", "--model", "run/a_epoch002_final.mdl"]
    done = command("model-train", *SETS, *model)
    assert done.stdout == (trained / "run" / "a_epoch002.test").read_text()


def test_predict_in_every_format(trained: Path, command: Command) -> None:
    words = ["--backend", "numpy", "--model", "run/a_best.mdl", "--input"]
    errors = command("model-predict", *words, "test").stdout.splitlines()
    assert len(errors) == 2 and errors[1] == "top-5 error 0.000%"
    text = command("model-predict", *words, "test", "--format", "text").stdout.splitlines()
    assert len(text) == 16
    # the same images without known classes: a list of files
    images = [line.split(": ")[0] for line in text]
    (trained / "list.txt").write_text("\n".join(images))
    lines = command("model-predict", *words, "list.txt", "--format", "jsonl").stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert [each["image"] for each in told] == images
    piped = command("model-predict", *words, "-", "--format", "jsonl", stdin="\n".join(images))
    assert piped.stdout.splitlines() == lines
    nothing = command("model-predict", *words, "-", stdin="\n \n")
    assert nothing.returncode == 3 and "no images are listed on standard input" in nothing.stderr
    probabilities = [[c["probability"] for c in each["classes"]] for each in told]
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-5)
    wrong = sum(each["classes"][0]["class"] not in each["image"] for each in told)
    assert errors[0] == f"top-1 error {100 * wrong / 16:.3f}%"
    done = command("model-predict", *words, "test", "--format", "csv", "--top", 1, "--results", "r")
    rows = list(csv.DictReader((trained / "r").read_text().splitlines()))
    assert [row["class_1"] for row in rows] == [each["classes"][0]["class"] for each in told]
    assert done.stdout.splitlines() == errors


def test_predict_goes_on_after_a_bad_image(trained: Path, command: Command) -> None:
    (trained / "test" / "dark" / "bad.png").write_bytes(b"nothing")
    words = ["--backend", "numpy", "--model", "run/a_best.mdl", "--input", "test/dark"]
    done = command("model-predict", *words)
    assert done.returncode == 3 and len(done.stdout.splitlines()) == 8
    assert "bad.png: not an image (1 of 9 cannot be read)" in done.stderr


def test_predict_leaves_out_what_is_hidden(trained: Path, command: Command) -> None:
    (trained / "test" / ".cache").mkdir()
    shutil.copy(trained / "test" / "dark" / "0.png", trained / "test" / ".cache")
    (trained / "test" / "dark" / "._0.png").write_bytes(b"nothing")
    words = ["--backend", "numpy", "--model", "run/a_best.mdl", "--input"]
    loose = command("model-predict", *words, "test/dark")
    assert (loose.returncode, len(loose.stdout.splitlines())) == (0, 8)
    assert command("model-predict", *words, "test").stdout.startswith("top-1 error ")

    (trained / "test" / "odd").mkdir()
    known = command("model-predict", *words, "test")
    assert len(known.stdout.splitlines()) == 16
    assert "true classes not known: class 'odd' is not one of the 2 classes of the" in known.stderr


def test_names_that_are_no_text(trained: Path, command: Command) -> None:
    folder = trained / "odd"
    folder.mkdir()
    for name in ("a\nb.png", "\udcff.png"):
        shutil.copy(trained / "test" / "dark" / "0.png", folder / name)
    words = ["--backend", "numpy", "--model", "run/a_best.mdl", "--input", "odd"]
    env = {"PYTHONIOENCODING": "ascii"}
    shown = command("model-predict", *words, "--format", "csv", env=env)
    assert shown.returncode == 0, shown.stderr
    rows = list(csv.DictReader(shown.stdout.splitlines()))
    assert [row["image"] for row in rows] == ["odd/a\\nb.png", "odd/\\udcff.png"]
    assert command("model-predict", *words, "--format", "csv", "--results", "r").returncode == 0
    assert (trained / "r").read_text() == shown.stdout


def test_a_model_goes_on_with_other_classes(trained: Path, command: Command) -> None:
    for split in ("train", "test"):
        (trained / split / "dark").rename(trained / split / "night")
    again = ["--epochs", 1, "--output-prefix", "other/a", "--model"]
    assert command("model-train", *SETS, *again, "run/a_best.mdl").returncode == 3
    words = ["--input", "run/a_best.mdl", "--output", "b.mdl", "--class-num", 2]
    assert command("model-modify", *words).returncode == 0
    assert command("model-train", *SETS, *again, "b.mdl").returncode == 0
    assert load_model(trained / "other" / "a_best.mdl").class_labels == ["light", "night"]


def test_classes_taken_by_position_are_told(trained: Path, command: Command) -> None:
    (trained / "train/dark").rename(trained / "train/night")
    options = ["--epochs", 1, "--output-prefix", "run/b", "--overwrite"]
    sets = ["--backend", "numpy", "--train", "train", "--ext", "png"]
    done = command("model-train", *sets, "--model", "run/a_best.mdl", "--init-partial", *options)
    assert done.returncode == 0, done.stderr
    assert "its classes have other names: the last layer is taken by their position" in done.stderr


def test_predict_draws_one_image(trained: Path, command: Command) -> None:
    words = ["--backend", "numpy", "--model", "run/a_best.mdl", "--input", "test/dark/0.png"]
    assert command("model-predict", *words, "--draw", "d.png").returncode == 0
    with Image.open(trained / "d.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 100


def test_modify_in_the_order_of_2017(trained: Path, command: Command) -> None:
    done = command(
        "model-modify",
        *("--input", "run/a_best.mdl", "--output", "b.mdl.gz"),
        *("--class-num", 3, "--image-size", 20, 10, "--convert-bn-relu"),
        *("--modify-bn", 1, 0.8, "1e-4", "--layer-remove", 2),
        *("--layer-insert", "1:B[2]", "3:SPLIT", "--layer-append", "D[0.3]", "R"),
    )
    assert done.returncode == 0, done.stderr
    model = load_model(trained / "b.mdl.gz")
    assert model.text() == "B[2] C[4,3] SPLIT BNA[0.8,0.0001] P.A D[0.3] R"
    assert model.input_shape == (3, 10, 20)
    assert model.class_labels == ["class 1", "class 2", "class 3"]
    source = load_model(trained / "run" / "a_best.mdl")
    np.testing.assert_array_equal(model.parameters[1]["weight"], source.parameters[0]["weight"])


def test_modify_without_changes_converts(trained: Path, command: Command) -> None:
    words = ["--input", "run/a_best.mdl", "--output", "copy.mdl.gz"]
    assert command("model-modify", *words).returncode == 0
    assert load_model(trained / "copy.mdl.gz").text() == "C[4,3] BN A P.A R"


def test_info_tells_shapes_and_parameters(command: Command) -> None:
    desc = ["--model-desc", "C.B[64,7,2] BN A P[3,2,1] P.A R", "--border-mode", "half"]
    done = command("model-info", *desc, "--image-size", 224, 224, "--class-num", 1000)
    rows = [line.split() for line in done.stdout.splitlines()]
    # 64 * 3 * 7 * 7 weights; 224 -> 112 by stride 2
    assert rows[2][:5] == ["1", "conv", "C.B[64,7,2]", "64x112x112", "9,408"]
    assert rows[2][5] == f"{2 * 9408 * 112 * 112 / 1e6:.2f}"
    assert rows[3][:5] == ["2", "batchnorm", "BN", "64x112x112", "128"]
    assert rows[5][3] == "64x56x56"


def test_info_tells_layers_and_environment(command: Command) -> None:
    layers = command("model-info", "--layers").stdout
    title = "\nC[filters, size=1, stride=1, groups=1, bias_start=0]\n    Convolution: "
    assert title in layers and "`" not in layers
    assert max(map(len, layers.splitlines())) <= 100
    assert "\n## `C[" in command("model-info", "--layers", "--markdown").stdout
    for level in ("1", "2"):  # Python -O and -OO
        done = command("model-info", "--layers", env={"PYTHONOPTIMIZE": level})
        assert done.stdout == (layers if level == "1" else "")
    assert (done.returncode, "PYTHONOPTIMIZE" in done.stderr) == (2, True)
    assert command("model-info", "--markdown").returncode == 2
    env = command("model-info", "--env", env={"GPU": "0"}).stdout
    assert "python " in env and "backend " in env and "numpy " in env


@pytest.mark.parametrize("mode", ["train", "predict"])
def test_bench_tells_json(mode: str, command: Command) -> None:
    words = ["--backend", "numpy", "--mode", mode, "--steps", 2, "--batch-size", 2, "--json"]
    desc = ["--model-desc", "C[8,3] BN A P.A R", "--image-size", 12, 10, "--class-num", 4]
    done = command("model-bench", *words, *desc)
    result = json.loads(done.stdout)
    convolution = 2 * 8 * 27 * 8 * 10
    classes = 2 * 8 * 4
    assert result["flops_per_image"] == pytest.approx(convolution + classes, abs=200)
    assert result["parameters"] == 8 * 27 + 8 + 2 * 8 + 8 * 4
    for key in ("images_per_second", "ms_per_step", "peak_memory_mb", "build_seconds"):
        assert result[key] > 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_training_with_the_model_saved(
    number: signal.Signals, code: int, trained: Path
) -> None:
    words = [*SETS, "--epochs", "100000", "--disable-intermediate", "--output-prefix", "long/a"]
    desc = ["--model-desc", "C[4,3] BN A P.A R"]
    program = [sys.executable, str(ROOT / "bin" / "model-train"), *words, *desc]
    with subprocess.Popen(program, cwd=trained, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "epoch 2/" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait() == code
    assert "Traceback" not in rest and "--resume goes on from" in rest
    assert load_model(trained / "long" / "a.state").text() == desc[1]


def test_without_streams(tmp_path: Path) -> None:
    line = f"'{sys.executable}' '{ROOT}/bin/model-info' --layers >&- 2>&-"
    assert subprocess.run(["bash", "-c", line]).returncode == 0


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    line = f"set -o pipefail; '{sys.executable}' '{ROOT}/bin/model-info' --layers | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
