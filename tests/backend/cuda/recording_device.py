"""A device that runs nothing: it keeps what kernels ask it to launch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from backend.cuda.clock import Clock
from backend.cuda.device_array import ArrayMemory
from backend.kernel_run import KernelRun
from graph.cases import CASES

from denet.backend.cuda.backend import KERNELS, CudaBackend
from denet.backend.cuda.device import Grid
from denet.backend.cuda.source import Source
from denet.dataset.loader import Pixels
from denet.graph.graph import Graph
from denet.graph.kernel import Call, Memory, in_order
from denet.graph.plan import Plan
from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.training.solver import SOLVERS, make_solver

# input, classes, layers: DeNet-34 with skip layers, a classifier with wide residual blocks
NETWORKS = (
    (
        (3, 512, 512),
        20,
        "C.B[64,7,2] BNA P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] SKIPSRC.X[0] nRSN.O[6,256,3,2] "
        "SKIPSRC.X[1] nRSN.O[3,512,3,2] PI[2] C.B[256,3] SKIP[1] BNA PI[2] C.B[128,3] SKIP[0] BNA "
        "DNC[96,100] DNS[7,24,0.01,0.1] C.B[1536] BNA C.B[1024] BNA DND[0.5,1,1]",
    ),
    (
        (3, 224, 224),
        1000,
        "C.B[64,7,2] BN A P[3,2,1] nRSN.O[2,256,3,1,64] nRSN.O[2,512,3,2,128] D[0.5] P.A R",
    ),
)


class RecordingDevice(ArrayMemory, Clock):
    """``launched`` holds the most dynamic shared memory that each kernel was asked to run with."""

    name, compiler, processors = "nothing", "none", 132

    def __init__(self, capability: int):
        super().__init__()
        self.capability = capability
        self.launched: dict[Source, int] = {}

    def free_bytes(self) -> int:
        """Return what is enough for anything."""
        return 1 << 50

    def wait(self) -> None:
        """Nothing runs."""

    def capture(self, calls: Sequence[Call]) -> Call:
        """Return a call that makes these."""
        return in_order(calls)

    def launch(
        self,
        source: Source,
        grid: Grid,
        threads: int,
        arguments: Sequence[Any],
        shared: int = 0,
    ) -> Call:
        """Keep what was asked for; the call takes its time."""
        self.launched[source] = max(shared, self.launched.get(source, 0))
        return lambda: self.spend(grid, threads)


def launched(capability: int) -> dict[Source, int]:
    """Return the kernels of the case table, of whole networks and of update rules.

    In each mode and precision of a device of this capability; each with its ``launched`` bytes.
    """
    device = RecordingDevice(capability)
    backend = CudaBackend(device)
    for precision in ("f32", "bf16") if capability >= 80 else ("f32",):
        for case in CASES:
            if type(case.op) in KERNELS:
                _run(KernelRun(backend, case, precision))
        for graph in graphs():
            for mode in ("train", "predict"):
                Plan(graph, backend, mode, precision).prepare()
    _compute(backend.memory)
    return device.launched


def _run(run: KernelRun) -> None:
    run.forward()
    if run.wanted:
        run.backward()


def _compute(memory: Memory) -> None:
    """Do all that is done with whole arrays."""
    flat = memory.allocate(4 * 100).view(np.float32)
    for name in SOLVERS:
        solver = make_solver(name, 100, 50, [0.9, 0.99], 0.1, memory, clip=1.0, average=True)
        solver.update(flat, flat, 0.1)
    memory.running_average(flat, flat, flat, flat)
    memory.add(flat, flat, 1.0)
    memory.blend(flat, flat, 1.0)
    memory.mark_not_finite(flat, memory.allocate(4).view(np.int32))
    lane, halves = memory.lane(), memory.allocate(2 * 100).view(np.uint16)
    for source, target in ((flat, flat), (flat, halves), (halves, flat)):
        lane.copy(source, target, 0.5)
    images, rows = np.zeros((2, 5, 5, 2), np.uint8), (np.zeros(10, np.float32),) * 2
    numbers = flat.reshape(2, 5, 5, 2)
    kept = memory.feed.keep(images.shape, [images])
    memory.write(memory.feed.pick(kept, np.zeros((2, 4), np.int32), *rows), numbers)
    memory.write(Pixels(images, *rows), numbers)


@cache
def graphs() -> list[Graph]:
    """Return the graphs of the networks, for batches of 8."""
    made = []
    for shape, class_num, text in NETWORKS:
        labels = [f"class {number}" for number in range(class_num)]
        made.append(Model.create(text, shape, labels, LayerOptions(border_mode="half")).graph(8))
    return made
