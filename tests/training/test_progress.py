"""What is seen of an epoch: a bar on a terminal, plain lines elsewhere; times in words."""

import logging
import os
import re
import struct
import sys
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import numpy as np
import pytest
from training.tiny import tiny_set

from denet.dataset.loader import Loader
from denet.model.preprocessing import Preprocessing
from denet.training import progress
from denet.training.progress import Progress, duration, follow

FACTS = r"cost 0\.5000, [\d.]+ images/s, data \d+%, \d+\.\d s left"

WORDS = [
    (0, "0.0 s"),
    (8.24, "8.2 s"),
    (59.4, "59.4 s"),
    (59.7, "1 min 00 s"),
    (200, "3 min 20 s"),
    (3599.6, "1 h 00 min"),
    (7500, "2 h 05 min"),
    (86400 * 3 + 3600 * 4, "3 d 04 h"),
]


@pytest.mark.parametrize("seconds, words", WORDS)
def test_duration(seconds, words):
    assert duration(seconds) == words


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: ``clock.now`` in seconds."""
    hand = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


@pytest.fixture
def lines(capsys, caplog):
    """What reads the lines of the log where stderr is no terminal."""
    caplog.set_level(logging.INFO, "denet")
    return lambda: caplog.messages


@contextmanager
def terminal(monkeypatch):
    """Let stderr be a terminal of 100 columns; the list yielded holds afterwards what it got."""
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 100, 0, 0))
    shown = []
    with os.fdopen(ours, "rb", 0) as screen:
        with os.fdopen(theirs, "w", encoding="utf-8") as stderr, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stderr)
            yield shown
        content = b""
        with suppress(OSError):  # Linux ends the last read with an error
            while part := screen.read(1 << 12):
                content += part
        shown.append(content.decode())


@contextmanager
def log_on_stderr():
    """Send the log to stderr as the commands do."""
    log = logging.getLogger("denet")
    handlers, level = log.handlers, log.level
    log.handlers = [logging.StreamHandler(sys.stderr)]
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.handlers = handlers
        log.setLevel(level)


def tiny_loader(size):
    return Loader(tiny_set(size=size), 2, Preprocessing(), training=True)


def slow_epoch(title, seconds=0.15, **settings):
    """Follow four batches with a step that takes so long."""
    for _, shown in follow(tiny_loader(8), 0, title, **settings):
        shown.note("cost 0.5000")
        time.sleep(seconds)


def test_a_line_tells_speed_waiting_and_time_left(clock, lines):
    shown = Progress("epoch 1/2", 10, log_seconds=10.0)
    for second in (104, 108, 112, 116):  # 32 images and 1 s of waiting in every 4 s
        clock.now = second
        shown.note(f"cost {second}.5")
        shown.advance(32, 1.0)
    shown.close()
    assert lines() == ["epoch 1/2: batch 3/10, cost 112.5, 8.0 images/s, data 25%, 28.0 s left"]


def test_a_resumed_epoch_counts_from_where_it_was_but_its_speed_anew(clock, lines):
    shown = Progress("epoch 1/2", 100, log_seconds=0.0, start=90)
    clock.now = 102
    shown.advance(4, 0.0)
    assert lines() == ["epoch 1/2: batch 91/100, 2.0 images/s, data 0%, 18.0 s left"]


def test_a_short_epoch_and_the_last_batch_log_nothing(clock, lines):
    shown = Progress("epoch 1/2", 2, log_seconds=60.0)
    for second in (101, 1000):
        clock.now = second
        shown.advance(1, 0.0)
    assert lines() == []


@pytest.mark.parametrize("size, images", [(8, [2, 2, 2, 2]), (7, [2, 2, 2, 1])])
def test_follow_yields_the_batches_of_the_epoch(size, images, lines):
    loader = tiny_loader(size)
    found = [batch for batch, _ in follow(loader, 3, "epoch 4/9")]
    assert [len(batch.data) for batch in found] == images
    for batch, expected in zip(found, loader.epoch(3), strict=True):
        np.testing.assert_array_equal(batch.indices, expected.indices)


def test_follow_goes_on_in_the_middle_of_an_epoch(lines):
    loader = tiny_loader(8)
    found = [batch for batch, _ in follow(loader, 3, "epoch 4/9", log_seconds=0.0, start=2)]
    expected = list(loader.epoch(3))[2:]
    assert [list(b.indices) for b in found] == [list(b.indices) for b in expected]
    assert [line.split(",")[0] for line in lines()] == ["epoch 4/9: batch 3/4"]


def test_waiting_is_counted_within_the_epoch(clock, lines):
    loader = tiny_loader(8)
    loader._waited = 1e6  # of earlier epochs
    batches = follow(loader, 0, "epoch 2/2", log_seconds=0.0)
    next(batches)
    clock.now += 1000  # far more than the loader needs
    next(batches)
    batches.close()
    assert "data 0%" in lines()[0]


@pytest.mark.parametrize("start, share", [(0, 25), (2, 75)])
def test_the_bar_on_a_terminal_tells_all_and_leaves_nothing(start, share, monkeypatch):
    with terminal(monkeypatch) as shown, log_on_stderr():
        slow_epoch("epoch 1/2", log_seconds=0.0, start=start)
    states = shown[0].split("\r")
    bar = rf"epoch 1/2 \|█.*\| +{share}%, {FACTS}$"
    assert any(re.match(bar, state) for state in states), states
    assert states[-1].strip() == "" and not any("\n" in state for state in states)


def test_a_message_stands_above_the_bar(monkeypatch):
    with terminal(monkeypatch) as shown, log_on_stderr():
        for _ in follow(tiny_loader(4), 0, "epoch 1/2"):
            logging.getLogger("denet").warning("a picture is dark")
    # the bar is wiped out before the message begins at the left edge
    assert re.search(r"\r +\ra picture is dark\r\n\r?epoch 1/2 \|", shown[0])


def test_what_is_piped_has_no_control_characters(capsys):
    with log_on_stderr():
        slow_epoch("epoch 1/2", seconds=0.0, log_seconds=0.0)
    *found, end = capsys.readouterr().err.split("\n")
    assert end == "" and len(found) == 3
    for number, line in enumerate(found, 1):
        assert re.fullmatch(rf"epoch 1/2: batch {number}/4, {FACTS}", line)
