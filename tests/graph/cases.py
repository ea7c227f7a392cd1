"""One row per way to use an op: its settings, input types and the domain of its inputs.

The rows drive the tests of the reference (test_op.py) and of every backend. Every value is exact
in bfloat16, so that one input serves every precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from graph.ranks import Member

from denet.graph.op.activation import ACTIVATIONS, Activation
from denet.graph.op.add import Add
from denet.graph.op.base import Op, Run
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.box_regression import BoxRegression
from denet.graph.op.cast import Cast
from denet.graph.op.class_probability import ClassProbability
from denet.graph.op.concat import Concat
from denet.graph.op.conv import Conv
from denet.graph.op.corner_cells import CornerCells
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.corner_target import CornerTarget
from denet.graph.op.coverage import Coverage
from denet.graph.op.crop import Crop
from denet.graph.op.crop_mirror import CropMirror
from denet.graph.op.decode_box import DecodeBox
from denet.graph.op.deconv import Deconv
from denet.graph.op.detection_cross_entropy import DetectionCrossEntropy
from denet.graph.op.detection_probability import DetectionProbability
from denet.graph.op.dropout import Dropout
from denet.graph.op.first_channels import FirstChannels
from denet.graph.op.fitness_cross_entropy import FitnessCrossEntropy
from denet.graph.op.gather_rows import GatherRows
from denet.graph.op.inject_ground_truth import InjectGroundTruth
from denet.graph.op.local_response import LocalResponse
from denet.graph.op.pad import Pad
from denet.graph.op.pad_channels import PadChannels
from denet.graph.op.pool import Pool
from denet.graph.op.pool_inverse import PoolInverse
from denet.graph.op.scatter_columns import ScatterColumns
from denet.graph.op.shared_batch_norm import SharedBatchNorm
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy
from denet.graph.op.sparse_sample import SparseSample
from denet.graph.tensor_type import TensorType

ELEMENT_TYPES = {"int32": np.int32, "uint8": np.uint8}  # others take the precision of the test


@dataclass(frozen=True)
class Case:
    """One row. Domains by input index: normal, spaced, tiled, small, positive; "3 classes".

    ``spaced`` values differ by 2^-13 or more within each map and from 0: no maximum and no ReLU
    changes its mind within a difference step. ``small`` ones disturb no sign of spaced ones.
    """

    name: str
    op: Op
    types: tuple[TensorType, ...]
    domains: dict[int, str] = field(default_factory=dict)
    training: bool = True

    def run(self, seed: int = 0) -> Run:
        """Return the mode and the sample keys of this row."""
        return Run(self.training, np.arange(self.types[0].shape[0], dtype=np.uint64) + seed)

    def inputs(self, seed: int = 0, dtype: type = np.float64) -> list[np.ndarray]:
        """Draw the inputs of this row."""
        rng = np.random.default_rng(seed)
        drawn = [
            DOMAINS[self.domains.get(index, "normal")](rng, type_.shape).astype(
                ELEMENT_TYPES.get(type_.dtype, dtype)
            )
            for index, type_ in enumerate(self.types)
        ]
        return self.complete(drawn)

    def complete(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Put those that follow from others in their places."""
        return inputs

    def output_gradients(self, seed: int = 0, dtype: type = np.float64) -> list[np.ndarray | None]:
        """Draw a gradient for the first output; the others (statistics) have none."""
        first, *others = self.op.infer(*self.types)
        rng = np.random.default_rng(seed + 1000)
        return [_normal(rng, first.shape).astype(dtype), *(None for _ in others)]


class MeasuredCase(Case):
    """A batch norm that takes mean and variance of its first input."""

    def complete(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        x, axes = inputs[0], (0, 1, 2)
        return [*inputs[:5], x.mean(axes), x.var(axes)]


def _round_bfloat16(x: np.ndarray) -> np.ndarray:
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return _round_bfloat16(rng.standard_normal(shape))


def _spaced(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    n, h, w, c = shape
    magnitudes = np.ldexp(1 + np.arange(128) / 128, np.arange(-6, 2)[:, None]).reshape(-1)
    values = np.concatenate([-magnitudes, magnitudes])
    maps = [rng.choice(values, h * w, replace=False) for _ in range(n * c)]
    return np.array(maps).reshape(n, c, h, w).transpose(0, 2, 3, 1)


def _tiled(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return maps of any size whose values differ, as spaced ones, within 32 x 32 cells."""
    n, h, w, c = shape
    tile = _spaced(rng, (1, 32, 32, 1))[0, :, :, 0]
    rows = np.arange(h) + 5 * np.arange(n)[:, None]
    columns = np.arange(w)[:, None] + 7 * np.arange(c)
    return tile[rows[:, :, None, None] % 32, columns % 32]


def _boxes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    corners = _round_bfloat16(rng.uniform(0, 1, (*shape[:-1], 2, 2)))
    return np.concatenate([corners.min(axis=-2), corners.max(axis=-2)], axis=-1)


DOMAINS = {
    "normal": _normal,
    "spaced": _spaced,
    "tiled": _tiled,
    "small": lambda rng, shape: _normal(rng, shape) * 2.0**-10,
    "positive": lambda rng, shape: _round_bfloat16(rng.uniform(0.5, 2, shape)),
    "shares": lambda rng, shape: _round_bfloat16(rng.uniform(0, 1, shape)),
    "3 classes": lambda rng, shape: rng.integers(0, 3, shape),
    "boxes": _boxes,
    "2 classes or none": lambda rng, shape: rng.integers(-1, 2, shape),
}


def _conv(
    name: str,
    x: tuple[int, int, int, int],
    filters: int,
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    op: type[Conv] | type[Deconv] = Conv,
    bias: bool = False,
    dtype: str = "real",
    groups: int = 1,
    statistics: bool = False,
) -> Case:
    types = [TensorType(x), TensorType((filters, x[3] // groups, *size), "float32")]
    types += [TensorType((filters,), "float32")] * bias
    settings = {"dtype": dtype, "groups": groups, "statistics": statistics}
    settings = {} if op is Deconv else settings
    return Case(f"{op.__name__} {name}", op(stride, padding, bias, **settings), tuple(types))


def _pool(
    name: str,
    mode: str,
    x: tuple[int, int, int, int],
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: int = 0,
    partial: bool = False,
) -> Case:
    op = Pool(mode, size, stride, padding, partial)
    return Case(f"Pool {mode} {name}", op, (TensorType(x),), {0: "spaced"})


def _batch_norm(
    name: str,
    x: tuple[int, int, int, int],
    activation: str | None = None,
    training: bool = True,
    op: Callable[..., BatchNorm] = BatchNorm,
) -> Case:
    types = TensorType(x), *[TensorType(x[3:], "float32")] * 4
    domains = {1: "normal", 4: "positive"}
    made = op(1e-5, activation)
    return Case(f"{type(made).__name__} {name}", made, types, domains, training)


def _shared_batch_norm(
    name: str, x: tuple[int, int, int, int], activation: str | None = None
) -> Case:
    """Return a row of a single rank: the sum over ranks is its own."""
    op = partial(SharedBatchNorm, sum_over_ranks=np.copy)
    return _batch_norm(name, x, activation, op=op)


def _measured(name: str, x: tuple[int, int, int, int], activation: str | None) -> Case:
    types = TensorType(x), *[TensorType(x[3:], "float32")] * 6
    op = BatchNorm(1e-5, activation, statistics=True)
    return MeasuredCase(f"BatchNorm {name}", op, types, {4: "positive"})


def _loss(name: str, logits: tuple[int, int, int, int], smoothing: float = 0.0) -> Case:
    types = TensorType(logits, "float32"), TensorType(logits[:1], "int32")
    return Case(
        f"SoftmaxCrossEntropy {name}", SoftmaxCrossEntropy(smoothing), types, {1: "3 classes"}
    )


def _head(name: str, op: Op, outputs: int, n: int = 2, side: int = 4, capacity: int = 6) -> Case:
    shapes = (n, side, side, outputs), (n, side * side, 4), (n, capacity, 4)
    types = *(TensorType(shape, "float32") for shape in shapes), TensorType((n, capacity), "int32")
    domains = {1: "boxes", 2: "boxes", 3: "2 classes or none"}
    return Case(f"{type(op).__name__} {name}", op, types, domains)


def _corners(name: str, op: Op, logits: tuple[int, int, int, int], training: bool = True) -> Case:
    types = (TensorType(logits, "float32"),) * (1 + isinstance(op, CornerCrossEntropy))
    return Case(f"{type(op).__name__} {name}", op, types, {1: "shares"}, training)


def _inject(name: str, samples: int, training: bool = True) -> Case:
    shapes = (3, samples, 4), (3, 6, 4)
    types = *(TensorType(shape, "float32") for shape in shapes), TensorType((3, 6), "int32")
    domains = {0: "boxes", 1: "boxes", 2: "2 classes or none"}
    return Case(f"InjectGroundTruth {name}", InjectGroundTruth(), types, domains, training)


def _coverage(name: str, samples: int) -> Case:
    types = (
        *(TensorType((3, many, 4), "float32") for many in (samples, 6)),
        TensorType((3, 6), "int32"),
    )
    return Case(
        f"Coverage {name}", Coverage(0.1), types, {0: "boxes", 1: "boxes", 2: "2 classes or none"}
    )


def _corner_target(name: str, n: int, op: CornerTarget) -> Case:
    types = TensorType((n, 6, 4), "float32"), TensorType((n, 6), "int32")
    return Case(f"CornerTarget {name}", op, types, {0: "boxes", 1: "2 classes or none"})


def _sparse(
    name: str, grid: int, x: tuple[int, int, int, int], side: int, domain: str = "boxes"
) -> Case:
    types = TensorType(x), TensorType((x[0], side * side, 4), "float32")
    return Case(f"SparseSample {name}", SparseSample(grid), types, {1: domain})


def _case(
    op: Op, *shapes: tuple[int, ...], name: str = "", training: bool = True, **domain: str
) -> Case:
    types = tuple(TensorType(shape) for shape in shapes)
    domains = {index: word for index, word in enumerate(domain.values())}
    return Case(f"{type(op).__name__} {name}".strip(), op, types, domains, training)


HALF = ((1, 1), (1, 1))

CONVOLUTIONS = [
    _conv("3x3", (2, 6, 5, 3), 4, (3, 3), padding=HALF),
    _conv("valid", (2, 7, 7, 3), 4, (3, 3)),
    _conv("1x1", (2, 5, 4, 3), 6, (1, 1)),
    _conv("1x1 on a 1x1 map", (3, 1, 1, 5), 4, (1, 1)),
    _conv("1x1 stride 2", (2, 7, 6, 4), 3, (1, 1), (2, 2)),
    _conv("batch of one", (1, 5, 5, 3), 4, (3, 3), padding=HALF),
    _conv("stride does not divide", (2, 8, 10, 3), 4, (3, 3), (3, 2), HALF),
    _conv("7x7 stride 2 of an image", (2, 15, 17, 3), 8, (7, 7), (2, 2), ((3, 3), (3, 3))),
    _conv("asymmetric padding", (2, 5, 6, 3), 4, (2, 4), padding=((0, 1), (2, 1))),
    _conv("full", (2, 4, 4, 3), 5, (3, 3), padding=((2, 2), (2, 2))),
    _conv("window as large as the map", (2, 4, 3, 5), 4, (4, 3)),
    _conv("stride beyond the window", (2, 9, 9, 3), 4, (2, 2), (3, 3)),
    _conv("bias", (2, 5, 5, 3), 4, (3, 3), padding=HALF, bias=True),
    _conv("logits", (3, 2, 2, 8), 5, (1, 1), bias=True, dtype="float32"),
    _conv("wide channels", (2, 9, 9, 32), 64, (3, 3), padding=HALF),
    _conv("wide channels stride 2", (2, 9, 8, 64), 32, (3, 3), (2, 2), HALF),
    _conv("two groups", (2, 5, 6, 6), 4, (3, 3), padding=HALF, groups=2, bias=True),
    _conv("two wide groups", (2, 6, 5, 32), 64, (5, 5), (2, 2), HALF, groups=2),
    _conv("a group per channel", (2, 5, 7, 5), 5, (3, 3), padding=HALF, groups=5),
    _conv("a group per channel of 16", (2, 6, 7, 16), 16, (3, 3), (2, 1), HALF, groups=16),
    _conv("two filters per channel", (1, 6, 6, 16), 32, (3, 3), (2, 2), HALF, groups=16),
    _conv("1x1 groups", (2, 3, 4, 6), 9, (1, 1), groups=3),
    _conv("1x1 groups stride 2", (2, 5, 4, 8), 4, (1, 1), (2, 2), groups=4),
]

DECONVOLUTIONS = [
    _conv("stride 1", (2, 4, 5, 3), 4, (3, 3), padding=HALF, op=Deconv),
    _conv("stride 2", (2, 4, 5, 3), 4, (4, 4), (2, 2), HALF, Deconv),
    _conv("stride 2 odd window", (2, 3, 4, 3), 4, (3, 3), (2, 2), HALF, Deconv, bias=True),
    _conv("window below the stride", (2, 3, 3, 4), 3, (2, 2), (3, 3), op=Deconv),
    _conv("from one cell", (1, 1, 1, 6), 4, (4, 4), op=Deconv),
    _conv("asymmetric padding", (2, 4, 4, 3), 2, (3, 2), (2, 1), ((2, 0), (0, 1)), Deconv),
    _conv("wide channels", (2, 5, 5, 32), 16, (4, 4), (2, 2), HALF, Deconv),
]

POOLS = [
    _pool(f"{name}", mode, *geometry)
    for mode in ("max", "mean")
    for name, *geometry in [
        ("2x2", (2, 6, 8, 3), (2, 2), (2, 2)),
        ("overlapping", (2, 7, 7, 3), (3, 3), (2, 2), 1),
        ("stride does not divide", (2, 8, 6, 3), (3, 3), (2, 2)),
        ("stride 1", (1, 5, 5, 2), (3, 3), (1, 1), 1),
        ("whole map", (2, 5, 7, 4), (5, 7), (5, 7)),
        ("whole large map", (1, 17, 18, 2), (17, 18), (1, 1)),
        ("partial", (2, 5, 7, 3), (2, 2), (2, 2), 0, True),
        ("partial overlapping", (2, 6, 5, 3), (3, 3), (2, 2), 0, True),
        ("partial padded", (2, 6, 6, 3), (3, 3), (3, 3), 1, True),
        ("partial beyond the map", (2, 3, 3, 2), (5, 5), (3, 3), 0, True),
        ("1x1", (2, 3, 3, 2), (1, 1), (1, 1)),
        ("wide channels", (2, 9, 9, 32), (3, 3), (2, 2), 1),
    ]
]

BATCH_NORMS = [
    _batch_norm("plain", (3, 4, 5, 3)),
    _batch_norm("relu", (3, 4, 5, 3), "relu"),
    _batch_norm("batch of one", (1, 5, 3, 2)),
    _batch_norm("1x1 map", (6, 1, 1, 4), "relu"),
    _batch_norm("wide channels", (2, 6, 6, 32), "relu"),
    _batch_norm("of 4 pixels as one", (3, 4, 6, 12), "relu"),
    _batch_norm("of 2 pixels as one, in no sample a whole number", (4, 3, 5, 24)),
    _batch_norm("of 16 pixels as one", (4, 4, 5, 3), "relu"),
    _batch_norm("running statistics of 4 pixels as one", (2, 4, 6, 20), "relu", training=False),
    _batch_norm("running statistics", (2, 4, 4, 3), training=False),
    _batch_norm("running statistics relu", (2, 4, 4, 3), "relu", training=False),
    _shared_batch_norm("plain", (3, 4, 5, 3)),
    _shared_batch_norm("relu", (3, 4, 5, 3), "relu"),
    _shared_batch_norm("wide channels", (2, 6, 6, 32), "relu"),
    _shared_batch_norm("of 4 pixels as one", (3, 4, 6, 12), "relu"),
]

LOSSES = [
    _loss("plain", (4, 1, 1, 3)),
    _loss("smoothed", (4, 1, 1, 5), 0.1),
    _loss("of a map", (2, 3, 2, 4), 0.2),
    _loss("batch of one", (1, 1, 1, 3)),
]

HEADS = [
    _head("plain", DetectionCrossEntropy(1.5, 0.2, False), 3),
    _head("of a spare class", DetectionCrossEntropy(1.0, 0.1, False), 6, n=3),
    _head("joint", DetectionCrossEntropy(1.0, 0.1, True), 11),
    _head("above everything", DetectionCrossEntropy(1.0, 1.0, True), 11, n=1),
    _head("plain", FitnessCrossEntropy(0.1, 0.1), 6),
    _head("one box", FitnessCrossEntropy(1.0, 0.0), 6, n=1, side=5, capacity=1),
    _head("plain", BoxRegression(0.5, 0.2, False), 4),
    _head("bounded", BoxRegression(2.0, 0.2, True), 4),
    _head("bounded, one sample", BoxRegression(1.0, 0.0, True), 4, n=5, side=1),
]

SAMPLES = [
    _corners("plain", CornerCrossEntropy(2.0), (2, 5, 7, 4)),
    _corners("with centres", CornerCrossEntropy(), (1, 6, 4, 5)),
    _corner_target("plain", 2, CornerTarget(5, 7, 4)),
    _corner_target("with centres", 1, CornerTarget(6, 4, 5)),
    Case("CornerCells", CornerCells(), (TensorType((2, 5, 7, 4), "float32"),), {0: "shares"}),
    _corners("dropped", CornerCrossEntropy(1.0, 0.3, 5), (3, 5, 6, 5)),
    _corners(
        "plain", CornerSearch(3, 0.1, random_sample=0.3, salt=1, corner_max=1024), (3, 7, 5, 4)
    ),
    _corners("predicted", CornerSearch(2, corner_max=1024), (1, 8, 8, 4), training=False),
    _corners("with centres", CornerSearch(4, local_max=1, corner_max=1024), (2, 8, 9, 5)),
    _corners(
        "clustered",
        CornerSearch(3, 0.0, nms_threshold=0.4, corner_max=1024),
        (2, 7, 7, 5),
        training=False,
    ),
    _corners(
        "with prior boxes",
        CornerSearch(6, random_sample=0.5, salt=1, prior_levels=2, corner_max=1024),
        (2, 8, 9, 4),
    ),
    _corners("too few", CornerSearch(4, 0.6, corner_max=1024), (2, 3, 2, 4), training=False),
    _coverage("plain", 16),
    _coverage("of one sample", 1),
    _inject("plain", 16),
    _inject("more than samples", 4),
    _inject("not training", 4, training=False),
    _sparse("plain", 3, (2, 6, 8, 3), 3),
    _sparse("7x7", 7, (1, 9, 5, 4), 2),
    _sparse("of centres", 1, (2, 5, 7, 1), 3),
    _sparse("of one sample", 2, (3, 1, 2, 5), 1),
    _sparse("beyond the map", 4, (2, 6, 5, 2), 4, "normal"),
]

# with alpha 0.5 the divisor is far from a constant
LOCAL_RESPONSES = [
    _case(LocalResponse(5, 2, 0.5, 0.75), (2, 3, 4, 16)),
    _case(LocalResponse(3, 1, 0.5, 0.75), (1, 5, 2, 7), name="few channels"),
    _case(LocalResponse(5, 2, 0.5, 0.75, 2), (2, 2, 3, 32), name="two groups"),
    _case(LocalResponse(5, 1.5, 0.5, 0.5, 3), (2, 3, 3, 9), name="groups below the size"),
    _case(LocalResponse(1, 1, 0.5, 0.75), (2, 2, 2, 3), name="alone"),
    _case(LocalResponse(7, 1, 0.5, 1.5), (2, 2, 2, 9), name="another exponent"),
    _case(LocalResponse(), (1, 1, 1, 96), name="as published"),
    _case(LocalResponse(), (2, 3, 3, 48), name="not training", training=False),
]

OTHERS = [
    *[
        Case(f"Activation {kind}", Activation(kind), (TensorType((2, 3, 5, 4)),), {0: "spaced"})
        for kind in ACTIVATIONS
    ],
    _case(Dropout(0.5, 3), (4, 3, 4, 5)),
    _case(Dropout(0.2, 1), (1, 7, 3, 3), name="of one sample"),
    _case(Dropout(0.5, 3), (2, 3, 4, 5), name="not training", training=False),
    _case(Pad(1, 2, 3, 0), (2, 3, 4, 3)),
    _case(Pad(0, 0, 0, 0), (2, 3, 4, 3), name="by nothing"),
    _case(PadChannels(2, 3), (2, 3, 4, 3)),
    _case(PadChannels(0, 4), (1, 2, 3, 8), name="behind alone"),
    _case(PadChannels(8, 8), (2, 3, 1, 16), name="by vectors"),
    _case(PadChannels(1, 1), (1, 1, 1, 2), name="of one pixel"),
    _case(Crop(1, 2, 3, 2), (2, 5, 6, 3)),
    _case(Crop(0, 0, 4, 4), (1, 4, 4, 3), name="of all"),
    _case(Crop(0, 1, 2, 2, "float32"), (2, 3, 3, 2), name="in float32"),
    _case(CropMirror(4, 3, 0.5, 0.5, 2), (6, 7, 6, 3)),
    _case(CropMirror(5, 5, 0.5, 0.0, 2), (3, 5, 5, 2), name="of all"),
    _case(CropMirror(4, 3, 0.5, 0.5, 2), (2, 7, 6, 3), name="not training", training=False),
    _case(Add(), (2, 3, 4, 5), (2, 3, 4, 5)),
    _case(Add("relu"), (2, 3, 4, 5), (2, 3, 4, 5), name="relu", a="spaced", b="small"),
    _pool("many windows over each pixel", "mean", (2, 20, 20, 5), (7, 7), (1, 1)),
    _case(Concat(), (2, 3, 4, 5), (2, 3, 4, 1), (2, 3, 4, 3)),
    _case(Concat(), (1, 3, 4, 5), name="of one"),
    _case(FirstChannels(3), (2, 3, 4, 5)),
    _case(FirstChannels(16), (1, 2, 3, 16), name="all"),
    _case(PoolInverse(2), (2, 3, 4, 3)),
    _case(PoolInverse(3), (1, 1, 2, 5), name="by 3"),
    _case(PoolInverse(1), (1, 3, 2, 5), name="by 1"),
    Case("Cast", Cast(), (TensorType((2, 3, 4, 3), "float32"),)),
    Case(
        "DecodeBox",
        DecodeBox(),
        (TensorType((2, 3, 3, 4), "float32"), TensorType((2, 9, 4), "float32")),
        {1: "boxes"},
    ),
    Case("DecodeBox alone", DecodeBox(), (TensorType((2, 9, 4), "float32"),), {0: "boxes"}),
    Case("DetectionProbability", DetectionProbability(), (TensorType((2, 3, 3, 5), "float32"),)),
    Case("ClassProbability", ClassProbability(), (TensorType((3, 1, 1, 5), "float32"),)),
    Case("ClassProbability of a map", ClassProbability(), (TensorType((2, 3, 2, 4), "float32"),)),
]

SPLIT = [  # of a single rank, whose batch has no more images than there are
    _case(GatherRows(3, 3, Member()), (3, 2, 3, 4)),
    _case(GatherRows(2, 5, Member()), (2, 1, 1, 7), name="of a short batch"),
    _case(ScatterColumns(3, 3, (5,), Member()), (3, 1, 1, 5)),
    _case(ScatterColumns(2, 4, (6,), Member()), (4, 1, 1, 6), name="of a short batch"),
]

STATISTICS = [  # what training makes of a convolution and a batch norm
    _conv("statistics", (2, 5, 5, 3), 4, (3, 3), (1, 1), HALF, bias=True, statistics=True),
    _conv(
        "statistics of groups", (2, 9, 7, 12), 18, (3, 3), (2, 1), HALF, groups=3, statistics=True
    ),
    _conv("statistics of parts", (3, 13, 11, 16), 72, (1, 1), bias=True, statistics=True),
    _conv("statistics in float32", (2, 9, 8, 8), 16, (1, 1), dtype="float32", statistics=True),
    _measured("given", (2, 5, 5, 3), None),
    _measured("given relu", (3, 4, 5, 8), "relu"),
]

FUSED = [  # what prediction makes of a convolution
    Case(
        f"Conv bias={bias} residual={residual} {activation}",
        Conv((1, 1), HALF, bias, residual, activation),
        (
            TensorType((2, 5, 5, 3)),
            TensorType((4, 3, 3, 3), "float32"),
            *[TensorType((4,), "float32")] * bias,
            *[TensorType((2, 5, 5, 4))] * residual,
        ),
        training=False,
    )
    for bias, residual, activation in [
        (True, False, "relu"),
        (False, True, None),
        (True, True, "relu"),
    ]
]

CASES = [
    *CONVOLUTIONS,
    *DECONVOLUTIONS,
    *POOLS,
    *BATCH_NORMS,
    *LOCAL_RESPONSES,
    *LOSSES,
    *HEADS,
    *SAMPLES,
    *OTHERS,
    *SPLIT,
    *STATISTICS,
    *FUSED,
]
