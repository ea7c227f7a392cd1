"""Weights from strangers: read, or refused in one line; no name of theirs is imported or called."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model.files_of_torch import Call, Name, dump, old, small_resnet, tensor, told, write_zip
from safetensors.numpy import save
from untrusted.damage import damaged, outcome

from denet.errors import DataError
from denet.model.format import load_weights
from denet.model.format.weights import stored_arrays
from denet.model.format.weights.archive import MAX_DIRECTORY
from denet.model.format.weights.pickled import MAX_STEPS
from denet.model.model import Model

ARRAYS = small_resnet(False, 3, head="linear")
VALUE, STORAGES = told(ARRAYS)


def zipped(value: Any = VALUE) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_zip(Path(folder) / "a.pth", value, STORAGES).read_bytes()


NEW, OLD, SAFE = zipped(), old(*told(ARRAYS, None)), save(ARRAYS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def read(folder: Path, content: bytes) -> Any:
    """Read a file as weights."""
    path = folder / "stranger.pth"
    path.write_bytes(content)
    return outcome(lambda: load_weights(path), str(path))


def refused(folder: Path, content: bytes, words: str) -> None:
    error = read(folder, content)
    assert isinstance(error, DataError) and words in str(error), error


def test_the_files_are_read(folder: Path) -> None:
    for content in (NEW, OLD, SAFE):
        assert isinstance(read(folder, content), Model)


@given(st.sampled_from([b"\x80\x02", b"PK\x03\x04", bytes(8) + b"{"]), st.binary(max_size=200))
def test_noise(folder: Path, start: bytes, content: bytes) -> None:
    assert isinstance(read(folder, start + content), DataError)


@given(damaged(NEW))
def test_a_damaged_archive(folder: Path, content: bytes) -> None:
    read(folder, content)


@given(damaged(NEW[-1500:]))
def test_an_archive_with_a_damaged_list(folder: Path, end: bytes) -> None:
    read(folder, NEW[:-1500] + end)


@given(damaged(OLD))
def test_a_damaged_old_file(folder: Path, content: bytes) -> None:
    read(folder, content)


@given(damaged(SAFE))
def test_a_damaged_safetensors_file(folder: Path, content: bytes) -> None:
    read(folder, content)


FEW, _ = told({name: ARRAYS[name] for name in ("conv1.weight", "bn1.weight")})


@given(damaged(dump(FEW)))
def test_an_archive_with_a_damaged_pickle(folder: Path, content: bytes) -> None:
    read(folder, zipped(content))


@given(st.lists(st.sampled_from(pickletools.opcodes), max_size=40), st.binary(max_size=64))
def test_any_opcodes(folder: Path, opcodes: list[Any], rest: bytes) -> None:
    """Opcodes with the start of a pickle before them, so that there is something on the stack."""
    words = [opcode.code.encode("latin-1") for opcode in opcodes]
    content = b"".join(word + rest[n : n + 3] for n, word in enumerate(words))
    read(folder, zipped(dump(FEW)[:-1] + content + b"."))


class Caller:
    """What pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", [(), ("state_dict",), ("state_dict", "conv1.weight")])
def test_calls_are_not_made(folder: Path, protocol: int, place: tuple[str, ...]) -> None:
    """Python's own pickles of a call: refused by the name, in both formats, and not run."""
    witness = folder / "witness"
    value: Any = Caller(os.mkdir, str(witness))
    for key in reversed(place):
        value = {key: value}
    content = pickle.dumps(value, protocol)
    pickle.loads(content)  # it works, or the test would prove nothing
    witness.rmdir()
    for file in (zipped(content), old(content, STORAGES)):
        # before protocol 2 an opcode may stand first that torch.save does not write
        refused(folder, file, "asks for '" if protocol >= 2 else "")
        refused(folder, file, ".mkdir'" if protocol >= 2 else "")
        assert not witness.exists()


NAMES = {
    "posix system": "posix.system",
    "os system": "os.system",
    "builtins getattr": "builtins.getattr",
    "__builtin__ eval": "__builtin__.eval",
    "torch load": "torch.load",
    "torch._utils _rebuild_sparse_tensor": "torch._utils._rebuild_sparse_tensor",
    "collections OrderedDict.update": "collections.OrderedDict.update",
    "collections.OrderedDict fromkeys": "collections.OrderedDict.fromkeys",
    "\x1b[2J \u202e": "asks for",
    "x" * 10**6 + " y": "asks for",
}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:40])
def test_a_name_is_refused_and_told(folder: Path, name: str) -> None:
    refused(folder, zipped({"a": Call(name, ("true",))}), NAMES[name])
    refused(folder, zipped({"a": Name(name)}), NAMES[name])


def nested(depth: int, start: bytes = b"]", close: bytes = b"a") -> bytes:
    return b"\x80\x02" + start * depth + close * (depth - 1) + b"."


def laughs() -> bytes:
    """A list that holds one twice that holds one twice, 60 deep: 2^60 elements, few bytes."""
    levels = [
        b"](h" + bytes([n - 1]) + b"h" + bytes([n - 1]) + b"eq" + bytes([n]) for n in range(1, 60)
    ]
    return b"\x80\x02]q\x00" + b"".join(levels) + b"."


def himself() -> bytes:
    """A dict that holds itself as its state_dict, which holds itself."""
    key = b"X\x0a\x00\x00\x00state_dict"
    return b"\x80\x02}q\x00" + key + b"h\x00s" + key + b"h\x00s."


STORAGE = b"ctorch\nFloatStorage\n"
HOSTILE: dict[str, tuple[Any, str]] = {
    "deep lists": (nested(900_000), "holds no arrays"),
    "deep tuples": (b"\x80\x02)" + b"\x85" * 10**6 + b".", "holds no arrays"),
    "a deep key": (b"\x80\x02})" + b"\x85" * 10**5 + b"Ns.", "a tuple as a key"),
    "a list as a key": (b"\x80\x02}]Ns.", "a list as a key"),
    "a million laughs": (laughs(), "holds no arrays"),
    "itself": (himself(), "holds no arrays"),
    "without end": (b"\x80\x02" + b"N" * (MAX_STEPS + 10), f"more than {MAX_STEPS:,} steps"),
    "no stop": (b"\x80\x02N", "cut short"),
    "nothing": (b"", "cut short"),
    "an empty stack": (b"\x80\x02.", "takes what it has not put there"),
    "below a mark": (b"\x80\x02N(0.", "opcode b'0'"),
    "under the mark": (b"\x80\x02N(Rt.", "takes what it has not put there"),
    "no mark": (b"\x80\x02Nt.", "takes what it has not put there"),
    "no memory": (b"\x80\x02h\x07.", "remembers nothing under 7"),
    "protocol 200": (b"\x80\xc8N.", "protocol 200"),
    "a long text": (b"\x80\x02X\xff\xff\xff\xff.", "cut short"),
    "items of a number": (b"\x80\x02K\x01K\x02a.", "puts into int"),
    "a call of a number": (b"\x80\x02K\x01)R.", "calls 'int'"),
    "a call of a storage": (b"\x80\x02" + STORAGE + b")R.", "calls 'torch.FloatStorage'"),
    "a call without a tuple": (b"\x80\x02ccollections\nOrderedDict\nNR.", "no function of weights"),
    "no pairs": ({"a": Call("collections OrderedDict", (7,))}, "what does not fit it"),
    "attributes of a name": (b"\x80\x02" + STORAGE + b"}b.", "attributes to Name"),
    "no storage": ({"a": Call("torch._utils _rebuild_tensor", (1, 0, (2,), (1,)))}, "storage"),
    "few arguments": ({"a": Call("torch._utils _rebuild_tensor", (1,))}, "does not fit it"),
    "a persistent number": (b"\x80\x02K\x01Q.", "where a storage should be told"),
    "beyond the storage": ({"a": tensor("0", 108, (108,), (1,), 1)}, "does not lie within"),
    "strides beyond": ({"a": tensor("0", 108, (2, 2), (107, 1))}, "does not lie within"),
    "negative strides": ({"a": tensor("0", 108, (2, 2), (-1, 1))}, "does not lie within"),
    "a negative offset": ({"a": tensor("0", 108, (2,), (1,), -4)}, "does not lie within"),
    "a negative length": ({"a": tensor("0", 108, (-2,), (1,))}, "does not lie within"),
    "one element often": ({"a": tensor("0", 108, (10**9,), (0,))}, "does not lie within"),
    "long axes": ({"a": tensor("0", 108, (2**900,) * 30, (0,) * 30)}, "does not lie within"),
    "many axes": ({"a": tensor("0", 108, (1,) * 10**5, (0,) * 10**5)}, "too many axes"),
    "unequal axes": ({"a": tensor("0", 108, (1, 2), (1,))}, "what does not fit it"),
    "another length": ({"a": tensor("0", 109, (109,))}, "bytes for a storage of 109"),
    "another type": ({"a": tensor("0", 108, (108,), None, 0, "HalfStorage")}, "432 bytes for"),
    "no such storage": ({"a": tensor("x", 108, (108,))}, "no storage 'x'"),
    "two ways": (
        {"a": tensor("0", 108, (108,)), "b": tensor("0", 107, (107,))},
        "told in two ways",
    ),
    "a way out": ({"a": tensor("../data.pkl", 1, (1,))}, "no storage"),
    "a long name": ({"denselayer1" * 10**5: tensor("0", 108, (108,))}, "characters"),
    "a number as a name": ({7: tensor("0", 108, (108,))}, "holds no arrays"),
    "only numbers": ({"a": 1, "b": [2.5, None, True]}, "holds no arrays"),
    "no dict": ([1, 2], "holds no arrays"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle(folder: Path, name: str) -> None:
    """In an archive; sizes are those of a network whose first convolution alone is asked for."""
    value, words = HOSTILE[name]
    if isinstance(value, dict) and isinstance(value.get("a"), Call):
        value = {"conv1.weight" if key == "a" else key: each for key, each in value.items()}
    path = folder / "hostile.pth"
    write_zip(path, value, STORAGES)

    def use() -> None:
        with stored_arrays(str(path)) as arrays:
            for array in arrays.values():
                array.read()

    error = outcome(use, str(path))
    assert isinstance(error, DataError) and words in str(error), error


@pytest.mark.parametrize(
    "names",
    [
        [f"layer1.{n}.conv1.weight" for n in range(20_000)],
        [f"layer{n}.0.conv1.weight" for n in range(20_000)],
        [f"features.{3 * n}.weight" for n in range(20_000)],
        [f"layer1.{'9' * 250}.conv1.weight", "layer1.0.conv1.weight"],
        [f"features.denseblock{n}.denselayer1.conv1.weight" for n in range(1, 20_000)],
    ],
    ids=["blocks", "stages", "convolutions", "digits", "dense blocks"],
)
def test_networks_without_end(folder: Path, names: list[str]) -> None:
    arrays = {name: np.zeros((1, 1, 3, 3), np.float32) for name in names}
    arrays |= {"conv1.weight": np.zeros((1, 3, 3, 3), np.float32)}
    assert isinstance(read(folder, save(arrays)), DataError)


def with_entry(change: Callable[[bytearray, int], None]) -> bytes:
    """Return the archive with the list entry of its second storage changed."""
    content = bytearray(NEW)
    place = content.index(b"archive/data/1", content.index(b"PK\x01\x02"))
    change(content, place - 46)
    return bytes(content)


def other_archive(compression: int, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name in names:
            archive.writestr(name, dump(FEW))
    return file.getvalue()


def at_the_place_of_the_first(content: bytearray, place: int) -> None:
    content[place + 42 : place + 46] = bytes(4)


ARCHIVES = {
    "compressed": (other_archive(zipfile.ZIP_DEFLATED, "a/data.pkl"), "compressed or encrypted"),
    "without a pickle": (other_archive(zipfile.ZIP_STORED, "a/code.py"), "without the data.pkl"),
    "two pickles": (other_archive(0, "a/data.pkl", "b/data.pkl"), "without the data.pkl"),
    "entries in each other": (with_entry(at_the_place_of_the_first), "entries lie in each other"),
    "an entry twice": (
        with_entry(lambda content, place: content.__setitem__(place + 59, ord("0"))),
        "two entries are called",
    ),
    "encrypted": (
        with_entry(lambda content, place: content.__setitem__(place + 8, 1)),
        "compressed or encrypted",
    ),
    "an entry of 4 GB": (
        with_entry(
            lambda content, place: content.__setitem__(slice(place + 20, place + 28), b"\xfe" * 8)
        ),
        "entries lie in each other",
    ),
    "an entry beyond": (
        with_entry(lambda content, place: content.__setitem__(place + 45, 255)),
        "cut short",
    ),
    "another checksum": (
        with_entry(lambda content, place: content.__setitem__(place + 16, content[place + 16] ^ 1)),
        "is not what was saved",
    ),
    "without its end": (NEW[:-30], "cut short"),
    "a long list": (
        NEW[:-10] + struct.pack("<II", MAX_DIRECTORY + 1, 0) + b"\0\0",
        "bytes of names of entries",
    ),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive(folder: Path, name: str) -> None:
    content, words = ARCHIVES[name]
    refused(folder, content, words)


OLD_FILES = {
    "another magic number": (dump(7) + OLD, "not one of torch.save"),
    "more than it tells": (OLD + bytes(8), "take another copy"),
    "less than it tells": (OLD[:-4], "take another copy"),
    "other storages": (old(VALUE, {**STORAGES, "more": bytes(4)}), "is not that of its tensors"),
    "another length": (
        old(VALUE, STORAGES | {"0": STORAGES["0"] + bytes(4)}),
        "another length of the storage '0'",
    ),
    "a part beyond": (
        old(told(ARRAYS, ("part", 100, 100))[0], STORAGES),
        "elements from 100 on of a storage of 108",
    ),
}


@pytest.mark.parametrize("name", OLD_FILES)
def test_a_hostile_old_file(folder: Path, name: str) -> None:
    content, words = OLD_FILES[name]
    refused(folder, content, words)
