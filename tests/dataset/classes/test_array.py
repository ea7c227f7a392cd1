"""NumPy datasets: layout, labels, and every way to be wrong."""

import re
import subprocess
import sys

import numpy as np
import pytest

from denet.dataset import open_dataset
from denet.dataset.base import SAMPLE_BYTES
from denet.dataset.loader import Loader
from denet.errors import DataError
from denet.model.preprocessing import Preprocessing
from denet.training.state import dataset_record

DATA = np.random.default_rng(0).normal(size=(5, 3, 4, 6)).astype(np.float32)  # (B, C, H, W)
LABELS = np.array([4, 2, 2, 5, 2], np.int32)


def save(path, data=DATA, labels=LABELS):
    np.save(f"{path}_data.npy", data)
    np.save(f"{path}_labels.npy", labels)
    return path


def test_samples_are_transposed_and_unchanged(tmp_path):
    dataset = open_dataset(save(tmp_path / "x"), "npy")
    assert dataset.shape == (3, 4, 6) and len(dataset) == 5
    assert dataset.class_labels == ["2", "3", "4", "5"]
    assert dataset.labels.tolist() == [2, 0, 0, 3, 0] and dataset.labels.dtype == np.int32
    assert dataset.names[3] == "row 3"
    images = dataset.images(np.array([3, 0]))
    assert images.dtype == np.float32 and images.flags.c_contiguous
    np.testing.assert_array_equal(images, DATA[[3, 0]].transpose(0, 2, 3, 1))


@pytest.mark.parametrize("name", ["x", "x.npz"])
def test_npz(tmp_path, name):
    np.savez(tmp_path / "x.npz", data=DATA, labels=LABELS)
    dataset = open_dataset(tmp_path / name, "npz")
    np.testing.assert_array_equal(dataset.images(np.arange(5)), DATA.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_label_types(tmp_path, dtype):
    low = 0 if np.dtype(dtype).kind == "u" else -100
    labels = np.array([low, 100, 100, low, low], dtype)  # a range int8 itself cannot hold
    dataset = open_dataset(save(tmp_path / "x", labels=labels), "npy")
    assert dataset.labels.tolist() == [0, 100 - low, 100 - low, 0, 0]
    assert dataset.class_labels[0] == str(low) and dataset.class_labels[-1] == "100"


def test_uint8_subset_mirror_and_statistics(tmp_path):
    data = (np.arange(5 * 3 * 4 * 6) % 256).astype(np.uint8).reshape(5, 3, 4, 6)
    path = save(tmp_path / "x", data)
    dataset = open_dataset(path, "npy", max_samples=3, seed=1, mirror=True)
    rows = [int(name.split()[1]) for name in dataset.names]
    assert len(set(rows)) == 3 and rows[3:] == rows[:3] == sorted(rows[:3])
    images = dataset.images(np.arange(6))
    np.testing.assert_array_equal(images[:3], data[rows[:3]].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(images[3:], images[:3, :, ::-1])
    assert dataset.labels.tolist() == (LABELS[rows] - 2).tolist()
    mean, _ = dataset.channel_statistics()
    np.testing.assert_allclose(mean, data[rows[:3]].mean(axis=(0, 2, 3)) / 255, rtol=1e-13)


def test_float_statistics(tmp_path):
    mean, std = open_dataset(save(tmp_path / "x"), "npy").channel_statistics()
    np.testing.assert_allclose(mean, DATA.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, DATA.std(axis=(0, 2, 3), dtype=np.float64), rtol=1e-12)


def test_given_classes(tmp_path):
    path = save(tmp_path / "x")
    dataset = open_dataset(path, "npy", class_labels=["5", "4", "3", "2", "1"])
    assert dataset.labels.tolist() == [1, 3, 3, 0, 3]
    with pytest.raises(DataError, match="class '5' is not one of the 3 known classes.*x_labels"):
        open_dataset(path, "npy", class_labels=["2", "3", "4"])


def with_nan(row):
    data = DATA.copy()
    data[row, 1, 2, 3] = np.nan
    return data


@pytest.mark.parametrize(
    "data, labels, message",
    [
        (DATA[0], LABELS, r"shape \(3, 4, 6\): .*x_data.npy: .*\(samples, channels"),
        (DATA[:0], LABELS[:0], r"shape \(0, 3, 4, 6\)"),
        (DATA.astype(np.float64), LABELS, "float64 values: .*float32 or uint8"),
        (DATA.astype(">f4"), LABELS, ">f4 values"),
        (DATA, LABELS[:, None], r"shape \(5, 1\): .*x_labels.npy"),
        (DATA, LABELS.astype(np.float32), "float32 labels: .*int32"),
        (DATA, LABELS[:4], "5 samples but 4 labels"),
        (DATA, np.full(5, 1 << 63, np.uint64), "labels from 0 to 9223372036854775808"),
        (DATA, LABELS * 1_000_000, "labels from 2000000 to 5000000: .*0, 1, 2"),
        (with_nan(3), LABELS, "not a finite number: .*x_data.npy, row 3"),
        (np.full_like(DATA, np.inf), LABELS, "not a finite number: .*row 0"),
        (np.array([{}, 1], object), LABELS, "cannot read the array: /.*x_data.npy.*objects"),
    ],
)
def test_errors(tmp_path, data, labels, message):
    with pytest.raises(DataError) as caught:
        open_dataset(save(tmp_path / "x", data, labels), "npy")
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(DataError, match="no such file: /.*x_data.npy: give FNAME"):
        open_dataset(tmp_path / "x", "npy")
    with pytest.raises(DataError, match="no such file: /.*x.npz"):
        open_dataset(tmp_path / "x", "npz")
    path = save(tmp_path / "x")
    for name in ("x_data.npy", "x_labels.npy"):
        whole = (tmp_path / name).read_bytes()
        for damaged in (b"", b"hello", whole[:-8], whole[:20]):
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(DataError, match=f"cannot read the array: /.*{name}") as caught:
                open_dataset(path, "npy")
            assert "pickle" not in str(caught.value)
        (tmp_path / name).write_bytes(whole)
    np.savez(tmp_path / "y.npz", data=DATA)
    with pytest.raises(DataError, match="no array called 'labels': .*y.npz"):
        open_dataset(tmp_path / "y", "npz")
    whole = (tmp_path / "y.npz").read_bytes()
    for damaged in (b"", b"hello", whole[:-40]):
        (tmp_path / "y.npz").write_bytes(damaged)
        with pytest.raises(DataError, match="cannot read the array: /.*y.npz"):
            open_dataset(tmp_path / "y", "npz")
    (tmp_path / "y_data.npy").write_bytes(whole)
    with pytest.raises(DataError, match="use --extension npz"):
        open_dataset(tmp_path / "y", "npy")
    (tmp_path / "z.npz").write_bytes((tmp_path / "x_data.npy").read_bytes())
    with pytest.raises(DataError, match="use --extension npy"):
        open_dataset(tmp_path / "z", "npz")


def test_order_and_record_of_a_set_stay_those_of_runs_to_be_resumed(tmp_path):
    data = (np.arange(40 * 3 * 2 * 2) % 256).astype(np.uint8).reshape(40, 3, 2, 2)
    path = save(tmp_path / "x", data, np.arange(40) % 3)
    dataset = open_dataset(path, "npy", mirror=True, max_samples=20, seed=5)
    assert (dataset.names[0], dataset.names[-1]) == ("row 1", "row 36")
    record = dataset_record(dataset)
    assert (record["samples"], record["checksum"]) == (40, 1720370914)
    first, *_, last = Loader(dataset, 7, Preprocessing(), seed=11, training=True).epoch(4, 1)
    assert first.indices.tolist() == [4, 31, 15, 27, 11, 26, 19]
    assert first.sample_keys.tolist()[:2] == [13398080469319565631, 9909795226110226356]
    assert last.indices.tolist() == [37, 30, 14, 6, 17]


def sparse(path, count):
    """Write so many grey pixels, all 0, of class 0; hardly anything of it is on the disk."""
    for part, shape in (("data", (count, 1, 1, 1)), ("labels", (count,))):
        with open(f"{path}_{part}.npy", "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + count)
    return path


# In a process of its own, after a first small set: neither threads that other tests left nor
# what is imported on the way counts.
PEAK = """
import sys, tracemalloc
from denet.dataset import open_dataset
from denet.dataset.loader import Loader
from denet.model.preprocessing import Preprocessing
from denet.training.state import dataset_record

def use(path):
    dataset = open_dataset(path, "npy", **eval(sys.argv[1]))
    next(Loader(dataset, 10, Preprocessing(), training=True).epoch(0))
    dataset_record(dataset)

use(sys.argv[2])
tracemalloc.start()
use(sys.argv[3])
print(tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.parametrize(
    ("count", "settings", "most"),
    [
        (300_000, {"mirror": True}, 300_000 * SAMPLE_BYTES),
        (8_000_000, {"max_samples": 10}, 150_000_000),  # a part of the labels at a time
    ],
)
def test_small_images_take_no_more_memory_than_is_asked_for(tmp_path, count, settings, most):
    small, large = sparse(tmp_path / "small", 20), sparse(tmp_path / "large", count)
    command = [sys.executable, "-c", PEAK, repr(settings), str(small), str(large)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) < most
