"""Measure the CUDA backend: copies, launches, convolutions beside cuDNN's, whole steps.

    GPU=0 python tests/device/measure.py --output device.json

Every figure is the best of several groups of runs that wait for nothing between them. PyTorch is
the yardstick, where it is installed: cuDNN's fastest algorithm for each convolution, eager and
compiled networks in bf16 with channels last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from denet.backend.cuda.backend import CudaBackend
from denet.backend.cuda.device import Device
from denet.graph.graph import Node, Tensor, TensorType
from denet.graph.op.add import Add
from denet.graph.op.base import Op, Run
from denet.graph.op.conv import Conv

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
GROUPS = 5
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


class Measure:
    """Times calls on a device."""

    def __init__(self, device: Device, least: float):
        self.device, self.backend = device, CudaBackend(device)
        self._least = least  # seconds of a group

    def seconds(self, call: Callable[[], object]) -> float:
        """Return the seconds of a call, of those that wait for nothing between them."""
        call()
        self.device.wait()
        start = time.perf_counter()
        call()
        self.device.wait()
        count = max(1, math.ceil(self._least / (time.perf_counter() - start)))
        return min(self._group(call, count) for _ in range(GROUPS))

    def _group(self, call: Callable[[], object], count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            call()
        self.device.wait()
        return (time.perf_counter() - start) / count

    def call(self, op: Op, types: list[TensorType], direction: str) -> Callable[[], object]:
        """Return one direction of a node in bf16, on random numbers."""
        inputs = [
            Tensor(type_, f"x{i}", "value" if type_.dtype == "real" else "parameter")
            for i, type_ in enumerate(types)
        ]
        outputs = [Tensor(type_, "y") for type_ in op.infer(*types)]
        node = Node(op, inputs, outputs, "measured")
        wanted = {"forward": (), "by data": (0,), "by weights": (1,)}[direction]
        run = Run(True, self.device.allocate(8 * types[0].shape[0]).view(np.uint64))
        kernel = self.backend.kernel(node, True, "bf16", run, {}, wanted)
        layouts = kernel.layouts()

        def array(index: int, type_: TensorType) -> Any:
            layout = layouts.get(index)
            if type_.dtype == "float32":
                memory = self._random(layout.size if layout else type_.size, np.float32)
                return layout.view(memory) if layout else memory.reshape(type_.shape)
            return self._random(type_.size, np.uint16).reshape(type_.shape)

        read = [array(i, type_) for i, type_ in enumerate(types)]
        written = [array(-1, tensor.type) for tensor in outputs]
        saved = [self._random(type_.size, np.float32) for type_ in kernel.saved]
        scratch = self.device.allocate(max(kernel.forward_scratch, kernel.backward_scratch, 1))
        if direction == "forward":
            return kernel.forward(read, written, saved, scratch)
        arriving = [array(-1, outputs[0].type)]
        leaving = [array(i, t) if i in wanted else None for i, t in enumerate(types)]
        call = kernel.backward(read, written, saved, arriving, leaving, scratch)
        assert call
        return call

    def _random(self, count: int, dtype: type) -> Any:
        """Return memory with numbers around 1: zeros would be multiplied at less power."""
        memory = self.device.allocate(count * np.dtype(dtype).itemsize).view(dtype)
        numbers = np.random.default_rng(0).uniform(0.5, 2, count).astype(np.float32)
        if dtype == np.uint16:
            self.device.write((numbers.view(np.uint32) >> 16).astype(np.uint16), memory)
        else:
            self.device.write(numbers, memory)
        return memory


def basics(measure: Measure, nbytes: int) -> Row:
    """Return what bounds everything else: copies, additions, launches, replays."""
    elements = nbytes // 2
    map_ = TensorType((1, 1, elements // 64, 64))
    tiny = measure.call(Add(), [TensorType((1, 1, 1, 64))] * 2, "forward")
    whole = measure.call(Add(), [map_] * 2, "forward")
    graph = measure.device.capture([tiny] * 100)
    return {
        "add_gb_per_second": 3 * nbytes / measure.seconds(whole) / 1e9,
        "launch_us": 1e6 * measure.seconds(tiny),
        "replayed_launch_us": 1e4 * measure.seconds(graph),
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
                seconds = measure.seconds(measure.call(op, types, direction))
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
    means = {}
    for direction in DIRECTIONS:
        logs = [math.log(row["ratio"]) for row in rows if row["direction"] == direction]
        means[direction] = math.exp(sum(logs) / len(logs))
    return means


class Torch:
    """cuDNN through PyTorch."""

    def __init__(self) -> None:
        import torch

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

        for _ in range(3):
            call()
        best = math.inf
        for _ in range(GROUPS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for _ in range(20):
                call()
            end.record()
            torch.cuda.synchronize()
            best = min(best, begin.elapsed_time(end) / 20e3)
        return best


def steps(precision: str) -> Iterator[Row]:
    """Yield whole steps of model-bench, and PyTorch's where it is there."""
    sys.path.insert(0, str(ROOT / "tests" / "bench"))
    from side_by_side import DESC

    for network, mode, size, batch in STEPS:
        class_num = 10 if size == 32 else 1000
        same = f"--mode {mode} --precision {precision} --batch-size {batch} --steps 30"
        same += f" --class-num {class_num} --image-size {size}"
        ours = [sys.executable, str(ROOT / "bin" / "model-bench"), "--border-mode", "half"]
        ours += ["--json", "--model-desc", *DESC[network].split()]
        ours += [*same.split(), str(size)]
        theirs = [sys.executable, str(ROOT / "tests" / "bench" / "torch_step.py"), *same.split()]
        theirs += ["--network", network, "--device", "cuda"]
        row: Row = {"network": network, "mode": mode, "size": size, "batch": batch}
        for name, command in (
            ("denet", ours),
            ("torch", theirs),
            ("torch compiled", [*theirs, "--compile"]),
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            last = (done.stdout or done.stderr).strip().splitlines()[-1:]
            row[name] = json.loads(last[0]) if not done.returncode else last
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="file of the JSON object")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="bf16")
    arguments = parser.parse_args()
    from denet.backend.cuda.cupy_device import CupyDevice

    measure = Measure(CupyDevice(int(os.environ.get("GPU") or 0)), least=0.02)
    try:
        rival = Torch()
    except ImportError:
        rival = None
    found: Row = {"versions": rival.versions if rival else {}}

    def tell(name: str, value: Any) -> None:
        found[name] = value
        arguments.output.write_text(json.dumps(found, indent=1))  # what was measured stays
        print(f"{name}: {json.dumps(value)[:3000]}", flush=True)

    tell("basics", basics(measure, 1 << 28))
    tell("convolutions", [*convolutions(measure, NETWORKS, rival)])
    if rival:
        tell("cudnn's time over ours", geometric_means(found["convolutions"]))
    tell("steps", [*steps(arguments.precision)])


if __name__ == "__main__":
    main()
