"""Bound the time of a step on a GPU, kind by kind, by what it moves and multiplies at least.

    python tests/bench/roofline.py --network r34 --batch-size 128 --image-size 224

Every array of a step is counted once where it is read and once where it is written, and again where
a batch norm goes over it twice; convolutions count their multiplications. The bound of a step is
the larger of the two times. A second line tells what it would be if convolutions did not give the
statistics of what they write. Beside it stand the registers and shared memory of the kernels, as
NVRTC compiles them for the device. Nothing runs: no GPU is needed.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from backend.cuda.recording_device import RecordingDevice  # noqa: E402
from backend.cuda.test_compile import usage  # noqa: E402
from side_by_side import DESC  # noqa: E402

from denet.backend.cuda.backend import CudaBackend  # noqa: E402
from denet.backend.cuda.nvrtc import load  # noqa: E402
from denet.graph.memory import Step  # noqa: E402
from denet.graph.op.conv import Conv  # noqa: E402
from denet.graph.op.deconv import Deconv  # noqa: E402
from denet.graph.plan import Plan  # noqa: E402
from denet.layer.options import LayerOptions  # noqa: E402
from denet.model.model import Model  # noqa: E402

# an H200: copies and products in bf16 as PyTorch runs them there, bytes and operations per second
COPY, PRODUCT = 4.3e12, 790e12
DETECTOR = (
    "C.B[64,7,2] BNA P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] SKIPSRC.X[0] nRSN.O[6,256,3,2] "
    "SKIPSRC.X[1] nRSN.O[3,512,3,2] PI[2] C.B[256,3] SKIP[1] BNA PI[2] C.B[128,3] SKIP[0] BNA "
    "DNC[96,100] DNS[7,24,0.01,0.1] C.B[1536] BNA C.B[1024] BNA DND[0.5,1,1]"
)


class Apart(CudaBackend):
    """Batch norms look for their statistics themselves."""

    shares_statistics = False


def bounds(plan: Plan, flops: dict[str, int]) -> dict[str, list[float]]:
    """Return steps, bytes, operations and seconds at least by kind of step."""
    rows: dict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
    given = {node.name for node in plan._graph.nodes if getattr(node.op, "statistics", False)}
    passes = {"BatchNorm forward": 1, "BatchNorm backward": 2} if plan.training else {}
    for step in plan._steps:
        operations = _operations(step, flops)
        moved = sum(value.nbytes for value in {*step.reads, *step.writes})
        if step.kind != "BatchNorm forward" or step.name not in given:
            moved += passes.get(step.kind, 0) * step.reads[0].nbytes
        seconds = max(moved / COPY, operations / PRODUCT)
        for place, number in enumerate((1, moved, operations, seconds)):
            rows[step.kind][place] += number
    return rows


def _operations(step: Step, flops: dict[str, int]) -> int:
    """Return the operations of a step: backward of a convolution is two products."""
    return flops.get(step.name, 0) * (2 if step.kind.endswith("backward") else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=[*DESC, "denet-34"], default="r34")
    parser.add_argument("--mode", choices=("train", "predict"), default="train")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="bf16")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--class-num", type=int, default=1000)
    given = parser.parse_args()
    labels = [str(number) for number in range(given.class_num)]
    shape = (3, given.image_size, given.image_size)
    text = {**DESC, "denet-34": DETECTOR}[given.network]
    model = Model.create(text, shape, labels, LayerOptions(border_mode="half"))
    graph = model.graph(given.batch_size)
    device = RecordingDevice(90)
    plan, apart = (
        Plan(graph, backend, given.mode, given.precision)
        for backend in (CudaBackend(device), Apart(RecordingDevice(90)))
    )
    plan.prepare()
    products = [node for node in graph.nodes if isinstance(node.op, Conv | Deconv)]
    flops = {node.name: node.op.flops(*_types(node)) for node in products}
    print(f"| kind of step | steps | GB | TFLOP | ms at least |\n|{'---|' * 5}")
    rows = bounds(plan, flops)
    for kind, (count, moved, operations, seconds) in sorted(
        rows.items(), key=lambda row: -row[1][3]
    ):
        numbers = f"{moved / 1e9:.2f} | {operations / 1e12:.2f} | {1e3 * seconds:.3f}"
        print(f"| {kind} | {count:.0f} | {numbers} |")
    for what, found in (("", rows), (" where batch norms look themselves", bounds(apart, flops))):
        moved, total = (sum(row[place] for row in found.values()) for place in (1, 3))
        images = f"{given.batch_size / total:,.0f} images/s at most"
        print(f"\n{moved / 1e9:.2f} GB, {1e3 * total:.2f} ms at least: {images}{what}")
    print()
    print("| kernel | registers | shared memory, bytes |\n|---|---|---|")
    compiler = load()
    used: dict[str, tuple[int, int]] = {}
    for source, dynamic in device.launched.items():
        own = usage(compiler.compile(source, "90a").log)[source.name]
        name = f"{source.name} ({source.file})"
        before = used.get(name, (0, 0))
        used[name] = max(before[0], own.registers), max(before[1], own.shared + dynamic)
    for name, (registers, shared) in sorted(used.items()):
        print(f"| {name} | {registers} | {shared} |")


def _types(node: Any) -> tuple[Any, Any]:
    return (
        tuple(tensor.type for tensor in node.inputs),
        tuple(tensor.type for tensor in node.outputs),
    )


if __name__ == "__main__":
    main()
