"""What is not installed is told before any work is done for it."""

import os
import sys
from pathlib import Path

import pytest
from annotated_files import write_coco
from conftest import Command

from denet.layer.options import LayerOptions
from denet.model.format import save_model
from denet.model.model import Model


def without(library: str, directory: Path) -> dict[str, str]:
    """Return the environment of a Python that does not find a library."""
    (directory / "blocked").mkdir()
    blocked = f"import sys\nsys.modules[{library!r}] = None\n"
    (directory / "blocked" / "sitecustomize.py").write_text(blocked)
    return {"PYTHONPATH": os.pathsep.join([str(directory / "blocked"), *sys.path])}


@pytest.mark.parametrize("more", ["", "--dry-run", "--resume"])
def test_without_tensorboard_no_data_is_read(more: str, tmp_path: Path, command: Command) -> None:
    env = without("tensorboardX", tmp_path)
    words = f"--train none --tensorboard --output-prefix run/m {more}"
    done = command("model-train", *words.split(), env=env)
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert "tensorboardX is not installed: pip install tensorboardX" in done.stderr


def test_without_hotcoco_nothing_is_detected(tmp_path: Path, command: Command) -> None:
    image = {"id": 1, "file_name": "1.png", "width": 20, "height": 10}
    known = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25}
    content = {"images": [image], "annotations": [known], "categories": [{"id": 1, "name": "cat"}]}
    write_coco(tmp_path / "coco", content)
    half = LayerOptions(border_mode="half")
    model = Model.create("C[4,3] DNC[2] DNS[2,3] DND[0.5,1,1]", (3, 16, 16), ["cat"], half)
    save_model(model, tmp_path / "m.mdl")
    words = "--backend numpy --model m.mdl --input coco --extension mscoco,train,crop=16 "
    words += "--predict-mode detect,mscoco --format text --results out/found"
    done = command("model-predict", *words.split(), env=without("hotcoco", tmp_path))
    assert done.returncode == 2 and done.stdout == "" and not (tmp_path / "out").exists()
    assert "hotcoco is not installed: pip install hotcoco" in done.stderr
