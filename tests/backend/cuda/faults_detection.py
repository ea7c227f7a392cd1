"""Faults to seed into the kernels of costs and detection; see faults.py."""

from __future__ import annotations

from functools import partial

from backend.cuda import test_cuda_costs as costs
from backend.cuda import test_cuda_detection as detection
from backend.cuda.fault_checks import (
    BOXES,
    CLASSES,
    Check,
    bits,
    clusters,
    heads,
    random_choices,
    real_search,
    row,
    search,
    sparse,
    threshold,
)

from denet.graph.op.coverage import Coverage
from denet.graph.op.detection_cross_entropy import DetectionCrossEntropy
from denet.graph.op.fitness_cross_entropy import FitnessCrossEntropy

FAULTS: dict[str, list[tuple[str, str, Check]]] = {
    "block.cuh": [
        ("if (second < first) keys", "if (first < second) keys", search("plain")),
        ("__syncthreads();  // the last counts were read", "", real_search()),
        (
            "totals[bin] < count; bin--",
            "totals[bin] <= count; bin--",
            search("more clusters than places"),
        ),
        ("value + 0.f", "value", detection.test_everything_is_alike),
        (
            "part > CHUNK; part",
            "part > 2 * CHUNK; part",
            detection.test_more_boxes_than_are_sorted_at_once,
        ),
    ],
    "box.cuh": [
        ("area(a) + area(b) - shared", "area(a) + area(b)", heads(*CLASSES)),
        (
            "x > LARGEST_EXPONENT ? LARGEST_EXPONENT : x",
            "x",
            costs.test_boxes_beyond_all_reason_stay_finite_and_nan_stays_nan,
        ),
    ],
    "box_regression.cu": [
        (
            "object < best.object",
            "object > best.object",
            costs.test_of_equal_overlaps_the_first_object_counts,
        ),
        (" : e > 1.f ? 1.f : e", " : e", row("BoxRegression plain")),
        ("if (lane() >= 4) continue", "if (lane() >= 3) continue", row("BoxRegression plain")),
        ("if (classes[i] < 0) continue;", "", heads(*BOXES)),
    ],
    "cell_box.cuh": [
        ("(twice >> 1 & twice & 1)", "0", search("plain", types=5)),
        ("(box.x1 + 1 - box.x0)", "(box.x1 - box.x0)", clusters),
        (
            "total += at(box.x0, box.y1, 2);\n        total += at(box.x1, box.y1, 3);",
            "total += at(box.x1, box.y1, 3);\n        total += at(box.x0, box.y1, 2);",
            search("plain", detection.tenths),
        ),
    ],
    "corner_cluster.cu": [
        (
            "const int low = min(one, other), high = max",
            "const int low = max(one, other), high = min",
            search("few places for large clusters", detection.ties, 5, False),
        ),
        ("> threshold;", ">= threshold;", clusters),
        ("share += each.size(cluster) *", "share = each.size(cluster) *", clusters),
        (
            "<< 32 | ~static_cast<unsigned>(root)",
            "<< 32 | static_cast<unsigned>(root)",
            search("more clusters than places"),
        ),
    ],
    "corner_cross_entropy.cu": [
        ("philox(part + 1", "philox(part", row("CornerCrossEntropy dropped")),
        (
            "t * with + (1.f - t) * without",
            "t * without + (1.f - t) * with",
            row("CornerCrossEntropy plain"),
        ),
        (
            "expf(-fabsf(2.f * h))",
            "expf(-2.f * h)",
            partial(costs.test_corners_of_maps_for_many_blocks, 0.0, 100.0),
        ),
    ],
    "corner_sample.cu": [
        ("skipped = 4ll * priors", "skipped = 0", search("with prior boxes")),
        ("(used + 1) / 2", "used / 2", random_choices),
        ("rest < many && rest < (0u - many) % many", "false", real_search()),
        ("is_set(chosen, drawn) ? next : drawn", "drawn", random_choices),
        (
            "place_of(stays, warp_counts, many)",
            "place_of(stays, warp_counts, many) % 32",
            random_choices,
        ),
    ],
    "corner_search.cu": [
        ("x + within, map.width - 1)", "x + within - 1, map.width - 1)", search("local maxima")),
        ("< logit) return false", "<= logit) return false", search("local maxima")),
        (
            "min(y + within, map.height - 1)",
            "min(y + within, map.height)",
            search("local maxima", detection.tenths),
        ),
        ("far_x < map.width", "far_x < map.width - 1", search("plain", types=5)),
        ("ranks[i] != ranks[i - 1]", "true", search("plain", types=5)),
        ("if (key < floor) return;", "", search("plain", detection.tenths)),
        (
            "fits_y = a & 2 ? far_y < y : far_y > y",
            "fits_y = a & 1 ? far_y < y : far_y > y",
            search("plain"),
        ),
    ],
    "corner_target.cu": [
        ("map[i] = 0.f;\n    __syncthreads();", "map[i] = 0.f;", bits("CornerTarget plain")),
        (
            "max(x0, static_cast<long long>(rintf(box.x1 * width)) - 1)",
            "static_cast<long long>(rintf(box.x1 * width)) - 1",
            partial(costs.test_corners_of_boxes_lie_where_the_reference_has_them, (5, 7), 4),
        ),
        (
            "rintf(box.y0 * height)",
            "floorf(box.y0 * height + 0.5f)",
            partial(costs.test_corners_of_boxes_lie_where_the_reference_has_them, (5, 7), 4),
        ),
    ],
    "cost.cu": [
        (
            "i < count; i++) y[i] = x[i]",
            "i + 1 < count; i++) y[i] = x[i]",
            row("CornerCrossEntropy dropped"),
        ),
        (
            "i < count; i += THREADS) part",
            "i < count; i += WARPS) part",
            costs.test_cells_are_counted_exactly,
        ),
    ],
    "cost.cuh": [
        ("int warp = 1; warp < WARPS", "int warp = 2; warp < WARPS", row("CornerCells")),
        ("/ 32] = cost;\n    __syncthreads();", "/ 32] = cost;", bits("CornerCells")),
        (
            "gridDim.x * WARPS",
            "gridDim.x * (WARPS - 1)",
            partial(costs.test_classes_of_any_number, (2, 19, 23, 21), 0.1),
        ),
    ],
    "detection.cu": [
        ("grown(moved.w) / 2.f", "grown(moved.z) / 2.f", row("DecodeBox")),
        ("object += WARPS", "object += 1", row("Coverage plain")),
        (
            "present[warp] = all;\n    }\n    __syncthreads();",
            "present[warp] = all;\n    }",
            bits("Coverage plain"),
        ),
        (") > overlap;", ") >= overlap;", threshold(Coverage)),
    ],
    "detection_cross_entropy.cu": [
        (
            "target[c] = 0.f;\n    __syncwarp();",
            "target[c] = 0.f;",
            bits("DetectionCrossEntropy plain"),
        ),
        (
            "const int bin = min(max(static_cast<int>(fitness), 0), BINS - 1);",
            "const int bin = static_cast<int>(fitness);",
            threshold(FitnessCrossEntropy),
        ),
        ("shared > range.least", "shared >= range.least", threshold(DetectionCrossEntropy)),
        ("target[c] / marked", "target[c]", row("DetectionCrossEntropy plain")),
    ],
    "inject_ground_truth.cu": [
        ("other < index; other++", "other <= index; other++", row("InjectGroundTruth plain")),
        (
            "if (before < taken) y",
            "y",
            partial(detection.test_true_boxes_take_the_last_places, 40, 128),
        ),
    ],
    "softmax_cross_entropy.cu": [
        (
            "share + (1.f - smoothing) : share;\n            said",
            "share + 1.f : share;\n            said",
            row("SoftmaxCrossEntropy smoothed"),
        ),
        ("factor = *g / rows", "factor = *g", row("SoftmaxCrossEntropy plain")),
        (
            "index[row / cells] ? share + (1.f - smoothing) : share;\n            const float said",
            "index[row] ? share + (1.f - smoothing) : share;\n            const float said",
            row("SoftmaxCrossEntropy of a map"),
        ),
    ],
    "sparse_sample.cu": [
        (
            "fmaxf(point, 0.f), length - 1)",
            "fmaxf(point, 0.f), length)",
            row("SparseSample beyond the map"),
        ),
        (
            "column[step] = nearest(box.x, box.z, step, grid, width);\n    }\n    __syncthreads();",
            "column[step] = nearest(box.x, box.z, step, grid, width);\n    }",
            bits("SparseSample plain"),
        ),
        (
            "!rows.count++) rows.first = step",
            "!rows.count++) rows.first = step + 1",
            row("SparseSample plain"),
        ),
        ("mine.first = step;", "mine.first = step + 1;", row("SparseSample plain")),
        ("group += 32) {", "group += 64) {", sparse("one cell")),
    ],
}
