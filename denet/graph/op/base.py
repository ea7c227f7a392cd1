"""What an op is: a shape rule, a reference forward and backward in NumPy, a count of operations.

The reference is the oracle of every fast kernel and the fallback where none exists. It is written
plainly, keeps the precision it is given (float32, or float64 in gradient tests) and never changes
its inputs. Glossary: n batch, h height, w width, c channels, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from denet.graph.tensor_type import TensorType

Arrays = tuple[Any, ...]  # arrays, or None where an array is not read or not wanted
Types = tuple[TensorType, ...]


@dataclass
class Run:
    """How one execution goes: the mode, and a random key for each sample of the batch."""

    training: bool
    sample_keys: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))  # (n,)

    def generators(self, salt: int) -> list[np.random.Generator]:
        """Return one generator per sample, a function of its key and the op's ``salt`` alone."""
        return [
            # as uint64: a list of Python numbers would pass through float64 and lose bits
            np.random.Generator(np.random.Philox(key=np.array([key, salt], np.uint64)))
            for key in self.sample_keys
        ]


class Op:
    """Base of all ops: a frozen dataclass whose fields are its settings.

    Class attributes say which arrays ``backward`` and ``repeat`` read; others reach them as None.
    """

    backward_inputs: ClassVar[tuple[int, ...]] = ()  # indices of inputs read by backward
    backward_outputs: ClassVar[tuple[int, ...]] = ()  # indices of outputs read by backward
    gradient_inputs: ClassVar[tuple[int, ...]] = (0,)  # indices of inputs that have a gradient
    repeat_outputs: ClassVar[tuple[int, ...]] = ()  # indices of outputs read by repeat
    shares_gradient: ClassVar[bool] = False  # every input has the same gradient array

    def infer(self, *inputs: TensorType) -> Types:
        """Return the types of the outputs; raise DescriptionError if the inputs do not fit."""
        raise AssertionError(f"{type(self).__name__} has no shape rule")

    def saved(self, *inputs: TensorType) -> Types:
        """Return the types of the arrays that forward keeps for backward."""
        return ()

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        """Return (outputs, saved). ``saved`` may be left empty when ``run.training`` is False."""
        raise AssertionError(f"{type(self).__name__} has no forward")

    def repeat(self, run: Run, inputs: Arrays, outputs: Arrays) -> tuple[Arrays, Arrays]:
        """Return once more, to the last bit, what ``forward`` did, of which ``outputs`` is left."""
        return self.forward(run, *inputs)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        """Return one gradient per input, None where it has none.

        ``gradients`` holds one array per output, None where no gradient arrives.
        """
        raise AssertionError(f"{type(self).__name__} has no backward")

    def flops(self, inputs: Types, outputs: Types) -> int:
        """Return the floating-point operations of one forward (0 where memory bounds it)."""
        return 0


class GradientSaving(Op):
    """An op whose scalar output has a gradient by its first input only, which forward computes."""

    def infer(self, *inputs: TensorType) -> Types:
        return (TensorType((), "float32"),)

    def saved(self, *inputs: TensorType) -> Types:
        return (inputs[0],)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        return saved[0] * gradients[0], *[None] * (len(inputs) - 1)


def image(type_: TensorType) -> tuple[int, int, int, int]:
    """Return (n, h, w, c) of an activation type."""
    assert len(type_.shape) == 4, type_
    n, h, w, c = type_.shape
    return n, h, w, c
