"""Measure the CUDA backend: copies, additions, launches, convolutions beside cuDNN's, whole steps.

    GPU=0 python tests/device/measure.py --output device.json

PyTorch is the yardstick, where it is installed: cuDNN's fastest algorithm for each convolution,
eager and compiled networks, all in bf16 with channels last. Convolutions are launched by a CUDA
graph on both sides, so that only the GPU's time counts, and what counts is the best of several
replays. Ours read weights in float32 and leave their gradient so, as training has it; cuDNN's are
bf16. Steps begin with a batch in the host's memory and end when the GPU has nothing left to do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from denet.backend.cuda.device import Device
from denet.backend.cuda.tune import Trial
from denet.backend.cuda.tuning import Tuning
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Call
from denet.graph.op.add import Add
from denet.graph.op.base import Op
from denet.graph.op.conv import Conv
from denet.graph.tensor_type import TensorType

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from bench.side_by_side import DESC  # noqa: E402

Row = dict[str, Any]
GROUPS = 5  # of which the best counts
LEAST = 0.02  # seconds of a group
LAUNCHES = 20  # of a graph
DIRECTIONS = ("forward", "by data", "by weights")


class Shape(NamedTuple):
    """A convolution: pixels of a side, channels, filters, window, stride."""

    size: int
    channels: int
    filters: int
    window: int
    stride: int


NETWORKS = {  # batch, and every kind of convolution of a network once
    "ResNet-34 224x224": (
        128,
        [
            Shape(224, 3, 64, 7, 2),
            Shape(56, 64, 64, 3, 1),
            Shape(56, 64, 128, 3, 2),
            Shape(28, 128, 128, 3, 1),
            Shape(28, 128, 256, 3, 2),
            Shape(14, 256, 256, 3, 1),
            Shape(14, 256, 512, 3, 2),
            Shape(7, 512, 512, 3, 1),
        ],
    ),
    "ResNet-101 224x224": (
        128,
        [
            Shape(56, 64, 256, 1, 1),
            Shape(56, 256, 64, 1, 1),
            Shape(28, 512, 128, 1, 1),
            Shape(14, 1024, 256, 1, 1),
            Shape(14, 256, 1024, 1, 1),
            Shape(7, 2048, 512, 1, 1),
        ],
    ),
    "DeNet-34 512x512": (
        8,
        [
            Shape(512, 3, 64, 7, 2),
            Shape(128, 64, 64, 3, 1),
            Shape(64, 128, 128, 3, 1),
            Shape(32, 256, 256, 3, 1),
            Shape(16, 512, 512, 3, 1),
            Shape(64, 256, 128, 3, 1),
        ],
    ),
}
TINY = {"tiny": (2, [Shape(8, 8, 16, 3, 1), Shape(8, 3, 8, 3, 2)])}
STEPS = (  # network of tests/bench, mode, pixels, batch
    ("r34", "train", 224, 128),
    ("r34", "predict", 224, 128),
    ("cifar", "train", 32, 128),
    ("dense", "train", 32, 64),
)
MOST = 100  # seconds of a program that measures steps
RIVALS = {"torch": (), "torch compiled": ("--compile",)}  # options of torch_step.py


def seconds_of(call: Call, wait: Call, least: float) -> float:
    """Return the seconds of a call, in the best group of some that take ``least`` at least."""

    def group(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            call()
        wait()
        return time.perf_counter() - start

    group(3)  # of which the first compiles and the second captures
    count = 1
    while group(count) < least:
        count *= 2
    return min(group(count) for _ in range(GROUPS)) / count


class Measure:
    """Times calls on a device, in groups of ``least`` seconds."""

    def __init__(self, device: Device, least: float = LEAST, launches: int = LAUNCHES):
        self.device = device
        self._least, self._launches = least, launches

    def launched(self, call: Call) -> float:
        """Return the seconds of a call that Python makes, one behind the other."""
        return seconds_of(call, self.device.wait, self._least)

    def replayed(self, call: Call) -> float:
        """Return the seconds of a call that a graph makes, one behind the other."""
        return self.launched(self.device.capture([call] * self._launches)) / self._launches

    def call(self, op: Op, types: list[TensorType], direction: str) -> Call:
        """Return one direction of a node in bf16, on random numbers that live as long as it."""
        inputs = [
            Tensor(type_, f"x{i}", "value" if type_.dtype == "real" else "parameter")
            for i, type_ in enumerate(types)
        ]
        node = Node(op, inputs, [Tensor(type_, "y") for type_ in op.infer(*types)], "measured")
        wanted = {"forward": (), "by data": (0,), "by weights": (1,)}[direction]
        return Trial(self.device, node, True, "bf16", wanted).call(Tuning(self.device))


def basics(measure: Measure, nbytes: int) -> Row:
    """Return what bounds everything else: copies and additions of ``nbytes``, launches, replays."""
    elements = nbytes // 2
    map_ = TensorType((1, 1, elements // 64, 64))
    tiny = measure.call(Add(), [TensorType((1, 1, 1, 64))] * 2, "forward")
    whole = measure.call(Add(), [map_] * 2, "forward")
    host, memory = np.ones(nbytes, np.uint8), measure.device.allocate(nbytes)
    write = measure.launched(lambda: measure.device.write(host, memory))
    return {
        "write_gb_per_second": nbytes / write / 1e9,
        "add_gb_per_second": 3 * nbytes / measure.replayed(whole) / 1e9,
        "launch_us": 1e6 * measure.launched(tiny),
        "replayed_launch_us": 1e6 * measure.replayed(tiny),
    }


def convolutions(
    measure: Measure, networks: dict[str, tuple[int, list[Shape]]], rival: Any
) -> Iterator[Row]:
    """Yield a row for each convolution and direction."""
    for network, (batch, shapes) in networks.items():
        for shape in shapes:
            border = (shape.window // 2, shape.window // 2)
            op = Conv((shape.stride, shape.stride), (border, border))
            x = TensorType((batch, shape.size, shape.size, shape.channels))
            window = (shape.window, shape.window)
            weight = TensorType((shape.filters, shape.channels, *window), "float32")
            types = [x, weight]
            for direction in DIRECTIONS:
                if direction == "by data" and shape.channels == 3:
                    continue  # nothing asks for the gradient of an image
                seconds = measure.replayed(measure.call(op, types, direction))
                flops = op.flops((x, weight), op.infer(*types))
                row = {"network": network, "batch": batch, **shape._asdict()}
                row |= {"direction": direction, "us": 1e6 * seconds}
                row["tflops"] = flops / seconds / 1e12
                if rival:
                    theirs = rival.convolution(batch, shape, direction)
                    row |= {"cudnn_us": 1e6 * theirs, "ratio": theirs / seconds}
                yield row


def geometric_means(rows: list[Row]) -> Row:
    """Return cuDNN's time over ours by direction, over all shapes."""
    ratios = {name: [r["ratio"] for r in rows if r["direction"] == name] for name in DIRECTIONS}
    return {name: statistics.geometric_mean(each) for name, each in ratios.items()}


class Torch:
    """cuDNN through PyTorch, on a GPU by its number."""

    def __init__(self, gpu: int) -> None:
        import torch

        torch.cuda.set_device(gpu)
        torch.backends.cudnn.benchmark = True
        self._torch = torch
        self.versions = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}

    def convolution(self, batch: int, shape: Shape, direction: str) -> float:
        """Return the seconds of one direction."""
        torch = self._torch
        options = {"device": "cuda", "dtype": torch.bfloat16}
        last = {"memory_format": torch.channels_last}
        x = torch.randn(batch, shape.channels, shape.size, shape.size, **options).to(**last)
        window = (shape.window, shape.window)
        w = torch.randn(shape.filters, shape.channels, *window, **options).to(**last)
        numbers = [shape.stride] * 2, [shape.window // 2] * 2, [1, 1]
        y = torch.nn.functional.conv2d(x, w, None, *numbers)
        mask = [direction == "by data", direction == "by weights", False]

        def call() -> object:
            if direction == "forward":
                return torch.nn.functional.conv2d(x, w, None, *numbers)
            return torch.ops.aten.convolution_backward(
                y, x, w, None, *numbers, False, [0, 0], 1, mask
            )

        for _ in range(3):  # the first chooses the algorithm
            call()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="relaxed"):  # CuPy may free memory
            for _ in range(LAUNCHES):
                call()
        return seconds_of(graph.replay, torch.cuda.synchronize, LEAST) / LAUNCHES


def steps(
    cases: Iterable[tuple[str, str, int, int]],
    precision: str,
    count: int,
    gpu: str,
    rivals: Mapping[str, Sequence[str]],
) -> Iterator[Row]:
    """Yield whole steps of model-bench, and of torch_step.py with the options of each rival.

    ``gpu`` is the number of the GPU, nothing stands for the processor.
    """
    for network, mode, size, batch in cases:
        class_num = 10 if network in ("cifar", "dense") else 1000
        same = f"--mode {mode} --precision {precision} --batch-size {batch} --steps {count}"
        same += f" --class-num {class_num} --image-size {size}"
        ours = [str(ROOT / "bin" / "model-bench"), "--border-mode", "half", "--json"]
        ours += ["--model-desc", *DESC[network].split(), *same.split(), str(size)]
        theirs = [str(ROOT / "tests" / "bench" / "torch_step.py"), *same.split()]
        theirs += ["--network", network, "--device", f"cuda:{gpu}" if gpu else "cpu"]
        row: Row = {"network": network, "mode": mode, "size": size, "batch": batch}
        row["denet"] = _printed(ours, gpu)
        row |= {name: _printed([*theirs, *options], gpu) for name, options in rivals.items()}
        yield row


def _printed(arguments: list[str], gpu: str) -> Any:
    """Return the JSON object that a program prints, or the last line of what it complains of."""
    environment = {**os.environ, "GPU": gpu}
    command = [sys.executable, *arguments]
    kind = {"env": environment, "capture_output": True, "text": True, "timeout": MOST}
    try:
        done = subprocess.run(command, check=False, **kind)
    except subprocess.TimeoutExpired:
        return f"not done in {MOST} s"
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
    return json.loads(done.stdout.splitlines()[-1])


def attempt(parts: Mapping[str, Callable[[], object]]) -> dict[str, str]:
    """Do all parts, also behind one that fails; return what was wrong with those."""
    failed = {}
    for name, part in parts.items():
        try:
            part()
        except Exception as error:
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="file of the JSON object")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="bf16", help="of steps")
    arguments = parser.parse_args()
    from denet.backend.cuda.cupy_device import CupyDevice

    gpu = os.environ.get("GPU") or "0"
    measure = Measure(CupyDevice(int(gpu)))
    try:
        rival = Torch(int(gpu))
    except ImportError:
        rival = None
    found: Row = {"versions": rival.versions if rival else {}}

    def tell(name: str, value: Any) -> None:
        found[name] = value
        arguments.output.write_text(json.dumps(found, indent=1))  # what was measured stays
        print(f"{name}: {json.dumps(value[-1] if isinstance(value, list) else value)}", flush=True)

    def collect(name: str, rows: Iterator[Row]) -> None:
        for row in rows:
            tell(name, [*found.get(name, []), row])

    def compare() -> None:
        if rival:
            tell("cudnn's time over ours", geometric_means(found["convolutions"]))

    rivals = RIVALS if rival else {}
    failed = attempt(
        {
            "basics": lambda: tell("basics", basics(measure, 1 << 28)),
            "convolutions": lambda: collect("convolutions", convolutions(measure, NETWORKS, rival)),
            "comparison": compare,
            "steps": lambda: collect("steps", steps(STEPS, arguments.precision, 30, gpu, rivals)),
        }
    )
    if failed:
        tell("failed", failed)
        sys.exit(1)


if __name__ == "__main__":
    main()
