"""Faults to seed into the kernels, each with the test of the suite that must see it.

What no run on the processor can show is left out: that chunks in shared memory lie in other banks
(the exchange in ``place`` of conv_mma.cuh) and loads join into vectors; the fence before products
of warpgroups, and all PTX (DEVICE_ONLY); products joined with sums (``__fmul_rn`` and its kind: the
processor joins none); and what no result depends on, such as launch bounds. What is read beyond an
array and dropped is left to test_sanitized.py.
"""

from __future__ import annotations

from functools import partial

from backend.cuda import test_cuda_batch_norm as batch_norm
from backend.cuda import test_cuda_conv as conv
from backend.cuda import test_cuda_feed as feed
from backend.cuda import test_cuda_memory as memory
from backend.cuda import test_maps as maps
from backend.cuda.fault_checks import (
    CLASSES_1000,
    INTEGERS,
    LEVELS,
    RUINED,
    SHARES,
    WORDS,
    Check,
    average,
    bits,
    far,
    picked,
    row,
    ties,
    update,
    wide_map,
)
from backend.cuda.faults_conv import FAULTS as OF_CONV
from backend.cuda.faults_detection import FAULTS as OF_DETECTION

DEVICE_ONLY = {"ptx.cuh", "wgmma.cuh"}  # stand-ins of the tests take their place

# by file: the text before, the text after, and what fails
FAULTS: dict[str, list[tuple[str, str, Check]]] = {
    **OF_CONV,
    **OF_DETECTION,
    "activation.cu": [
        ("g * (y + 1.f)", "g * y", row("Activation elu")),
        (
            "i < count; i++) store(y + i, ",
            "i + 1 < count; i++) store(y + i, ",
            wide_map("Activation"),
        ),
        (
            "first + size <= count) {\n        Vector<real> values = load_vector(g",
            "first < count) {\n        Vector<real> values = load_vector(g",
            wide_map("Activation"),
        ),
    ],
    "add.cu": [
        ("y > 0.f ? g", "y >= 0.f ? g", row("Add relu")),
        ("i < count; i++) store", "i + 1 < count; i++) store", wide_map("Add")),
    ],
    "batch_norm.cu": [
        ("square[i] += count * away * away;", "", far),
        ("origin[i] - load(start.element + i) + own", "origin[i] + own", far),
        ("y <= least ?", "y < least ?", batch_norm.test_a_relu_of_zeros_passes_no_gradient),
        (
            "if (at.lane || channel >= channels) return;\n    gbeta",
            "if (at.lane) return;\n    gbeta",
            row("BatchNorm plain"),
        ),
        (
            "t.end - 1 - t.first) / t.lanes + 1",
            "t.end - t.first) / t.lanes",
            row("BatchNorm plain"),
        ),
    ],
    "cast.cu": [
        ("i < count; i++) store(y", "i + 1 < count; i++) store(y", wide_map("Cast", 0, "bf16")),
        ("store(y + i, share * load", "store(y + i, load", SHARES),
        ("store(written.element + i, share * load", "store(written.element + i, load", SHARES),
    ],
    "cells.cuh": [
        ("cell - row * width", "cell % height", row("Pad")),
        (
            "row < static_cast<unsigned>(height)",
            "row <= static_cast<unsigned>(height)",
            row("PoolInverse"),
        ),
    ],
    "copy.cu": [
        ("i < count; i++) y[i]", "i + 1 < count; i++) y[i]", wide_map("Add")),
    ],
    "crop_choice.cu": [
        (
            "choices[0] = generator.integers(spare_height);\n"
            "    choices[1] = generator.integers(spare_width);",
            "choices[1] = generator.integers(spare_width);\n"
            "    choices[0] = generator.integers(spare_height);",
            wide_map("CropMirror"),
        ),
    ],
    "dropout.cu": [
        ("philox(part + 1", "philox(part", row("Dropout")),
        (
            "(uniform(high) >= rate) << (2 * i + 1)",
            "(uniform(high) >= rate) << (2 * i + 2)",
            row("Dropout"),
        ),
        ("min(8, count - first)", "8", wide_map("Dropout", 2)),
        (
            "(count + 7) / 8;\n    if (part >= parts) return;\n    const",
            "count / 8;\n    if (part >= parts) return;\n    const",
            row("Dropout of one sample"),
        ),
    ],
    "flat.cu": [
        ("take[i] * values[i]", "keep[i] * values[i]", average("running_average")),
        ("total[i] += share * values[i]", "total[i] = share * values[i]", average("add")),
        ("(values[i] - average[i])", "values[i]", average("blend")),
        ("i % row", "i % (row - 1)", LEVELS),
        (
            "!isfinite(values[i])",
            "isnan(values[i])",
            RUINED,
        ),
    ],
    "lanes.cuh": [
        ("half /= 2) {\n        __syncthreads();", "half /= 2) {", bits("BatchNorm wide channels")),
        (" && at.lane + half < at.lanes", "", row("BatchNorm plain")),
        (
            "while (2 * half < at.lanes)",
            "while (2 * half + 1 < at.lanes)",
            partial(batch_norm.test_every_shape_equals_the_reference, (2, 9, 5, 15), None, "f32"),
        ),
        (
            "value[i] = room[i * THREADS + at.column];\n    __syncthreads();",
            "value[i] = room[i * THREADS + at.column];",
            bits("BatchNorm wide channels"),
        ),
    ],
    "local_response.cu": [
        ("-min(reach, channel)", "-min(reach, index)", row("LocalResponse two groups")),
        ("segment - 1 - channel", "segment - channel", row("LocalResponse")),
        ("powf(d, -beta) / d", "powf(d, -beta)", row("LocalResponse")),
    ],
    "move.cu": [
        ("left + width - 1 - at.column", "left + width - at.column", row("CropMirror")),
        (
            "static_cast<unsigned>(column) < static_cast<unsigned>(x_width)",
            "column < x_width",
            row("Pad"),
        ),
        ("at.row + sign * top", "at.row + top", wide_map("CropMirror")),
        ("at.channel < x_depth;", "at.channel <= x_depth;", row("FirstChannels")),
    ],
    "philox.cuh": [
        ("round < 10", "round < 9", row("Dropout")),
        ("0xBB67AE8584CAA73B", "0xBB67AE8584CAA73A", row("Dropout")),
        ("bits >> 8) * (1.f / 16777216.f", "bits >> 9) * (1.f / 8388608.f", WORDS),
        ("static_cast<unsigned>(product) < refused", "false", INTEGERS),
        (
            "half = static_cast<unsigned>(word >> 32);\n        has_half = true;",
            "",
            wide_map("CropMirror"),
        ),
    ],
    "pick.cu": [
        ("if (move[3]) column", "if (move[2]) column", picked("m50")),
        (
            "(line - static_cast<long long>(sample) * height) - move[1]",
            "(line) - move[1]",
            picked(),
        ),
        (
            "place / channels;\n    int column = cell - move[2]",
            "place / channels;\n    int column = cell + move[2]",
            picked("o3"),
        ),
        ("row < height &&", "row <= height &&", picked("o3")),
        ("column < width)", "column <= width)", picked("o3")),
        ("level = 0.f;", "level = 1.f;", picked("o3")),
        (
            "const long long first = (static_cast<long long>(move[0])",
            "const int first = (static_cast<int>(move[0])",
            feed.test_places_in_the_kept_images_are_counted_in_64_bits,
        ),
    ],
    "pool_inverse.cu": [
        (
            "sum[k] += load(values.element + k)",
            "sum[k] = load(values.element + k)",
            row("PoolInverse"),
        ),
        ("j < scale; j++) store_pack", "j + 1 < scale; j++) store_pack", row("PoolInverse")),
    ],
    "pool_max.cu": [
        ("if (value > largest[i])", "if (value >= largest[i])", ties),
        ("} else if (value != value) {\n                    largest[i] = value;\n", "", ties),
        (
            "position(across, column, at.column))",
            "position(across, column, at.column) + 1)",
            row("Pool max overlapping"),
        ),
    ],
    "pool_mean.cu": [
        (
            "partial[threadIdx.x] = sum;\n    __syncthreads();",
            "partial[threadIdx.x] = sum;",
            bits("Pool mean whole large map"),
        ),
        (
            "const float share = 1.f / count;",
            "const float share = count;",
            row("Pool mean overlapping"),
        ),
        ("cell += THREADS / 32", "cell += THREADS / 16", row("Pool mean whole large map")),
    ],
    "port.cuh": [
        ("0x7FFFu + ((bits >> 16) & 1u)", "0x8000u", maps.test_bf16_is_rounded_as_numpy_rounds_it),
        (
            "value == value ? rounded : 0x7FC0u",
            "rounded",
            maps.test_bf16_is_rounded_as_numpy_rounds_it,
        ),
        (
            "return x < 0.f ? 0.f : x;",
            "return x > 0.f ? x : 0.f;",
            partial(conv.test_nan_passes_the_relu, ("f32", 80)),
        ),
    ],
    "softmax.cu": [
        (
            "load(y + c) * (load(g + c) - product)",
            "load(y + c) * load(g + c)",
            row("Activation softmax"),
        ),
        ("sum / cells", "sum", row("ClassProbability of a map")),
    ],
    "softmax.cuh": [
        ("expf(load(x + c) - largest)", "expf(load(x + c))", CLASSES_1000),
        (
            "distance = 16; distance; distance /= 2) {\n        value +=",
            "distance = 8; distance; distance /= 2) {\n        value +=",
            CLASSES_1000,
        ),
    ],
    "solver.cu": [
        ("sqrtf(e.second) * f.root", "sqrtf(e.second)", update("adam")),
        (
            "e.gradient + e.first);\n}\n\n// learn_rate",
            "e.first);\n}\n\n// learn_rate",
            update("nesterov"),
        ),
        (
            "partial[threadIdx.x + half];\n        __syncthreads();",
            "partial[threadIdx.x + half];",
            update("sgd", 5.0),
        ),
        ("norm > clip ? clip / norm", "norm > clip ? clip / sqrt(norm)", update("sgd", 5.0)),
        ("e.weight - mean[i]", "weights[i] - e.weight", update("sgd")),
        ("weights[i] * f.shrink", "weights[i]", update("adamw")),
        (" || faults[0]", "", memory.test_nothing_is_updated_once_a_cost_was_not_finite),
        (") faults[1] = 1", ") faults[0] = 1", RUINED),
    ],
    "window.cuh": [
        ("before / axis.stride + 1", "before / axis.stride", row("Pool mean overlapping")),
        (
            "axis.length + 2 * axis.padding - start",
            "axis.length + axis.padding - start",
            row("Pool mean partial padded"),
        ),
        (
            "min(start + axis.size, axis.length)",
            "min(start + axis.size, axis.length - 1)",
            row("Pool max overlapping"),
        ),
        (
            "min(padded / axis.stride + 1, axis.windows)",
            "padded / axis.stride + 1",
            row("Pool mean stride does not divide"),
        ),
    ],
}
