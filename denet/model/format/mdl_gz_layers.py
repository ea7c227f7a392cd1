"""How the layers of 2017 files stand for ours: one reader and one writer per type.

Convolutions of 2017 are true convolutions: their kernels are rotated by 180 degrees against our
cross-correlation. A deconvolution is the adjoint (transpose) of a convolution, in 2017 of a true
one: with R the rotation and corr(k) our convolution, conv(k) = corr(R k), hence
conv(k)^T = corr(R k)^T, and the same rotation makes the same function.

Batch normalisation holds std = 1 / sqrt(variance + eps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from denet.model.format.npy import encode_array
from denet.model.format.record import Record

Arrays = dict[str, np.ndarray]
Json = dict[str, Any]
MapShape = tuple[int, int, int]  # height, width, channels of the input of a layer
Parts = tuple[Json, Arrays]  # fields of a layer, and its arrays by local name
Reader = Callable[[Record], Parts]
Writer = Callable[[Any, Arrays, MapShape], Json]


def rotated(kernel: np.ndarray) -> np.ndarray:
    """Return a (out, in, h, w) kernel rotated by 180 degrees."""
    return np.ascontiguousarray(kernel[:, :, ::-1, ::-1])


def vector(record: Record, key: str) -> np.ndarray:
    """Return one value per channel; axes of length 1 around them are dropped."""
    array = record.array(key)
    if array.size != max(array.shape, default=0):
        raise record.fault(f"{key!r} has shape {list(array.shape)}, not one value per channel")
    return array.reshape(-1)


def one_number(record: Record, key: str, *default: int) -> int:
    """Return a whole number that may stand twice, once per axis."""
    first, second = record.integers(key, 2, *default)
    if first != second:
        raise record.fault(f"{key!r} differs between the axes, {first} and {second}")
    return first


# Convolutions


def border_mode(record: Record) -> str | int:
    """Return the border mode; ``false`` stands for no border."""
    mode = record.get("border", False)
    return 0 if mode is False else mode


def read_kernel(record: Record) -> Parts:
    """Return the fields and arrays that convolution and deconvolution share."""
    weight = record.array("weight")
    shape = list(weight.shape)
    if len(shape) != 4 or record.get("shape", shape) != shape:
        raise record.fault(f"'weight' has shape {shape!s:.80}, 'shape' says otherwise")
    use_bias = record.flag("useBias", "bias" in record)
    fields = {
        "filters": weight.shape[0],
        "size": list(weight.shape[2:]),
        "stride": list(record.integers("stride", 2, 1)),
        "bias": use_bias,
        "border_mode": border_mode(record),
    }
    arrays = {"weight": rotated(weight)}
    if use_bias:
        arrays["bias"] = vector(record, "bias")
    return fields, arrays


def read_class_convolution(record: Record) -> Parts:
    """Return the convolution before a regression as one filter per class."""
    fields, arrays = read_kernel(record)
    return {name: fields[name] for name in ("size", "bias")}, arrays


def is_class_convolution(records: Sequence[Record]) -> bool:
    """Return whether R put the first of these layers before its regression, the second."""
    return (
        [record.text("type") for record in records] == ["conv", "regression"]
        and records[0].integers("stride", 2, 1) == (1, 1)
        and border_mode(records[0]) in (0, "valid")
    )


def is_frozen(record: Record) -> bool:
    """Return whether 2017 did not train a layer; the convolutions inside of others it always did.

    What is not ``enabled`` there is computed like any other convolution.
    """
    return record.text("type") == "conv" and not record.flag("enabled", True)


def kernel_json(arrays: Arrays, stride: Any = (1, 1), border: str | int = "valid") -> Json:
    """Return the JSON of a convolution or deconvolution without its type."""
    weight, bias = arrays["weight"], arrays.get("bias")
    return {
        "shape": list(weight.shape),
        "stride": list(stride),
        "border": border,
        "useBias": bias is not None,
        "bias": None if bias is None else encode_array(bias),
        "weight": encode_array(rotated(weight)),
    }


def convolution_json(arrays: Arrays, stride: Any = (1, 1), border: str | int = "valid") -> Json:
    """Return the JSON of a convolution, alone or in a block."""
    return leaf("conv", enabled=True, **kernel_json(arrays, stride, border))


def leaf(type_name: str, **values: Any) -> Json:
    """Return the JSON of a layer without sublayers."""
    return {"type": type_name, "layers": [], **values}


# Batch normalisation


def read_statistics(record: Record) -> Parts:
    """Return the fields and arrays that both kinds of batch normalisation share."""
    fields = {"momentum": record.number("momentum", 0.9), "eps": record.number("eps", 1e-5)}
    arrays = {
        "gamma": vector(record, "gamma"),
        "beta": vector(record, "bias"),
        "mean": vector(record, "mean"),
    }
    with np.errstate(all="ignore"):
        std = vector(record, "std").astype(np.float64)
        arrays["variance"] = np.maximum(std**-2 - fields["eps"], 0).astype(np.float32)
    if not (std > 0).all() or not np.isfinite(arrays["variance"]).all():
        raise record.fault("'std' (1 / standard deviation) must be above 0")
    return fields, arrays


def read_batch_norm(record: Record) -> Parts:
    return read_statistics(record) if record.flag("enabled", True) else ({"enabled": False}, {})


def batch_norm_json(type_name: str, arrays: Arrays, momentum: float, eps: float) -> Json:
    """Return the JSON of a batch normalisation, alone or in a block."""
    std = 1 / np.sqrt(arrays["variance"].astype(np.float64) + eps)
    found = leaf(
        type_name,
        momentum=momentum,
        eps=eps,
        mean=encode_array(arrays["mean"]),
        std=encode_array(std.astype(np.float32)),
        gamma=encode_array(arrays["gamma"]),
        bias=encode_array(arrays["beta"]),
    )
    if type_name == "batchnorm":
        found |= {"renormMaxR": 1, "renormMaxD": 0, "renormMaxIt": 0, "enabled": True}
    return found


def write_batch_norm(layer: Any, arrays: Arrays, shape: MapShape) -> Json:
    """Return the JSON; a disabled layer holds no arrays and stands as what it does."""
    if layer.enabled:
        return batch_norm_json(layer.type_name, arrays, layer.momentum, layer.eps)
    if layer.type_name == "batchnorm-relu":
        return leaf("activation", activation="relu")
    return leaf("identity")


# Skips


def read_skip(record: Record) -> Parts:
    arrays = {}
    for part in record.layers():
        if part.text("type") == "conv":
            arrays["conv.weight"] = read_kernel(part)[1]["weight"]
    concatenate = "concat" in record.text("combineMode", "")
    return {"index": record.integer("index", 0), "concatenate": concatenate}, arrays


def write_skip(layer: Any, arrays: Arrays, shape: MapShape) -> Json:
    found = leaf("skip", index=layer.index)
    found["combineMode"] = "concat" if layer.concatenate else "proj-add"
    if arrays:
        projection = convolution_json({"weight": arrays["conv.weight"]})
        found["layers"] = [leaf("initial"), projection]
    return found


# Layers without arrays

POOL_MODES = ("max", "average_inc_pad")


def read_pool(record: Record) -> Parts:
    mode = record.text("mode", "max")
    if mode not in POOL_MODES:
        raise record.fault(f"pool mode {mode!r:.40} (known: {', '.join(POOL_MODES)})")
    size = list(record.integers("size", 2))
    return {
        "size": size,
        "stride": list(record.integers("stride", 2, size)),
        "padding": one_number(record, "pad", 0),
        "mean": POOL_MODES.index(mode) == 1,
        "partial": not record.flag("ignoreBorder", True),
    }, {}


def write_pool(layer: Any, arrays: Arrays, shape: MapShape) -> Json:
    size = list(layer.size or shape[:2])
    return leaf(
        "pool",
        mode=POOL_MODES[layer.mean],
        size=size,
        stride=list(layer.stride or size),
        pad=[layer.padding, layer.padding],
        ignoreBorder=not layer.partial,
    )


def write_regression(layer: Any, arrays: Arrays, shape: MapShape) -> Json:
    height, width, _ = shape
    return leaf("regression", valid=[[0, height // 2, width // 2]] if layer.centre else [])


READERS: dict[str, Reader] = {
    "activation": lambda record: ({"activation": record.text("activation")}, {}),
    "batchnorm": read_batch_norm,
    "batchnorm-relu": read_statistics,
    "border": lambda record: ({"border": list(record.integers("border", 4))}, {}),
    "conv": read_kernel,
    "crop-mirror": lambda record: (
        {
            "crop": one_number(record, "crop"),
            "mirror": record.number("mirror", 0.0),
            "flip": record.number("flip", 0.0),
        },
        {},
    ),
    "deconv": read_kernel,
    "dropout": lambda record: ({"rate": record.number("dropoutRate")}, {}),
    "identity": lambda record: ({}, {}),
    "pool": read_pool,
    "pool-inv": lambda record: ({"size": one_number(record, "size")}, {}),
    "regression": lambda record: ({"centre": bool(record.get("valid", []))}, {}),
    "skip": read_skip,
    "skip-src": lambda record: (
        {"index": record.integer("index", 0), "split": record.flag("split", False)},
        {},
    ),
    "split": lambda record: ({"enabled": record.flag("enabled", True)}, {}),
}

WRITERS: dict[str, Writer] = {
    "activation": lambda layer, *_: leaf("activation", activation=layer.activation),
    "batchnorm": write_batch_norm,
    "batchnorm-relu": write_batch_norm,
    "border": lambda layer, *_: leaf("border", border=list(layer.border)),
    "class-conv": lambda layer, arrays, shape: convolution_json(arrays),
    "conv": lambda layer, arrays, _: convolution_json(arrays, layer.stride, layer.border_mode),
    "crop-mirror": lambda layer, *_: leaf(
        "crop-mirror", crop=[layer.crop, layer.crop], mirror=layer.mirror, flip=layer.flip
    ),
    "deconv": lambda layer, arrays, _: leaf(
        "deconv", **kernel_json(arrays, layer.stride, layer.border_mode)
    ),
    "dropout": lambda layer, *_: leaf("dropout", dropoutRate=layer.rate),
    "pool": write_pool,
    "pool-inv": lambda layer, *_: leaf("pool-inv", size=[layer.size, layer.size]),
    "regression": write_regression,
    "skip": write_skip,
    "skip-src": lambda layer, *_: leaf("skip-src", index=layer.index, split=layer.split),
    "split": lambda layer, *_: leaf("split", enabled=layer.enabled),
}
