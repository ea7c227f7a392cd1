"""Small files that ask for much, given to real commands with 2 GB of memory: one line, no more."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from conftest import ROOT
from model.files_of_torch import write_zip
from PIL import Image

from denet.memory import THREAD_BYTES
from denet.model.format import save_model
from denet.model.format.weights.pickled import MAX_STEPS
from denet.model.model import Model

MEMORY = 2_000_000  # KiB of address space
THREADS = THREAD_BYTES // 1024 * (2 + (os.cpu_count() or 1))  # kept of it for threads
SECONDS = 60  # they take some; a hang takes for ever
MEGABYTE, GIGABYTE = 1 << 20, 1 << 30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is of Linux")


def deflated(start: bytes, filling: bytes, times: int) -> bytes:
    """Return a raw deflate stream of ``start`` and ``filling`` so many times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(filling) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * times + packer.flush()


def gzipped(start: bytes, filling: bytes, times: int) -> bytes:
    checksum = zlib.crc32(start)
    for _ in range(min(times, GIGABYTE // len(filling))):  # of what is longer nobody sees the end
        checksum = zlib.crc32(filling, checksum)
    size = (len(start) + times * len(filling)) % 2**32
    end = checksum.to_bytes(4, "little") + size.to_bytes(4, "little")
    return gzip.compress(b"")[:10] + deflated(start, filling, times) + end


def write_noise_of_gzip(path: Path) -> None:
    path.write_bytes(gzipped(b"", bytes(MEGABYTE), 2000))


def write_long_text(path: Path) -> None:
    """JSON of just less text than is read."""
    path.write_bytes(gzipped(b'{"version": 3, "a": "', b"x" * MEGABYTE, 1000))


def write_wide_text(path: Path) -> None:
    """One character more makes each of the others take four bytes."""
    path.write_bytes(gzipped('{"version": 3, "a": "\U0001f600'.encode(), b"x" * MEGABYTE, 400))


def write_many_elements(path: Path) -> None:
    path.write_bytes(gzipped(b'{"version": 3, "a": [', b"[]," * MEGABYTE, 100))


def write_many_members(path: Path) -> None:
    path.write_bytes(gzip.compress(b"") * 200_000)


def write_sparse_weights(path: Path) -> None:
    """A file whose header tells the truth of 800 GB that no disk holds."""
    save_model(Model.create("P.A R", (3, 1024, 1024), ["a", "b"]), path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    document = json.loads(header["__metadata__"]["denet"])
    document["layers"].insert(
        0, {"type": "conv", "filters": 65536, "size": [1024, 1024], "bias": False}
    )
    tensors = {
        "1.conv.weight": [65536, 3, 1024, 1024],
        "3.class-conv.weight": [2, 65536, 1, 1],
    }
    header, end = {"__metadata__": {"denet": json.dumps(document)}}, 0
    for name, shape in tensors.items():
        start, end = end, end + 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end)


MODELS = {
    "noise.mdl.gz": (write_noise_of_gzip, {3, 5}),
    "text.mdl.gz": (write_long_text, {5}),
    "wide.mdl.gz": (write_wide_text, {3}),
    "elements.mdl.gz": (write_many_elements, {3}),
    "members.mdl.gz": (write_many_members, {3}),
    "sparse.mdl": (write_sparse_weights, {3, 5}),
}


def run(
    directory: Path, name: str, *arguments: str, memory: int = MEMORY
) -> subprocess.CompletedProcess[str]:
    """Run a command with little memory."""
    limited = f'ulimit -v {memory}; exec "$@"'
    return subprocess.run(
        ["bash", "-c", limited, "bash", sys.executable, str(ROOT / "bin" / name), *arguments],
        cwd=directory,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def check(done: subprocess.CompletedProcess[str], codes: set[int], name: str) -> None:
    assert done.returncode in codes, done
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: ") and name in last, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", MODELS)
def test_a_model(tmp_path: Path, name: str) -> None:
    write, codes = MODELS[name]
    write(tmp_path / name)
    check(run(tmp_path, "model-info", "--model", name), codes, name)


def write_many_dicts(path: Path) -> None:
    """A pickle of as many dicts as it may take steps."""
    write_zip(path, b"\x80\x02" + b"}" * (MAX_STEPS - 1) + b".", {})


def write_sparse_vgg(path: Path) -> None:
    """A file whose header tells the truth of 26 GB that no disk holds."""
    shapes = {
        "features.0.weight": [64, 3, 3, 3],
        "features.0.bias": [64],
        "classifier.0.weight": [65536, 64 * 40 * 40],
        "classifier.0.bias": [65536],
        "classifier.2.weight": [2, 65536],
        "classifier.2.bias": [2],
    }
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end)


WEIGHTS = {
    "dicts.pth": (write_many_dicts, {3}),
    "sparse.safetensors": (write_sparse_vgg, {5}),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(tmp_path: Path, name: str) -> None:
    write, codes = WEIGHTS[name]
    write(tmp_path / name)
    check(run(tmp_path, "model-modify", "--input", name, "--output", "a.mdl"), codes, name)


def write_zip_bomb(path: Path) -> None:
    """An archive of 3 GB of zeros, as NumPy would compress them."""
    shape, size = "(3, 1024, 1024, 1024)", 3 * GIGABYTE
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    start = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text
    content = deflated(start, bytes(MEGABYTE), size // MEGABYTE)
    labels = io.BytesIO()
    np.save(labels, np.zeros(3, np.int32))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", content)
        archive.writestr("labels.npy", labels.getvalue())
        info = archive.getinfo("data.npy")
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, len(start) + size


def write_pixels(path: Path) -> None:
    """60,000,000 images of one pixel, all 0: half a megabyte."""
    count = 60_000_000
    np.savez_compressed(
        path, data=np.zeros((count, 1, 1, 1), np.uint8), labels=np.zeros(count, np.uint8)
    )


def write_sparse_pixels(path: Path) -> None:
    """Twice 300 MB that no disk holds."""
    count = 300_000_000
    for part, shape in (("data", (count, 1, 1, 1)), ("labels", (count,))):
        with open(f"{path}_{part}.npy", "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + count)


def write_long_headers(path: Path) -> None:
    """Lengths of some thousand digits; their product would take for ever."""
    axes = ", ".join(["9" * 4000] * 5000)
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}\n".encode()
    start = b"\x93NUMPY\2\0" + len(text).to_bytes(4, "little") + text
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", start)
        archive.writestr("labels.npy", start)


ARRAYS = {"zeros.npz": (write_zip_bomb, {5}), "digits.npz": (write_long_headers, {3})}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(tmp_path: Path, name: str) -> None:
    write, codes = ARRAYS[name]
    write(tmp_path / name)
    data = ("--extension", "npz", "--train", name, "--test", name)
    check(run(tmp_path, "model-train", *data, "--model-desc", "P.A R"), codes, name)


def lossless_webp(side: int) -> bytes:
    """Return a WebP of side x side pixels of one colour (RFC 9649, 3.4 and 3.7.2.1)."""
    bits = [(0x2F, 8), (side - 1, 14), (side - 1, 14), (0, 4)]  # signature, sides, no alpha
    bits += [(0, 3), *[(1, 4)] * 5]  # no transforms; five codes, each of the one symbol 0
    value, place = 0, 0
    for each, length in bits:
        value, place = value | each << place, place + length
    data = value.to_bytes(-(-place // 16) * 2, "little")
    chunk = b"WEBPVP8L" + (len(data)).to_bytes(4, "little") + data
    return b"RIFF" + len(chunk).to_bytes(4, "little") + chunk


def test_pixels_that_memory_does_not_hold(tmp_path: Path) -> None:
    """28 bytes, less than the pixels that are allowed, and more than the memory that is left."""
    for name in ("train/a/1.webp", "train/b/1.webp"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(lossless_webp(9400 if "/a/" in name else 8))
    done = run(tmp_path, "model-info", "--data", "train")
    assert done.returncode == 3, done
    assert "train/a/1.webp: decoding 9400x9400 pixels takes up to 2.21 GB" in done.stdout
    given = ("--train", "train", "--extension", "webp,crop=8", "--model-desc", "P.A R")
    check(run(tmp_path, "model-train", *given), {3}, "decoding 9400x9400 pixels")
    save_model(Model.create("P.A R", (3, 8, 8), ["a", "b"]), tmp_path / "good.mdl")
    alone = ("--model", "good.mdl", "--input", "train/a/1.webp")
    check(run(tmp_path, "model-predict", *alone), {3}, "decoding 9400x9400 pixels")


ROWS = {"pixels.npz": write_pixels, "sparse": write_sparse_pixels}


@pytest.mark.parametrize(
    "command", ["model-train --dry-run --model-desc P.A --train", "model-info --data"]
)
@pytest.mark.parametrize("name", ROWS)
def test_rows_without_number(tmp_path: Path, name: str, command: str) -> None:
    ROWS[name](tmp_path / name)
    kind = "npz" if name.endswith("npz") else "npy"
    done = run(tmp_path, *command.split(), name, "--extension", kind)
    check(done, {5}, "labels and order of")
    assert name in done.stderr


def test_a_model_of_a_large_input(tmp_path: Path) -> None:
    save_model(Model.create("P.A R", (3, 9000, 9000), ["a", "b"]), tmp_path / "large.mdl")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = run(tmp_path, "model-predict", "--model", "large.mdl", "--input", "a.png")
    check(done, {5}, "batch of 1: prediction needs ")
    assert " are free: use smaller images (model-modify --image-size)" in done.stderr


def test_images_that_become_large(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"set/{name}").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / f"set/{name}/1.png")
    data = ("--extension", "png,crop=30000", "--train", "set")
    done = run(tmp_path, "model-train", *data, "--model-desc", "P.A R")
    check(done, {5}, "2 images of 30000x30000: set/a: 5.40 GB of memory needed, ")
    assert "read fewer with --max-samples" in done.stderr


def write_lines(root: Path, name: str) -> None:
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / f"ImageSets/Main/{name}.txt").write_text("1\n" * 8_000_000)


def write_nested(root: Path, name: str) -> None:
    write_voc(root, {name: "<a>" * 1_300_000, "good": voc_xml(object_xml())})


def write_numbers(root: Path, name: str) -> None:
    (root / "annotations").mkdir()
    text = '{"categories": [' + "1000000," * 12_000_000 + "1]}"
    (root / f"annotations/instances_{name}.json").write_text(text)


ANNOTATIONS = {
    "lines": (write_lines, "voc,lines", 5, "1.00 GB of memory needed"),
    "nested": (write_nested, "voc,train", 3, "more than 262144 tags"),
    "numbers": (write_numbers, "mscoco,numbers", 3, "categories[0].name is missing"),
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations(tmp_path: Path, name: str) -> None:
    """16 MB of lines, 4 MB of elements or 100 MB of numbers, read in 600 MB."""
    write, extension, code, words = ANNOTATIONS[name]
    write(tmp_path, name)
    line = ("model-train", "--model-desc", "P.A R", "--train", ".", "--extension", extension)
    done = run(tmp_path, *line, memory=600_000 + THREADS)
    check(done, {code}, name)
    assert words in done.stderr


ENDLESS = {
    "model-info --model /dev/zero": (3, "/dev/zero"),
    "model-info --model pipe": (3, "pipe"),
    "model-info --config /dev/zero": (2, "/dev/zero"),
    "model-info --config pipe": (2, "pipe"),
    "model-predict --model good.mdl --input pipe": (3, "pipe"),
    "model-predict --model good.mdl --input /dev/zero": (3, "/dev/zero"),
    "model-predict --model good.mdl --input list.txt": (3, "pipe"),
    "model-train --extension npy --train x --test x": (3, "x_data.npy"),
    "model-train --extension npz --train x --test x": (3, "x.npz"),
    "model-info --model-desc nRSN[1000,65536,1023] R": (5, "parameters"),
    "model-info --model-desc C[65536,1024] R --image-size 65536 65536": (5, "parameters"),
}


@pytest.mark.parametrize("line", ENDLESS)
def test_what_never_ends(tmp_path: Path, line: str) -> None:
    code, words = ENDLESS[line]
    save_model(Model.create("P.A R", (3, 8, 8), ["a", "b"]), tmp_path / "good.mdl")
    for name in ("pipe", "x_data.npy", "x.npz"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "list.txt").write_text("pipe\n")
    check(run(tmp_path, *line.split()), {code}, words)
