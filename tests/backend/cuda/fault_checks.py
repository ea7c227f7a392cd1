"""Tests of the suite, as what must see a seeded fault; see faults.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from backend.cuda import test_cuda_batch_norm as batch_norm
from backend.cuda import test_cuda_conv as conv
from backend.cuda import test_cuda_costs as costs
from backend.cuda import test_cuda_detection as detection
from backend.cuda import test_cuda_feed as feed
from backend.cuda import test_cuda_kernels as kernels
from backend.cuda import test_cuda_memory as memory
from backend.cuda import test_cuda_statistics as statistics
from backend.cuda import test_maps as maps
from backend.cuda import test_philox as philox
from backend.cuda.host_device import SCHEDULES
from backend.guarded import GuardedBackend
from backend.kernel_run import KernelRun
from graph.cases import CASES

from denet.graph.op.box_regression import BoxRegression
from denet.graph.op.detection_cross_entropy import DetectionCrossEntropy

BARRIER = "        __syncthreads();\n"
ROWS = {case.name: case for case in CASES}
BOXES = BoxRegression(0.5, 0.5, False), 4
CLASSES = DetectionCrossEntropy(1.5, 0.5, False), 21
WORDS = partial(philox.test_words_and_floats_are_those_of_numpy, philox.KEYS[1])
INTEGERS = partial(
    philox.test_integers_and_chances_are_those_of_numpy_in_any_order, philox.KEYS[1], 0.3
)
CLASSES_1000 = partial(costs.test_classes_of_any_number, (3, 1, 1, 1000), 0.0)
LEVELS = partial(memory.test_bytes_become_the_numbers_that_the_host_makes_of_them, (3, 7, 5, 3))
RUINED = partial(memory.test_what_is_not_finite_is_found, 400, float("inf"))

Check = Callable[[], Any]


def row(name: str, precision: str = "f32") -> Check:
    """A row of the case table against the reference, between guards."""

    def check() -> None:
        guarded = GuardedBackend(conv.backend_of(80, "forward"))
        kernels.assert_like_reference(KernelRun(guarded, ROWS[name], precision))
        assert not guarded.memory.overruns()

    return check


def bits(name: str, precision: str = "f32") -> Check:
    """A row of the case table in every order of threads."""

    def results(schedule: str) -> list[Any]:
        run = KernelRun(conv.backend_of(80, schedule), ROWS[name], precision)
        found = run.forward() + (run.backward() if run.wanted else [])
        return [array for array in found if array is not None]

    def check() -> None:
        first, *others = map(results, SCHEDULES)
        for other in others:
            for one, another in zip(first, other, strict=True):
                np.testing.assert_array_equal(one, another)

    return check


def wide_map(op: str, index: int = 0, precision: str = "f32") -> Check:
    """A row of maps.WIDE, by its op."""
    found = [case for case in maps.WIDE if type(case.op).__name__ == op][index]
    return partial(maps.test_kernel_equals_reference, found, precision)


def search(
    name: str, draw: Any = detection.objects, types: int = 4, training: bool = True
) -> Check:
    """Corners of maps and the samples that they make."""
    return partial(detection.test_search_equals_reference, name, training, types, draw)


def conv_row(case: Any, precision: str = "bf16") -> Check:
    """A convolution beyond the case table."""
    return partial(conv.test_kernel_equals_reference, case, (precision, 80))


def conv_bits(case: Any, precision: str = "bf16") -> Check:
    """A convolution beyond the case table in every order of threads."""
    return partial(conv.test_every_schedule_gives_the_same_bits, case, (precision, 80))


def depthwise_row(index: int, precision: str = "bf16") -> Check:
    """A convolution with a channel per group."""
    case = conv.DEPTHWISE[index]
    return partial(conv.test_a_channel_per_group_equals_reference, case, precision)


def parts(index: int, precision: str = "bf16") -> Check:
    """A convolution whose depth is in parts."""
    case = conv.DIVIDED[index]
    return partial(conv.test_products_in_parts_equal_reference, case, (precision, 80))


def warpgroups(schedule: str = "forward", tile: int = 0) -> Check:
    """Convolutions by products of warpgroups, of one size of tiles."""

    def check() -> None:
        with pytest.MonkeyPatch.context() as patch:
            test = conv.test_warpgroups_equal_reference_in_every_order
            test(conv.WARPGROUPS[tile], schedule, patch)

    return check


def measures(test: Callable[..., Any], way: str, *arguments: Any) -> Check:
    """Statistics of a convolution's output in a way of test_cuda_statistics, joined by threes."""

    def check() -> None:
        precision, tile = statistics.WAYS[way]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(statistics.statistics, "TOGETHER", 3)
            if tile:
                conv.use(patch, [tile])
            test(*arguments, (precision, tile), None)

    return check


stored = statistics.test_statistics_are_those_of_what_is_stored
distant = statistics.test_statistics_far_from_zero_keep_their_digits
in_any_order = statistics.test_every_order_of_threads_gives_the_same_bits


def update(name: str, clip: float = 0.0) -> Check:
    """Some steps of a solver."""
    return partial(memory.test_update_equals_that_of_the_host, name, [0.9, 0.99], clip)


def average(name: str) -> Check:
    """Arithmetic on whole arrays."""
    scalars = [] if name == "running_average" else [0.3]
    return partial(memory.test_averages_and_sums_equal_those_of_the_host, name, scalars)


def real_search(training: bool = True) -> Check:
    """Samples of maps of a real size, in random order of threads."""
    return partial(detection.test_search_of_a_real_size, "random", training)


def picked(*tokens: str) -> Check:
    """Batches of kept images of an odd size."""
    return partial(feed.test_kept_images_become_the_batches_of_the_host, (3, 7, 5), tokens, False)


clusters = partial(detection.test_clusters_of_a_real_size, "random")
ties = partial(
    maps.test_ties_and_nan_of_the_maximum_go_where_numpy_puts_them, *maps.POOLS[0], "f32"
)
far = batch_norm.test_statistics_far_from_zero_keep_their_digits
random_choices = partial(detection.test_random_choices_follow_numpy, 1)


def heads(op: Any, outputs: int) -> Check:
    """Costs of samples near objects, some of whose places are empty."""
    return partial(costs.test_heads_match_the_objects_of_the_reference, op, outputs, 0)


def threshold(op: type) -> Check:
    """A sample that overlaps an object by just what does not count, and one that is an object."""
    found = [row for row in costs.BARELY if isinstance(row[0], op)][0]
    return partial(costs.test_an_overlap_of_no_more_than_the_threshold_does_not_count, *found)


def sparse(name: str) -> Check:
    """Sparse samples of a real size."""
    return partial(detection.test_sparse_samples_of_real_sizes, name)
