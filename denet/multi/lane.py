"""What NCCL needs of a GPU's memory."""

from __future__ import annotations

from typing import Any, Protocol


class Lane(Protocol):
    """A stream of a GPU beside that of its memory. What is asked for here runs in that order."""

    identity: str  # of the GPU: no two have the same
    stream: int  # as NCCL takes it

    def nccl(self) -> tuple[Any, str]:
        """Return NCCL, a module as CuPy's, and its version. Raises UsageError if there is none."""
        ...

    def address(self, memory: Any) -> int:
        """Return where an array begins, as NCCL takes it."""
        ...

    def follow(self) -> None:
        """Let what is asked for here wait for all that was asked of the memory so far."""
        ...

    def rejoin(self) -> None:
        """Let what is asked of the memory wait for all that was asked for here so far."""
        ...

    def waited(self) -> float:
        """Return the seconds that the memory's stream waited so, of those that are not told yet."""
        ...

    def copy(self, source: Any, target: Any, share: float = 1.0) -> None:
        """target = share * source, flat float32, or bf16 as uint16; both may be one array."""
        ...
