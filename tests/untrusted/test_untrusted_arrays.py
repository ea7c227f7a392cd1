"""Arrays from strangers: a dataset, or one line that names the file."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from untrusted.damage import damaged, outcome

from denet.dataset import open_dataset
from denet.errors import DataError, OutOfMemoryError

DATA = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32)
LABELS = np.array([0, 1, 1, 0])


def npy(array: np.ndarray, **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(data: bytes, labels: bytes = npy(LABELS), method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo("data.npy"), data, method)
        archive.writestr(zipfile.ZipInfo("labels.npy"), labels, method)
    return file.getvalue()


def header(text: bytes, version: int = 1, length: int | None = None) -> bytes:
    size = len(text) if length is None else length
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + size.to_bytes(2 if version == 1 else 4, "little")
        + text
    )


def told(descr: str = "'<f4'", order: str = "False", shape: str = "(4, 3, 2, 2)") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrays")


def read_npy(folder: Path, data: bytes, labels: bytes = npy(LABELS)) -> Any:
    (folder / "x_data.npy").write_bytes(data)
    (folder / "x_labels.npy").write_bytes(labels)
    return outcome(lambda: read_all(folder / "x", "npy"), str(folder / "x"))


def read_npz(folder: Path, content: bytes) -> Any:
    (folder / "x.npz").write_bytes(content)
    return outcome(lambda: read_all(folder / "x.npz", "npz"), str(folder / "x.npz"))


def read_all(path: Path, kind: str) -> np.ndarray:
    dataset = open_dataset(path, kind, progress=False)
    return dataset.images(np.arange(len(dataset)))


@given(damaged(npy(DATA)))
def test_damaged_data(folder: Path, content: bytes) -> None:
    read_npy(folder, content)


@given(damaged(npy(LABELS)))
def test_damaged_labels(folder: Path, content: bytes) -> None:
    read_npy(folder, npy(DATA), content)


@given(st.binary(max_size=150))
def test_any_header(folder: Path, text: bytes) -> None:
    assert isinstance(read_npy(folder, header(text)), DataError)


@given(
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]).flatmap(
        lambda method: damaged(npz(npy(DATA), method=method))
    )
)
def test_a_damaged_archive(folder: Path, content: bytes) -> None:
    read_npz(folder, content)


@given(damaged(npy(DATA)))
def test_an_archive_of_damaged_data(folder: Path, data: bytes) -> None:
    read_npz(folder, npz(data))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("labels", [LABELS, LABELS.astype(">i2"), LABELS[::-1]])
def test_every_layout_reads(folder: Path, order: str, labels: np.ndarray) -> None:
    data = npy(np.asarray(DATA, order=order))
    for images in (read_npy(folder, data, npy(labels)), read_npz(folder, npz(data, npy(labels)))):
        np.testing.assert_array_equal(images, DATA.transpose(0, 2, 3, 1))


PICKLED = npy(np.array([{"a": 1}], object), allow_pickle=True)
ZEROS = bytes(192)
STRANGE = {
    "objects": (PICKLED, "of objects"),
    "objects that run code": (
        header(told("'|O'", shape="(1,)")) + b"cos\nabort\n(tR.",
        "of objects",
    ),
    "structures": (npy(np.zeros(4, [("a", "f4"), ("b", "i4")])), "of objects"),
    "text": (npy(np.array(["a", "b"])), "of objects"),
    "dates": (npy(np.array(["2017-01-01"], "M8[D]")), "of objects"),
    "complex numbers": (npy(DATA.astype(complex)), "of objects"),
    "code": (header(told(shape="__import__('os').abort()")), "of objects"),
    "negative shape": (header(told(shape="(-4, 3, 2, -2)")) + ZEROS, "of objects"),
    "deep brackets": (header(b"{'descr':" + b"(" * 4000), "of objects"),
    "no axes": (header(told(shape="()")) + ZEROS, r"shape ()"),
    "zero": (header(told(shape="(4, 0, 2, 2)")) + ZEROS, "shape (4, 0, 2, 2)"),
    "too large": (header(told(shape="(5, 3, 2, 2)")) + ZEROS, "too few"),
    "product beyond 64 bits": (
        header(told(shape="(65536, 65536, 65536, 65536)")) + ZEROS,
        "too few",
    ),
    "length beyond 64 bits": (header(told(shape=f"({'9' * 300}, 3, 2, 2)")) + ZEROS, "too few"),
    "thousands of digits": (header(told(shape=f"({'9' * 3900}, 3)")) + ZEROS, "of objects"),
    "huge header": (header(b" " * 5000), "5000 bytes of header"),
    "header of 4 GB": (header(told(), 2, 2**32 - 1), "bytes of header"),
    "header cut short": (header(told()[:20], length=118), "of objects"),
    "unknown element type": (header(told("'<f3'")) + ZEROS, "of objects"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_array(folder: Path, name: str) -> None:
    data, words = STRANGE[name]
    for error in (read_npy(folder, data), read_npz(folder, npz(data))):
        assert isinstance(error, DataError) and words in str(error), error


def test_version_2_of_the_header_reads(folder: Path) -> None:
    images = read_npy(folder, header(told(), 2) + DATA.tobytes())
    np.testing.assert_array_equal(images, DATA.transpose(0, 2, 3, 1))


def changed(content: bytes, **fields: int) -> bytes:
    """Return an archive whose first directory entry says something else."""
    places = {"flags": (8, 2), "method": (10, 2), "checksum": (16, 4), "size": (24, 4)}
    start = content.index(b"PK\x01\x02")
    for name, value in fields.items():
        place, length = places[name]
        place += start
        content = content[:place] + value.to_bytes(length, "little") + content[place + length :]
    return content


GOOD = npz(npy(DATA))
ARCHIVES = {
    "encrypted": (changed(GOOD, flags=1), "encrypted"),
    "patched": (changed(GOOD, flags=0x20), "patched"),
    "bzip2": (npz(npy(DATA), method=zipfile.ZIP_BZIP2), "in another way"),
    "lzma": (npz(npy(DATA), method=zipfile.ZIP_LZMA), "in another way"),
    "unknown method": (changed(GOOD, method=77), "in another way"),
    "wrong checksum": (changed(GOOD, checksum=1), "CRC"),
    "smaller in the directory": (changed(GOOD, size=130), "CRC"),
    "more than the header tells": (npz(npy(DATA) + b"x"), "more bytes"),
    "other names": (npz(npy(DATA)).replace(b"labels.npy", b"../abc.npy"), "no array called"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_strange_archive(folder: Path, name: str) -> None:
    content, words = ARCHIVES[name]
    error = read_npz(folder, content)
    assert isinstance(error, DataError) and words in str(error), error


@given(st.integers(0, 5000) | st.integers(2**31 + 1, 2**40))
def test_any_number_of_rows(folder: Path, count: int) -> None:
    """Files as long as they say, of which the disk holds the headers."""
    for part, shape in (("data", f"({count}, 1, 1, 1)"), ("labels", f"({count},)")):
        start = header(told("'|u1'", shape=shape))
        (folder / f"x_{part}.npy").write_bytes(start)
        os.truncate(folder / f"x_{part}.npy", len(start) + count)
    found = outcome(lambda: read_all(folder / "x", "npy"), str(folder / "x"))
    if 0 < count <= 5000:
        assert found.shape == (count, 1, 1, 1)
    else:
        assert isinstance(found, DataError), found


def test_more_than_the_memory_is_not_allocated(folder: Path) -> None:
    """The directory and the header agree on 4 EB."""
    shape = "(4, 1073741824, 1073741824, 1)"
    data = header(told("'|u1'", shape=shape)) + ZEROS
    path = folder / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", data)
        archive.writestr("labels.npy", npy(LABELS))
        archive.getinfo("data.npy").file_size += 2**62 - len(ZEROS)
    error = outcome(lambda: read_all(path, "npz"), str(path))
    assert isinstance(error, OutOfMemoryError), error


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x_data.npy")
    os.mkfifo(tmp_path / "x.npz")
    for path, kind in [(tmp_path / "x", "npy"), (tmp_path / "x", "npz")]:
        error = outcome(lambda path=path, kind=kind: open_dataset(path, kind))
        assert isinstance(error, DataError) and "a device or pipe" in str(error)
