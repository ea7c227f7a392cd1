"""The .mdl format: what is saved is read back bit for bit; damage is told, never loaded."""

import gzip
import json
import os
import pickle
import struct
import zlib

import numpy as np
import pytest
from model.format_networks import DETECTOR, EVERY_LAYER, SINCE_2017, every_layer_model, same
from safetensors.numpy import save_file

from denet.errors import DataError, UsageError
from denet.layer.options import LayerOptions
from denet.layer.registry import type_names
from denet.model.format import load_model, save_model
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing


@pytest.mark.parametrize("suffix", [".mdl", ".mdl.gz"])
def test_a_model_of_every_layer_type_is_read_as_it_was(tmp_path, suffix):
    models = [every_layer_model(text) for text in (EVERY_LAYER, DETECTOR, SINCE_2017)]
    found = {layer.type_name for model in models for layer in model.layers}
    assert found == set(type_names()), "add it to EVERY_LAYER"
    for model in models[: None if suffix == ".mdl" else 2]:
        save_model(model, tmp_path / f"a{suffix}")
        same(load_model(tmp_path / f"a{suffix}"), model)


@pytest.mark.parametrize("suffix", [".mdl", ".mdl.gz"])
def test_arrays_in_any_memory_order_are_saved_right(tmp_path, suffix):
    """safetensors 0.8 saves the memory of a transposed array as if it were in C order."""
    model = Model.create("C[4,3] A R", (3, 8, 8), ["a", "b"])
    truth = np.random.default_rng(0).random((4, 3, 3, 3), np.float32)
    for stored in (
        np.ascontiguousarray(truth.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0),
        np.asfortranarray(truth),
        np.repeat(truth, 2, axis=0)[::2],
    ):
        assert not stored.flags.c_contiguous
        model.parameters[0]["weight"] = stored
        save_model(model, tmp_path / f"a{suffix}")
        read = load_model(tmp_path / f"a{suffix}").parameters[0]["weight"]
        np.testing.assert_array_equal(read, truth)
        assert read.flags.c_contiguous


def test_the_file_is_plain_safetensors_with_everything_in_it(tmp_path):
    model = Model.create(
        "C.B[4,3,2] BN A R",
        (3, 9, 9),
        ["çat", "dog"],
        LayerOptions(border_mode="half", activation="elu"),
        preprocessing=Preprocessing((0.5, 0.4, 0.3), (0.2, 0.2, 0.1)),
    )
    model.summary = {"epoch": 3, "options": {"solver": "sgd"}}
    save_model(model, tmp_path / "a.mdl")
    content = (tmp_path / "a.mdl").read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header.pop("__metadata__")["denet"])
    assert header["1.conv.weight"]["shape"] == [4, 3, 3, 3]
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    assert sorted(header) == sorted(model.values())
    assert document["desc"] == "C.B[4,3,2] BN A R"
    assert document["class_labels"] == ["çat", "dog"]
    assert document["layers"][0] == {
        "type": "conv",
        "filters": 4,
        "size": [3, 3],
        "stride": [2, 2],
        "groups": 1,
        "bias_start": 0.0,
        "bias": False,
        "border_mode": "half",
        "weight_init": "he-backward",
    }
    assert document["preprocessing"] == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}
    assert document["summary"]["options"] == {"solver": "sgd"}
    start, end = header["1.conv.weight"]["data_offsets"]
    weight = np.frombuffer(content[8 + length + start : 8 + length + end], "<f4")
    np.testing.assert_array_equal(weight.reshape(4, 3, 3, 3), model.parameters[0]["weight"])


@pytest.mark.parametrize("suffix", [".mdl", ".mdl.gz"])
def test_a_mean_image_is_read_as_it_was(tmp_path, suffix):
    image = np.random.default_rng(1).normal(0, 1, (6, 5, 1)).astype(np.float32)
    model = small_model()
    model.preprocessing = Preprocessing((), (0.3,), image)
    save_model(model, tmp_path / f"a{suffix}")
    read = load_model(tmp_path / f"a{suffix}")
    same(read, model)
    assert read.preprocessing.mean_image.tobytes() == image.tobytes()
    text = gzip.decompress if suffix == ".mdl.gz" else bytes
    assert b"mean_image" in text((tmp_path / f"a{suffix}").read_bytes())


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("a.mdl", "b.mdl"):
        save_model(every_layer_model(), tmp_path / name)
    assert (tmp_path / "a.mdl").read_bytes() == (tmp_path / "b.mdl").read_bytes()


def test_the_checksum_is_that_of_metadata_and_tensors(tmp_path):
    """CRC-32 of the JSON text before it was added, then of the tensors by name."""
    save_model(small_model(), tmp_path / "a.mdl")
    content = (tmp_path / "a.mdl").read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    text = header.pop("__metadata__")["denet"]
    before, told = text[:-1].split(', "checksum": ')
    expected = zlib.crc32(before.encode() + b"}")
    for _, tensor in sorted(header.items()):
        first, last = tensor["data_offsets"]
        expected = zlib.crc32(content[end + first : end + last], expected)
    assert int(told) == expected


@pytest.mark.parametrize("name", ["tensors", "metadata"])
def test_what_was_changed_since_it_was_saved_is_told(tmp_path, name):
    path = tmp_path / "a.mdl"
    change = {
        "tensors": {"2.batchnorm.mean": np.ones(2, "f4")},
        "metadata": {"class_labels": ["x", "y"]},
    }
    write_changed(path, **{name: change[name]}, keep_checksum=True)
    with pytest.raises(DataError, match=rf"{path}: .*not what was saved; take another copy, or"):
        load_model(path)
    write_changed(path, **{name: change[name]})  # as earlier versions wrote it
    load_model(path)


def small_model():
    return Model.create("C[2,3] BN A R", (1, 4, 4), ["a", "b"])


def write_changed(path, *, tensors=None, metadata=None, drop=(), keep_checksum=False):
    """Write small_model with some tensors and metadata replaced."""
    model = small_model()
    save_model(model, path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    document = json.loads(header["__metadata__"]["denet"]) | (metadata or {})
    if not keep_checksum:
        del document["checksum"]
    values = model.values() | (tensors or {})
    for name in drop:
        values.pop(name, None)
        document.pop(name, None)
    save_file(values, path, {"denet": json.dumps(document)})


CONV = {"type": "conv", "filters": 2, "size": [3, 3]}
CHANGED = {
    "missing tensor": (dict(drop=["1.conv.weight"]), "'1.conv.weight' is missing"),
    "extra tensor": (dict(tensors={"9.x": np.zeros(1, "f4")}), "'9.x' belongs to no layer"),
    "wrong shape": (
        dict(tensors={"2.batchnorm.mean": np.zeros(3, "f4")}),
        r"'2.batchnorm.mean' has shape \[3\], the network needs \[2\]",
    ),
    "wrong element type": (
        dict(tensors={"2.batchnorm.mean": np.zeros(2, "f8")}),
        "tensor|2.batchnorm.mean.*not F32",
    ),
    "not a number": (
        dict(tensors={"2.batchnorm.mean": np.array([0, np.nan], "f4")}),
        "'2.batchnorm.mean' holds nan or inf",
    ),
    "future version": (dict(metadata={"format_version": 2}), "format version 2"),
    "no version": (dict(drop=["format_version"]), "no 'format_version'"),
    "unknown layer": (dict(metadata={"layers": [{"type": "convx"}]}), "did you mean 'conv'"),
    "no layer type": (dict(metadata={"layers": [{}]}), "layer 1"),
    "layer is no object": (dict(metadata={"layers": [7]}), "object"),
    "unknown field": (dict(metadata={"layers": [CONV | {"colour": 1}]}), "'colour'"),
    "missing field": (dict(metadata={"layers": [{"type": "conv"}]}), "'filters'"),
    "field out of bounds": (dict(metadata={"layers": [CONV | {"filters": 0}]}), "filters"),
    "field of a wrong type": (dict(metadata={"layers": [CONV | {"size": {"a": 1}}]}), "size"),
    "huge network": (
        dict(metadata={"layers": [CONV | {"filters": 65536, "size": [4, 4]}]}),
        r"the network needs \[65536, 1, 4, 4\]",
    ),
    "map too small": (dict(metadata={"input_shape": [1, 2, 2]}), "layer 1"),
    "image too large": (dict(metadata={"input_shape": [1, 2, 10**9]}), "input shape"),
    "image of negative size": (dict(metadata={"input_shape": [1, -2, 2]}), "input shape"),
    "no image size": (dict(drop=["input_shape"]), "no 'input_shape'"),
    "no labels": (dict(metadata={"class_labels": []}), "class labels"),
    "a label twice": (dict(metadata={"class_labels": ["a", "a"]}), "class labels"),
    "labels are numbers": (dict(metadata={"class_labels": [1, 2]}), "class_labels"),
    "other number of labels": (dict(metadata={"class_labels": ["a"]}), "class-conv.weight"),
    "wrong preprocessing": (dict(metadata={"preprocessing": {"mean": [1, 2]}}), "channel"),
    "preprocessing by 0": (dict(metadata={"preprocessing": {"std": [0]}}), "std 1e-09 to"),
    "small mean image": (
        dict(tensors={"preprocessing.mean_image": np.zeros((4, 3, 1), "f4")}),
        "mean image of 1x4x3",
    ),
    "flat mean image": (
        dict(tensors={"preprocessing.mean_image": np.zeros((4, 4), "f4")}),
        r"mean image must be \(height, width, channels\)",
    ),
    "mean image of no numbers": (
        dict(tensors={"preprocessing.mean_image": np.full((4, 4, 1), np.nan, "f4")}),
        "mean image must be",
    ),
    "no metadata": (dict(drop=["layers", "class_labels", "input_shape"]), "no '"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_content_that_does_not_fit_is_told(tmp_path, name):
    changes, message = CHANGED[name]
    path = tmp_path / "a.mdl"
    write_changed(path, **changes)
    with pytest.raises(DataError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unchanged_file_reads(tmp_path):
    write_changed(tmp_path / "a.mdl")
    same(load_model(tmp_path / "a.mdl"), small_model())


def test_bytes_behind_the_last_tensor_are_told(tmp_path):
    path = tmp_path / "a.mdl"
    save_model(every_layer_model(), path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match="damaged model file: .*a.mdl: 1 bytes too many"):
        load_model(path)


@pytest.mark.parametrize("part", [0, 1, 7, 8, 9, 40, 200, 0.5, 0.9, 0.99, -1])
def test_a_cut_file_is_told(tmp_path, part):
    path = tmp_path / "a.mdl"
    save_model(small_model(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content)) if 0 < part < 1 else part])
    with pytest.raises(DataError, match=str(path)):
        load_model(path)


def header_only(text, length=None):
    return struct.pack("<Q", len(text) if length is None else length) + text


def nested(depth):
    return header_only(b'{"__metadata__":' + b"[" * depth + b"]" * depth + b"}")


FOREIGN = {
    "empty": (b"", "empty"),
    "noise": (bytes(range(100, 200)), "unknown content"),
    "gzip": (gzip.compress(b"{}"), r"gzip.*\.mdl\.gz"),
    "pickle": (pickle.dumps({"weight": [1.0]}), "pickle"),
    "zip": (b"PK\x03\x04" + bytes(40), "zip"),
    "sqlite": (b"SQLite format 3\0" + bytes(40), "SQLite"),
    "html": (b"<!DOCTYPE html>" + bytes(40), "HTML"),
    "json": (b'{"layers": []}' + bytes(40), "JSON"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "header of 2**63 bytes": (header_only(b"{}", 2**63), "unknown content"),
    "header of 4 GiB": (header_only(b"{}", 2**32 - 1), "too many"),
    "header longer than the file": (header_only(b'{"a":1}', 1000), "cut short"),
    "deep header": (nested(100_000), "JSON"),
    "wide header": (header_only(b'{"a":[' + b"[]," * 1_000_001 + b"1]}"), "too many"),
    "safetensors of others": (header_only(b'{"__metadata__":{"format":"pt"}}'), "denet"),
    "no metadata": (header_only(b"{}      "), "denet"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_model_is_named(tmp_path, name):
    content, message = FOREIGN[name]
    path = tmp_path / "a.mdl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mdl_named_mdl_gz_is_told(tmp_path):
    save_model(small_model(), tmp_path / "a.mdl")
    os.replace(tmp_path / "a.mdl", tmp_path / "a.mdl.gz")
    with pytest.raises(DataError, match="rename"):
        load_model(tmp_path / "a.mdl.gz")


def test_no_file(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=f"not found: {tmp_path / 'a.mdl'}$"):
        load_model(tmp_path / "a.mdl")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"not found: a.mdl .in {tmp_path}"):
        load_model("a.mdl")
    with pytest.raises(DataError, match="Is a directory"):
        load_model(tmp_path)


def test_an_unknown_suffix(tmp_path):
    (tmp_path / "a.h5").touch()
    for call in (lambda path: load_model(path), lambda path: save_model(small_model(), path)):
        with pytest.raises(UsageError, match=r"\.mdl\.gz or \.mdl"):
            call(tmp_path / "a.h5")


@pytest.mark.parametrize("suffix", [".mdl", ".mdl.gz"])
def test_a_save_that_fails_keeps_the_previous_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_model(small_model(), path)
    before = path.read_bytes()
    model = small_model()
    model.summary = {"unsaveable": object()}
    with pytest.raises(TypeError):
        save_model(model, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(DataError, match="cannot write"):
        save_model(small_model(), tmp_path / "absent" / path.name)


def spoilt(name):
    """Return a model that no file may hold."""
    model = Model.create("C[4,3] BN R", (3, 8, 8), ["a", "b"])
    arrays = model.parameters[0]
    if name == "nan":
        arrays["weight"][1, 2, 0, 0] = np.nan
    elif name == "inf":
        model.parameters[1]["variance"][0] = np.inf
    elif name == "beyond float32":
        arrays["bias"] = np.full(4, 1e300)
    elif name == "shape":
        arrays["weight"] = np.zeros((4, 3, 3, 2), np.float32)
    elif name == "missing":
        del arrays["bias"]
    elif name == "foreign":
        arrays["colour"] = np.zeros(3, np.float32)
    elif name == "no arrays":
        model.parameters = []
    elif name == "pixels":
        model.preprocessing = Preprocessing((0.5, 0.5), (1, 1))
    return model


SPOILT = {
    "nan": "'1.conv.weight' holds nan or inf",
    "inf": "'2.batchnorm.variance' holds nan or inf",
    "beyond float32": "'1.conv.bias' holds nan or inf",
    "shape": r"'1.conv.weight' has shape \[4, 3, 3, 2\], the network needs \[4, 3, 3, 3\]",
    "missing": "'1.conv.bias' is missing",
    "foreign": "'1.conv.colour' belongs to no layer",
    "no arrays": "4 layers with the arrays of 0",
    "pixels": "one value per channel",
}


@pytest.mark.parametrize("suffix", [".mdl", ".mdl.gz"])
@pytest.mark.parametrize("name", SPOILT)
def test_what_would_not_be_read_back_is_not_written(tmp_path, name, suffix):
    """The file that was there stays, and nothing lies beside it."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(DataError, match=rf"cannot write: {path}: .*{SPOILT[name]}") as caught:
        save_model(spoilt(name), path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"before"
