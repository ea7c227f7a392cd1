"""Measure the ops of detection: sparse sampling beside PyTorch, and the search for boxes.

    python tests/bench/detect_ops.py --torch-python ~/torch/bin/python f32 bf16 search share

``f32`` and ``bf16``: forward and backward of SparseSample (576 samples, 7 x 7 points, 96 channels,
64 x 64 map, batch 8) against indexing, concatenation and index_add_ in PyTorch; both sides print a
checksum of their results on the same data, which must agree. ``search``: boxes of an image from
1024 corners of each type. ``share``: the part of a step of DeNet-34 std (20 classes, batch 8)
that only detection needs: search, matching, sampling, costs and their backward; training at
256x256, prediction at 512x512, with corners found everywhere, the dearest case. Method as in
side_by_side.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

N, SAMPLES, GRID, FEATURES, SIDE = 8, 576, 7, 96, 64
STEPS = 15
DENET34 = (
    "C.B[64,7,2] BNA P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] nRSN.O[3,512,3,2] "
    "PI[2] C.B[256,3] BNA PI[2] C.B[128,3] BNA DNC[96,100] DNS[7,24,0.01,0.1] "
    "C.B[1536] BNA C.B[1024] BNA C.B[768] BNA C.B[512] BNA DND[0.5,1,1]"
)
DETECTION = (  # ops that no classifier has
    "BoxRegression",
    "CornerCells",
    "CornerCrossEntropy",
    "CornerSearch",
    "CornerTarget",
    "Coverage",
    "DecodeBox",
    "DetectionCrossEntropy",
    "DetectionProbability",
    "FitnessCrossEntropy",
    "InjectGroundTruth",
    "SparseSample",
)
HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a map, samples and an output gradient; small whole numbers, exact in bf16."""
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 9, (N, SIDE, SIDE, FEATURES)).astype(np.float32)
    ends = np.sort(rng.integers(0, SIDE + 1, (N, SAMPLES, 2, 2)), axis=2) / np.float32(SIDE)
    g = rng.integers(-1, 2, (N, SAMPLES, GRID * GRID * FEATURES + 2)).astype(np.float32)
    return x, ends.reshape(N, SAMPLES, 4).astype(np.float32), g


def seconds(step: Callable[[], object]) -> float:
    """Return the median time of a step."""
    step()
    times = []
    for _ in range(STEPS):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def tell(forward: float, backward: float, y: np.ndarray, gx: np.ndarray) -> None:
    """Print the result of one side as JSON."""
    weight = 1 + np.arange(gx.size).reshape(gx.shape) % 7
    result = {
        "images_per_second": N / (forward + backward),
        "forward_ms": 1e3 * forward,
        "backward_ms": 1e3 * backward,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "checksum": [float(y.astype(np.float64).sum()), float((gx * weight).sum(dtype=np.float64))],
    }
    print(json.dumps(result))


def denet_side(precision: str) -> None:
    """Run the kernel of the CPU backend as a plan does."""
    from denet.backend.select import choose_backend
    from denet.bfloat16 import from_float32, to_float32
    from denet.graph.graph import Node, Tensor
    from denet.graph.op.base import Run
    from denet.graph.op.sparse_sample import SparseSample
    from denet.graph.tensor_type import TensorType

    x, sample, g = data()
    op = SparseSample(GRID)
    types = TensorType(x.shape), TensorType(sample.shape, "float32")
    (output,) = op.infer(*types)
    node = Node(op, [Tensor(type_, "x") for type_ in types], [Tensor(output, "y")], "sample")
    kernel = choose_backend().kernel(node, True, precision, Run(True), {}, (0,))
    if precision == "bf16":
        x, g = from_float32(x), from_float32(g)
    y, gx = np.empty(output.shape, x.dtype), np.empty_like(x)
    saved = [np.empty(type_.shape, np.int32) for type_ in kernel.saved]
    forward = kernel.forward([x, sample], [y], saved, None)
    g = g.reshape(y.shape)
    backward = kernel.backward([None, sample], [None], saved, [g], [gx, None], None)
    assert backward
    times = seconds(forward), seconds(backward)
    if precision == "bf16":
        y, gx = to_float32(y), to_float32(gx)
    tell(*times, y, gx)


def torch_side(precision: str) -> None:
    """Do the same with PyTorch's own operations; its way of finding the cells is timed too."""
    import torch

    torch.set_num_threads(2)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x, sample, g = (torch.from_numpy(array) for array in data())
    x, g = x.to(dtype), g.to(dtype)
    steps = torch.arange(GRID) / (GRID - 1)
    first = torch.arange(N)[:, None, None] * SIDE * SIDE

    def cells() -> torch.Tensor:
        low, side = sample[..., :2, None], (sample[..., 2:] - sample[..., :2])[..., None]
        nearest = ((low + steps * side) * SIDE).clamp(0, SIDE - 1).add(0.5).floor().long()
        place = nearest[:, :, 1, :, None] * SIDE + nearest[:, :, 0, None]
        return (place.flatten(2) + first).flatten()

    def forward() -> torch.Tensor:
        read = x.view(-1, FEATURES)[cells()].view(N, SAMPLES, -1)
        sides = (sample[..., [3, 2]] - sample[..., [1, 0]]).to(dtype)
        return torch.cat([read, sides], dim=2)

    def backward() -> torch.Tensor:
        gx = torch.zeros(N * SIDE * SIDE, FEATURES)  # float32, as sums are
        gx.index_add_(0, cells(), g[..., :-2].reshape(-1, FEATURES).float())
        return gx.to(dtype)

    tell(
        seconds(forward),
        seconds(backward),
        forward().float().numpy(),
        backward().float().view(x.shape).numpy(),
    )


def search_side() -> None:
    """Print the milliseconds that one image takes, by map size and number of corner types."""
    from denet.detect.sample import find_samples

    rng = np.random.default_rng(0)
    for side in (64, 128):
        for corner_num in (4, 5):
            odds = rng.standard_normal((side, side, corner_num)).astype(np.float32)
            for name, options in (
                ("1024 corners of each type", {}),
                ("corner clustering", {"local_max": 1}),
                ("box clustering", {"nms_threshold": 0.7}),
            ):
                count = 576 if side == 64 else 2304
                if side == 128 and name == "box clustering":
                    continue
                options = {"corner_max": 1024, **options}
                took = seconds(lambda: find_samples(odds, count, 0.01, **options))  # noqa: B023
                print(f"| {side}x{side}, {corner_num} types, {name} | {1e3 * took:.1f} ms |")


def share_side() -> None:
    """Print what part of a step the nodes of detection take, and which of them most."""
    from denet.backend.select import choose_backend
    from denet.cli.bench import training_update
    from denet.layer.options import LayerOptions
    from denet.model.model import Model
    from denet.report.bench import measure

    labels = [f"{number}" for number in range(20)]
    for mode, side, update in (("train", 256, training_update), ("predict", 512, None)):
        model = Model.create(DENET34, (3, side, side), labels, LayerOptions(border_mode="half"), 1)
        values = model.values()
        for name, value in values.items():
            if ".denet-corner.corner." in name:  # log odds around 0: every cell may be a corner
                value[...] = np.random.default_rng(0).normal(0, 0.1, value.shape)
        model.set_values(values)
        result = measure(model, choose_backend(), mode, "f32", N, STEPS, update)
        spent = result["ms_by_kind"]
        own = {kind: ms for kind, ms in spent.items() if kind.split()[0] in DETECTION}
        share, step = sum(own.values()) / sum(spent.values()), result["ms_per_step"]
        print(f"| {mode} {side}x{side} | {step:.0f} ms | detection {share:.1%} |")
        for kind, ms in sorted(own.items(), key=lambda item: -item[1])[:4]:
            print(f"|   {kind} | {ms:.1f} ms | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = ("f32", "bf16", "search", "share")
    parser.add_argument("cases", nargs="+", choices=cases, metavar="CASE", help=", ".join(cases))
    parser.add_argument("--side", choices=("denet", "torch"), help="run one side, once")
    parser.add_argument("--torch-python", help="an interpreter that has torch")
    parser.add_argument("--runs", type=int, default=5, help="clean runs per side")
    parser.add_argument("--attempts", type=int, default=15, help="most runs per side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--disturbance", type=float, default=0.08, help="limit, in cores")
    arguments = parser.parse_args()
    alone = {"search": search_side, "share": share_side}
    for case in arguments.cases:
        if case in alone:
            alone[case]()
        elif arguments.side:
            (denet_side if arguments.side == "denet" else torch_side)(case)
        else:
            compare(case, arguments)


def compare(case: str, arguments: argparse.Namespace) -> None:
    """Print the medians of both sides, alternating, after their results were found equal."""
    from side_by_side import alternate, report

    commands = {
        side: [python, str(HERE), case, "--side", side]
        for side, python in (("denet", sys.executable), ("torch", arguments.torch_python))
    }
    runs = alternate(commands, arguments)
    results = {side: [run.result for run in clean] for side, clean in runs.items()}
    checksums = {tuple(result["checksum"]) for clean in results.values() for result in clean}
    if len(checksums) > 1:
        raise SystemExit(f"{case}: the results differ: {checksums}")
    report(f"sparse-{case}", runs)
    for side, clean in results.items():
        for way in ("forward_ms", "backward_ms"):
            if clean:
                median = statistics.median(result[way] for result in clean)
                print(f"| sparse-{case} | {side} | {way} {median:.1f} | | |")


if __name__ == "__main__":
    main()
