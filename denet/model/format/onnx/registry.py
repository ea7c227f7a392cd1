"""Which function writes each op of a prediction in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.base import Op
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.class_probability import ClassProbability
from denet.graph.op.concat import Concat
from denet.graph.op.conv import Conv
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.crop import Crop
from denet.graph.op.crop_mirror import CropMirror
from denet.graph.op.decode_box import DecodeBox
from denet.graph.op.deconv import Deconv
from denet.graph.op.detection_probability import DetectionProbability
from denet.graph.op.first_channels import FirstChannels
from denet.graph.op.local_response import LocalResponse
from denet.graph.op.pad import Pad
from denet.graph.op.pad_channels import PadChannels
from denet.graph.op.pool import Pool
from denet.graph.op.pool_inverse import PoolInverse
from denet.graph.op.sparse_sample import SparseSample
from denet.model.format.onnx import detect_ops, map_ops
from denet.model.format.onnx.corner_search import corner_search

# (writer, node, a value for each input) -> the value of the output, or those of several
Emitter = Callable[..., Any]

EMITTERS: dict[type[Op], Emitter] = {
    Activation: map_ops.activation,
    Add: map_ops.add,
    BatchNorm: map_ops.batch_norm,
    ClassProbability: map_ops.class_probability,
    Concat: map_ops.concat,
    Conv: map_ops.conv,
    CornerSearch: corner_search,
    Crop: map_ops.crop,
    CropMirror: map_ops.crop_mirror,
    DecodeBox: detect_ops.decode_box,
    Deconv: map_ops.deconv,
    DetectionProbability: detect_ops.detection_probability,
    FirstChannels: map_ops.first_channels,
    LocalResponse: map_ops.local_response,
    Pad: map_ops.pad,
    PadChannels: map_ops.pad_channels,
    Pool: map_ops.pool,
    PoolInverse: map_ops.pool_inverse,
    SparseSample: detect_ops.sparse_sample,
}
