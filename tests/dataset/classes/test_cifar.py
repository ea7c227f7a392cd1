"""CIFAR-10 and CIFAR-100 in files made byte by byte, as their authors describe them."""

from __future__ import annotations

import os
import pickle
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Command

from denet.cli.train import parser
from denet.dataset import open_dataset
from denet.dataset.survey.classes import survey
from denet.errors import DataError, UsageError
from denet.model.format import save_model
from denet.model.model import Model
from denet.report.survey import train_command

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def record(image: int, *labels: int) -> bytes:
    """Return an image whose red pixels count up from ``image``, green ones are 1, blue ones 2."""
    red = bytes((image + place) % 256 for place in range(1024))
    return bytes(labels) + red + bytes([1]) * 1024 + bytes([2]) * 1024


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    """Two images in each file of CIFAR-10; file k holds the classes k and 9."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for number in range(1, 6):
        content = record(10 * number, number) + record(10 * number + 1, 9)
        (folder / f"data_batch_{number}.bin").write_bytes(content)
    (folder / "test_batch.bin").write_bytes(record(77, 0))
    (folder / "batches.meta.txt").write_text("\n".join([*NAMES, ""]) + "\n")
    return tmp_path


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    (tmp_path / "train.bin").write_bytes(record(0, 19, 99) + record(1, 3, 42))
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"fine{n}" for n in range(100)))
    (tmp_path / "coarse_label_names.txt").write_text("\n".join(f"coarse{n}" for n in range(20)))
    return tmp_path


def test_ten_classes(ten: Path) -> None:
    """The directory that the archive makes, or the one it is in."""
    for path in (ten, ten / "cifar-10-batches-bin"):
        dataset = open_dataset(path, "cifar,train")
        assert dataset.class_labels == NAMES and dataset.shape == (3, 32, 32)
        assert dataset.labels.tolist() == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]
        (image,) = dataset.images(np.array([3]))
        assert image.dtype == np.uint8 and image.shape == (32, 32, 3)
        assert image[0, :3, 0].tolist() == [21, 22, 23] and image[1, 0, 0] == 21 + 32
        assert image[..., 1].min() == 1 == image[..., 1].max() and image[5, 5, 2] == 2
    both = open_dataset(ten, "cifar,test,train")
    assert both.labels.tolist()[:2] == [0, 1] and len(both) == 11


def test_one_file_as_the_program_of_ccv_takes_it(ten: Path) -> None:
    dataset = open_dataset(ten / "cifar-10-batches-bin" / "data_batch_2.bin", "cifar")
    assert dataset.labels.tolist() == [2, 9] and dataset.class_labels == NAMES
    (ten / "alone.bin").write_bytes(record(0, 7))
    assert open_dataset(ten / "alone.bin", "cifar").class_labels == list("0123456789")
    known = open_dataset(ten / "alone.bin", "cifar", class_labels=[*"9876543210"])
    assert known.labels.tolist() == [2]


def test_hundred_classes_and_their_twenty_groups(hundred: Path) -> None:
    fine, coarse = (open_dataset(hundred, f"cifar,train{more}") for more in ("", ",labels=coarse"))
    assert fine.labels.tolist() == [99, 42] and fine.class_labels[42] == "fine42"
    assert coarse.labels.tolist() == [19, 3] and len(coarse.class_labels) == 20
    np.testing.assert_array_equal(fine.images(np.arange(2)), coarse.images(np.arange(2)))
    assert fine.images(np.array([1]))[0, 0, 0].tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        ("cifar", "no split is named: .* has train, test: name .* such as cifar,train"),
        ("cifar,trian", "no split 'trian' \\(did you mean 'train'\\?\\): .* has train, test"),
        ("cifar,train,labels=all", "give labels=fine or labels=coarse"),
        ("cifar,train,crop=3", "unknown option 'crop'"),
        ("cifar,train,labels=coarse", "labels=coarse: .*data_batch_1.bin is of CIFAR-10, .*leave"),
    ],
)
def test_wrong_options(ten: Path, extension: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_dataset(ten, extension)
    with pytest.raises(UsageError, match="is one file: leave the split out"):
        open_dataset(ten / "cifar-10-batches-bin" / "test_batch.bin", "cifar,test")


def test_the_python_version_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"labels": [1]}))
    for path in (tmp_path, folder):
        with pytest.raises(DataError, match="a pickle, which can run .*: take the binary version"):
            open_dataset(path, "cifar,train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no CIFAR files: .*data_batch_1.bin to data_batch_5.bin"):
        open_dataset(tmp_path / "empty", "cifar,train")


def test_damaged_files(ten: Path, hundred: Path) -> None:
    folder = ten / "cifar-10-batches-bin"
    (folder / "data_batch_3.bin").write_bytes(record(0, 3)[:-1])
    with pytest.raises(DataError, match=r"3072 bytes: .*data_batch_3.bin: CIFAR has records of"):
        open_dataset(ten / "cifar-10-batches-bin", "cifar,train")
    (folder / "test_batch.bin").write_bytes(record(0, 10))
    with pytest.raises(DataError, match="label 10 of 10 classes: .*: not CIFAR, or damaged"):
        open_dataset(folder, "cifar,test")
    (hundred / "train.bin").write_bytes(record(0, 20, 5))
    with pytest.raises(DataError, match="label 20 of 20 classes"):
        open_dataset(hundred, "cifar,train,labels=coarse")
    (folder / "test_batch.bin").write_bytes(b"")
    with pytest.raises(DataError, match="0 bytes: .*test_batch.bin"):
        open_dataset(folder, "cifar,test")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.touch, "0 bytes: .*data_batch_3.bin: CIFAR has records of"),
        (lambda file: file.write_bytes(record(0, 3, 3)), "3074 bytes: .*data_batch_3.bin: CIFAR"),
        (lambda file: None, "no such file or directory: .*data_batch_3.bin: take another copy"),
        (os.mkfifo, "not a file: .*data_batch_3.bin: take another copy"),
        (Path.mkdir, "not a file: .*data_batch_3.bin: take another copy"),
    ],
)
def test_the_batch_that_is_wrong_is_named(
    ten: Path, make: Callable[[Path], object], words: str
) -> None:
    """Never the test set as what there is to train on, and never another file."""
    file = ten / "cifar-10-batches-bin" / "data_batch_3.bin"
    file.unlink()
    make(file)
    for path, splits in ((ten, "train"), (file.parent, "test,train")):
        with pytest.raises(DataError, match=words):
            open_dataset(path, f"cifar,{splits}")
    assert len(open_dataset(ten, "cifar,test")) == 1


def test_names_that_are_wrong(ten: Path) -> None:
    file = ten / "cifar-10-batches-bin" / "batches.meta.txt"
    file.write_text("\n".join(NAMES[:3]))
    with pytest.raises(DataError, match="3 names for 10 classes: .*batches.meta.txt: give each"):
        open_dataset(ten, "cifar,train")
    assert open_dataset(ten, "cifar,test").class_labels == NAMES[:3]  # its labels have names
    file.write_text("\n".join(["cat", *NAMES[1:]]))
    with pytest.raises(DataError, match="class 'cat' twice: .*batches.meta.txt: give each class"):
        open_dataset(ten, "cifar,train")


def test_without_the_extension_it_is_told(ten: Path) -> None:
    for path in (ten, ten / "cifar-10-batches-bin"):
        with pytest.raises(DataError, match="give --extension cifar,NAME with .* train, test$"):
            open_dataset(path, "jpg")


def test_model_info_tells_what_is_there_and_how_to_train(ten: Path) -> None:
    found = survey(str(ten))
    assert (found.kind, [split.name for split in found.splits]) == ("cifar", ["train", "test"])
    assert found.train.counts["truck"] == 5 and found.train.counts["airplane"] == 0
    words = shlex.split(train_command(found).replace("\\\n", ""))
    given = parser().parse_args(words[1:])
    assert (given.extension, given.test_extension) == ("cifar,train", "cifar,test")
    assert given.train == given.test == str(ten)
    (alone,) = survey(str(ten / "cifar-10-batches-bin" / "data_batch_1.bin"), "cifar").splits
    assert alone.counts["automobile"] == 1


@pytest.mark.parametrize("words", ["", "--predict-mode multicrop", "--views centre"])
def test_a_model_is_tested_on_it(words: str, ten: Path, command: Command) -> None:
    """A network that always says the first class is right about the one image, an airplane."""
    side = 28 if words else 32
    model = Model.create("P.A R.TB", (3, side, side), NAMES)
    model.parameters[1]["bias"][0] = 50
    save_model(model, ten / "m.mdl")
    line = "model-predict --model m.mdl --input . --extension cifar,test --backend numpy"
    done = command(*line.split(), *words.split())
    assert done.stdout == "top-1 error 0.000%\ntop-5 error 0.000%\n", done.stderr


def test_a_file_without_its_names(ten: Path, command: Command) -> None:
    """Its classes are numbers, which are not those of a model, whether that has names or not."""
    folder = ten / "cifar-10-batches-bin"
    for names in (NAMES, [f"class {number}" for number in range(1, 11)]):
        save_model(Model.create("P.A R", (3, 32, 32), names), ten / "m.mdl")
        (ten / "alone").mkdir(exist_ok=True)
        (ten / "alone" / "test.bin").write_bytes((folder / "test_batch.bin").read_bytes())
        predict = "model-predict --backend numpy --model m.mdl --extension cifar --input"
        done = command(*predict.split(), "alone/test.bin")
        assert done.returncode == 3 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: classes are mere numbers: ")
        assert "put batches.meta.txt of the archive beside it" in done.stderr
    done = command(*predict.split(), str(folder / "test_batch.bin"))
    assert "name them: model-modify --class-labels FILE" in done.stderr
    name = f"--class-labels {folder}/batches.meta.txt"
    command(*f"model-modify --input m.mdl --output m.mdl {name}".split())
    done = command(*predict.split(), str(folder / "test_batch.bin"))
    assert done.returncode == 0 and "top-1 error" in done.stdout, done.stderr


def test_coarse_labels_are_of_the_hundred(ten: Path) -> None:
    with pytest.raises(UsageError, match="labels=coarse: --extension cifar: .* is of CIFAR-10"):
        open_dataset(ten, "cifar,train,labels=coarse")
