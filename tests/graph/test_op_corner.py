"""The cost of corners, the search as an op, and the true boxes among the samples."""

import math

import numpy as np
import pytest

from denet.backend.numpy.backend import NumpyBackend
from denet.detect.box import iou
from denet.detect.corner import box_log_odds
from denet.detect.prior import prior_boxes
from denet.graph.op.base import Run
from denet.graph.op.corner_cells import CornerCells
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.corner_target import CornerTarget
from denet.graph.op.coverage import Coverage
from denet.graph.op.inject_ground_truth import InjectGroundTruth
from denet.graph.plan import Plan
from denet.layer.options import LayerOptions
from denet.model.model import Model

KEYS = np.array([3, 4, 5], np.uint64)
PREDICT, TRAIN = Run(False, KEYS), Run(True, KEYS)


def truth(*images, capacity=6):
    """Return box and box class of images, each a list of boxes of class 1."""
    box = np.zeros((len(images), capacity, 4), np.float32)
    box_class = np.full((len(images), capacity), -1, np.int32)
    for index, boxes in enumerate(images):
        for place, corners in enumerate(boxes):
            box[index, place], box_class[index, place] = corners, 1
    return box, box_class


def wanted(shape, *boxes):
    ((target,), saved) = CornerTarget(*shape[1:]).forward(TRAIN, *boxes)
    assert target.shape == shape and target.dtype == np.float32 and saved == ()
    return target


def cost_and_slope(op, logits, *boxes, run=TRAIN):
    (cost,), saved = op.forward(run, logits, wanted(logits.shape, *boxes))
    gradient, none = op.backward(run, (None,) * 2, (None,), saved, (np.ones((), logits.dtype),))
    assert none is None
    return cost, gradient


WHOLE = (0, 0, 1, 1)


@pytest.mark.parametrize("corner_num", [4, 5])
def test_cost_worked_by_hand(corner_num):
    """One bit per cell where the logits say nothing; h < 0 says corner."""
    box = truth([WHOLE], [])
    logits = np.zeros((2, 2, 3, corner_num))
    cost, slope = cost_and_slope(CornerCrossEntropy(), logits, *box)
    assert cost == pytest.approx(1)
    step = 1 / (2 * 6 * corner_num * math.log(2))  # times 2 (t - 1 / 2)
    found = slope[0] > 0
    assert found.sum() == corner_num and not (slope[1] > 0).any()
    np.testing.assert_allclose(slope, np.where(slope > 0, step, -step))

    right = np.where(slope > 0, -10.0, 10.0)
    cost, _ = cost_and_slope(CornerCrossEntropy(), right, *box)
    assert cost == pytest.approx(math.log2(1 + math.exp(-20)))
    cost, _ = cost_and_slope(CornerCrossEntropy(), -right, *box)
    assert cost == pytest.approx(math.log2(1 + math.exp(20)))
    logits[0, 0, 0, 0] = math.log(3) / 2  # P(corner) = 1 / 4 at a corner: 2 bits
    cost, _ = cost_and_slope(CornerCrossEntropy(3.0), logits, *box)
    assert cost == pytest.approx(3 * (1 + 1 / (12 * corner_num)))


def test_cells_that_are_corners_are_counted():
    """Boxes of one row: of 4 cells and of 2; the second image has none."""
    box = truth([(0, 0, 1, 1 / 4), (0, 1 / 2, 1 / 2, 3 / 4)], [])
    ((found,), saved) = CornerCells().forward(TRAIN, wanted((2, 4, 4, 5), *box))
    assert found.tolist() == [10, 2 * 16 * 5] and found.dtype == np.float32 and saved == ()


def test_images_without_boxes_have_a_finite_cost():
    logits = np.full((2, 3, 3, 4), 5, np.float32)
    cost, slope = cost_and_slope(CornerCrossEntropy(100.0), logits, *truth([], []))
    assert cost == pytest.approx(100 * math.log2(1 + math.exp(-10)), rel=1e-5)
    assert (slope < 0).all() and cost.dtype == slope.dtype == np.float32


def test_huge_logits_stay_finite():
    logits = np.array([1e4, -1e4, 300, -300], np.float32).reshape(1, 1, 1, 4)
    cost, slope = cost_and_slope(CornerCrossEntropy(), logits, *truth([WHOLE]))
    assert np.isfinite(cost) and np.isfinite(slope).all()


def test_a_box_of_class_minus_one_counts_for_nothing():
    box, box_class = truth([WHOLE], [WHOLE])
    box_class[1] = -1
    _, slope = cost_and_slope(CornerCrossEntropy(), np.zeros((2, 2, 2, 4)), box, box_class)
    assert (slope[0] > 0).sum() == 4 and (slope[1] > 0).sum() == 0


def test_dropout_leaves_cells_out_and_scales_the_others():
    op, logits = CornerCrossEntropy(1.0, 0.25, salt=7), np.zeros((3, 20, 20, 4))
    box = truth([WHOLE], [WHOLE], [])
    cost, slope = cost_and_slope(op, logits, *box)
    _, plain = cost_and_slope(CornerCrossEntropy(), logits, *box)
    kept = slope != 0
    np.testing.assert_allclose(slope[kept], plain[kept] / 0.75)
    assert cost == pytest.approx(kept.mean() / 0.75)
    # five standard deviations of 4800 draws
    assert abs(kept.mean() - 0.75) < 5 * math.sqrt(0.75 * 0.25 / kept.size)
    assert (kept[0] != kept[1]).any()
    last = cost_and_slope(op, logits[2:], *(x[2:] for x in box), run=Run(True, KEYS[2:]))[1]
    assert ((last[0] != 0) == kept[2]).all()  # the key decides, not the place in the batch
    other = cost_and_slope(CornerCrossEntropy(1.0, 0.25, salt=8), logits, *box)[1]
    assert ((other != 0) != kept).any()
    assert cost_and_slope(op, logits, *box, run=PREDICT)[0] == pytest.approx(1)


def search(op, logits, run=PREDICT):
    """Return the samples of each image: as many as are counted, places left over holding 0."""
    (sample, count), saved = op.forward(run, logits)
    assert saved == () and sample.dtype == logits.dtype and count.dtype == np.int32
    assert not any(each[found:].any() for each, found in zip(sample, count, strict=True))
    return [each[:found] for each, found in zip(sample, count, strict=True)]


def random_logits(n=3, height=8, width=9, corner_num=4):
    return np.random.default_rng(2).standard_normal((n, height, width, corner_num))


def test_prediction_takes_the_best_from_the_best_down():
    logits = random_logits()
    sample = np.array(search(CornerSearch(3, corner_max=1024), logits))
    assert sample.shape == (3, 9, 4)
    for boxes, log_odds in zip(sample, -2 * logits, strict=True):
        cell = np.rint(boxes * [9, 8, 9, 8] - [0, 0, 1, 1]).astype(int)
        total = box_log_odds(log_odds, cell)
        assert (np.diff(total) <= 0).all()
    assert (sample[..., 2:] - sample[..., :2] >= 2 / 9 - 1e-9).all()
    many = search(CornerSearch(5, corner_max=1024), logits)
    assert all((each[:9] == few).all() for each, few in zip(many, sample, strict=True))


def test_prediction_counts_only_what_it_finds():
    logits = np.full((2, 4, 8, 4), 5, np.float32)
    logits[1, 1, 2, 0] = logits[1, 2, 5, 3] = -5
    none, one = search(CornerSearch(2, corner_max=1024), logits)
    assert len(none) == 0
    assert one.tolist() == [[2 / 8, 1 / 4, 6 / 8, 3 / 4]]


def test_threshold_and_number_of_corners_are_obeyed():
    """DeNet of 2017 read cornerThreshold and cornerMax but used neither."""
    logits = random_logits()
    few = [
        np.array([len(boxes) for boxes in search(op, logits)])
        for op in (
            CornerSearch(9, 0.01, corner_max=1024),
            CornerSearch(9, 0.9, corner_max=1024),
            CornerSearch(9, 0.01, corner_max=2),
        )
    ]
    assert (few[0] == 81).all() and (few[1] < 40).all()
    assert (few[2] <= 2 * 2 + 2 * 2).all()


def test_training_adds_random_boxes():
    op = CornerSearch(4, random_sample=0.25, salt=1, corner_max=1024)
    sample, best = search(op, random_logits(), TRAIN), search(op, random_logits())
    assert all(
        set(map(tuple, some[:12])) <= set(map(tuple, all_))
        for some, all_ in zip(sample, best, strict=True)
    )
    assert len(np.unique(np.array(sample)[:, 12:].reshape(-1, 4), axis=0)) == 12


def test_prior_boxes_come_first_and_take_their_places_from_the_corners():
    logits, prior = random_logits(), prior_boxes(1)
    op = CornerSearch(4, random_sample=0.5, salt=1, prior_levels=1, corner_max=1024)
    best = search(CornerSearch(4, corner_max=1024), logits)
    for boxes, few in zip(search(op, logits), best, strict=True):
        np.testing.assert_array_equal(boxes, np.concatenate([prior.astype(few.dtype), few[:6]]))
    trained = search(op, logits, TRAIN)
    for boxes, few in zip(trained, best, strict=True):
        assert len(boxes) == 16 and iou(boxes[:10], prior).diagonal().min() > 0.4
        assert (boxes[:10] != prior).any(axis=1).all()
        found = [tuple(box) in set(map(tuple, few[:6])) for box in boxes[10:]]
        assert found == [True] * 3 + [False] * 3
    nothing = search(op, np.full((1, 4, 8, 4), 5, np.float32))
    np.testing.assert_array_equal(nothing[0], prior)


@pytest.mark.parametrize("options", [{"local_max": 1}, {"nms_threshold": 0.5}])
def test_training_may_take_boxes_beside_the_best(options):
    """In prediction as without it, in training as without local_max and clusters."""
    logits = random_logits()
    distinct = CornerSearch(4, distinct_in_prediction=True, corner_max=1024, **options)
    either, plain = CornerSearch(4, corner_max=1024, **options), CornerSearch(4, corner_max=1024)
    for found, wanted in zip(search(distinct, logits), search(either, logits), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(search(distinct, logits, TRAIN), search(plain, logits, TRAIN))
    assert not np.array_equal(search(either, logits, TRAIN), search(plain, logits, TRAIN))


def test_keys_and_salt_decide_what_is_random():
    op, logits = (
        CornerSearch(4, random_sample=0.25, salt=1, corner_max=1024),
        random_logits(1).repeat(3, axis=0),
    )
    sample = np.array(search(op, logits, TRAIN))
    again = np.array(search(op, logits[:2], Run(True, KEYS[[2, 0]])))
    assert (again == sample[[2, 0]]).all()
    assert (sample[0] != sample[1]).any()
    other = CornerSearch(4, random_sample=0.25, salt=2, corner_max=1024)
    assert (np.array(search(other, logits, TRAIN)) != sample).any()


def inject(run, samples, *targets):
    sample = np.full((len(targets[0]), samples, 4), 9, np.float32)
    (output,), saved = InjectGroundTruth().forward(run, sample, *targets)
    assert saved == () and (sample == 9).all()
    return output


def test_true_boxes_take_the_last_places():
    first, second = (0, 0, 0.5, 0.5), (0.25, 0, 1, 0.5)
    sample = inject(TRAIN, 4, *truth([first, second], [], [second]))
    other = [9] * 4
    assert sample[0].tolist() == [other, other, list(first), list(second)]
    assert sample[1].tolist() == [other] * 4
    assert sample[2].tolist() == [other] * 3 + [list(second)]


def test_more_true_boxes_than_samples():
    """DeNet of 2017 crashed; the first ones are taken, holes in the list left out."""
    boxes = [(0, 0, 1, size / 8) for size in range(1, 7)]
    box, box_class = truth(boxes)
    box_class[0, 1] = -1
    sample = inject(TRAIN, 4, box, box_class)
    assert (sample[0, :, 3] * 8).tolist() == [1, 3, 4, 5]


def test_prediction_leaves_the_samples_alone():
    assert (inject(PREDICT, 4, *truth([WHOLE])) == 9).all()


def test_coverage_by_hand():
    """Each true box counts once, if a sample of its own image overlaps it by more than half."""
    half, whole, corner = (0, 0, 1, 0.5), (0, 0, 1, 1), (0, 0, 0.25, 0.25)
    sample = np.array([[half, half, whole], [whole, whole, whole], [half, half, half]], np.float32)
    box, box_class = truth([whole, half, corner], [], [whole, (0, 0, 1, 0.75)])
    ((found,), saved) = Coverage().forward(TRAIN, sample, box, box_class)
    assert found.tolist() == [3, 5] and found.dtype == np.int32 and saved == ()
    ((found,), _) = Coverage().forward(TRAIN, sample, *truth([], [], []))
    assert found.tolist() == [0, 0]


def test_prediction_plans_ask_for_no_boxes_and_run_no_injection():
    options = LayerOptions(border_mode="half")
    model = Model.create("C[4,3] A DNC[5] DNS[2,3] DND[0.5,1,1]", (3, 8, 8), ["a", "b"], options)
    for mode, expected in (("train", {"data", "box", "box_class"}), ("predict", {"data"})):
        plan = Plan(model.graph(1), NumpyBackend(), mode)
        assert set(plan.inputs) == expected
        injected = [name for name in plan.kernel_names() if "inject" in name]
        assert len(injected) == (mode == "train")
