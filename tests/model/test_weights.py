"""Weights of other programs: files of torch.save and safetensors made a model."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model.files_of_torch import (
    Arrays,
    Call,
    dump,
    old,
    resnet_probabilities,
    small_resnet,
    tensor,
    told,
    write_zip,
)
from safetensors.numpy import save_file

from denet.backend.numpy.backend import NumpyBackend
from denet.bfloat16 import from_float32
from denet.errors import DataError, UsageError
from denet.evaluate.classifier import Classifier
from denet.layer.options import LayerOptions
from denet.model.format import load_model, load_weights
from denet.model.format.weights import stored_arrays
from denet.model.preprocessing import Preprocessing

NORMAL = Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
HALF = LayerOptions(border_mode="half")


def write_new(path: Path, arrays: Arrays) -> None:
    write_zip(path.with_suffix(".pth"), *told(arrays))


def write_old(path: Path, arrays: Arrays) -> None:
    """The file of a checkpoint that several processes trained."""
    value, storages = told({f"module.{name}": each for name, each in arrays.items()}, None)
    checkpoint = {"epoch": 3, "state_dict": value, "best_prec1": 91.5, "args": Call(NAMESPACE, ())}
    path.with_suffix(".th").write_bytes(old(checkpoint, storages))


def write_safetensors(path: Path, arrays: Arrays) -> None:
    counters = {"bn1.num_batches_tracked": np.array(7, np.int64)}
    save_file({**arrays, **counters}, path.with_suffix(".safetensors"), {"format": "pt"})


NAMESPACE = "argparse Namespace"
WRITERS: dict[str, Callable[[Path, Arrays], None]] = {
    ".pth": write_new,
    ".th": write_old,
    ".safetensors": write_safetensors,
}
STEM7, STEM3 = "C.B[4,7,2] BN A P[3,2,1]", "C.B[4,3] BN A"
# what the arrays are made of, side of the images, and the network they are
RESNETS: dict[str, tuple[dict[str, Any], tuple[int, int], str]] = {
    "basic": (
        {"bottleneck": False, "stem": 7, "shortcut": "downsample"},
        (33, 46),
        f"{STEM7} nRSN.O[2,4,3] nRSN.O[2,12,3,2] P.A R.B",
    ),
    "bottleneck": (
        {"bottleneck": True, "stem": 7, "shortcut": "downsample"},
        (37, 31),
        f"{STEM7} nRSN.O[2,8,3,1,2] nRSN.OS[2,12,3,2,3] P.A R.B",
    ),
    "for CIFAR": (
        {"bottleneck": False, "stem": 3, "head": "linear"},
        (9, 12),
        f"{STEM3} nRSN.O[2,4,3] nRSN.OZ[2,12,3,2] P.A R.B",
    ),
    "for CIFAR with weights": (
        {"bottleneck": False, "stem": 3, "head": "linear", "shortcut": "shortcut"},
        (8, 8),
        f"{STEM3} nRSN.O[2,4,3] nRSN.O[2,12,3,2] P.A R.B",
    ),
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("name", RESNETS)
def test_a_resnet_computes_what_its_arrays_say(tmp_path: Path, name: str, suffix: str) -> None:
    made, (width, height), text = RESNETS[name]
    arrays = small_resnet(**made)
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path, arrays)
    model = load_weights(path, size=(width, height), preprocessing=NORMAL)
    assert model.text() == text
    assert model.input_shape == (3, height, width)
    assert model.class_labels == ["class 1", "class 2", "class 3"]
    pixels = np.random.default_rng(1).uniform(0, 1, (2, height, width, 3)).astype(np.float32)
    found = Classifier(model, 2, NumpyBackend()).probabilities((pixels - NORMAL.mean) / NORMAL.std)
    for one, image in zip(found, pixels, strict=True):
        seen = ((image - NORMAL.mean) / NORMAL.std).transpose(2, 0, 1)
        np.testing.assert_allclose(one, resnet_probabilities(arrays, seen), rtol=2e-5)


def test_images_are_as_large_as_those_of_the_training(tmp_path: Path) -> None:
    for stem, side in ((7, 224), (3, 32)):
        write_new(tmp_path / f"{stem}.pth", small_resnet(False, stem, "downsample"))
        assert load_weights(tmp_path / f"{stem}.pth").input_shape == (3, side, side)


def test_a_network_that_is_said(tmp_path: Path) -> None:
    """Which convolution of a bottleneck has the stride is not to be seen; groups of names are."""
    arrays = small_resnet(True, 7, "downsample")
    write_new(tmp_path / "a.pth", arrays)
    text = f"{STEM7} nRSN.O[2,8,3,1,2] nRSN.O[2,12,3,2,3] P.A R.B"
    model = load_weights(tmp_path / "a.pth", text, HALF)
    assert model.text() == text
    for name, value in model.values().items():
        assert np.isin(value, np.concatenate([each.ravel() for each in arrays.values()])).all(), (
            name
        )


def test_a_sequence_that_is_said(tmp_path: Path) -> None:
    """Of unknown names those of each kind are taken in their order: 2 before 10."""
    rng = np.random.default_rng(0)
    arrays: Arrays = {
        "10.weight": rng.normal(size=(5, 4, 3, 3)),
        "2.weight": rng.normal(size=(4, 3, 3, 3)),
        "2.bias": rng.normal(size=4),
        "11.weight": rng.normal(size=5),
        "11.bias": rng.normal(size=5),
        "11.running_mean": rng.normal(size=5),
        "11.running_var": rng.uniform(1, 2, 5),
        "20.weight": rng.normal(size=(2, 5 * 4 * 4)),
    }
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    write_safetensors(tmp_path / "a.safetensors", arrays)
    with pytest.raises(DataError, match="an unknown network, with arrays like '2.bias': known are"):
        load_weights(tmp_path / "a.safetensors")
    model = load_weights(tmp_path / "a.safetensors", "C[4,3] A P[2] C.B[5,3] BN A R", HALF, (8, 8))
    values = model.values()
    assert np.array_equal(values["1.conv.weight"], arrays["2.weight"])
    assert np.array_equal(values["4.conv.weight"], arrays["10.weight"])
    assert np.array_equal(values["5.batchnorm.variance"], arrays["11.running_var"])
    assert np.array_equal(values["7.class-conv.weight"].reshape(2, -1), arrays["20.weight"])
    with pytest.raises(UsageError, match="unknown layer"):
        load_weights(tmp_path / "a.safetensors", "C[4,3] Q R", HALF, (8, 8))


FAULTS: dict[str, tuple[Callable[[Arrays], Any], str]] = {
    "missing": (
        lambda arrays: arrays.pop("layer1.1.bn2.running_var"),
        r"1 of 52 arrays do not fit the network: missing: layer1.1.bn2.running_var \[4\]",
    ),
    "left over": (
        lambda arrays: arrays.update({"layer1.0.alpha": np.zeros(3, np.float32)}),
        r"1 of 53 arrays .* left over: layer1.0.alpha \[3\]",
    ),
    "another shape": (
        lambda arrays: arrays.update({"layer2.1.conv1.weight": np.zeros((12, 9, 3, 3))}),
        r"another shape: layer2.1.conv1.weight \[12, 9, 3, 3\], the network needs \[12, 12, 3, 3\]",
    ),
    "not a number": (
        lambda arrays: arrays["bn1.bias"].fill(np.nan),
        "'bn1.bias' holds nan or inf",
    ),
    "no classes": (lambda arrays: arrays.pop("fc.weight"), "no array 'fc.weight'"),
    "deep stem": (
        lambda arrays: arrays.update({"conv1.0.weight": np.zeros((4, 3, 3, 3))}),
        "a stem of several convolutions .ResNet-C, -D, -T",
    ),
    "avg_down": (
        lambda arrays: arrays.update({"layer2.0.downsample.2.weight": np.zeros(12)}),
        "a mean pooling in its shortcuts .ResNet-D, avg_down",
    ),
    "squeeze": (
        lambda arrays: arrays.update({"layer2.0.se.fc1.weight": np.zeros((3, 12))}),
        "squeeze-and-excitation",
    ),
    "wide stem": (
        lambda arrays: arrays.update({"conv1.weight": np.zeros((4, 3, 5, 5))}),
        "a first convolution of 5x5",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_fit_is_told(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    change, words = FAULTS[name]
    arrays = small_resnet(False, 7, "downsample")
    change(arrays)
    write_new(tmp_path / "a.pth", arrays)
    with pytest.raises(DataError, match=f"cannot read weights: .*a.pth: .*{words}"):
        load_weights(tmp_path / "a.pth")


def test_each_array_that_does_not_fit_is_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = small_resnet(False, 7, "downsample")
    del arrays["bn1.weight"], arrays["layer2.0.bn1.bias"]
    arrays |= {"head.weight": np.zeros((2, 2), np.float32)}
    write_new(tmp_path / "a.pth", arrays)
    with pytest.raises(DataError, match=r"3 of 53 arrays .*: missing: bn1.weight .*and 2 more"):
        load_weights(tmp_path / "a.pth")
    lines = [line.removeprefix(f"{tmp_path / 'a.pth'}: ") for line in caplog.messages]
    assert lines == [
        "missing: bn1.weight [4]",
        "missing: layer2.0.bn1.bias [12]",
        "left over: head.weight [2, 2]",
    ]


KINDS = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
}


def read_all(path: Path) -> Arrays:
    with stored_arrays(str(path)) as arrays:
        return {name: array.read() for name, array in arrays.items()}


@pytest.mark.parametrize("kind", [*KINDS, "BFloat16Storage", "BoolStorage"])
def test_elements_and_strides(tmp_path: Path, kind: str) -> None:
    """A transposed tensor, a part of another, one number, and none, in one storage of 12."""
    numbers = np.arange(12.0) if kind != "BoolStorage" else np.arange(12.0) % 2
    if kind == "BFloat16Storage":
        content = from_float32(numbers.astype(np.float32)).astype("<u2").tobytes()
    else:
        content = numbers.astype(KINDS.get(kind, "?")).tobytes()
    value = {
        "rows": tensor("0", 12, (3, 4), None, 0, kind),
        "part": tensor("0", 12, (2, 2), (4, 1), 5, kind),
        "one": tensor("0", 12, (), (), 11, kind),
        "none": tensor("0", 12, (0, 3), None, 0, kind),
    }
    whole = numbers.reshape(3, 4)
    wanted = {"rows": whole, "part": whole[1:, 1:3], "one": whole[2, 3], "none": whole[:0, :3]}
    for name, each in wanted.items():
        write_zip(tmp_path / "a.pth", {name: value[name]}, {"0": content})
        found = read_all(tmp_path / "a.pth")[name]
        assert found.dtype == np.float32 and np.array_equal(found, each)
    turned = {"turned": tensor("0", 12, (4, 3), (1, 4), 0, kind)}
    write_zip(tmp_path / "a.pth", turned, {"0": content})
    assert np.array_equal(read_all(tmp_path / "a.pth")["turned"], whole.T)


def test_tensors_that_share_bytes_are_no_more_than_the_file(tmp_path: Path) -> None:
    value = {str(n): tensor("0", 10**4, (10**4,)) for n in range(30)}
    write_zip(tmp_path / "a.pth", value, {"0": bytes(4 * 10**4)})
    with pytest.raises(DataError, match="share bytes"):
        read_all(tmp_path / "a.pth")


def test_a_part_of_a_storage_in_an_old_file(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype="<f4")
    part = ("view", 4, 6)
    value = {"a": tensor("7", 12, (2, 3), None, 0, "FloatStorage", part)}
    (tmp_path / "a.pth").write_bytes(old(value, {"7": numbers.tobytes()}))
    assert np.array_equal(read_all(tmp_path / "a.pth")["a"], numbers[4:10].reshape(2, 3))


def test_names_of_old_densenets(tmp_path: Path) -> None:
    arrays = {"features.denseblock1.denselayer1.norm.1.weight": np.zeros(2, np.float32)}
    write_new(tmp_path / "a.pth", arrays)
    assert list(read_all(tmp_path / "a.pth")) == ["features.denseblock1.denselayer1.norm1.weight"]


def test_parameters_and_tensors_of_old_versions(tmp_path: Path) -> None:
    """Parameter(tensor), and a tensor whose attributes follow: hooks, which nobody calls."""
    numbers = np.arange(4, dtype="<f4")
    new = tensor("0", 4, (4,))
    before = Call("torch._utils _rebuild_tensor", new.arguments[:4])
    for value in (
        before,
        Call("torch.nn.parameter Parameter", (before,)),
        Call("torch._utils _rebuild_parameter", (new, True, Call("collections OrderedDict", ()))),
    ):
        write_zip(tmp_path / "a.pth", {"a": value}, {"0": numbers.tobytes()})
        assert np.array_equal(read_all(tmp_path / "a.pth")["a"], numbers)


def test_content_tells_the_format(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"no weights, but text")
    with pytest.raises(DataError, match=r"a.bin: neither a file of torch.save nor safetensors"):
        load_weights(tmp_path / "a.bin")
    (tmp_path / "a.pth").write_bytes(dump({"a": 1}))
    with pytest.raises(DataError, match="a pickle, but not one of torch.save"):
        load_weights(tmp_path / "a.pth")
    with pytest.raises(DataError, match=r"model file not found: .*b.pth"):
        load_weights(tmp_path / "b.pth")


def test_a_header_whose_length_begins_like_a_pickle(tmp_path: Path) -> None:
    for length in range(400):
        save_file({"a": np.zeros(1, np.float32)}, tmp_path / "a.bin", {"b": "c" * length})
        if (tmp_path / "a.bin").read_bytes()[0] == 0x80:
            break
    assert list(read_all(tmp_path / "a.bin")) == ["a"] and length < 399


def test_an_archive_with_numbers_of_8_bytes(tmp_path: Path) -> None:
    """As torch.save writes those beyond 4 GB: APPNOTE.TXT 4.3.14, 4.3.15, 4.5.3."""
    path, arrays = tmp_path / "a.pth", small_resnet(False, 3, head="linear")
    write_zip(path, *told(arrays))
    content, large = path.read_bytes(), b"\xff" * 4
    size, offset = struct.unpack("<II", content[-10:-2])
    directory, entries = content[offset : offset + size], b""
    while directory:
        packed, unpacked, name = struct.unpack_from("<IIH", directory, 20)
        (begin,) = struct.unpack_from("<I", directory, 42)
        extra = struct.pack("<HHQQQ", 1, 24, unpacked, packed, begin)
        lengths = struct.pack("<HH", name, len(extra))
        entries += directory[:20] + large * 2 + lengths + directory[32:42] + large
        entries += directory[46 : 46 + name] + extra
        directory = directory[46 + name :]
    end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(entries), offset)
    place = struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + len(entries), 1)
    last = b"PK\x05\x06" + bytes(4) + large * 3 + bytes(2)
    path.write_bytes(content[:offset] + entries + end + place + last)
    found = read_all(path)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], each) for name, each in arrays.items())


def test_weights_are_no_model(tmp_path: Path) -> None:
    write_new(tmp_path / "a.pth", small_resnet(False, 7, "downsample"))
    with pytest.raises(UsageError, match=r"a.pth: weights of other programs are made one by"):
        load_model(tmp_path / "a.pth")
    (tmp_path / "a.mdl").write_bytes((tmp_path / "a.pth").read_bytes())
    with pytest.raises(DataError, match="a zip archive; if it holds weights of PyTorch, name it"):
        load_model(tmp_path / "a.mdl")


def test_other_byte_order_is_refused(tmp_path: Path) -> None:
    import model.files_of_torch as files

    value, storages = told({"a": np.zeros(2, np.float32)}, None)
    content = old(value, storages)
    turned = content.replace(dump(files.SYSTEM), dump({**files.SYSTEM, "little_endian": False}))
    assert turned != content
    (tmp_path / "a.pth").write_bytes(turned)
    with pytest.raises(DataError, match="a machine of other byte order"):
        load_weights(tmp_path / "a.pth")


def test_a_file_cut_short(tmp_path: Path) -> None:
    arrays = small_resnet(False, 3, head="linear")
    write_old(tmp_path / "a.th", arrays)
    content = (tmp_path / "a.th").read_bytes()
    (tmp_path / "a.th").write_bytes(content[:-8])
    with pytest.raises(DataError, match=f"{len(content) - 8} bytes, not the {len(content)}"):
        load_weights(tmp_path / "a.th")
    (tmp_path / "a.th").write_bytes(content + struct.pack("<q", 0))
    with pytest.raises(DataError, match="take another copy"):
        load_weights(tmp_path / "a.th")
