"""Every kernel of a network between guards, against the float64 reference of its op."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from backend.guarded import GuardedBackend
from backend.kernel_run import KernelRun, reference
from backend.random_networks import RandomNetwork
from graph.cases import Case
from tolerance import TOLERANCE

from denet.graph import fuse
from denet.graph.kernel import Backend
from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.pool import Pool
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy

# kinks: a value near one may fall to either side, so inputs keep away from it; classes are three
DOMAINS = {
    Activation: {0: "tiled"},
    Add: {0: "tiled", 1: "small"},
    BatchNorm: {4: "positive"},
    Pool: {0: "tiled"},
    SoftmaxCrossEntropy: {1: "3 classes"},
}
# sums of up to 400,000 products in float32: a map of 224x224, a batch of eight
LIMIT = TOLERANCE | {"f32": 2e-4}
# of the gradients behind batch normalisation and ReLU, as a norm: where 0.6 % of a channel share
# one number (8 bits) that is normalised to about 0, all of them may fall to either side
KINKS = 0.1
FEW = 8  # numbers in a channel


def faults(backend: Backend, network: RandomNetwork) -> Iterator[str]:
    """Yield a line for each memory overrun and each wrong result of a kernel of ``network``."""
    graph = network.graph()
    for prepare, training in ((fuse.for_training, True), (fuse.for_prediction, False)):
        for node in prepare(graph, network.precision).nodes:
            types = tuple(tensor.type for tensor in node.inputs)
            mode = "train" if training else "predict"
            case = Case(node.name, node.op, types, DOMAINS.get(type(node.op), {}), training)
            for line in _faults(backend, case, network.precision):
                yield f"{network}: {mode}: {node.op} {[*node.inputs]}: {line}"


def _faults(backend: Backend, case: Case, precision: str) -> Iterator[str]:
    for in_place in (False, True):
        guarded = GuardedBackend(backend)
        run = KernelRun(guarded, case, precision, in_place)
        if run.kernel.name == "numpy":
            return
        outputs, gradients = reference(case)
        largest = np.inf, LIMIT[precision]
        for index, (actual, expected) in enumerate(zip(run.forward(), outputs, strict=True)):
            yield from _differs(f"output {index}", actual, expected, *largest)
        leaving = run.backward() if case.training else []
        kinks = isinstance(case.op, BatchNorm) and case.op.activation
        measure = (2, KINKS) if kinks else largest
        for index in () if _cancels(case) else run.wanted:
            what = f"gradient of input {index}"
            yield from _differs(what, leaving[index], gradients[index], *measure)
        yield from (f"{run.kernel.name}: {line}" for line in guarded.memory.overruns())


def _cancels(case: Case) -> bool:
    """Tell where gradients are differences of nearly equal numbers: few are normalised."""
    first = case.types[0].shape
    return isinstance(case.op, BatchNorm) and first[0] * first[1] * first[2] < FEW


def _differs(
    what: str, actual: np.ndarray, expected: np.ndarray, order: float, limit: float
) -> Iterator[str]:
    """Compare the norm of the error with that of what was expected."""
    size = max(np.linalg.norm(expected.ravel(), order), np.finfo(np.float32).tiny)
    error = np.linalg.norm((actual - expected).ravel(), order) / size
    if not error <= limit:
        yield f"{what}: wrong by {error:.1e}"
