"""What a user sees of one pass over a dataset: a bar on a terminal, else a log line at times."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from denet.dataset.loader import Batch, Loader

log = logging.getLogger(__name__)

BAR = "{desc} |{bar}|{percentage:4.0f}%{postfix}"


class Progress:
    """Shows how far a pass of ``batch_num`` batches is, how fast it goes and what it waits for.

    Speed, time left and the share of time spent waiting for data count what was done since this
    was made; ``start`` batches were done before. Where there is no bar, a line goes to the log
    every ``log_seconds``.
    """

    def __init__(self, title: str, batch_num: int, log_seconds: float = 60.0, start: int = 0):
        self._title, self._batch_num, self._log_seconds = title, batch_num, log_seconds
        self._first = self._done = start
        self._images, self._waited, self._note = 0, 0.0, ""
        self._start = self._told = time.monotonic()
        # None leaves it to tqdm: no bar unless stderr is a terminal
        silent = None if log.isEnabledFor(logging.INFO) else True
        self._bar = tqdm(
            desc=title,
            total=batch_num,
            initial=start,
            leave=False,
            disable=silent,
            bar_format=BAR,
            dynamic_ncols=True,
        )

    def note(self, text: str) -> None:
        """Set what is told of the batch in hand, such as its cost."""
        self._note = text

    def advance(self, images: int, wait_seconds: float) -> None:
        """Count one more batch: its images, and the time that was spent waiting for it."""
        self._done += 1
        self._images += images
        self._waited += wait_seconds
        now = time.monotonic()
        if not self._bar.disable:
            self._bar.set_postfix_str(self._facts(now), refresh=False)
            self._bar.update()
        elif now - self._told >= self._log_seconds and self._done < self._batch_num:
            self._told = now
            facts = self._facts(now)
            log.info("%s: batch %d/%d, %s", self._title, self._done, self._batch_num, facts)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def _facts(self, now: float) -> str:
        seconds = max(now - self._start, 1e-9)
        rest = seconds / (self._done - self._first) * (self._batch_num - self._done)
        speed = self._images / seconds
        facts = (
            self._note,
            speed_text(speed),
            f"data {min(self._waited / seconds, 1):.0%}",
            f"{duration(rest)} left",
        )
        return ", ".join(filter(None, facts))


def follow(
    loader: Loader, epoch: int, title: str, log_seconds: float = 60.0, start: int = 0
) -> Generator[tuple[Batch, Progress], None, None]:
    """Yield the batches of a loader's epoch (0-based), showing how far they are.

    The first ``start`` batches are left out: they were done before.
    """
    waited = loader.wait_seconds
    progress = Progress(title, len(loader), log_seconds, start)
    batches = loader.epoch(epoch, start)
    try:
        with logging_redirect_tqdm([logging.getLogger("denet")]):  # no message breaks the bar
            for batch in batches:
                yield batch, progress
                progress.advance(len(batch.data), loader.wait_seconds - waited)
                waited = loader.wait_seconds
    finally:
        batches.close()
        progress.close()


def speed_text(images_per_second: float) -> str:
    """Return a speed in words: 427 images/s, 3.5 images/s."""
    return f"{images_per_second:.{0 if images_per_second >= 10 else 1}f} images/s"


def duration(seconds: float) -> str:
    """Return a time in words: 8.2 s, 3 min 20 s, 2 h 05 min, 3 d 04 h."""
    whole = round(seconds)
    for unit, size, part, part_size in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part_size:02d} {part}"
    return f"{seconds:.1f} s"


_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
