"""Memory of a device and the arithmetic on whole arrays of it: averages, sums, update rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from denet.backend.cuda.device import Device
from denet.backend.cuda.feed import DeviceFeed, Picked, Sent
from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.lane import DeviceLane
from denet.backend.cuda.source import Source
from denet.graph.kernel import Call, Total
from denet.graph.rule import (
    Adam,
    AdamW,
    GradientDescent,
    Momentum,
    Nesterov,
    Rule,
    Sgd,
    Span,
)

FUNCTIONS: dict[type[Rule], str] = {  # of solver.cu
    GradientDescent: "gradient_descent",
    Sgd: "sgd",
    Momentum: "momentum",
    Nesterov: "nesterov",
    Adam: "adam",
    AdamW: "adam",
}
PARTIALS = 1024  # blocks that sum squares


class DeviceMemory:
    """Arrays on a device; see ``Memory`` in graph/kernel.py."""

    def __init__(self, device: Device):
        self._device = device
        self.feed = DeviceFeed(device)
        self._rows: dict[bytes, Any] = {}  # factors of bytes
        self._moves: dict[int, Any] = {}  # of batches by their size

    def lane(self) -> DeviceLane:
        """Return a stream beside that in which all of this is done."""
        return DeviceLane(self._device)

    def allocate(self, nbytes: int) -> Any:
        """Return ``nbytes`` of 256-byte aligned zeroed memory as a uint8 array."""
        return self._device.allocate(nbytes)

    def write(self, host: Any, memory: Any) -> None:
        """Copy a host array, or what came by ``feed``, to memory; bytes become numbers there."""
        if isinstance(host, Picked):
            self._pick(host, memory)
        elif isinstance(host, Sent):
            self._receive(host, memory)
        elif isinstance(host, np.ndarray):
            self._device.write(np.asarray(host, memory.dtype, order="C"), memory)
        else:
            self._receive(self.feed.send(self.feed.stage(host)), memory)

    def _receive(self, sent: Sent, memory: Any) -> None:
        assert memory.dtype == np.float32 and memory.shape == sent.shape, (memory.dtype, sent.shape)
        self._device.follow(sent.there)
        if sent.rows is None:
            self._run("copy", [sent.memory, memory], memory.size)
        else:
            scale, shift = map(self._row, sent.rows)
            row = np.int32(scale.size)
            self._run("number_levels", [sent.memory, scale, shift, memory, row], memory.size)
        self.feed.is_read(sent)

    def _pick(self, batch: Picked, memory: Any) -> None:
        assert memory.dtype == np.float32 and memory.shape == batch.shape, batch.shape
        if len(batch) not in self._moves:
            self._moves[len(batch)] = self._device.allocate(batch.moves.nbytes).view(np.int32)
        moves = self._moves[len(batch)].reshape(batch.moves.shape)
        self._device.write(batch.moves, moves)
        arguments = [batch.kept, moves, *map(self._row, batch.rows), memory]
        arguments += [*map(np.int32, memory.shape[1:]), np.int64(memory.size)]
        _launch(self._device, "pick.cu", "pick_levels", blocks(memory.size), arguments)()

    def _row(self, factors: np.ndarray) -> Any:
        """Return factors (w c,) on the device, copied when they are first seen."""
        key = factors.tobytes()
        if key not in self._rows:
            self._rows[key] = self._device.allocate(factors.nbytes).view(factors.dtype)
            self._device.write(factors, self._rows[key])
        return self._rows[key]

    def read(self, memory: Any) -> np.ndarray:
        """Return a host array with what memory holds."""
        return self._device.read(memory)

    def read_later(self, arrays: Sequence[Any]) -> Callable[[], list[np.ndarray]]:
        """Return a call that waits for what the arrays hold now, and returns it."""
        return self._device.read_later(arrays)

    def clear(self, memory: Any) -> None:
        """Fill an array with zeros."""
        self._device.clear(memory)

    def copy(self, source: Any, target: Any) -> None:
        """Copy a flat float32 array to another."""
        self._run("copy", [source, target], source.size)

    def free_bytes(self) -> int | None:
        """Return how many bytes the device has left."""
        return self._device.free_bytes()

    def wait(self) -> None:
        """Return when all that was launched has run."""
        self._device.wait()

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Make these calls; return what each took on the device."""
        return self._device.seconds(calls)

    def running_average(self, states: Any, values: Any, keep: Any, take: Any) -> None:
        """states = keep * states + take * values, in place."""
        self._run("running_average", [states, values, keep, take], states.size)

    def add(self, total: Any, values: Any, share: float) -> None:
        """total += share * values, in place."""
        self._run("add_share", [total, values, np.float32(share)], total.size)

    def blend(self, average: Any, values: Any, share: float) -> None:
        """average += share * (values - average), in place."""
        self._run("blend", [average, values, np.float32(share)], average.size)

    def mark_not_finite(self, values: Any, mark: Any) -> None:
        """mark[0] = 1 where a number is not finite."""
        self._run("mark_not_finite", [values, mark], values.size)

    def updater(
        self, rule: Rule, spans: Sequence[Span], clip: float, total: Total | None = None
    ) -> DeviceUpdater:
        """Return what applies a rule to whole arrays."""
        return DeviceUpdater(self._device, rule, spans, clip, total)

    def _run(self, name: str, arguments: list[Any], count: int) -> None:
        if count:
            _launch(self._device, "flat.cu", name, blocks(count), [*arguments, np.int64(count)])()


class _Factors(NamedTuple):
    """The numbers that ``update`` of solver.cu reads, in its order."""

    decay: float
    shrink: float
    learn_rate: float
    first_momentum: float
    second_momentum: float
    root: float
    share: float


FACTORS = len(_Factors._fields)


class DeviceUpdater:
    """A rule at work on a device; see ``Updater`` in graph/kernel.py."""

    def __init__(
        self,
        device: Device,
        rule: Rule,
        spans: Sequence[Span],
        clip: float,
        total: Total | None = None,
    ):
        self._device, self._rule, self._spans = device, rule, spans
        self._clip, self._total = clip, total
        epsilon = getattr(rule, "epsilon", 0.0)
        self._defines = {"RULE": FUNCTIONS[type(rule)], "EPSILON": f"{epsilon!r}f"}
        self._factors = device.allocate(4 * FACTORS * len(spans)).view(np.float32)
        self._partials = device.allocate(8 * PARTIALS).view(np.float64)
        self._scale = device.allocate(4).view(np.float32) if clip else None
        self._captured: dict[tuple[int, ...], Call] = {}  # by addresses of the arrays

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
        rows = [_factors(self._rule, span, learn_rate, iteration, share) for span in self._spans]
        self._device.write(np.array(rows, np.float32).reshape(-1), self._factors)
        arrays = [weights, gradients, *averages, *([] if mean is None else [mean]), faults]
        key = tuple(map(self._device.address, arrays))
        if self._clip and self._total:
            self._take_scale(gradients, self._total)
        if key not in self._captured:
            calls = self._calls(weights, gradients, averages, mean, faults)
            self._captured[key] = self._device.capture(calls)
        self._captured[key]()

    def _calls(
        self, weights: Any, gradients: Any, averages: Sequence[Any], mean: Any | None, faults: Any
    ) -> list[Call]:
        """Return the launches of an update, whose factors lie in memory."""
        calls = self._scale_calls(gradients) if self._clip and not self._total else []
        for number, span in enumerate(self._spans):
            count = span.stop - span.start
            part, kept = slice(span.start, span.stop), slice(span.place, span.place + count)
            first, second = [*(average[kept] for average in averages), None, None][:2]
            arrays = [weights[part], gradients[part], first, second]
            arrays += [None if mean is None else mean[kept], self._scale]
            factors = self._factors[FACTORS * number : FACTORS * (number + 1)]
            arguments = [*arrays, factors, faults, np.int64(count)]
            calls.append(self._launch("update", blocks(count), arguments))
        return calls

    def _scale_calls(self, gradients: Any) -> list[Call]:
        number = min(PARTIALS, blocks(gradients.size))
        squares = [gradients, self._partials, np.int64(gradients.size)]
        scale = [self._partials, np.int32(number), np.float32(self._clip), self._scale]
        return [self._launch("sum_squares", number, squares), self._launch("clip_scale", 1, scale)]

    def _take_scale(self, gradients: Any, total: Total) -> None:
        """Let others add their sum of squares to that of these spans."""
        squares = 0.0
        for span in self._spans:
            part = gradients[span.start : span.stop]
            number = min(PARTIALS, blocks(part.size))
            arguments = [part, self._partials, np.int64(part.size)]
            self._launch("sum_squares", number, arguments)()
            squares += float(self._device.read(self._partials)[:number].sum())
        norm = math.sqrt(total(squares))
        scale = self._clip / norm if self._clip < norm < math.inf else 1.0
        self._device.write(np.array([scale], np.float32), self._scale)

    def _launch(self, name: str, grid: int, arguments: list[Any]) -> Call:
        return _launch(self._device, "solver.cu", name, grid, arguments, **self._defines)


def _factors(rule: Rule, span: Span, learn_rate: float, iteration: int, share: float) -> _Factors:
    first, second = [*span.momentum, 0.0, 0.0][:2]
    rate, decay, shrink, root = span.rate * learn_rate, span.decay, 1.0, 1.0
    if isinstance(rule, Sgd) and not iteration:
        first = 0.0
    if isinstance(rule, AdamW):
        decay, shrink = 0.0, 1 - rate * decay
    if isinstance(rule, Adam):
        rate /= 1 - first ** (iteration + 1)
        root = 1 / math.sqrt(1 - second ** (iteration + 1))
    return _Factors(decay, shrink, rate, first, second, root, share)


def _launch(
    device: Device, file: str, name: str, grid: int, arguments: list[Any], **defines: int | str
) -> Call:
    """Return the call that runs a kernel of THREADS threads."""
    given = {"THREADS": THREADS, **defines}
    source = Source(file, name, tuple(sorted(given.items())))
    return device.launch(source, (grid, 1, 1), THREADS, arguments)
