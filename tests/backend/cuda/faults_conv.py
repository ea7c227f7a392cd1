"""Faults to seed into the kernels of convolutions; see faults.py."""

from __future__ import annotations

from backend.cuda import test_cuda_conv as conv
from backend.cuda.fault_checks import (
    BARRIER,
    Check,
    bits,
    conv_bits,
    conv_row,
    depthwise_row,
    distant,
    in_any_order,
    measures,
    parts,
    row,
    stored,
    warpgroups,
)

OF_GROUPS = "Conv statistics of groups"

FAULTS: dict[str, list[tuple[str, str, Check]]] = {
    "conv.cuh": [
        (
            "(phase + stride - before % stride) % stride",
            "(phase + before) % stride",
            row("Conv stride does not divide"),
        ),
        (
            "static_cast<unsigned>(row) < static_cast<unsigned>(height)",
            "row < height",
            row("Conv 3x3"),
        ),
        ("if (x.low >= low_base)", "if (x.low > low_base)", row("Conv 3x3")),
        ("the.part = layer / phases", "the.part = layer % phases", parts(1)),
        ("the.part = blockIdx.z / at.groups", "the.part = blockIdx.z", parts(4)),
        ("(first + before) / stride", "first / stride", row("Conv stride does not divide")),
        (
            "static_cast<unsigned>(column) < static_cast<unsigned>(width)",
            "static_cast<unsigned>(column) <= static_cast<unsigned>(width)",
            row("Conv 3x3"),
        ),
    ],
    "conv_exact.cu": [
        (
            "multiply(left, right, tile);\n        __syncthreads();",
            "multiply(left, right, tile);",
            bits("Conv wide channels"),
        ),
        (BARRIER + "        if (slice + 1", "        if (slice + 1", bits("Conv wide channels")),
        ("if (channel >= the.target_channels) break;", "", row("Conv 3x3")),
        (
            "bias[the.group * the.target_channels + channel]",
            "bias[channel]",
            row("Conv two groups"),
        ),
        (
            "threadIdx.x / TILE + EACH * i) * PITCH",
            "threadIdx.x / TILE + SLICE * i) * PITCH",
            row("Conv 3x3"),
        ),
        ("start + threadIdx.x % SLICE", "threadIdx.x % SLICE", parts(0, "f32")),
        ("start + threadIdx.x / TILE", "threadIdx.x / TILE", parts(0, "f32")),
        ("rectified ? relu(y) : y", "y", conv_row(conv.MORE[-1], "f32")),
        ("at.lane * EACH + i < rows", "true", measures(stored, "exact", 40)),  # rows of the tail
        ("first_pixel / TILE) * groups + the.group", "first_pixel / TILE)", row(OF_GROUPS)),
        (
            "first_pixel / TILE) * groups",
            "first_pixel / SLICE) * groups",
            measures(stored, "exact", 6),
        ),
        ("if (STATISTICS) tile.sum[i][j] = load(&kept);", "", measures(stored, "bf16, exact", 40)),
        ("small, WHOLE, 0, room", "small, 1, 0, room", row("Conv statistics")),
    ],
    "conv_depthwise.cu": [
        ("strip * vectors) * CHANNELS", "strip * vectors)", depthwise_row(0)),
        ("left + p * the.columns.scale", "left + p", depthwise_row(1)),
        ("if (first + p >= the.columns.count) break;", "", depthwise_row(1)),
        ("+ b * the.columns.direction", "+ b", depthwise_row(1)),
        ("load_channels(bias + channel, other)", "load_channels(bias, other)", depthwise_row(0)),
        ("if (rectified) sum", "if (!rectified) sum", depthwise_row(0)),
        ("if (residual) sum[p][c] += other[c];", "", depthwise_row(7)),
        ("b = block.low * TAPS", "b = block.low", depthwise_row(3)),
        ("(block.high * columns + lanes.column)", "(lanes.column)", depthwise_row(3)),
        ("lanes.lane == 0 && b + t < at.window_width", "lanes.lane == 0", depthwise_row(3)),
        ("first = blockIdx.y * part_pixels", "first = 0 * part_pixels", depthwise_row(6)),
        ("digits(lanes.lanes, at", "digits(THREADS, at", depthwise_row(0)),
    ],
    "conv_pack.cu": [
        ("first + j < channels ? load(from + j) : 0.f", "load(from + j)", row("Conv 3x3", "bf16")),
    ],
    "conv_parts.cu": [
        ("int part = 1; part < parts", "int part = 2; part < parts", parts(0)),
        ("bias[i % channels]", "bias[i]", parts(0)),
        ("sum += load(residual + i);", "", parts(6)),
        ("rectified ? relu(sum) : sum", "sum", parts(6)),
        (
            "row_sums[threadIdx.x] = sum;\n    __syncthreads();",
            "row_sums[threadIdx.x] = sum;",
            bits("Conv bias"),
        ),
        (
            "first + part_pixels < pixels ? first + part_pixels : pixels",
            "first + part_pixels",
            conv_row(conv.MORE[3]),
        ),
    ],
    "conv_tensor.cu": [
        ("if (i < count) target[", "target[", conv_row(conv.WIDE[1])),
        ("pixel >= the.pixels || count <= 0", "count <= 0", row("Conv 3x3", "bf16")),
        ("start + Left::chunk() * CHUNK", "Left::chunk() * CHUNK", parts(0)),
        ("start + Right::first_line()", "Right::first_line()", parts(0)),
        ("all) + chunk + start", "all) + chunk", parts(0)),
        ("target + the.part * part_elements", "target", parts(0)),
        ("? other[i]", "? other[0]", conv_row(conv.MORE[-2])),
        (
            "if (!write.keep(row, column, sums, kept)) return;",
            "write.keep(row, column, sums, kept);",
            measures(stored, "64x64", 40),
        ),
        (
            "values[i] = load(kept.element + i)",
            "values[i] = sums[i]",
            measures(stored, "32x32", 40),
        ),
        (
            "write.first_pixel / TILE_ROWS)",
            "write.first_pixel / TILE_ROWS + 1)",
            measures(stored, "128x64 by warpgroups", 6),
        ),
        (
            "min(TILE_ROWS, the.pixels - write.first_pixel), the",
            "TILE_ROWS, the",
            measures(stored, "128x128 by warpgroups", 40),
        ),
        ("small, WHOLE, 0, stages", "small, 1, 0, stages", row("Conv statistics", "bf16")),
    ],
    "conv_mma.cuh": [
        (
            "chunk = depth / CHUNK + lane / 16;",
            "chunk = depth / CHUNK + lane / 8 % 2;",
            row("Conv wide channels", "bf16"),
        ),
        (
            "8 * n + lane / 16 * 8 + lane % 8",
            "8 * n + lane % 16",
            row("Conv wide channels", "bf16"),
        ),
        (
            "(chunk ^ (length == 32 ? line >> 1 & 3 : line & 7))",
            "(chunk ^ threadIdx.x / 8 % (length / 8))",
            row("Conv wide channels", "bf16"),
        ),
        ("WARPS_ACROSS * WARP_ROWS + 16 * m", "WARPS_ACROSS * WARP_ROWS", conv_row(conv.WIDE[5])),
    ],
    "conv_tensor.cuh": [
        (
            "cp_async_wait<STAGES - 2>",
            "cp_async_wait<STAGES - 1>",
            row("Conv wide channels", "bf16"),
        ),
        (
            "__syncthreads();  // the slice is there",
            "//",
            bits("Conv wide channels", "bf16"),
        ),
        ("    }\n    __syncthreads();\n}", "    }\n}", bits("Conv wide channels", "bf16")),
        ("inside ? 16 : 0", "16", row("Conv 3x3", "bf16")),
        (
            "        __syncwarp();\n        for (int i = lane",
            "        for (int i = lane",
            bits("Conv wide channels", "bf16"),
        ),
        ("        __syncwarp();\n    }", "    }", conv_bits(conv.MORE[0])),
        ("later % STAGES", "slice % STAGES", row("Conv wide channels", "bf16")),
        ("        show_copies();\n", "", warpgroups()),
        ("+ lane % chunks", "+ lane / rows", measures(stored, "128x128", 133)),  # another lane's
        ("warp / WARPS_ACROSS * rows", "warp % WARPS_ACROSS * rows", measures(stored, "64x64", 40)),
    ],
    "conv_wgmma.cuh": [
        ("(chunk % 8 ^ line % 8)", "(chunk % 8)", warpgroups()),
        ("DEEP ? 16 : PANEL * 2, 1024", "DEEP ? 16 : PANEL * 2, 512", warpgroups()),
        ("DEEP ? 16 : PANEL * 2", "DEEP ? 16 : PANEL", warpgroups()),
        ("(DEEP ? 1 : 64) * 2 / 16", "2 / 16", warpgroups()),
        ("ROWS_STEP = PANEL * 2 / 16", "ROWS_STEP = PANEL / 16", warpgroups()),
        ("wgmma_wait<0, ", "wgmma_wait<1, ", warpgroups()),
        ("threadIdx.x / 32 % 4 * 16", "threadIdx.x / 32 % 2 * 16", warpgroups()),
    ],
    "statistics.cuh": [
        ("    __syncthreads();  // the room is free\n", "", measures(in_any_order, "128x128")),
        (
            "counts[at.lane] = own.rows;\n    __syncthreads();",
            "counts[at.lane] = own.rows;",
            measures(in_any_order, "exact"),
        ),
        (
            "square[i] - above * own.sum[i];\n    }\n    __syncthreads();",
            "square[i] - above * own.sum[i];\n    }",
            measures(in_any_order, "exact"),
        ),
        ("if (rows == 0) first[i] = values[i];", "", measures(distant, "exact")),
        ("own.first[i] - first[column + i] + above", "above", measures(stored, "exact", 40)),
        (
            "int lane = 0; lane < at.lanes; lane++)\n            w",
            "int lane = 1; lane < at.lanes; lane++)\n            w",
            measures(stored, "exact", 40),
        ),
        ("counts[lane] * away * away", "0.f", measures(stored, "exact", 40)),
        ("k < min(width, inside)", "k < width", measures(stored, "exact", 133)),
    ],
    "statistics.cu": [
        ("return first - origin + means", "return means", measures(stored, "exact", 40)),
        ("count * away * away", "0.f", measures(stored, "exact", 40)),
        (
            "(last == parts ? rows : last * height)",
            "(last * height)",
            measures(stored, "exact", 40),
        ),
        ("blockIdx.y * together", "blockIdx.y", measures(stored, "exact", 40)),
        ("whole ? origin + middle : middle", "origin + middle", measures(distant, "exact")),
        (
            "if (at.lane || channel >= channels) return;",
            "if (at.lane) return;",
            measures(stored, "exact", 6),
        ),
    ],
    "conv_tensor_weight.cu": [
        ("/ filled;", "/ at.large_channels;", row("Conv 3x3", "bf16")),
        ("met.inside && Right::apart * i < right_pixels", "met.inside", conv_row(conv.MORE[3])),
        ("Left::apart * i < left_pixels", "true", row("Conv wide channels", "bf16")),
        (
            "add(pixels[i], step, at.small_height, at.small_width)",
            "add(pixels[i], step, at.small_width, at.small_height)",
            row("Conv wide channels stride 2", "bf16"),
        ),
    ],
}
