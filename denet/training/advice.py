"""What the metrics of a detector's training say that goes wrong, with a remedy.

Rules are pure functions of the rows of PREFIX_metrics.csv so far, of how many epochs there will be
and of the cost factor of DNC: each returns a sentence, or "".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from denet.report.metrics import CORNER_CELLS
from denet.training.position import Metrics

LAST = 3  # epochs over which corners are looked at: one may be an exception
FEWEST_EPOCHS = 3  # one or two tell nothing, those of a trial least of all
LEAST_IMAGES = 2000  # corners, samples and answers take some hundred steps of any network
FAIR_PART = 1 / 3  # of a run: warm-up is over, and most of the time is still to be saved
# A corner that is known to lie in one of A cells costs A H(1/A), about log2(A) + log2(e) bits. To
# pay a tenth less leaves much of the map: of 3072 cells with one corner some 1200.
CORNERS_KNOWN = 0.1
# Samples of training hit less than those of prediction, as some are random; half is little still.
# Coverage grows for as long as corners get sharper: 5 points in half the epochs are growth.
COVERAGE, COVERAGE_GROWTH = 50.0, 5.0
NOTHING = 0.05  # per cent of average precision: what is told as 0.0 or 0.1
TRAIN_PRECISION = 50.0  # per cent; networks that suit their data have 70 and more at the end
# Of a test set of some dozen photos the average precision sways by 2 points from test to test.
FALL, TESTS_IN_A_ROW = 3.0, 3
GAP = 30.0  # points at the end; 15 are usual where photos are few

Rule = Callable[[Sequence[Metrics], int, float], str]


def advice(
    rows: Sequence[Metrics], epochs: int, corner_factor: float
) -> Iterator[tuple[Rule, str]]:
    """Yield the rules that speak after the last of these rows, each with its sentence.

    Of the steps of detection, corners, samples and answers, only the first that fails is told.
    """
    for rules in STAGES:
        spoken = ((rule, rule(rows, epochs, corner_factor)) for rule in rules)
        yield from islice((each for each in spoken if each[1]), 1)


def corners_unknown(rows: Sequence[Metrics], epochs: int, corner_factor: float) -> str:
    """Say that no more than the number of corners is known of them."""
    last = rows[-LAST:]
    cost = _mean(last, "cost_corner")
    prior = prior_cost(_mean(last, CORNER_CELLS) / 100, corner_factor)
    if not (_late(rows, epochs) and cost > (1 - CORNERS_KNOWN) * prior > 0):
        return ""
    return (
        f"the network hardly learns where corners are: they cost {cost:.3g}, and would cost "
        f"{prior:.3g} if it knew their number alone: train longer, try another --learn-rate, a "
        "larger cost factor of DNC (its second argument), or larger images (crop=)"
    )


def samples_miss(rows: Sequence[Metrics], epochs: int, corner_factor: float) -> str:
    """Say that no sample hits most of the objects."""
    coverage = [_value(row, "sample_coverage") for row in rows]
    before = coverage[(len(coverage) - 1) // 2]  # half the epochs ago
    low = coverage[-1] < COVERAGE and coverage[-1] < before + COVERAGE_GROWTH
    if not (low and _late(rows, epochs)):
        return ""
    return (
        f"samples hit {coverage[-1]:.0f}% of the objects, hardly more than before, and what no "
        "sample hits cannot be found: raise the number of samples of DNS (its second argument), "
        "lower its corner threshold or its share of random samples, or find corners on a finer map"
    )


def all_wrong(rows: Sequence[Metrics], epochs: int, corner_factor: float) -> str:
    """Say that a detector finds nothing of the test."""
    detects = not math.isnan(_value(rows[-1], "sample_coverage"))
    wrong = detects and _value(rows[-1], "test_error") >= 100 - NOTHING
    if not (wrong and _late(rows, epochs)):
        return ""
    return (
        "no object of the test is found: its average precision is 0: compare its photos and "
        "classes with those of training (model-info --data), try another --learn-rate"
    )


def fits_badly(rows: Sequence[Metrics], epochs: int, corner_factor: float) -> str:
    """Say at the end that not even the training photos are understood."""
    precision = 100 - _value(rows[-1], "train_error")
    if len(rows) < max(FEWEST_EPOCHS, epochs) or not precision < TRAIN_PRECISION:
        return ""
    return (
        f"the network has not learned its own training photos: their average precision is "
        f"{precision:.0f}%: train longer (--resume with more --epochs), with a larger "
        "--learn-rate, with more channels, or on larger images (crop=)"
    )


def overfits(rows: Sequence[Metrics], epochs: int, corner_factor: float) -> str:
    """Say that the training photos are learned by heart, as soon as the test shows it."""
    tests = [row for row in rows if not math.isnan(_value(row, "test_error"))]
    what = _falls(tests) or (
        _gap(tests) if tests and len(rows) >= max(FEWEST_EPOCHS, epochs) else ""
    )
    return what and (
        f"the network learns its training photos by heart: {what}: more photos, fewer --epochs or "
        "augmentation that is not in use yet (crop_mode=denet, augment_photo, mosaic=0.5 for large "
        "objects) help; --val-split chooses _best.mdl without the test"
    )


STAGES: tuple[tuple[Rule, ...], ...] = (
    (corners_unknown, samples_miss, all_wrong),
    (fits_badly,),
    (overfits,),
)


def prior_cost(share: float, factor: float) -> float:
    """Return the cost of corners for one who knows only the share of cells that are corners.

    The cost is the cross entropy in bits of a cell. Whoever says P(corner) = p everywhere pays
    -s log2 p - (1 - s) log2(1 - p), least for p = s: the entropy H(s).
    """
    if not 0 < share < 1:
        return 0.0
    return -factor * (share * math.log2(share) + (1 - share) * math.log2(1 - share))


def _late(rows: Sequence[Metrics], epochs: int) -> bool:
    """Whether enough of the run is over, and enough images were seen, to tell."""
    images = sum(_value(row, "train_seconds") * _value(row, "images_per_second") for row in rows)
    return len(rows) >= max(FEWEST_EPOCHS, epochs * FAIR_PART) and not images < LEAST_IMAGES


def _falls(tests: Sequence[Metrics]) -> str:
    """Say that each of the last tests is worse than the best one, the training photos better."""
    best = min(tests, key=lambda row: row["test_error"], default={})
    last = tests[-TESTS_IN_A_ROW:]
    if len(last) < TESTS_IN_A_ROW or any(
        row["test_error"] < best["test_error"] + FALL for row in last
    ):
        return ""
    gain = _value(best, "train_error") - _value(last[-1], "train_error")
    fall = last[-1]["test_error"] - best["test_error"]
    return (gain > 0) * (
        f"since epoch {best['epoch']:.0f} their average precision rose by {gain:.1f} points, that "
        f"of the test fell by {fall:.1f}"
    )


def _gap(tests: Sequence[Metrics]) -> str:
    """Say how far apart training photos and test are."""
    test, train = (100 - _value(tests[-1], f"{name}_error") for name in ("test", "train"))
    return (train - test >= GAP) * (
        f"their average precision is {train:.0f}%, that of the test {test:.0f}%"
    )


def _mean(rows: Sequence[Metrics], name: str) -> float:
    return sum(_value(row, name) for row in rows) / len(rows)


def _value(row: Metrics, name: str) -> float:
    return row.get(name, math.nan)
