"""Decoder processes: many image files read or inspected at once.

A small JPEG spends most of its time in Python code that holds the interpreter lock, so two threads
decode no faster than one. Decoder processes do: each gets file names through its standard input and
answers with pixels, which the caller's thread reads straight into their place in the set.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from queue import SimpleQueue
from typing import Any

import numpy as np

from denet.dataset.image.decode import Fault, decode_files, share_memory
from denet.dataset.image.inspect import Finding, Header, inspect_files, read_headers
from denet.dataset.image.photo import Answer, Perform, show_files
from denet.errors import WorkerError

PROCESS_BYTES = 60_000_000  # that a decoder process takes, beside what it works on
DECODER_FILES = 1000  # fewer files than this do not pay for starting a further process

_BLOCK_FILES = 256  # files decoded at one go
_BLOCK_BYTES = 1 << 22
_PIPE_BYTES = 1 << 20

_TASKS: dict[str, tuple[Callable[..., list[Any]], Callable[..., Any]]] = {
    "decode": (decode_files, Fault),
    "inspect": (inspect_files, Finding),
    "measure": (read_headers, Header),
    "show": (show_files, Answer),
}
_idle: list[Decoder] = []  # lent before, for any work


def perform(
    task: str, paths: Sequence[str], out: np.ndarray | None, settings: dict[str, Any]
) -> list[Any]:
    """Do ``decode_files`` or another of _TASKS in this process."""
    return _TASKS[task][0](paths, out, **settings)


class Decoder:
    """A decoder process, one of so many; its owner talks to it from one thread at a time."""

    def __init__(self, processes: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve({processes})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the owner, who decides when to stop
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )
        if sys.platform == "linux":
            import fcntl

            assert self._process.stdout
            with suppress(OSError):  # all pipes of a user have a limit together
                fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def perform(
        self, task: str, paths: Sequence[str], out: np.ndarray | None, settings: dict[str, Any]
    ) -> list[Any]:
        """Do what ``perform`` does, for a contiguous ``out``; WorkerError if it died."""
        form = None if out is None else (out.shape, out.dtype.str)
        request = json.dumps([task, list(paths), form, settings]).encode()
        try:
            self._send(len(request).to_bytes(8, "little") + request)
            answer = bytearray(int.from_bytes(self._receive(bytearray(8)), "little"))
            answers = json.loads(self._receive(answer))
            if out is not None:
                self._receive(out.data.cast("B"))
        except (OSError, EOFError):
            status = self._process.wait()
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            raise WorkerError(
                f"image decoder ended {how}: while reading {paths[0]} and the "
                f"{len(paths) - 1} files after it: look for a damaged file or too little memory"
            ) from None
        return [_TASKS[task][1](*values) for values in answers]

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
        self._process.wait()

    def _send(self, message: bytes) -> None:
        assert self._process.stdin
        view = memoryview(message)
        while view:
            view = view[self._process.stdin.write(view) or 0 :]

    def _receive(self, buffer: Any) -> Any:
        assert self._process.stdout
        view = memoryview(buffer)
        while view:
            count = self._process.stdout.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            view = view[count:]
        return buffer


@contextmanager
def lent(processes: int) -> Iterator[Perform]:
    """Lend a decoder process, one of so many, for the block: it may have served before.

    They end with this process, however it ends.
    """
    try:
        decoder = _idle.pop()
    except IndexError:
        decoder = Decoder(processes)
    try:
        yield decoder.perform
    except BaseException:  # in the midst of an answer, perhaps
        decoder.close()
        raise
    _idle.append(decoder)


@atexit.register
def _close_idle() -> None:
    while _idle:
        _idle.pop().close()


def serve(processes: int) -> None:
    """Answer requests until standard input ends: the body of a decoder process, one of so many."""
    share_memory(processes)
    with suppress(BrokenPipeError):  # whoever asked has ended
        _serve()


def _serve() -> None:
    requests, pipe = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not land among the pixels
    while header := requests.read(8):
        request = json.loads(requests.read(int.from_bytes(header, "little")))
        task, paths, form, settings = request
        out = None if form is None else np.zeros(*form)
        answers = json.dumps(perform(task, paths, out, settings)).encode()
        pipe.write(len(answers).to_bytes(8, "little") + answers)
        if out is not None:
            pipe.write(out.data.cast("B"))
        pipe.flush()


def in_blocks(
    task: str,
    paths: Sequence[str],
    threads: int,
    progress: bool,
    out: np.ndarray | None = None,
    **settings: Any,
) -> Generator[tuple[int, list[Any]], None, None]:
    """Yield (position of its first path, answers) for each block of paths, in order.

    The task is what ``perform`` does, by up to ``threads`` decoder processes if they pay.
    """
    from tqdm import tqdm

    block = _BLOCK_FILES if out is None else min(_BLOCK_FILES, _BLOCK_BYTES // out[0].nbytes) or 1
    processes = min(threads, len(paths) // DECODER_FILES)
    with ExitStack() as stack:
        idle: SimpleQueue[Callable[..., list[Any]]] = SimpleQueue()
        if processes < 2:
            idle.put(perform)
        for _ in range(processes if processes > 1 else 0):
            idle.put(stack.enter_context(closing(Decoder(processes))).perform)

        def run(start: int) -> list[Any]:
            part = slice(start, start + block)
            performer = idle.get()
            try:
                return performer(task, paths[part], None if out is None else out[part], settings)
            finally:
                idle.put(performer)

        hidden = not progress or not sys.stderr.isatty()
        bar = stack.enter_context(
            tqdm(total=len(paths), unit=" files", disable=hidden, leave=False)
        )
        pool = ThreadPoolExecutor(idle.qsize())
        stack.callback(pool.shutdown, cancel_futures=True)
        starts = range(0, len(paths), block)
        for start, answers in zip(starts, pool.map(run, starts), strict=True):
            bar.update(min(block, len(paths) - start))
            yield start, answers
