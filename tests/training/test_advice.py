"""What is told of a training that goes wrong, from histories made by hand."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path

import numpy as np
import pytest

from denet.graph.op.base import Run
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.corner_target import CornerTarget
from denet.training.advice import (
    advice,
    all_wrong,
    corners_unknown,
    fits_badly,
    overfits,
    prior_cost,
    samples_miss,
)
from denet.training.checkpoint import RunFiles
from denet.training.journal import Journal
from denet.training.position import Metrics
from denet.training.settings import TrainSettings

# share of corners, factor, cost in bits worked out by hand
PRIORS = [
    (0.5, 1, 1.0),
    (0.25, 1, 0.8112781),  # 1/4 * 2 + 3/4 * log2(4/3)
    (0.75, 2, 1.6225562),
    (1 / 1024, 50, 0.5586911),  # 50 / 1024 * (10 + 1023 * 0.001409570)
    (0.0, 50, 0.0),
    (1.0, 50, 0.0),
]


@pytest.mark.parametrize(("share", "factor", "cost"), PRIORS)
def test_cost_of_knowing_the_share_alone(share: float, factor: float, cost: float) -> None:
    assert prior_cost(share, factor) == pytest.approx(cost, rel=1e-6)


def test_that_cost_is_the_least_for_one_answer_everywhere() -> None:
    """One object in a map of 8x8: of 4 * 64 cells 4 are corners, P = 1/64 everywhere is best."""
    box = np.array([[[0.25, 0.25, 0.75, 0.75]]], np.float32)
    (target,), _ = CornerTarget(8, 8, 4).forward(Run(True), box, np.zeros((1, 1), np.int32))
    costs = []
    for share in (1 / 80, 1 / 64, 1 / 50):
        logits = np.full((1, 8, 8, 4), -math.log(share / (1 - share)) / 2, np.float32)
        op = CornerCrossEntropy(20.0)
        (cost,), _ = op.forward(Run(True), logits, target)
        costs.append(float(cost))
    assert costs[1] == pytest.approx(prior_cost(1 / 64, 20.0), rel=1e-6)
    assert costs[1] == min(costs)


def history(epochs: int, **columns: float | list[float]) -> list[Metrics]:
    """Return rows of so many epochs; a column is one number, or one for each epoch."""
    lists = {n: v if isinstance(v, list) else [v] * epochs for n, v in columns.items()}
    return [
        {"epoch": epoch + 1, **{name: values[epoch] for name, values in lists.items()}}
        for epoch in range(epochs)
    ]


# 1/4 of the cells are corners, factor 2: to know that costs 1.6226, a tenth less is 1.4603
KNOWS_NOTHING = {"cost_corner": 1.47, "corner_cells": 25.0, "sample_coverage": 10.0}
KNOWS_LITTLE = KNOWS_NOTHING | {"cost_corner": 1.45}

SOME_STEPS = {"images_per_second": 199.0, "train_seconds": 1.0}  # 1990 images in ten epochs

FINDS = [
    (10, 30, KNOWS_NOTHING, "they cost 1.47, and would cost 1.62 if it knew their number alone"),
    (9, 30, KNOWS_NOTHING, ""),  # not yet a third
    (2, 2, KNOWS_NOTHING, ""),  # a trial
    (3, 3, KNOWS_NOTHING, "where corners are"),
    (10, 30, KNOWS_LITTLE, "samples hit 10% of the objects, hardly more than before"),
    (10, 30, KNOWS_LITTLE | {"sample_coverage": [float(4 * n) for n in range(10)]}, ""),
    (10, 30, KNOWS_LITTLE | {"sample_coverage": 60.0}, ""),
    (10, 30, KNOWS_LITTLE | {"sample_coverage": 60.0, "test_error": 99.97}, "no object of the"),
    (10, 30, KNOWS_LITTLE | {"sample_coverage": 60.0, "test_error": 99.9}, ""),
    (10, 30, KNOWS_LITTLE | {"sample_coverage": math.nan, "test_error": math.nan}, ""),
    (10, 30, KNOWS_NOTHING | SOME_STEPS, ""),
    (10, 30, KNOWS_NOTHING | SOME_STEPS | {"train_seconds": 2.0}, "where corners are"),
    (10, 30, KNOWS_NOTHING | {"cost_corner": [9.0] * 7 + [1.45, 1.47, 1.45]}, "samples hit"),
    (10, 30, {"cost": 2.3, "test_error": 100.0}, ""),  # a classifier
]


@pytest.mark.parametrize(("epochs", "of", "columns", "words"), FINDS)
def test_what_finds_little(
    epochs: int, of: int, columns: dict[str, float | list[float]], words: str
) -> None:
    text = "".join(text for _, text in advice(history(epochs, **columns), of, 2.0))
    assert words in text and bool(text) == bool(words)


@pytest.mark.parametrize(
    ("epochs", "of", "error", "words"),
    [
        (30, 30, 79.0, "their average precision is 21%"),
        (30, 30, 51.0, "their average precision is 49%"),
        (30, 30, 50.0, ""),
        (29, 30, 79.0, ""),
        (2, 2, 79.0, ""),
        (30, 30, math.nan, ""),
    ],
)
def test_what_does_not_fit(epochs: int, of: int, error: float, words: str) -> None:
    text = fits_badly(history(epochs, train_error=error), of, 2.0)
    assert words in text and bool(text) == bool(words)


nan = math.nan
TESTS = [
    # kangaroos: average precision 23.0 at the best test, 16.8 at the last
    ([90, 77, 80, 81, 83.2], [95, 80, 70, 65, 60], "since epoch 2 .* 20.0 .* fell by 6.2"),
    ([90, 77, nan, 80, nan, 81, 83.2], [95, 80, nan, 70, nan, 65, 60], "since epoch 2 .* 6.2"),
    ([90, 77, 80, 79.9, 83.2], [95, 80, 70, 65, 60], ""),  # one of three is not 3 points worse
    ([90, 77, 81, 83.2], [95, 80, 70, 60], ""),  # two tests
    ([90, 77, 80, 81, 83.2], [95, 80, 85, 85, 90], ""),  # training photos get worse too
    ([90, 77, 80, 81, 83.2], [nan] * 5, ""),
    ([nan] * 5, [nan] * 5, ""),
    ([], [], ""),
]


@pytest.mark.parametrize(("test", "train", "words"), TESTS)
def test_what_overfits(test: list[float], train: list[float], words: str) -> None:
    text = overfits(history(len(test), test_error=test, train_error=train), 99, 2.0)
    assert bool(text) == bool(words)
    assert re.search(words, text)


@pytest.mark.parametrize(
    ("of", "test", "words"), [(4, 84.0, "is 46%, that of the test 16%"), (4, 83.9, ""), (5, 90, "")]
)
def test_a_gap_at_the_end_is_told(of: int, test: float, words: str) -> None:
    text = overfits(history(4, test_error=test, train_error=54.0), of, 2.0)
    assert words in text and bool(text) == bool(words)


def test_a_good_run_hears_nothing() -> None:
    """Objects drawn by examples/make_objects.py, 630 pictures, seven epochs as they were."""
    rows = history(
        7,
        cost_corner=[1.95, 1.06, 0.815, 0.722, 0.642, 0.583, 0.535],
        corner_cells=1.3,
        sample_coverage=[57.7, 94.7, 98.4, 99.2, 99.4, 99.5, 99.6],
        test_error=[88.0, 78.5, 70.3, 64.1, 58.3, 52.5, 50.9],
        train_error=[87.0, 74.3, 64.8, 56.8, 52.5, 45.8, 42.2],
    )
    for end in range(1, 8):
        assert not list(advice(rows[:end], 7, 20.0))


def test_each_step_that_fails_is_told_when_it_is_the_first() -> None:
    """Corners are learned from epoch 12 on, samples hit from 20 on; the test stays at nothing."""
    rows = history(
        29,
        cost_corner=[1.5] * 11 + [1.2] * 18,
        corner_cells=25.0,
        sample_coverage=[10.0] * 19 + [90.0] * 10,
        test_error=100.0,
    )
    told: dict[object, int] = {}
    for end in range(1, 30):
        for rule, _ in advice(rows[:end], 30, 2.0):
            told.setdefault(rule, end)
    # the cost of three epochs: 1.3 at epoch 13 is below 1.4603, 1.4 at epoch 12 too
    assert told == {corners_unknown: 10, samples_miss: 12, all_wrong: 20}


@pytest.mark.parametrize(
    ("kept", "table", "again"),
    [(4, None, 0), (3, None, 0), (2, None, 1), (2, "", 1), (2, "cost\n1\n2\n3\n", 1), (2, ..., 0)],
)
def test_a_resumed_run_is_not_advised_twice(
    kept: int,
    table: str | None,
    again: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The third of nine epochs warns; where the state holds only two, the table knows it."""
    times = dict.fromkeys(("train_seconds", "wait_seconds", "test_seconds"), 1.0)
    columns = {"cost": 3.0, "learn_rate": 0.1, "images_per_second": 900.0, "test_error": math.nan}
    rows = history(4, **KNOWS_NOTHING, **columns, **times, train_error=math.nan)
    files = RunFiles(tmp_path / "m")

    def told(journal: Journal, tell: list[Metrics]) -> int:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            for row in tell:
                journal.record(row)
        return caplog.text.count("hardly learns where corners are")

    settings = TrainSettings(epochs=9, output_prefix=str(tmp_path / "m"))
    assert [told(Journal(files, settings, (), 2.0), rows[:n]) for n in (2, 3, 4)] == [0, 1, 1]
    if table is not ...:
        files.metrics.unlink()
        if table is not None:
            files.metrics.write_text(table)
    longer = TrainSettings(epochs=12, output_prefix=str(tmp_path / "m"))
    resumed = Journal(files, longer, rows[:kept], 2.0, settings)
    assert told(resumed, rows[kept:] + history(4, **rows[0])) == again
