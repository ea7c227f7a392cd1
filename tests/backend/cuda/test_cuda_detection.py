"""The combinatorial part of detection, run on the processor: bit for bit what the reference does.

Sizes of real networks, which the case table does not reach: many boxes, ties, none at all.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from backend.cuda.devices import SCHEDULES, device, unavailable
from backend.guarded import GuardedBackend
from backend.kernel_run import KernelRun
from graph.cases import Case

from denet.backend.cuda.backend import CudaBackend
from denet.detect.corner import find_corners, least_log_odds, probability
from denet.detect.sample import find_samples
from denet.graph.op.base import Run
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.inject_ground_truth import InjectGroundTruth
from denet.graph.op.sparse_sample import SparseSample
from denet.graph.tensor_type import TensorType

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

each_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


@dataclass(frozen=True)
class Given(Case):
    """A row whose inputs and sample keys are given."""

    arrays: tuple = ()
    keys: tuple = ()

    def run(self, seed=0):
        return Run(self.training, np.array(self.keys, np.uint64))

    def inputs(self, seed=0, dtype=np.float64):
        return [array.astype(dtype) if array.dtype.kind == "f" else array for array in self.arrays]


def given(op, *arrays, training=True, keys=(), real=()):
    types = tuple(
        TensorType(a.shape, "int32" if a.dtype.kind == "i" else "real" if i in real else "float32")
        for i, a in enumerate(arrays)
    )
    case = Given(type(op).__name__, op, types, training=training, arrays=arrays, keys=keys)
    return case if keys else replace(case, keys=tuple(range(len(arrays[0]))))


def outputs(case, schedule="forward", seed=0):
    """Return what the kernel makes of a row, all arrays of the device between guards."""
    backend = GuardedBackend(CudaBackend(device(schedule, seed)))
    run = KernelRun(backend, case, "f32")
    assert run.kernel.name.startswith("cuda")
    made = run.forward()
    assert not backend.memory.overruns()
    return made


def assert_same(case, schedule="forward", seed=0):
    expected, _ = case.op.forward(case.run(), *case.inputs(dtype=np.float32))
    for actual, wanted in zip(outputs(case, schedule, seed), expected, strict=True):
        assert actual.dtype == wanted.dtype
        np.testing.assert_array_equal(actual, wanted)
    return expected


def objects(seed, shape, found=0.05):
    """Return logits of maps on which few cells are corners, as of a trained network."""
    rng = np.random.default_rng(seed)
    return np.where(
        rng.random(shape) < found, rng.normal(-0.5, 1, shape), rng.normal(4, 0.5, shape)
    ).astype(np.float32)


def ties(seed, shape, found=0.1):
    """Return logits of few different values, 0 and -0 among them."""
    rng = np.random.default_rng(seed)
    logits = np.where(rng.random(shape) < found, rng.choice([-1, -0.5, -0.0, 0], shape), 3)
    return logits.astype(np.float32)


def tenths(seed, shape):
    """Return logits whose sums would tie, did not the order of additions round them apart."""
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(np.float32) / 10


def keys(seed, count):
    return tuple(int(key) for key in np.random.default_rng(seed).integers(0, 2**64, count, "u8"))


SEARCHES = {
    "plain": CornerSearch(8, corner_max=1024),
    "local maxima": CornerSearch(8, local_max=2, corner_max=1024),
    "few corners of each type": CornerSearch(10, corner_max=7),
    "with prior boxes": CornerSearch(12, 0.3, 1, random_sample=0.3, prior_levels=3, corner_max=64),
    "of chance alone": CornerSearch(6, random_sample=1.0, prior_levels=1, salt=5, corner_max=64),
    "few clusters": CornerSearch(5, 0.2, nms_threshold=0.3, random_sample=0.1, corner_max=256),
    "more clusters than places": CornerSearch(5, 0.2, nms_threshold=0.9, corner_max=256),
    "few places for large clusters": CornerSearch(3, 0.2, nms_threshold=0.7, corner_max=256),
    "clusters in prediction": CornerSearch(
        5, local_max=1, nms_threshold=0.5, distinct_in_prediction=True, corner_max=256
    ),
}


@pytest.mark.parametrize("draw", [objects, ties, tenths])
@pytest.mark.parametrize("types", [4, 5])
@pytest.mark.parametrize("training", [False, True], ids=["predicting", "training"])
@pytest.mark.parametrize("name", SEARCHES)
def test_search_equals_reference(name, training, types, draw):
    for seed in range(2):
        logits = draw(seed, (2, 13 + seed, 17, types))
        op = replace(SEARCHES[name], salt=seed)
        assert_same(given(op, logits, training=training, keys=keys(seed, 2)))


@each_schedule
@pytest.mark.parametrize("training", [False, True], ids=["predicting", "training"])
def test_search_of_a_real_size(schedule, training):
    logits = np.concatenate([objects(1, (1, 48, 64, 5), 0.04), ties(2, (1, 48, 64, 5), 0.04)])
    op = CornerSearch(48, 0.01, random_sample=0.5, prior_levels=4, corner_max=1024, salt=2)
    refusing = 8541, 6341  # keys of streams of which a number is refused on the way
    case = given(op, logits, training=training, keys=refusing)
    sample, count = assert_same(case, schedule, 3)
    assert (count == 48 * 48).all() and sample[1].any()


def test_more_boxes_than_are_sorted_at_once():
    """Six kinds of pairs with more than 2304 boxes each."""
    logits = objects(1, (1, 48, 64, 5), 0.12)
    assert_same(given(CornerSearch(48, 0.01, corner_max=1024), logits, training=False))


@each_schedule
def test_clusters_of_a_real_size(schedule):
    logits = objects(3, (1, 48, 64, 5), 0.03)
    op = CornerSearch(24, 0.1, 1, 0.5, prior_levels=4, corner_max=1024)
    case = given(op, logits, training=False)
    found = find_samples(-2 * logits[0], 3340, 0.1, 1, corner_max=1024)
    assert len(found) == 3340  # more than one block of boxes to link, more keys than one chunk
    assert_same(case, schedule, 1)


@pytest.mark.parametrize("training", [False, True], ids=["predicting", "training"])
@pytest.mark.parametrize("nms_threshold", [1.0, 0.5])
def test_no_corner_and_one_box(nms_threshold, training):
    logits = np.full((3, 9, 8, 4), 9, np.float32)
    logits[1, 2, 3, 0] = logits[1, 6, 5, 3] = -2  # one box
    logits[2, 2, 3, 0] = logits[2, 6, 3, 3] = -2  # a box of one column is none
    op = CornerSearch(4, 0.5, 0, nms_threshold, corner_max=1024)
    sample, count = assert_same(given(op, logits, training=training, keys=(1, 2**64 - 1, 3)))
    np.testing.assert_array_equal(sample[1, 0], np.float32([3 / 8, 2 / 9, 6 / 8, 7 / 9]))
    assert training or list(count) == [0, 1, 0]


def test_everything_is_alike():
    """All corners and all pairs tie: only their numbers order them."""
    logits = np.zeros((1, 6, 7, 5), np.float32)
    logits[:, ::2] = -0.0
    for training in (False, True):
        assert_same(given(CornerSearch(7, corner_max=1024), logits, training=training, keys=(5,)))
        assert_same(given(CornerSearch(7, corner_max=20), logits, training=training, keys=(5,)))


def test_what_cannot_be_a_corner_is_part_of_no_box():
    logits = ties(4, (2, 8, 8, 5), 0.3)
    logits[0, 3:5, :, 1] = logits[1, 5, 5] = np.inf  # log odds of -inf
    assert_same(given(CornerSearch(6, corner_max=1024), logits, training=False))


def test_diverged_logits_end():
    """NaN is no corner and no part of a box; what comes of it is a sample like any other."""
    logits = objects(5, (2, 9, 9, 5), 0.3)
    logits[0] = np.nan
    logits[1, 3:6] = np.nan
    sample, count = outputs(given(CornerSearch(4, corner_max=1024), logits, training=False))
    assert np.isfinite(sample).all() and count[0] == 0


@pytest.mark.parametrize("seed", range(10))
def test_random_choices_follow_numpy(seed):
    logits = objects(seed, (4, 16, 15, 4), 0.4)
    share = np.random.default_rng(seed).uniform(0, 1)
    op = CornerSearch(20, 0.1, random_sample=share, prior_levels=seed % 4, corner_max=300, salt=9)
    _, count = assert_same(given(op, logits, keys=keys(seed, 4)))
    assert (count == 400).all()


@pytest.mark.parametrize("threshold", [0.0, 1e-6, 0.01, 0.1, 0.3, 0.6, 0.9, 0.999999])
def test_least_log_odds_is_where_the_reference_begins_to_count(threshold):
    least = np.float32(least_log_odds(threshold))
    near = (least.view(np.int32) + np.arange(-2000, 2001, dtype=np.int32)).view(np.float32)
    np.testing.assert_array_equal(probability(near) > threshold, near >= least)
    corners = find_corners(near.reshape(1, -1, 1), threshold, corner_max=9999)[0]
    assert len(corners[0]) == (near >= least).sum() > 0


def test_least_log_odds_of_half_and_of_certainty():
    assert 0 < least_log_odds(0.5) < 2e-7  # 0 is none; so near to it the reference's bits waver
    assert np.isnan(least_log_odds(1.0))


def test_a_map_beyond_the_cells_that_are_numbered_runs_on_the_processor():
    op = CornerSearch(2, corner_max=4)
    case = given(op, np.full((1, 257, 256, 4), 5, np.float32), training=False)
    assert KernelRun(CudaBackend(device()), case, "f32").kernel.name.startswith("numpy")


@pytest.mark.parametrize("samples, capacity", [(5, 3), (300, 128), (40, 128), (1, 2), (600, 1)])
def test_true_boxes_take_the_last_places(samples, capacity):
    rng = np.random.default_rng(samples)
    sample = rng.random((3, samples, 4), np.float32)
    box = rng.random((3, capacity, 4), np.float32)
    box_class = rng.integers(-1, 2, (3, capacity)).astype(np.int32)
    box_class[2] = -1
    case = given(InjectGroundTruth(), sample, box, box_class)
    assert_same(replace(case, training=False))
    for schedule in SCHEDULES:
        assert_same(case, schedule)


def boxes(seed, shape):
    low, high = np.sort(np.random.default_rng(seed).uniform(-0.1, 1.1, (2, *shape, 2)), axis=0)
    return np.concatenate([low, high], axis=-1).astype(np.float32)


MAPS = {
    "many boxes": (7, (2, 24, 20, 6), 24),
    "many features": (3, (1, 5, 9, 300), 5),
    "odd features": (2, (2, 7, 11, 131), 6),
    "one row": (7, (1, 1, 40, 4), 20),
    "one cell": (4, (2, 1, 1, 5), 17),
    "a wide grid": (64, (1, 33, 30, 2), 3),
}


@pytest.mark.parametrize("name", MAPS)
def test_sparse_samples_of_real_sizes(name):
    grid, shape, side = MAPS[name]
    sample = boxes(1, (shape[0], side * side))
    sample[:, 1] = 0.5  # no area
    sample[:, 2] = sample[:, 2, [2, 3, 0, 1]]  # inside out
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    case = given(SparseSample(grid), x, sample, real=(0,))
    assert_same(case)
    gradients = []
    for schedule in SCHEDULES:
        run = KernelRun(GuardedBackend(CudaBackend(device(schedule))), case, "f32")
        run.forward()
        gradients.append(run.backward()[0])
        np.testing.assert_array_equal(gradients[-1], gradients[0])
    g = case.output_gradients()[0].reshape(shape[0], side * side, -1)[..., :-2]
    cells, expected = case.op.cells(sample, *shape[1:3]), np.zeros((shape[0], *shape[1:]))
    for image, places, values in zip(
        expected.reshape(shape[0], -1, shape[3]), cells, g, strict=True
    ):
        np.add.at(image, places.ravel(), values.reshape(-1, shape[3]))
    np.testing.assert_allclose(gradients[0], expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_a_map_between_the_points_has_no_gradient():
    sample = np.tile(np.float32([0, 0, 0.1, 0.1]), (1, 4, 1))
    case = given(SparseSample(2), np.ones((1, 30, 30, 3), np.float32), sample, real=(0,))
    run = KernelRun(CudaBackend(device()), case, "f32")
    run.forward()
    gradient = run.backward()[0]
    read = np.unique(case.op.cells(sample, 30, 30))
    assert set(np.flatnonzero(gradient.any(axis=3))) == set(read)
