"""Model files from strangers: read, or refused in one line that names the file."""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model.format_networks import every_layer_model
from untrusted.damage import damaged, damaged_json, outcome

from denet.errors import DataError
from denet.model.desc import MAX_LAYERS
from denet.model.format import load_model, mdl, save_model
from denet.model.format.json_text import MAX_DEPTH, parse_object
from denet.model.model import Model
from denet.report.layers import layers_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def saved(model: Model, suffix: str) -> bytes:
    """Return the file of a model."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"a{suffix}"
        save_model(model, path)
        return path.read_bytes()


def small_model() -> Model:
    model = Model.create("C[2,3] BN A R", (1, 4, 4), ["a", "b"])
    model.summary = {"epoch": 3}
    return model


MDL, MDL_GZ = saved(small_model(), ".mdl"), saved(small_model(), ".mdl.gz")
HEADER_END = 8 + struct.unpack("<Q", MDL[:8])[0]


def header_of(content: bytes) -> Any:
    """Return the header without the checksum, which a stranger can leave out."""
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    document = json.loads(header["__metadata__"]["denet"])
    del document["checksum"]
    return header | {"__metadata__": {"denet": json.dumps(document)}}


HEADER = header_of(MDL)


def packed(header: Any, data: bytes = MDL[HEADER_END:]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def read(folder: Path, content: bytes, suffix: str) -> Any:
    """Read a file, and use what was read in every way that shows or keeps it."""
    path = folder / f"stranger{suffix}"
    path.write_bytes(content)

    def use() -> Model:
        model = load_model(path)
        layers_report(model, 1)
        save_model(model, folder / "again.mdl")
        save_model(model, folder / "again.mdl.gz")
        return model

    return outcome(use, str(path))


@given(st.sampled_from([".mdl", ".mdl.gz"]), st.binary(max_size=100))
def test_noise(folder: Path, suffix: str, content: bytes) -> None:
    start = {".mdl": struct.pack("<Q", len(content)) + b"{", ".mdl.gz": b"\x1f\x8b\x08"}[suffix]
    assert isinstance(read(folder, start + content, suffix), DataError)


@given(damaged(MDL))
def test_a_damaged_mdl(folder: Path, content: bytes) -> None:
    read(folder, content, ".mdl")


def test_a_bit_that_was_flipped_in_the_tensors(folder: Path) -> None:
    for place in range(HEADER_END, len(MDL)):
        for bit in (0, 6):
            content = bytearray(MDL)
            content[place] ^= 1 << bit
            error = read(folder, bytes(content), ".mdl")
            assert isinstance(error, DataError), (place, bit)


@given(damaged(MDL[8:HEADER_END]))
def test_a_mdl_with_a_damaged_header(folder: Path, header: bytes) -> None:
    read(folder, struct.pack("<Q", len(header)) + header + MDL[HEADER_END:], ".mdl")


@given(damaged_json(HEADER))
def test_a_mdl_with_another_header(folder: Path, header: Any) -> None:
    read(folder, packed(header), ".mdl")


@given(damaged_json(json.loads(HEADER["__metadata__"]["denet"])))
def test_a_mdl_with_other_metadata(folder: Path, document: Any) -> None:
    metadata = {"denet": json.dumps(document)}
    read(folder, packed(HEADER | {"__metadata__": metadata}), ".mdl")


EVERY = saved(every_layer_model(), ".mdl")
EVERY_END = 8 + struct.unpack("<Q", EVERY[:8])[0]
EVERY_HEADER = header_of(EVERY)


@given(damaged_json(json.loads(EVERY_HEADER["__metadata__"]["denet"])["layers"]))
def test_a_mdl_with_other_layers(folder: Path, layers: Any) -> None:
    document = json.loads(EVERY_HEADER["__metadata__"]["denet"]) | {"layers": layers}
    metadata = {"denet": json.dumps(document)}
    read(folder, packed(EVERY_HEADER | {"__metadata__": metadata}, EVERY[EVERY_END:]), ".mdl")


@given(damaged(MDL_GZ))
def test_a_damaged_mdl_gz(folder: Path, content: bytes) -> None:
    read(folder, content, ".mdl.gz")


@given(damaged(gzip.decompress(MDL_GZ)))
def test_a_mdl_gz_with_damaged_text(folder: Path, text: bytes) -> None:
    read(folder, gzip.compress(text, 1), ".mdl.gz")


@given(damaged_json(json.loads(gzip.decompress(MDL_GZ))))
def test_a_mdl_gz_with_other_content(folder: Path, document: Any) -> None:
    read(folder, gzip.compress(json.dumps(document).encode(), 1), ".mdl.gz")


@given(damaged_json(json.loads(gzip.decompress(saved(every_layer_model(), ".mdl.gz")))))
def test_a_mdl_gz_of_every_layer_with_other_content(folder: Path, document: Any) -> None:
    read(folder, gzip.compress(json.dumps(document).encode(), 1), ".mdl.gz")


def document_of_2017() -> Any:
    """Return a file without what we add, as its model-modify --class-num and a hand left it."""
    document = json.loads(gzip.decompress(saved(every_layer_model(), ".mdl.gz")))
    del document["denet"]
    document["classLabels"]["of another network"] = 999
    for layer in document["layers"]:
        if layer["type"] == "conv":
            layer["enabled"] = False
        if layer["type"] == "resnet":
            layer["bnParam"] = {"enabled": True}
    return document


@given(damaged_json(document_of_2017()))
def test_a_file_of_2017_with_other_content(folder: Path, document: Any) -> None:
    read(folder, gzip.compress(json.dumps(document).encode(), 1), ".mdl.gz")


def test_the_file_of_2017_is_read(folder: Path) -> None:
    content = gzip.compress(json.dumps(document_of_2017()).encode(), 1)
    assert isinstance(read(folder, content, ".mdl.gz"), Model)


def with_metadata(**changes: Any) -> bytes:
    document = json.loads(HEADER["__metadata__"]["denet"]) | changes
    return packed(HEADER | {"__metadata__": {"denet": json.dumps(document)}})


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


TENSOR = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
SPLITS = [{"type": "split"}] * (MAX_LAYERS + 1)
STRANGE = {
    "label that a terminal obeys": (with_metadata(class_labels=["\x1b[2J", "b"]), "control"),
    "label of two lines": (with_metadata(class_labels=["a\nb", "b"]), "control"),
    "empty label": (with_metadata(class_labels=["", "b"]), "is empty"),
    "deep summary": (with_metadata(summary={"a": nested(500)}), "deeper than"),
    "deeper summary": (
        packed({"__metadata__": {"denet": "[" * 10**6}}, b""),
        "not readable as JSON",
    ),
    "too many layers": (with_metadata(layers=SPLITS), f"more than {MAX_LAYERS} layers"),
    "long type": (with_metadata(layers=[{"type": "x" * 10**6}]), "unknown layer type"),
    "long field": (with_metadata(layers=[{"type": "split", "x" * 10**6: 1}]), "unknown field"),
    "no UTF-8": (struct.pack("<Q", 9) + b'{"\xed\xa0\x80":1}', "not readable as JSON"),
    "UTF-16": (struct.pack("<Q", 4) + "{}".encode("utf-16-le"), "not readable"),
    "surrogate in the metadata": (
        packed({"__metadata__": {"denet": "\ud800"}}, b""),
        "not readable",
    ),
    "long tensor name": (packed(HEADER | {"x" * 10**6: TENSOR}), "belongs to no layer"),
    "many tensors": (packed(HEADER | {str(n): TENSOR for n in range(10**5)}), "and 99997 more"),
    "axes without end": (packed({**HEADER, "x": TENSOR | {"shape": [0] * 10**6}}), "offsets"),
    "bytes in many tensors": (
        packed(HEADER | {f"attached/{n}": HEADER["1.conv.weight"] for n in range(99)}),
        "cut short",
    ),
    "negative offset": (packed({**HEADER, "x": TENSOR | {"data_offsets": [-4, -4]}}), "offsets"),
    "negative shape": (packed({**HEADER, "x": TENSOR | {"shape": [-1, -1]}}), "offsets"),
    "shape beyond 64 bits": (packed({**HEADER, "x": TENSOR | {"shape": [2**40] * 2}}), "offsets"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_file(folder: Path, name: str) -> None:
    content, words = STRANGE[name]
    error = read(folder, content, ".mdl")
    assert isinstance(error, DataError) and re.search(words, str(error)), error


def test_a_tensor_told_twice_is_read_as_the_shape_that_was_checked(folder: Path) -> None:
    text = json.dumps(HEADER).replace('"shape": [2]', '"shape": [7], "shape": [2]').encode()
    model = read(folder, struct.pack("<Q", len(text)) + text + MDL[HEADER_END:], ".mdl")
    assert model.parameters[1]["mean"].shape == (2,)


@pytest.mark.parametrize("suffix", [".mdl", ".mdl.gz"])
def test_a_million_classes_are_read_back(tmp_path: Path, suffix: str) -> None:
    labels = [f"class {number}" for number in range(1_000_000)]
    save_model(Model.create("P.A R", (1, 1, 1), labels), tmp_path / f"a{suffix}")
    assert load_model(tmp_path / f"a{suffix}").class_labels == labels


@pytest.mark.parametrize("suffix", [".mdl", ".mdl.gz"])
@pytest.mark.parametrize("label", ["", "a\tb", "\x7f", "\x9b2J"])
def test_labels_that_would_not_be_read_back_are_not_written(
    tmp_path: Path, suffix: str, label: str
) -> None:
    model = Model.create("P.A R", (1, 4, 4), ["a", label])
    with pytest.raises(DataError, match="wrong class labels"):
        save_model(model, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_labels_of_directories_that_are_no_text_are_kept(tmp_path: Path) -> None:
    labels = [os.fsdecode(b"caf\xe9"), "日本", "a b"]
    for suffix in (".mdl", ".mdl.gz"):
        save_model(Model.create("P.A R", (1, 4, 4), labels), tmp_path / f"a{suffix}")
        assert load_model(tmp_path / f"a{suffix}").class_labels == labels


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["pipe.mdl", "pipe.mdl.gz", "pipe"])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="a device or pipe"):
        load_model(tmp_path / name)
    with pytest.raises(DataError, match="a device or pipe"):
        mdl.read(tmp_path / name)


def test_depth_is_counted_from_the_outermost_object() -> None:
    assert parse_object(json.dumps({"a": nested(MAX_DEPTH - 1)}).encode(), "x")
    with pytest.raises(DataError, match=f"deeper than {MAX_DEPTH} levels"):
        parse_object(json.dumps({"a": nested(MAX_DEPTH)}).encode(), "x")
