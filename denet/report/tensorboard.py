"""The metrics of epochs as TensorBoard events: ``tensorboard --logdir DIRECTORY`` shows them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from denet.errors import DataError, UsageError

MISSING = "tensorboard: tensorboardX is not installed: pip install tensorboardX"


def require_tensorboard() -> tuple[Any, Any]:
    """Return the types of an event and of a writer of events; UsageError where they are missing."""
    try:
        # its SummaryWriter writes in the background and hangs when the disk is full
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter
    except ImportError as error:
        raise UsageError(f"{MISSING} ({error})") from error
    return Event, RecordWriter


class EventWriter:
    """Writes the metrics of each epoch, on the disk at once, to a new event file in a directory.

    The file, and the directory, is made with the first row, and anew after a row that could not be
    written: nobody reads on behind a part of one.

    Epochs that earlier files of the directory hold too are shown as this one has them. Raises
    UsageError where tensorboardX is missing, DataError where the file cannot be written.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self._event, self._make = require_tensorboard()
        self._directory = os.fspath(directory)
        self._records: Any = None

    def add(self, row: Mapping[str, float]) -> None:
        """Write a row with its "epoch" as the step; what is not a number is left out."""
        step = int(row["epoch"])
        values = [
            {"tag": tag(name), "simple_value": value}
            for name, value in row.items()
            if name != "epoch" and not math.isnan(value)
        ]
        with self._told():
            if self._records is None:
                os.makedirs(self._directory, exist_ok=True)
                # files are read in the order of their names
                name = f"events.out.tfevents.{time.time_ns()}"
                self._records = self._make(os.path.join(self._directory, name))
                self._write(file_version="brain.Event:2")
                # let this step and later ones of earlier files be forgotten
                self._write(step=step, session_log={"status": "START"})
            self._write(step=step, summary={"value": values})
            self._records.flush()

    def close(self) -> None:
        """Close the file."""
        records, self._records = self._records, None
        with suppress(OSError):  # every row has been flushed
            if records is not None:
                records.close()

    def _write(self, **what: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **what).SerializeToString())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn an error of the file into a DataError that names its directory."""
        try:
            yield
        except OSError as error:
            self.close()
            reason = error.strerror or str(error)
            raise DataError(f"cannot write: {self._directory}: {reason}") from error


def tag(name: str) -> str:
    """Return the tag of a metric; TensorBoard makes a group of those with the same first part."""
    group, _, rest = name.partition("_")
    return f"{group}/{rest}" if rest and group in ("train", "test") else f"train/{name}"
