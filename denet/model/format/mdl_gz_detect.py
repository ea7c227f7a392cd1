"""The three layers of a detector in 2017 files.

There a layer has one convolution. Its rows are in turn corners and sampled features (DNC), or
classes, boxes and fitness (DND); ours are convolutions of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from denet.detect.target import FITNESS_BINS
from denet.model.format.mdl_gz_layers import (
    Arrays,
    Json,
    MapShape,
    Parts,
    Reader,
    Writer,
    convolution_json,
    leaf,
    read_kernel,
)
from denet.model.format.record import Record


def inner_convolution(record: Record) -> Arrays:
    """Return weight and bias of the only convolution of a layer; old files call it ``conv``."""
    found = [part for part in record.layers() if part.text("type") == "conv"]
    if "conv" in record:
        found.append(record.record("conv"))
    if len(found) != 1:
        raise record.fault(f"{len(found)} convolutions, not one")
    _, arrays = read_kernel(found[0])
    if len(arrays["weight"]) != arrays.get("bias", np.zeros(0)).size:
        raise found[0].fault("not one bias for each row of 'weight'")
    return arrays


def split_rows(record: Record, counts: Mapping[str, int | None]) -> Arrays:
    """Return the rows of the convolution by part; the part with None has those that are left."""
    arrays = inner_convolution(record)
    spare = len(arrays["weight"]) - sum(count or 0 for count in counts.values())
    if spare < 0 or (spare > 0) != (None in counts.values()):
        raise record.fault(f"{len(arrays['weight'])} rows of weights for {', '.join(counts)}")
    ends = np.cumsum([spare if count is None else count for count in counts.values()])[:-1]
    return {
        f"{part}.{name}": rows
        for name, array in arrays.items()
        for part, rows in zip(counts, np.split(array, ends), strict=True)
        if len(rows)
    }


def joined_rows(arrays: Arrays, *parts: str, border: str | int = "valid") -> Json:
    """Return the JSON of the convolution that holds the rows of all parts there are."""
    present = [part for part in parts if f"{part}.weight" in arrays]
    joined = {
        name: np.concatenate([arrays[f"{part}.{name}"] for part in present])
        for name in ("weight", "bias")
    }
    return convolution_json(joined, border=border)


def read_corner(record: Record) -> Parts:
    features, use_center = record.integer("sampleFeat"), record.flag("useCenter", False)
    fields = {
        "sample_feat": features,
        "cost_factor": record.number("costFactor", 1.0),
        "dropout": record.number("dropout", 0.0),
        "use_center": use_center,
    }
    return fields, split_rows(record, {"corner": 5 if use_center else 4, "sample": features})


def write_corner(layer: Any, arrays: Arrays, shape: MapShape) -> Json:
    """Return the JSON; the border ``false`` is that of 2017, none."""
    convolution = joined_rows(arrays, "corner", "sample", border=False)
    return {
        "type": "denet-corner",
        "sampleFeat": layer.sample_feat,
        "costFactor": layer.cost_factor,
        "dropout": layer.dropout,
        "useCenter": layer.use_center,
        "layers": [leaf("initial"), convolution],
    }


def read_sparse(record: Record) -> Parts:
    """Return the fields; what is absent has the default of files of 2017, not that of the text."""
    return {
        "grid_size": record.integer("gridSize"),
        "sample_num": record.integer("sampleNum"),
        "corner_threshold": record.number("cornerThreshold", 0.01),
        "random_sample": record.number("randomSample", 0.0),
        "local_max": record.integer("localMax", 0),
        "nms_threshold": record.number("nmsThreshold", 0.7),
        "sample_gt": record.flag("sampleGT", True),
    }, {}


def write_sparse(layer: Any, arrays: Arrays, shape: MapShape) -> Json:
    return leaf(
        "denet-sparse",
        gridSize=layer.grid_size,
        sampleNum=layer.sample_num,
        cornerThreshold=layer.corner_threshold,
        randomSample=layer.random_sample,
        localMax=layer.local_max,
        nmsThreshold=layer.nms_threshold,
        sampleGT=layer.sample_gt,
        version="v2",
    )


def read_detect(record: Record) -> Parts:
    fields = {
        "overlap_threshold": record.get("overlapThreshold", 0.5),
        "cost_factor": record.number("costFactor", 1.0),
        "bbox_factor": record.number("bboxFactor", 0.0),
        "fitness_factor": record.number("fitnessFactor", 0.0),
        "joint_fitness": record.flag("useJointFitness", False),
        "bounded_iou": record.flag("useBoundedIoU", False),
    }
    counts = {
        "detect": None,
        "bbox": 4 if fields["bbox_factor"] > 0 else 0,
        "fitness": FITNESS_BINS + 1 if fields["fitness_factor"] > 0 else 0,
    }
    return fields, split_rows(record, counts)


def write_detect(layer: Any, arrays: Arrays, shape: MapShape) -> Json:
    """Return the JSON; the threshold always as a pair, as one number failed in training."""
    steps = FITNESS_BINS if layer.joint_fitness else 1
    return {
        "type": "denet-detect",
        "overlapThreshold": list(layer.overlap_threshold),
        "costFactor": layer.cost_factor,
        "bboxFactor": layer.bbox_factor,
        "fitnessFactor": layer.fitness_factor,
        "useJointFitness": layer.joint_fitness,
        "useBoundedIoU": layer.bounded_iou,
        "classNum": (len(arrays["detect.bias"]) - 1) // steps,
        "layers": [joined_rows(arrays, "detect", "bbox", "fitness")],
    }


DETECT_READERS: dict[str, Reader] = {
    "denet-corner": read_corner,
    "denet-sparse": read_sparse,
    "denet-detect": read_detect,
}

DETECT_WRITERS: dict[str, Writer] = {
    "denet-corner": write_corner,
    "denet-sparse": write_sparse,
    "denet-detect": write_detect,
}
