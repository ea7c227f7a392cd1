"""What a user sees of one pass over a dataset: a bar on a terminal, else a log line at times."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator

from tqdm import tqdm

from denet.dataset.loader import Batch, Loader

log = logging.getLogger(__name__)

LOG_SECONDS = 60.0  # between two lines of the log where there is no bar


class Progress:
    """Shows which batch of ``batch_num`` is done, and how long the rest may take."""

    def __init__(self, title: str, batch_num: int):
        self._title, self._batch_num, self._done, self._note = title, batch_num, 0, ""
        self._start = self._told = time.monotonic()
        # None leaves it to tqdm: no bar unless stderr is a terminal
        silent = None if log.isEnabledFor(logging.INFO) else True
        self._bar = tqdm(desc=title, total=batch_num, leave=False, unit="batch", disable=silent)

    def note(self, text: str) -> None:
        """Set what is told of the batch in hand, such as its cost."""
        self._note = text
        self._bar.set_postfix_str(text, refresh=False)

    def advance(self) -> None:
        """Count one more batch."""
        self._done += 1
        self._bar.update()
        now = time.monotonic()
        left = self._batch_num - self._done
        if sys.stderr.isatty() or now - self._told < LOG_SECONDS or not left:
            return
        self._told = now
        rest = duration((now - self._start) / self._done * left)
        note = f", {self._note}" if self._note else ""
        log.info("%s: batch %d/%d%s, %s left", self._title, self._done, self._batch_num, note, rest)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


def follow(loader: Loader, epoch: int, title: str) -> Iterator[tuple[Batch, Progress]]:
    """Yield the batches of a loader's epoch (0-based), showing how far they are."""
    progress, batches = Progress(title, len(loader)), loader.epoch(epoch)
    try:
        for batch in batches:
            yield batch, progress
            progress.advance()
    finally:
        batches.close()
        progress.close()


def duration(seconds: float) -> str:
    """Return a time in words: 8.2 s, 3 min 20 s, 2 h 05 min, 3 d 04 h."""
    whole = round(seconds)
    for unit, size, part, part_size in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part_size:02d} {part}"
    return f"{seconds:.1f} s"


_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
