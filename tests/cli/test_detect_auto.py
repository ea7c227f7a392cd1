"""Detecting commands find out by themselves how images with boxes lie."""

from pathlib import Path

from annotated_files import save_image
from conftest import Command

DESC = "C[4,3,2] BN A P.A[8] DNC[2] DNS[2,3] DND[0.5,1,1]"
TRAIN = f"model-train --backend numpy --border-mode half --epochs 1 --model-desc {DESC} --train set"
LINE = "set: yolo: it holds data.yaml with names and splits: "


def write_yolo(root: Path, splits: tuple[str, ...], images: int = 4) -> None:
    """Write splits of images with a box of a cat in the middle each."""
    for split in splits:
        for number in range(images):
            save_image(root / f"images/{split}/{number}.png", (32, 32))
            text = root / f"labels/{split}/{number}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("0 0.5 0.5 0.5 0.5\n")
    lines = "".join(f"{split}: images/{split}\n" for split in splits)
    (root / "data.yaml").write_text(f"{lines}names: [cat]\n")


def test_a_detector_trains_on_and_tests_the_splits(tmp_path: Path, command: Command) -> None:
    write_yolo(tmp_path / "set", ("train", "val"))
    done = command(*TRAIN.split(), "--test", "set", "--output-prefix", "run/a")
    assert done.returncode == 0, done.stderr
    assert f"{LINE}splits train, val; taken: train" in done.stderr
    assert f"{LINE}splits train, val; taken: val" in done.stderr
    assert 'extension: "auto"' in (tmp_path / "run/a_run.yaml").read_text()
    words = (
        "model-predict --backend numpy --predict-mode detect,voc --model run/a_epoch001_final.mdl"
    )
    done = command(*words.split(), "--input", "set", "--results", "found/")
    assert done.returncode == 0, done.stderr
    assert "taken: val" in done.stderr and "(4 objects)" in done.stdout
    done = command("model-info", "--data", "set", "--extension", "auto,crop=32")
    assert (
        done.returncode == 0 and "8 images, 8 objects in 1 class, --extension yolo (" in done.stdout
    )


def test_one_set_to_train_and_to_test_on_is_divided(tmp_path: Path, command: Command) -> None:
    write_yolo(tmp_path / "set", ("train",), images=10)
    done = command(*TRAIN.split(), "--test", "./set", "--extension", "auto,crop=32")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("it holds data.yaml with names and splits: splits train") == 2
    assert done.stderr.count("divided by split=0.8") == 2
    counts = [
        int(line.split()[1]) for line in done.stderr.splitlines() if " images of 3x32x" in line
    ]
    assert len(counts) == 2 and sum(counts) == 10 and counts[0] > counts[1]


def test_what_is_no_layout_is_refused(tmp_path: Path, command: Command) -> None:
    for label in ("cat", "dog"):
        save_image(tmp_path / f"set/{label}/1.png")
    done = command(*TRAIN.split())
    assert done.returncode == 3
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: no images with boxes in a layout that is known in ")
    assert all(f" {kind} " in error for kind in ("yolo", "roboflow", "cvat", "labelme", "csv"))
