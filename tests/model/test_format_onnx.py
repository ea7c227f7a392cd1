"""Each op in ONNX, run by ONNX Runtime, gives what the reference gives."""

import numpy as np
import pytest
from graph.cases import CASES
from model.onnx_files import one_op, theirs
from tolerance import assert_close

from denet.graph.op.base import Run
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.registry import op_types
from denet.graph.tensor_type import TensorType
from denet.model.format.onnx.registry import EMITTERS

# ops that no float32 prediction has: costs, what they compare with, what ranks share, rounding
NOT_PREDICTED = {
    *("BoxRegression", "CornerCells", "CornerCrossEntropy", "CornerTarget", "Coverage"),
    *("DetectionCrossEntropy", "FitnessCrossEntropy", "InjectGroundTruth", "SoftmaxCrossEntropy"),
    *("Dropout", "GatherRows", "ScatterColumns", "SharedBatchNorm", "Cast"),
}
PREDICTED = [
    case
    for case in CASES
    if type(case.op) in EMITTERS and not getattr(case.op, "statistics", False)
]


def test_every_op_of_a_prediction_is_written() -> None:
    written = {op.__name__ for op in EMITTERS}
    assert not written & NOT_PREDICTED
    assert written | NOT_PREDICTED == set(op_types()), "an op without a row in EMITTERS"


@pytest.mark.parametrize("case", PREDICTED, ids=lambda case: case.name)
def test_op_alone(case, tmp_path) -> None:
    op, types = case.op, case.types
    inputs = case.inputs(seed=3, dtype=np.float32)
    session = one_op(op, types, tmp_path / "op.onnx")
    given = {
        f"x{index}": theirs(op, index, type_, array)
        for index, (type_, array) in enumerate(zip(types, inputs, strict=True))
    }
    found = session.run_all(given)
    expected, _ = op.forward(Run(training=False), *inputs)
    for name, ours in zip(found, expected, strict=False):
        array = found[name].transpose(0, 2, 3, 1) if ours.ndim == 4 else found[name]
        assert_close(array, ours, "f32")


# height, width, corner types, and settings of the search
SEARCHES = [
    ((7, 9, 4), {"sample_num": 4}),
    ((9, 7, 5), {"sample_num": 5, "local_max": 1}),
    ((8, 8, 4), {"sample_num": 3, "corner_threshold": 0.9}),
    ((11, 6, 5), {"sample_num": 4, "corner_max": 3}),
    ((6, 13, 5), {"sample_num": 6, "corner_threshold": 0.0, "prior_levels": 1}),
    ((5, 5, 4), {"sample_num": 4, "corner_threshold": 1.0}),  # nothing is a corner
    ((1, 1, 5), {"sample_num": 2}),
    ((1, 6, 4), {"sample_num": 2, "corner_threshold": 0.0}),  # no box has two rows
    ((10, 12, 4), {"sample_num": 3, "nms_threshold": 0.5}),
    ((9, 9, 5), {"sample_num": 3, "nms_threshold": 0.2, "local_max": 1}),
    ((12, 9, 4), {"sample_num": 4, "nms_threshold": 0.7, "prior_levels": 1}),
    ((3, 4, 5), {"sample_num": 7, "nms_threshold": 0.6}),  # fewer boxes than places
    ((16, 15, 5), {"sample_num": 8, "local_max": 2, "corner_threshold": 0.3}),
]


@pytest.mark.parametrize(("shape", "settings"), SEARCHES)
def test_the_search_finds_the_same_boxes_in_the_same_order(shape, settings, tmp_path) -> None:
    """To the last bit, with many equal values too, whatever the batch."""
    op = CornerSearch(**{"corner_max": 1024, **settings})
    type_ = TensorType((1, *shape), "float32")
    session = one_op(op, [type_], tmp_path / "op.onnx")
    rng = np.random.default_rng(0)
    counts = set()
    for batch_size, step, mean in ((1, 0, 0), (3, 0, 1), (2, 0.5, 0), (5, 2, 0), (1, 0, 4)):
        logits = rng.normal(mean, 1, (batch_size, *shape)).astype(np.float32)
        if step:
            logits = np.round(logits / np.float32(step)) * np.float32(step)
        (sample, count), _ = op.forward(Run(training=False), logits)
        found = session.run_all({"x0": theirs(op, 0, type_, logits)})
        np.testing.assert_array_equal(found["y0"], sample, strict=True)
        np.testing.assert_array_equal(found["y1"], count)
        counts |= set(count.tolist())
    assert len(counts) > 1 or max(counts) in (0, len(op.prior) + op.places)
