"""What becomes of answers, each of which passes all sinks as it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

Answer = TypeVar("Answer")
Taken = TypeVar("Taken", contravariant=True)


class Sink(Protocol[Taken]):
    """Takes one answer after the other. Made before them, so that what is in the way is told."""

    def add(self, answer: Taken) -> None:
        """Take an answer."""

    def finish(self) -> None:
        """Do what needs all answers, and tell what was written."""


def pour(
    answers: Iterable[Answer],
    sinks: Sequence[Sink[Answer]],
    write: Callable[[Iterable[Answer]], None] | None = None,
) -> None:
    """Let the answers pass the sinks, and then what writes them as lines; finish the sinks."""

    def passing() -> Iterator[Answer]:
        for answer in answers:
            for sink in sinks:
                sink.add(answer)
            yield answer

    if write:
        write(passing())
    else:
        deque(passing(), maxlen=0)
    for sink in sinks:
        sink.finish()
