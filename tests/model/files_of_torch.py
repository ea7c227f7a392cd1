"""Files of torch.save written opcode by opcode, and what the ResNets in them compute."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import correlate

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {
    "protocol_version": 1001,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
Arrays = dict[str, np.ndarray]


class Name(NamedTuple):
    """A name to import: "torch FloatStorage"."""

    words: str


class Call(NamedTuple):
    """A name called with arguments."""

    name: str
    arguments: tuple[Any, ...]


class Persistent(NamedTuple):
    """What the file stores elsewhere."""

    told: tuple[Any, ...]


def dump(value: Any) -> bytes:
    """Return a pickle of protocol 2."""
    return b"\x80\x02" + body(value) + b"."


def body(value: Any) -> bytes:
    """Return the opcodes that put a value on the stack."""
    match value:
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case Name(words):
            return b"c" + words.replace(" ", "\n").encode() + b"\n"
        case Call(name, arguments):
            return body(Name(name)) + body(tuple(arguments)) + b"R"
        case Persistent(told):
            return body(told) + b"Q"
        case int():
            number = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(number)]) + number
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case list():
            return b"](" + b"".join(map(body, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(body, value)) + b"t"
        case dict():
            return b"}(" + b"".join(body(key) + body(item) for key, item in value.items()) + b"u"
    raise AssertionError(value)


def tensor(
    key: str,
    held: int,
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
    offset: int = 0,
    kind: str = "FloatStorage",
    *part: Any,
) -> Call:
    """Return what a file says of a tensor, by default of all elements of a storage, row by row."""
    if strides is None:
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    storage = Persistent(("storage", Name(f"torch {kind}"), key, "cpu", held, *part))
    hooks = Call("collections OrderedDict", ())
    arguments = storage, offset, tuple(shape), tuple(strides), False, hooks
    return Call("torch._utils _rebuild_tensor_v2", arguments)


def write_zip(path: Path, value: Any, storages: Mapping[str, bytes]) -> Path:
    """Write the zip archive that torch.save writes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", value if isinstance(value, bytes) else dump(value))
        archive.writestr("archive/byteorder", "little")
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
        archive.writestr("archive/version", "3\n")
    return path


def old(value: Any, storages: Mapping[str, bytes], itemsize: int = 4) -> bytes:
    """Return the file that torch.save wrote until 2020; ``value`` is told with a part None."""
    pickles = [dump(each) for each in (MAGIC, PROTOCOL, SYSTEM)]
    pickles += [value if isinstance(value, bytes) else dump(value), dump(sorted(storages))]
    parts = [
        struct.pack("<q", len(storages[key]) // itemsize) + storages[key]
        for key in sorted(storages)
    ]
    return b"".join(pickles + parts)


def told(arrays: Mapping[str, np.ndarray], *part: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what a file says of float32 arrays by name, and their storages."""
    keys = {name: str(number) for number, name in enumerate(arrays)}
    value = {
        name: tensor(keys[name], array.size, array.shape, None, 0, "FloatStorage", *part)
        for name, array in arrays.items()
    }
    contents = {keys[name]: array.astype("<f4").tobytes() for name, array in arrays.items()}
    return value, contents


def norm(name: str, channels: int, rng: np.random.Generator) -> Arrays:
    """Return the arrays of a batch normalisation."""
    return {
        f"{name}.weight": rng.uniform(0.5, 1.5, channels),
        f"{name}.bias": rng.normal(0, 0.2, channels),
        f"{name}.running_mean": rng.normal(0, 0.2, channels),
        f"{name}.running_var": rng.uniform(0.5, 1.5, channels),
    }


def small_resnet(
    bottleneck: bool, stem: int, shortcut: str = "", head: str = "fc", seed: int = 0
) -> Arrays:
    """Return the arrays of a ResNet of two stages with two blocks each, for 3 classes."""
    rng, seen = np.random.default_rng(seed), 4

    def window(filters: int, channels: int, size: int) -> np.ndarray:
        scale = (2 / (channels * size * size)) ** 0.5
        return rng.normal(0, scale, (filters, channels, size, size))

    arrays = {"conv1.weight": window(seen, 3, stem)} | norm("bn1", seen, rng)
    for stage, filters in ((1, 8 if bottleneck else 4), (2, 12)):
        for block in range(2):
            name = f"layer{stage}.{block}"
            sizes = [(filters, 3), (filters, 3)]
            if bottleneck:
                sizes = [(filters // 4, 1), (filters // 4, 3), (filters, 1)]
            channels = seen
            for number, (count, size) in enumerate(sizes, 1):
                arrays[f"{name}.conv{number}.weight"] = window(count, channels, size)
                arrays |= norm(f"{name}.bn{number}", count, rng)
                channels = count
            if shortcut and block == 0 and (seen != filters or stage > 1):
                arrays[f"{name}.{shortcut}.0.weight"] = window(filters, seen, 1)
                arrays |= norm(f"{name}.{shortcut}.1", filters, rng)
            seen = filters
    arrays |= {f"{head}.weight": rng.normal(0, 1, (3, seen)), f"{head}.bias": rng.normal(0, 1, 3)}
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def convolved(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Return a convolution (c, h, w) with zeros of half a window around the map."""
    border = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (border, border), (border, border)))
    full = [correlate(padded, filter_, "valid")[0] for filter_ in weight.astype(np.float64)]
    return np.stack(full)[:, ::stride, ::stride]


def normalised(x: np.ndarray, arrays: Arrays, name: str) -> np.ndarray:
    """Return a batch normalisation of a map (c, h, w)."""
    weight, bias, mean, variance = (
        arrays[f"{name}.{each}"].astype(np.float64)[:, None, None]
        for each in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def resnet_probabilities(arrays: Arrays, image: np.ndarray) -> np.ndarray:
    """Return what a ResNet makes of an image (c, h, w), bottlenecks with the stride behind."""
    large = arrays["conv1.weight"].shape[2] == 7
    x = convolved(image, arrays["conv1.weight"], 2 if large else 1)
    x = np.maximum(normalised(x, arrays, "bn1"), 0)
    if large:
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))  # 0 is the least there is
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        x = windows[:, ::2, ::2].max((3, 4))
    for name in dict.fromkeys(name[:8] for name in arrays if name.startswith("layer")):
        count = 3 if f"{name}.conv3.weight" in arrays else 2
        stride = 2 if name == "layer2.0" else 1
        y = x
        for number in range(1, count + 1):
            step = stride if number == count - 1 else 1
            y = convolved(y, arrays[f"{name}.conv{number}.weight"], step)
            y = normalised(y, arrays, f"{name}.bn{number}")
            y = np.maximum(y, 0) if number < count else y
        found = [part for part in ("downsample", "shortcut") if f"{name}.{part}.0.weight" in arrays]
        if found:
            x = convolved(x, arrays[f"{name}.{found[0]}.0.weight"], stride)
            x = normalised(x, arrays, f"{name}.{found[0]}.1")
        else:
            more = len(y) - len(x)
            x = np.pad(x[:, ::stride, ::stride], ((more // 2, more - more // 2), (0, 0), (0, 0)))
        x = np.maximum(x + y, 0)
    head = "fc" if "fc.weight" in arrays else "linear"
    scores = arrays[f"{head}.weight"] @ x.mean((1, 2)) + arrays[f"{head}.bias"]
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()
