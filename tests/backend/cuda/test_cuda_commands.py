"""The commands behind GPU=0: as on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from backend.cuda.devices import GPU, shim_alone, unavailable
from PIL import Image

from denet.cli import bench
from denet.model.format import load_model

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

ROOT = Path(__file__).resolve().parents[3]
PATHS = ROOT, ROOT / "tests"
NETWORK = "C.B[8,3,2] BN A C[8,3] A P.A R"
DETECTOR = "C.B[16,3,2] BN A C.B[16,3] BN A DNC[10] DNS[3,6] C[16] A DND[0.5,1,1]"
ON_GPU = GPU or "0"
DEVICES = "", ON_GPU  # what GPU is set to: none first


# where there is no GPU it is the processor that runs a device's kernels
STAND_IN = """
from backend.cuda.host_device import HostDevice
from pathlib import Path
from denet.backend.cuda import cupy_device, tuning
tuning.cache_folder = lambda: Path("cache")
cupy_device.CupyDevice = lambda index: HostDevice()
"""
COMMAND = f"""{"" if GPU else STAND_IN}
import sys
from importlib import import_module
sys.exit(import_module(f"denet.cli.{{sys.argv[1]}}").main(sys.argv[2:]))
"""


@pytest.fixture
def command(tmp_path):
    """Return what runs a command in a folder of photos and returns what it prints."""
    pixels = np.random.default_rng(3).integers(0, 256, (6, 12, 12, 3), np.uint8)
    for number, each in enumerate(pixels):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each).save(path)

    def run(name, gpu, *words):
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, name, *" ".join(words).split(), "--precision", "f32"],
            cwd=tmp_path,
            env={**os.environ, "GPU": gpu, "PYTHONPATH": os.pathsep.join(map(str, PATHS))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    run.folder = tmp_path
    return run


def train_on(command, gpu, *words, network=NETWORK, epochs=2):
    prefix = f"on{gpu}/m"
    command(
        *("train", gpu, *words, f"--epochs {epochs} --batch-size 4 --seed 5 --overwrite"),
        *("--border-mode half --output-prefix", prefix, "--model-desc", network),
    )
    return load_model(command.folder / f"{prefix}_epoch{epochs:03}_final.mdl").values()


def assert_equal_values(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        error = np.linalg.norm(value - other[name])
        assert error <= 2e-3 * np.linalg.norm(other[name]), name


def test_classifiers_are_trained_updated_and_asked(command):
    words = "--train photos --test photos --extension png --disable-intermediate"
    host, device = (train_on(command, gpu, words) for gpu in DEVICES)
    assert_equal_values(device, host)
    answers, statistics = [], []
    for gpu in DEVICES:
        model = "--model on/m_epoch002_final.mdl --input photos --extension png"
        command("update_bn", gpu, model, f"--output bn{gpu}.mdl --batch-size 4")
        statistics.append(load_model(command.folder / f"bn{gpu}.mdl").values())
        told = command("predict", gpu, "--model bn.mdl --input photos/a --format jsonl").stdout
        answers.append([json.loads(line) for line in told.splitlines()])
    assert_equal_values(*statistics)
    for one, other in zip(*answers, strict=True):
        assert one == approximately(other)


def test_a_training_goes_on_where_another_backend_stopped(command):
    """GPU=0 is enough for it: what the record says of the CPU was not asked for."""
    words = "--train photos --extension png --disable-intermediate"
    straight = train_on(command, "", words, epochs=3)
    command(
        *("train", "", words, "--epochs 1 --batch-size 4 --seed 5 --border-mode half"),
        *("--output-prefix between/m --model-desc", NETWORK),
    )
    for epochs, gpu in (2, ON_GPU), (3, ""):
        told = command("train", gpu, f"--resume --output-prefix between/m --epochs {epochs}")
        assert ("backend: a GPU instead of" in told.stderr) == bool(gpu)
        assert ("instead of a GPU from here on" in told.stderr) == (not gpu)
    mixed = load_model(command.folder / "between/m_epoch003_final.mdl").values()
    assert_equal_values(mixed, straight)


def test_detectors_are_trained_and_asked(command):
    boxes = {"cat": (4, 6, 20, 25), "dog": (15, 3, 30, 12)}
    xml = voc_xml(*(object_xml(*each) for each in boxes.items()), size=(32, 32))
    write_voc(command.folder / "set", {f"{n:03}": xml for n in range(6)}, size=(32, 32))
    for photo in (command.folder / "set/JPEGImages").iterdir():
        picture = Image.new("RGB", (32, 32))
        for name, box in boxes.items():
            picture.paste({"cat": "red", "dog": "green"}[name], box)
        picture.save(photo)
    words = "--train set --extension voc,train,crop=32 --disable-intermediate"
    host, device = (train_on(command, gpu, words, network=DETECTOR) for gpu in DEVICES)
    assert_equal_values(device, host)
    train_on(command, "", words, "--learn-rate 0.3", network=DETECTOR, epochs=60)
    found = []
    for gpu in DEVICES:
        told = command(
            *("predict", gpu, "--model on/m_epoch060_final.mdl --predict-mode detect"),
            "--input set/JPEGImages --format jsonl --params prThreshold=0.01",
        ).stdout
        found.append([json.loads(line) for line in told.splitlines()])
    assert len(found[0]) == 6 and all(len(each["detections"]) > 1 for each in found[0])
    assert found[0] == approximately(found[1])


def approximately(value):
    """Return what equals a nested value whose numbers are about these."""
    if isinstance(value, dict):
        return {key: approximately(each) for key, each in value.items()}
    if isinstance(value, list):
        return [approximately(each) for each in value]
    return pytest.approx(value, abs=2e-3) if isinstance(value, float) else value


@pytest.mark.parametrize("mode", ["train", "predict"])
def test_steps_are_measured(command, mode):
    told = command(
        *("bench", ON_GPU, "--json --batch-size 2 --steps 2 --image-size 12 12 --class-num 3"),
        *("--border-mode half --mode", mode, "--model-desc", NETWORK),
    )
    result = json.loads(told.stdout)
    assert result["backend"] == "cuda" and result["images_per_second"] > 0
    assert any(kind.startswith("Conv") for kind in result["ms_by_kind"])


MEASURED = "--batch-size 2 --steps 1 --image-size 6 6 --class-num 3 --border-mode half"
DEEP = "C.B[32,3] BN A C.B[32,3,2] P.A R"


@shim_alone
def test_convolutions_are_tuned_before_steps_are_measured(command):
    words = MEASURED, "--tune --model-desc", DEEP
    result = json.loads(command("bench", "0", "--json", *words).stdout)
    (path,) = (command.folder / "cache").iterdir()
    table = json.loads(path.read_text())
    assert path.name == "a-processor-in-the-place-of-a-GPU-9.0-4.json"
    assert table["compiler"] == "g++" and table["convolutions"] == {
        row["product"]: row["best"] for row in result["tuned"]
    }
    assert any(row["best"] != row["formula"] for row in result["tuned"])
    assert result["backend"] == "cuda" and result["steps"] == 1
    path.write_text("{}")
    told = command("bench", "0", *words)
    assert (
        f"tuned convolutions: {Path('cache', path.name)}: not a table of format 1: it is replaced"
        in told.stderr
    )
    assert json.loads(path.read_text())["convolutions"] == table["convolutions"]
    head, *rows = told.stdout.split("\n\n")[0].splitlines()
    assert " ".join(head.split()) == "formula, us best, us gain convolution: formula's, best"
    assert len(rows) == len(result["tuned"])
    assert rows[0].split()[3:6] == ["correlate", "exact", "float"]


def test_the_cpu_has_nothing_to_tune(capsys, monkeypatch):
    monkeypatch.setenv("GPU", "")
    assert bench.main([*MEASURED.split(), "--tune", "--model-desc", *DEEP.split()]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: --tune: the CPU has no variants")
    assert err.count("\n") == 1
