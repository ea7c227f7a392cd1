"""One thread that computes: what arrives while it does goes together into the next batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class _Waiting(NamedTuple, Generic[Asked, Told]):
    asked: Asked
    answer: Future[Told]


class Batcher(Generic[Asked, Told]):
    """Lets ``answer`` work on up to ``batch_size`` of what it is asked at a time.

    Batches have 1, 2, 4, ... elements, so that few sizes need a plan. One that is not full waits
    for those that are ``coming``, but no longer than ``wait_seconds``. All of it is computed in the
    ``thread`` of a pool of one: a GPU belongs to the thread that has made its plans.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], Sequence[Told]],
        batch_size: int,
        wait_seconds: float,
        thread: Executor,
    ):
        self._answer, self._most, self._wait = answer, batch_size, wait_seconds
        self._waiting: deque[_Waiting[Asked, Told]] = deque()
        self._coming, self._closed = 0, False
        self._changed = threading.Condition()
        self._end = thread.submit(self._run)

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Tell, while something is prepared, that it will be asked soon."""
        with self._changed:
            self._coming += 1
        try:
            yield
        finally:
            with self._changed:
                self._coming -= 1
                self._changed.notify()

    def ask(self, asked: Asked) -> Future[Told]:
        """Return what will hold the answer, or the error that took its place."""
        answer: Future[Told] = Future()
        with self._changed:
            assert not self._closed
            self._waiting.append(_Waiting(asked, answer))
            self._changed.notify()
        return answer

    def close(self) -> None:
        """Answer what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._end.result()

    def _run(self) -> None:
        while batch := self._next():
            wanted = [each for each in batch if each.answer.set_running_or_notify_cancel()]
            for part in _powers_of_two(wanted):
                self._work(part)

    def _next(self) -> list[_Waiting[Asked, Told]]:
        """Return what to answer next, nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            end = time.monotonic() + self._wait
            self._changed.wait_for(self._is_ready, max(0.0, end - time.monotonic()))
            count = min(len(self._waiting), self._most)
            return [self._waiting.popleft() for _ in range(largest_power_of_two(count))]

    def _is_ready(self) -> bool:
        return len(self._waiting) >= self._most or not self._coming

    def _work(self, batch: Sequence[_Waiting[Asked, Told]]) -> None:
        try:
            answers = self._answer([each.asked for each in batch])
        except Exception as error:  # whoever asked gets it
            for each in batch:
                each.answer.set_exception(error)
            return
        for each, answer in zip(batch, answers, strict=True):
            each.answer.set_result(answer)


def largest_power_of_two(count: int) -> int:
    """Return the largest of 1, 2, 4, ... that is ``count`` at most, 0 for 0."""
    return 1 << count.bit_length() - 1 if count else 0


def _powers_of_two(batch: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    """Yield a batch in parts of 1, 2, 4, ...: where some no longer wait it may have any size."""
    while batch:
        count = largest_power_of_two(len(batch))
        yield batch[:count]
        batch = batch[count:]
