"""What is known of an array before there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorType:
    """Shape and element type; ``real`` is the precision of the plan (f32 or bf16)."""

    shape: tuple[int, ...]
    dtype: str = "real"  # real | float32 | int32 | uint8

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count
