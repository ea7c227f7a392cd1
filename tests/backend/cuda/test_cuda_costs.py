"""Costs and what stands around them on the device, beyond the case table.

Truth in float32: a sample matches an object on the device exactly where it does in the reference.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from backend.cuda.devices import SCHEDULES, device, unavailable
from backend.kernel_run import KernelRun
from graph.cases import Case

from denet.backend.cuda.backend import CudaBackend
from denet.graph.op.box_regression import BoxRegression
from denet.graph.op.corner_cells import CornerCells
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.corner_target import CornerTarget
from denet.graph.op.coverage import Coverage
from denet.graph.op.decode_box import DecodeBox
from denet.graph.op.detection_cross_entropy import DetectionCrossEntropy
from denet.graph.op.detection_probability import DetectionProbability
from denet.graph.op.fitness_cross_entropy import FitnessCrossEntropy
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy
from denet.graph.tensor_type import TensorType

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

BACKEND = CudaBackend(device())
HEADS = [
    (DetectionCrossEntropy(1.5, 0.5, False), 21),
    (DetectionCrossEntropy(1.0, 0.3, True), 101),
    (FitnessCrossEntropy(0.1, 0.35), 6),
    (BoxRegression(0.5, 0.5, False), 4),
    (BoxRegression(0.5, 0.1, True), 4),
]
each_head = pytest.mark.parametrize(
    ("op", "outputs"), HEADS, ids=[f"{type(op).__name__} {outputs}" for op, outputs in HEADS]
)


@dataclass(frozen=True, eq=False)
class Given(Case):
    """Inputs that are given; the gradient of the output is 1."""

    arrays: tuple = ()

    def inputs(self, seed=0, dtype=np.float32):
        return [array.copy() for array in self.arrays]

    def output_gradients(self, seed=0, dtype=np.float32):
        return [np.ones(type_.shape, np.float32) for type_ in self.op.infer(*self.types)]


def given(op, *arrays, training=True):
    arrays = tuple(np.asarray(a, np.int32 if a.dtype.kind == "i" else np.float32) for a in arrays)
    types = tuple(
        TensorType(a.shape, "int32" if a.dtype.kind == "i" else "float32") for a in arrays
    )
    return Given(type(op).__name__, op, types, training=training, arrays=arrays)


def results(case, backend=BACKEND):
    run = KernelRun(backend, case, "f32")
    return run.forward() + ([run.backward()[0]] if run.wanted else [])


def expected(case):
    inputs = tuple(case.inputs())
    outputs, saved = case.op.forward(case.run(), *inputs)
    if not case.op.gradient_inputs:
        return [*outputs]
    gradients = tuple(case.output_gradients())
    return [*outputs, case.op.backward(case.run(), inputs, outputs, saved, gradients)[0]]


def assert_like_reference(case, rtol=2e-5):
    for actual, wanted in zip(results(case), expected(case), strict=True):
        limit = rtol * np.abs(wanted).max(initial=0)
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=limit)


def boxes(rng, *shape):
    corners = np.sort(rng.uniform(-0.1, 1.1, (*shape, 2, 2)), axis=-2)
    return corners.reshape(*shape, 4)


def scene(rng, n, side, capacity, classes):
    """Return samples near the objects of n images, objects with places left, their classes."""
    box = boxes(rng, n, capacity)
    chosen = rng.integers(0, capacity, (n, side * side))
    near = np.take_along_axis(box, chosen[..., None], axis=1)
    sample = near + rng.normal(0, 0.05, near.shape)
    box_class = rng.integers(0, classes, (n, capacity))
    box_class[rng.random((n, capacity)) < 0.5] = -1
    return sample, box, box_class


def head(op, outputs, seed, n=2, side=9, capacity=70):
    rng = np.random.default_rng(seed)
    return given(
        op,
        rng.standard_normal((n, side, side, outputs)),
        *scene(rng, n, side, capacity, min(outputs - 1, 20)),
    )


@each_head
@pytest.mark.parametrize("seed", range(5))
def test_heads_match_the_objects_of_the_reference(op, outputs, seed):
    assert_like_reference(head(op, outputs, seed))


@each_head
@pytest.mark.parametrize(("capacity", "known"), [(0, 0), (1, 1), (40, 0)])
def test_heads_of_images_without_objects(op, outputs, capacity, known):
    rng = np.random.default_rng(0)
    logits, (sample, box, box_class) = (
        rng.standard_normal((3, 2, 2, outputs)),
        scene(rng, 3, 2, max(capacity, 1), 2),
    )
    box_class[:, known:] = -1
    case = given(op, logits, sample, box[:, :capacity], box_class[:, :capacity])
    assert_like_reference(case)


def test_of_equal_overlaps_the_first_object_counts():
    """The sample lies between two objects that overlap it alike, the 34th and the 3rd."""
    box, box_class = np.zeros((1, 40, 4)), np.full((1, 40), -1)
    box[0, 2], box[0, 33] = (0, 0, 0.5, 1), (0.5, 0, 1, 1)
    box_class[0, [2, 33]] = 0
    sample = np.array([[(0.25, 0, 0.75, 1)]])
    case = given(BoxRegression(1.0, 0.1, False), np.zeros((1, 1, 1, 4)), sample, box, box_class)
    cost, gradient = results(case)
    assert cost == pytest.approx(0.5**3)  # e = (0 - -0.25 / 0.5, 0, 0, 0)
    assert gradient.ravel().tolist() == [0.5, 0, 0, 0]


BARELY = [
    (Coverage(0.5), 0),
    (DetectionCrossEntropy(1.0, 0.5, False), 3),
    (DetectionCrossEntropy(1.0, 0.5, True), 11),
    (FitnessCrossEntropy(1.0, 0.5), 6),
    (BoxRegression(1.0, 0.5, False), 4),
]


@pytest.mark.parametrize(("op", "outputs"), BARELY, ids=lambda value: str(value))
def test_an_overlap_of_no_more_than_the_threshold_does_not_count(op, outputs):
    """Half of the first object, all of it, and half of the second."""
    box = np.array([[(0, 0, 1, 1), (0, 0, 0.25, 0.25)]])
    sample = np.array([[(0, 0, 0.5, 1), (0, 0, 1, 1), (0, 0, 0.25, 0.125), (0, 0, 0, 0)]])
    logits = np.random.default_rng(0).standard_normal((1, 2, 2, outputs))
    case = given(op, *([logits] if outputs else []), sample, box, np.array([[0, 1]]))
    assert_like_reference(case)


@each_head
def test_the_order_of_threads_changes_no_bit(op, outputs):
    case = head(op, outputs, 0, side=7)
    first, *others = (results(case, CudaBackend(device(name))) for name in SCHEDULES)
    for other in others:
        for one, another in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, another)


@each_head
def test_a_cost_that_nothing_learns_from(op, outputs):
    case = head(op, outputs, 0)
    (cost,) = KernelRun(BACKEND, case, "f32", wanted=()).forward()
    assert cost == pytest.approx(float(expected(case)[0]), rel=2e-5)


@each_head
def test_costs_of_nan_are_nan(op, outputs):
    case = head(op, outputs, 0)
    case.arrays[0][...] = np.nan
    assert np.isnan(results(case)[0])


def test_a_class_beyond_all_shows():
    """The reference asserts; a device cannot, and must not write elsewhere."""
    op = DetectionCrossEntropy(1.0, 0.0, False)
    box, logits = np.array([[(0.0, 0, 1, 1)]]), np.zeros((1, 1, 1, 3))
    case = given(op, logits, box, box, np.array([[9]]))
    assert np.isnan(results(case)[0])
    for index in (-1, 3):
        case = given(SoftmaxCrossEntropy(), logits, np.array([index]))
        assert np.isnan(results(case)[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(3, 1, 1, 1000), (2, 19, 23, 21), (1, 1, 1, 1), (5, 1, 1, 33)])
def test_classes_of_any_number(shape, smoothing):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(shape) * 20
    index = rng.integers(0, shape[3], shape[:1])
    assert_like_reference(given(SoftmaxCrossEntropy(smoothing), logits, index))


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_logits_of_the_precision_of_the_plan(precision):
    """R on a map that no convolution of its own has made float32."""
    types = TensorType((2, 3, 5, 7)), TensorType((2,), "int32")
    case = Case("real", SoftmaxCrossEntropy(0.1), types, {1: "3 classes"})
    run = KernelRun(BACKEND, case, precision)
    inputs = tuple(case.inputs())
    outputs, _ = case.op.forward(case.run(), *inputs)
    gradients = tuple(case.output_gradients())
    wanted = case.op.backward(case.run(), inputs, (None,), (), gradients)[0]
    assert run.forward()[0] == pytest.approx(float(outputs[0]), rel=2e-5)
    limit = {"f32": 2e-5, "bf16": 4e-3}[precision] * np.abs(wanted).max()
    np.testing.assert_allclose(run.backward()[0], wanted, rtol=0, atol=limit)


def corners(op, seed=0, shape=(2, 37, 41, 5), scale=3.0):
    rng = np.random.default_rng(seed)
    return given(op, rng.standard_normal(shape) * scale, rng.random(shape) < 0.1)


@pytest.mark.parametrize("scale", [3.0, 100.0])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_corners_of_maps_for_many_blocks(dropout, scale):
    op = CornerCrossEntropy(2.0, dropout, 7)
    assert_like_reference(corners(op, scale=scale))
    if dropout:
        dropped = expected(corners(op))[1] == 0
        assert ((results(corners(op))[1] == 0) == dropped).all()
        assert 0.39 < dropped.mean() < 0.41


def test_corners_that_are_certain_keep_their_slope():
    """2 (t - P): where P comes near t, a difference of the two would have no digits left."""
    case = given(
        CornerCrossEntropy(np.log(2) * 2), np.array([[[[-20.0, 20.0]]]]), np.array([[[[1, 0.0]]]])
    )
    _, gradient = results(case)
    np.testing.assert_allclose(gradient.ravel(), [2 * np.exp(-40), -2 * np.exp(-40)], rtol=1e-6)


@pytest.mark.parametrize("corner_num", [4, 5])
@pytest.mark.parametrize("shape", [(5, 7), (64, 48), (1, 1)])
def test_corners_of_boxes_lie_where_the_reference_has_them(shape, corner_num):
    rng = np.random.default_rng(0)
    box = np.round(boxes(rng, 3, 90) * 64) / 64  # halves of cells among them
    box[0, :3] = [(-1e6, 0, 1e6, 1), (0.9, 0.9, 0.2, 0.2), (1, 1, 1, 1)]
    box_class = rng.integers(-1, 3, (3, 90))
    case = given(CornerTarget(*shape, corner_num), box, box_class)
    np.testing.assert_array_equal(results(case)[0], expected(case)[0])


def test_cells_are_counted_exactly():
    target = np.random.default_rng(0).random((2, 40, 50, 4)) < 0.3
    assert results(given(CornerCells(), target))[0].tolist() == [target.sum(), target.size]


def test_samples_that_cover_are_counted():
    rng = np.random.default_rng(0)
    case = given(Coverage(0.6), *scene(rng, 4, 6, 70, 5))
    covered, total = results(case)[0]
    assert [covered, total] == expected(case)[0].tolist()
    assert 0 < covered < total


def test_boxes_beyond_all_reason_stay_finite_and_nan_stays_nan():
    regression = np.array([[[(0, 0, 100, -100), (0, np.nan, 0, np.nan)]]])
    case = given(DecodeBox(), regression, np.array([[(0.0, 0, 1, 1), (0.2, 0.2, 0.4, 0.4)]]))
    wanted, actual = expected(case)[0], results(case)[0]
    assert np.isfinite(actual[0, 0]).all() and np.isnan(actual[0, 1, [1, 3]]).all()
    np.testing.assert_allclose(actual, wanted, rtol=1e-5)


def test_probabilities_of_many_outputs():
    logits = np.random.default_rng(0).standard_normal((2, 5, 5, 401)) * 30
    case = given(DetectionProbability(), logits)
    assert_like_reference(case)
    np.testing.assert_allclose(results(case)[0].sum(axis=2), 1, rtol=1e-5)
