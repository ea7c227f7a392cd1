"""The residual block of 2017 files: its sublayers in forward order, then those of the shortcut."""

from __future__ import annotations

from typing import Any

from denet.model.format.mdl_gz_layers import (
    Arrays,
    Json,
    MapShape,
    Parts,
    batch_norm_json,
    convolution_json,
    leaf,
    one_number,
    read_kernel,
    read_statistics,
)
from denet.model.format.record import Record

BATCH_NORMS = ("batchnorm", "batchnorm-relu")
ORIGINAL, BEFORE, FUSED = "original", "pre-activation", "bnrelu"  # words of the version


def read_residual(record: Record) -> Parts:
    """Return a block; its sublayers give their arrays, and only repeat what else it says."""
    parts = [part for part in record.layers() if part.text("type") in ("conv", *BATCH_NORMS)]
    convolutions = [part for part in parts if part.text("type") == "conv"]
    rule = record.record("bnParam")
    enabled = rule.flag("enabled", record.flag("enableBatchNorm", True))
    statistics = {"momentum": rule.number("momentum", 0.9), "eps": rule.number("eps", 1e-5)}
    norms = [part for part in parts if enabled and part not in convolutions]
    bottleneck = record.integer("bottleneck", 0)
    count = 3 if bottleneck else 2
    if not count <= len(convolutions) <= count + 1 or len(norms) > count + 1:
        raise record.fault(
            f"{len(convolutions)} convolutions and {len(norms)} batch normalisations in a block"
        )
    arrays: Arrays = {}
    for name, part in zip(part_names("conv", count, "shortcut"), convolutions, strict=False):
        arrays[f"{name}.weight"] = read_kernel(part)[1]["weight"]
    for name, part in zip(part_names("bn", count, "shortcut_bn"), norms, strict=False):
        _, values = read_statistics(Record(part.values | statistics, part.where))
        arrays |= {f"{name}.{key}": value for key, value in values.items()}
    version = record.text("version", ORIGINAL if parts[0] in convolutions else BEFORE)
    fields = {
        "filters": arrays[f"conv{count}.weight"].shape[0],
        "size": arrays["conv2.weight"].shape[2],
        "stride": one_number(record, "stride", 1),
        "bottleneck": bottleneck,
        "original": ORIGINAL in version,
        "activation": record.text("activation", "relu"),
        "bn_relu": FUSED in version,
        "bn_enabled": enabled,
        **{f"bn_{name}": value for name, value in statistics.items()},
    }
    return fields, arrays


def part_names(kind: str, count: int, shortcut: str) -> list[str]:
    """Return the local names of the convolutions or normalisations in file order."""
    return [*(f"{kind}{number}" for number in range(1, count + 1)), shortcut]


def write_residual(layer: Any, arrays: Arrays, shape: MapShape) -> Json:
    """Return the JSON of a block."""
    fused = layer.bn_relu and layer.bn_enabled
    count = len(layer.convolutions())

    def convolution(name: str, stride: int) -> Json:
        weight = arrays[f"{name}.weight"]
        return convolution_json({"weight": weight}, (stride, stride), "half")

    def norm(name: str, activation: bool = False) -> list[Json]:
        if not layer.bn_enabled:
            return [leaf(BATCH_NORMS[0], enabled=False)]
        own = {key: arrays[f"{name}.{key}"] for key in ("gamma", "beta", "mean", "variance")}
        type_name = BATCH_NORMS[activation and fused]
        return [batch_norm_json(type_name, own, layer.bn_momentum, layer.bn_eps)]

    activation = [] if fused else [leaf("activation", activation=layer.activation)]
    parts = [leaf("initial")]
    for number, (_, _, stride) in enumerate(layer.convolutions(), 1):
        step = [convolution(f"conv{number}", stride)]
        if not layer.original:
            parts += [*norm(f"bn{number}", True), *activation, *step]
        elif number < count:
            parts += [*step, *norm(f"bn{number}", True), *activation]
        else:
            parts += [*step, *norm(f"bn{number}")]
    if "shortcut.weight" in arrays:
        parts.append(convolution("shortcut", layer.stride))
        parts += norm("shortcut_bn") if layer.original else []
    version = ORIGINAL if layer.original else BEFORE
    return {
        "type": "resnet",
        "shape": [layer.filters, shape[2], layer.size, layer.size],
        "stride": [layer.stride, layer.stride],
        "bottleneck": layer.bottleneck,
        "bnParam": {
            "enabled": layer.bn_enabled,
            "momentum": layer.bn_momentum,
            "eps": layer.bn_eps,
        },
        "activation": layer.activation,
        "version": f"{version},{FUSED}" if fused else version,
        "layers": parts,
    }
