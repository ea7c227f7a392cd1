"""Every mistake ends in one line that tells what, where and how to mend it, and in its code."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

from denet.model import surgery
from denet.model.format import load_model, save_model
from denet.model.model import Model


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Lay out a small dataset, whose classes have the same images, models, and faulty files."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(3):
                pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "typo.yaml").write_text("seed: 1\nepocs: 3\n")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "broken.mdl").write_bytes(b"not a model")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model_epoch001.mdl").write_bytes(b"")
    save_model(Model.create("P.A R", (3, 8, 8), ["cat", "dog"]), tmp_path / "good.mdl")
    (tmp_path / "list.txt").write_text("broken.png\nnone.png\n")
    for name in ("cat", "dog"):
        folder = tmp_path / "grey" / name
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "0.png")
    good = load_model(tmp_path / "good.mdl")
    save_model(surgery.remove(good, 2), tmp_path / "headless.mdl")
    save_model(surgery.set_class_num(good, 3), tmp_path / "nameless.mdl")
    save_model(Model.create("P.A R", (3, 8, 8), ["cat", "cow"]), tmp_path / "cows.mdl")
    return tmp_path


TRAIN = "model-train --backend numpy --quiet --model-desc P.A R --train train --test test --ext png"
ALONE = "model-train --backend numpy --quiet --model-desc P.A R --train train --ext png"
ABSENT = "model-train --backend numpy --quiet --model-desc P.A R --train nowhere"
PREDICT = "model-predict --model good.mdl --input"
DEEP = "--model-desc C[8] C[8] C[8] C[8] R"

# command line, environment, exit code, words on stderr
CASES = [
    ("model-train --epocs 3", {}, 2, "unknown option '--epocs' (did you mean '--epochs'?)"),
    ("model-train", {}, 2, "--train is missing"),
    ("model-train --model good.mdl --test test", {}, 2, "--skip-train to only test --model on"),
    (
        "model-train --config typo.yaml",
        {},
        2,
        "unknown key 'epocs': typo.yaml line 2: did you mean",
    ),
    ("model-train --config none.yaml", {}, 2, "cannot read the configuration: none.yaml"),
    (f"{TRAIN} --epochs 0", {}, 2, "--epochs: must be a whole number from 1"),
    (f"{TRAIN} --learn-rate -1", {}, 2, "--learn-rate: must be a number above 0"),
    (f"{TRAIN} --solver sdg", {}, 2, "(did you mean 'sgd'?)"),
    (f"{TRAIN} --solver adam --learn-momentum 0.9", {}, 2, "momentum"),
    (f"{TRAIN} --learn-momentum 0.9 0.9 0.9", {}, 2, "learn-momentum: 3 given: nesterov needs 1"),
    (f"{TRAIN} --learn-anneal-epochs 2", {}, 2, "set --learn-anneal too"),
    (f"{TRAIN} --border-mode halff", {}, 2, "--border-mode must be one of valid, full, half"),
    (f"{TRAIN} --activation rellu", {}, 2, "(did you mean 'relu'?)"),
    (f"{TRAIN} --distort-mode z4", {}, 2, "z4"),
    (f"{TRAIN} --skip-layer-updates 9", {}, 2, "give numbers from 1 to 3"),
    (f"{TRAIN} --layer-rates 9=2", {}, 2, "layer-rates: '9' names no layer"),
    (f"{TRAIN} --layer-rates P=2", {}, 2, "nothing of these layers is trained, or decays"),
    (f"{TRAIN} --layer-decays class-conv=2", {}, 2, "--layer-decays: without --learn-decay"),
    (f"{TRAIN} --extension imge", {}, 2, "(did you mean 'image'?)"),
    (f"{TRAIN} --extension jpg", {}, 3, "train"),
    (f"{TRAIN} --train nowhere", {}, 3, "nowhere"),
    (f"{TRAIN} --train empty", {}, 3, "empty"),
    (f"{TRAIN} --model nowhere.mdl", {}, 3, "model file not found: nowhere.mdl"),
    (f"{TRAIN} --model broken.mdl", {}, 3, "broken.mdl"),
    (f"{TRAIN} --model cows.mdl", {}, 3, "dog"),
    (
        f"{TRAIN} --model nameless.mdl",
        {},
        3,
        "2 where the model has 3; only in the dataset: cat, dog",
    ),
    (f"{TRAIN} --model headless.mdl", {}, 2, "end it with R"),
    (f"{TRAIN} --output-prefix run/model", {}, 2, "--overwrite"),
    (f"{TRAIN} --output-prefix run/model --train nowhere", {}, 2, "--overwrite"),
    (f"{TRAIN} --output-prefix broken.png/a", {}, 3, "broken.png: not a directory: give another"),
    (f"{TRAIN} --output-prefix {'x' * 240}", {}, 3, "File name too long: give another"),
    (f"{TRAIN} {DEEP} --learn-rate 1e9", {}, 4, "diverged"),
    (f"{TRAIN} --skip-train", {}, 2, "--model is missing"),
    (f"{ALONE} --test-epochs 2", {}, 2, "--test-epochs: without --test or --val-split: give one"),
    (f"{ALONE} --test-extension jpg", {}, 2, "--test-extension: without --test: give both, or"),
    (f"{ALONE} --val-split 0.2 --test-extension jpg", {}, 2, "--test-extension: without --test"),
    (
        f"{TRAIN} --ext imagenet,crop=4x3 --test-extension imagenet,crop=4",
        {},
        3,
        "give --test-extension imagenet,crop=4x3, or resize the model",
    ),
    (
        f"{TRAIN} --learn-momentum 0.9 0.99",
        {},
        2,
        "momentum: 2 given: nesterov needs 1: leave the others",
    ),
    (f"{ABSENT} --layer-rates C", {}, 2, "layer-rates: 'C': give LAYER=FACTOR"),
    (f"{ABSENT} --extension voc,area_min=0.5", {}, 2, "area_min: --extension: crop_mode=default"),
    (f"{ABSENT} --extension imagenet,crop_mode=ssd,max_trials=5", {}, 2, "crop_mode=ssd does not"),
    (f"{ABSENT} --extension imagenet,aspect_factor=1", {}, 2, "give crop_mode=lenet or denet too"),
    (f"{ABSENT} --ext imagenet,color_components=data", {}, 2, "components: --extension: without"),
    (f"{ABSENT} --ext voc,augment_color=0,color_components=data", {}, 2, "without augment_color"),
    (f"{ABSENT} --layer-momenta P=1", {}, 2, "layer-momenta: the momentum of P must be a number"),
    (f"{ABSENT} --skip-layer-updates 9", {}, 2, "'9' names no layer: give numbers from 1 to 3"),
    (f"{ABSENT} --model good.mdl --skip-layer-updates C", {}, 2, "'C' names no layer"),
    (f"{ABSENT} --output-prefix broken.png/a", {}, 3, "broken.png: not a directory: give another"),
    (f"{ABSENT} --output-prefix new/{'x' * 240}", {}, 3, "File name too long: give another"),
    (
        f"{PREDICT} nowhere --results broken.png/x",
        {},
        3,
        "cannot write: broken.png/x: not a directory",
    ),
    (f"{PREDICT} nowhere --results new/x", {}, 3, "cannot write: new/x: no such directory: new"),
    (f"{PREDICT} nowhere --draw broken.png/x.png", {}, 3, "x.png: not a directory"),
    (f"{PREDICT} nowhere --results train", {}, 3, "cannot write: train: a directory: give a file"),
    (f"{PREDICT} train --font f.ttf", {}, 2, "--font: nothing is drawn: give --draw or --report"),
    (TRAIN, {"GPU": "99"}, 2, "GPU=99: "),
    ("model-predict --input train", {}, 2, "--model is missing"),
    ("model-predict --model good.mdl --input nowhere", {}, 3, "nowhere"),
    ("model-predict --model good.mdl --input empty", {}, 3, "empty"),
    (
        "model-predict --model good.mdl --input broken.png",
        {},
        3,
        "cannot read the image: broken.png: not an image",
    ),
    ("model-predict --model good.mdl --input list.txt", {}, 3, "(2 of 2 cannot be read)"),
    ("model-predict --model good.mdl --input broken.mdl/list.txt", {}, 3, "list.txt"),
    ("model-predict --model good.mdl --input train --draw x.jpg", {}, 2, "end the name in .png"),
    ("model-predict --model headless.mdl --input train", {}, 2, "end its network with R"),
    ("model-predict --model good.mdl --input train --draw x.png", {}, 2, "--draw: needs one image"),
    (
        "model-predict --model good.mdl --input train",
        {"GPU": "0,1"},
        2,
        "GPU=0,1: give the number of",
    ),
    ("model-modify --input good.mdl", {}, 2, "--output is missing"),
    ("model-modify --input good.mdl --output x.mdl", {}, 2, "nothing to change: give one or more"),
    ("model-info --model good.mdl --model-desc R", {}, 2, "--model-desc: together with --model"),
    ("model-info --model good.mdl --class-num 5", {}, 2, "--class-num: together with --model"),
    ("model-info --model good.mdl --weight-init 0.1", {}, 2, "--weight-init: together with"),
    ("model-bench --model good.mdl --image-size 40 40", {}, 2, "--image-size: together with"),
    ("model-bench --model good.mdl --model-desc R", {}, 2, "--model-desc: together with --model"),
    ("model-update-bn --model good.mdl --output x.mdl", {}, 2, "--input is missing"),
    ("model-update-bn --model good.mdl --output x.mdl --input train", {}, 2, "batch norm"),
    ("model-modify --input good.mdl --output x.mdl --image-size 65537 9", {}, 2, "from 1 to 65536"),
    ("model-modify --input good.mdl --output x.mdl --activation rellu", {}, 2, "--activation must"),
    ("model-modify --input good.mdl --output x.txt", {}, 2, "x.txt"),
    ("model-modify --input good.mdl --output x.mdl --layer-remove 9", {}, 2, "cannot remove 9"),
    ("model-modify --input good.mdl --output x.mdl --layer-insert C[3]", {}, 2, "write N:LAYER"),
    ("model-modify --input good.mdl --output x.mdl --layer-insert 9:A", {}, 2, "layer 9"),
    ("model-modify --input good.mdl --output x.mdl --modify-layer pool", {}, 2, "NAME=VALUE"),
    ("model-modify --input good.mdl --output x.mdl --modify-layer pol a=1", {}, 2, "'pool'"),
    ("model-modify --input good.mdl --output x.mdl --optimize-bn", {}, 2, "never had an effect"),
    ("model-info --model-desc C.Q[256,3] R", {}, 2, "unknown tag 'Q'"),
    ("model-info --model-desc C[256,3 R", {}, 2, "'[' without ']'"),
    ("model-info --class-num 1000000000", {}, 2, "--class-num: must be a whole number from 1 to"),
    ("model-bench --model headless.mdl --mode predict", {}, 2, "end it with R"),
    ("model-bench --model-desc C[8,99] R", {}, 2, "layer 1"),
    ("model-bench --mode trian", {}, 2, "(did you mean 'train'?)"),
]


@pytest.mark.parametrize(("line", "env", "code", "words"), CASES, ids=[c[0] for c in CASES])
def test_error(
    line: str, env: dict[str, str], code: int, words: str, files: Path, command: Command
) -> None:
    done = command(*line.split(), env=env)
    assert (done.returncode, done.stdout) == (code, "")
    errors = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert words in errors[-1]
    assert "Traceback" not in done.stderr
