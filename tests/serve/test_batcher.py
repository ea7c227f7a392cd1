"""What comes together is answered together."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from denet.serve.batcher import Batcher, largest_power_of_two


class Slow:
    """Answers by adding 100; stops at each batch until ``go``."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, asked):
        self.batches.append(list(asked))
        self.begun.release()
        self.go.acquire()
        if 13 in asked:
            raise ValueError("unlucky")
        return [100 + each for each in asked]


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def results(futures: list[Future[int]]) -> list[int]:
    return [each.result(10) for each in futures]


def test_what_waits_goes_in_powers_of_two(thread: ThreadPoolExecutor) -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow, 4, 0, thread)
    first = batcher.ask(0)
    slow.begun.acquire()  # it computes the first alone
    others = [batcher.ask(number) for number in range(1, 8)]
    for _ in range(4):
        slow.go.release()
    assert results([first, *others]) == list(range(100, 108))
    assert slow.batches == [[0], [1, 2, 3, 4], [5, 6], [7]]
    batcher.close()


def test_a_batch_waits_for_what_is_coming(thread: ThreadPoolExecutor) -> None:
    slow = Slow()
    slow.go.release(2)
    batcher: Batcher[int, int] = Batcher(slow, 2, 60, thread)
    with batcher.coming():
        first = batcher.ask(1)
        assert not slow.begun.acquire(timeout=0.05)
        second = batcher.ask(2)
        assert results([first, second]) == [101, 102]
    assert slow.batches == [[1, 2]]
    batcher.close()


def test_but_not_for_ever(thread: ThreadPoolExecutor) -> None:
    slow = Slow()
    slow.go.release(1)
    batcher: Batcher[int, int] = Batcher(slow, 2, 0.001, thread)
    with batcher.coming():
        assert batcher.ask(1).result(10) == 101
    batcher.close()


def test_an_error_reaches_those_of_its_batch_alone(thread: ThreadPoolExecutor) -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow, 2, 0, thread)
    first = batcher.ask(0)
    slow.begun.acquire()
    futures = [batcher.ask(number) for number in (13, 14, 15)]
    slow.go.release(3)
    assert first.result(10) == 100
    for each in futures[:2]:
        with pytest.raises(ValueError, match="unlucky"):
            each.result(10)
    assert futures[2].result(10) == 115
    batcher.close()


def test_who_has_gone_is_not_answered(thread: ThreadPoolExecutor) -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow, 4, 0, thread)
    batcher.ask(0)
    slow.begun.acquire()
    gone, *others = [batcher.ask(number) for number in range(1, 5)]
    assert gone.cancel()
    slow.go.release(3)
    assert results(others) == [102, 103, 104]
    assert slow.batches == [[0], [2, 3], [4]]
    batcher.close()


def test_one_thread_computes(thread: ThreadPoolExecutor) -> None:
    own = thread.submit(threading.get_ident).result()
    batcher: Batcher[int, int] = Batcher(
        lambda asked: [threading.get_ident()] * len(asked), 2, 0, thread
    )
    assert set(results([batcher.ask(number) for number in range(5)])) == {own}
    batcher.close()


def test_the_end_answers_what_waits(thread: ThreadPoolExecutor) -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow, 8, 0, thread)
    futures = [batcher.ask(number) for number in range(6)]
    slow.go.release(6)
    batcher.close()
    assert results(futures) == list(range(100, 106))


@pytest.mark.parametrize(("count", "wanted"), [(0, 0), (1, 1), (2, 2), (3, 2), (8, 8), (1023, 512)])
def test_largest_power_of_two(count: int, wanted: int) -> None:
    assert largest_power_of_two(count) == wanted
