"""What a backend gives the plan: a kernel per node, bound to memory once, called per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from denet.graph.graph import Node, Tensor
from denet.graph.op.base import Run
from denet.graph.rule import Rule, Span
from denet.graph.tensor_type import TensorType

Call = Callable[[], None]


class Layout:
    """Where the elements of a parameter lie in memory; this one is plain C order.

    A backend derives its own where its kernels want another order. ``size`` counts stored
    elements, padding included; padding holds zeros and stays zero under elementwise updates.
    """

    element_type: Any = np.float32  # np.uint16 where a prediction kernel keeps bf16 weights

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape
        self.size = int(np.prod(shape, dtype=np.int64))

    def view(self, stored: np.ndarray) -> np.ndarray:
        """Return what a kernel receives for the flat 1-D array ``stored`` (shares its memory)."""
        return stored.reshape(self.shape)

    def pack(self, plain: np.ndarray, stored: np.ndarray) -> None:
        """Write a plain float32 array into the flat array ``stored`` of ``size`` elements."""
        stored[...] = plain.reshape(-1)

    def unpack(self, stored: np.ndarray) -> np.ndarray:
        """Return a new plain float32 array from the flat array ``stored``."""
        return stored.reshape(self.shape).copy()


class Kernel:
    """How one backend computes one node. ``forward`` and ``backward`` bind memory, return a call.

    Arrays come as views of the backend's memory: activations (n, h, w, c) (uint16 bits where real
    is bf16), parameters as their layout's ``view``. None stands for an array that is not needed.
    """

    name = "reference"  # told by --log-kernels
    saved: tuple[TensorType, ...] = ()
    backward_inputs: tuple[int, ...] = ()
    backward_outputs: tuple[int, ...] = ()
    repeat_outputs: tuple[int, ...] = ()  # that ``repeat`` reads, as forward left them
    forward_scratch = 0  # bytes that live during the call only
    backward_scratch = 0
    # (written index, read index) pairs that may share memory
    forward_in_place: tuple[tuple[int, int], ...] = ()  # output, input
    backward_in_place: tuple[tuple[int, int], ...] = ()  # input gradient, output gradient

    def layouts(self) -> dict[int, Layout]:
        """Return the layouts wanted for parameter inputs, by input index; plain where absent."""
        return {}

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        """Return a call that computes ``outputs`` (and ``saved`` when training)."""
        raise AssertionError("abstract")

    def repeat(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        """Return a call that computes once more, to the last bit, what ``forward`` did.

        Outputs that are among ``repeat_outputs`` are there already.
        """
        return self.forward(inputs, outputs, saved, scratch)

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call | None:
        """Return a call that writes ``input_gradients``; None if nothing is to be done.

        Where the op shares its gradient, every wanted entry of ``input_gradients`` is one array.
        """
        raise AssertionError("abstract")


def in_order(calls: Sequence[Call]) -> Call:
    """Return a call that makes these, one behind the other."""

    def call() -> None:
        for each in calls:
            each()

    return call


Total = Callable[[float], float]


class Updater(Protocol):
    """An update rule at work on flat float32 arrays of a backend's memory."""

    def __call__(
        self,
        weights: Any,
        gradients: Any,
        averages: Sequence[Any],
        learn_rate: float,
        iteration: int,
        mean: Any | None,
        share: float,
        faults: Any,
    ) -> None:
        """Change weights and the rule's ``averages`` in place.

        ``iteration`` counts the updates made before. ``mean``, where there is one, is moved by
        ``share`` of its distance towards the new weights. ``faults`` (2,) int32: where the first
        is not 0 nothing changes; the second becomes 1 where a weight is not finite.
        """
        ...


class Memory(Protocol):
    """The memory in which a backend's kernels work, and the arithmetic on it that is no op's.

    Its arrays slice, ``view`` and ``reshape`` as NumPy's, and nothing else of NumPy is asked of
    them. Those that are computed with here are flat, float32 and of one size.
    """

    feed: Any  # of a device: ``Feed`` in dataset/feed.py, the way of batches to it; else None

    def lane(self) -> Any:
        """Return ``Lane`` in multi/lane.py, which is a GPU's way to others; None without GPU."""
        ...

    def allocate(self, nbytes: int) -> Any:
        """Return ``nbytes`` of 64-byte aligned zeroed memory as a uint8 array."""
        ...

    def write(self, host: Any, memory: Any) -> None:
        """Copy a host array, or what came by ``feed``, to memory of its shape."""
        ...

    def read(self, memory: Any) -> np.ndarray:
        """Return what memory holds as a host array; it may be the memory itself."""
        ...

    def read_later(self, arrays: Sequence[Any]) -> Callable[[], list[np.ndarray]]:
        """Return a call that returns what the arrays hold now, as host arrays of its own.

        It waits for no more than what was begun before.
        """
        ...

    def clear(self, memory: Any) -> None:
        """Fill an array with zeros."""
        ...

    def copy(self, source: Any, target: Any) -> None:
        """Copy a flat float32 array to another."""
        ...

    def free_bytes(self) -> int | None:
        """Return how many bytes a device has left; None where the memory is the host's."""
        ...

    def wait(self) -> None:
        """Return when all that was begun on it is done."""
        ...

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Make these calls, one behind the other; return what each took, by the memory's clock."""
        ...

    def running_average(self, states: Any, values: Any, keep: Any, take: Any) -> None:
        """states = keep * states + take * values, in place."""
        ...

    def add(self, total: Any, values: Any, share: float) -> None:
        """total += share * values, in place; what is in ``values`` then is undefined."""
        ...

    def blend(self, average: Any, values: Any, share: float) -> None:
        """average += share * (values - average), in place."""
        ...

    def mark_not_finite(self, values: Any, mark: Any) -> None:
        """mark[0] = 1 where a number is not finite; else ``mark`` (1,) int32 stays as it is."""
        ...

    def updater(
        self, rule: Rule, spans: Sequence[Span], clip: float, total: Total | None = None
    ) -> Updater:
        """Return what applies a rule to those elements of arrays that ``spans`` cover.

        ``clip`` is the largest global norm of the gradient: longer ones are scaled in place; 0 is
        no limit. ``total``, where others update the other elements, returns the sum of squares of
        all for that of these.
        """
        ...


class Backend(Protocol):
    """A maker of kernels."""

    name: ClassVar[str]
    memory: Memory
    working_share: ClassVar[float]  # memory that kernels take for a moment, as share of the arena
    shares_statistics: ClassVar[bool]  # convolutions give batch norms mean and variance of theirs

    def kernel(
        self,
        node: Node,
        training: bool,
        precision: str,
        run: Run,
        layouts: Mapping[Tensor, Layout],
        wanted: tuple[int, ...],
    ) -> Kernel:
        """Return the kernel of ``node``.

        ``run`` is the plan's; the plan changes the keys in its memory before every step.
        ``layouts`` holds the layouts of parameters already laid out (they must be used as they
        are). ``wanted`` lists the inputs whose gradient is asked for (empty for prediction).
        """
        ...

    def sequence(self, calls: Sequence[Call]) -> Call:
        """Return a call that makes these, one behind the other, whenever it is made."""
        ...

    def auto_precision(self) -> str:
        """Return the precision that is fastest here: f32 or bf16."""
        ...
