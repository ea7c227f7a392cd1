"""The files of a run: their names, the check that they can be written, and writing them whole."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from denet.errors import DataError, UsageError
from denet.files import atomic_text
from denet.model.format import FORMATS
from denet.train.state import State, read_state

log = logging.getLogger(__name__)


class Lock:
    """Holds a file locked, so that two processes do not write one run; none where POSIX is not."""

    def __init__(self, path: Path):
        self._path = path
        self._file: IO[str] | None = None
        try:
            import fcntl
        except ModuleNotFoundError:  # Windows
            return
        try:
            file = path.open("w")
        except OSError as error:
            raise DataError(f"output: cannot write: {path}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise DataError(
                f"output: another process trains in {path.parent}: wait for it, or give another "
                "--output-prefix"
            ) from None
        except OSError as error:  # some network file systems know no locks
            log.warning("output: %s cannot be locked: %s", path, error.strerror)
        if os.fstat(file.fileno()).st_nlink == 0:  # its last holder has removed it meanwhile
            file.close()
            raise DataError(f"output: another process just ended in {path.parent}: try again")
        self._file = file

    def release(self) -> None:
        """Let others write."""
        if self._file:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.release()


class RunFiles:
    """Files of one training: PREFIX_epochNNN.mdl and the others of its directory.

    ``prefix`` is a path and the beginning of a name ("runs/a/model"); after a closing "/" the name
    is "model". NNN counts epochs trained, from 001. ``suffix`` chooses the model format.
    """

    def __init__(self, prefix: str | os.PathLike[str], suffix: str = ".mdl"):
        if suffix not in FORMATS:
            raise UsageError(f"model suffix: {suffix!r}: use one of {', '.join(FORMATS)}")
        text = os.fspath(prefix)
        path = Path(text, "model") if text.endswith(("/", os.sep)) or not text else Path(text)
        self.directory, self._name, self._suffix = path.absolute().parent, path.name, suffix

    def epoch(self, number: int) -> Path:
        """Return the file of the model after ``number`` epochs."""
        return self._file(f"_epoch{number:03d}{self._suffix}")

    def final(self, number: int) -> Path:
        """Return the file of the model at the end of training, after ``number`` epochs."""
        return self._file(f"_epoch{number:03d}_final{self._suffix}")

    def test(self, number: int) -> Path:
        """Return the file of the test errors after ``number`` epochs."""
        return self._file(f"_epoch{number:03d}.test")

    @property
    def best(self) -> Path:
        """The model with the lowest test error so far."""
        return self._file(f"_best{self._suffix}")

    @property
    def state(self) -> Path:
        """All that going on with the training needs."""
        return self._file(".state")

    @property
    def metrics(self) -> Path:
        """The table of one row per epoch."""
        return self.directory / "metrics.csv"

    @property
    def curves(self) -> Path:
        """The picture of that table."""
        return self.directory / "curves.png"

    @property
    def options(self) -> Path:
        """All options and versions, as YAML that --config takes."""
        return self.directory / "run.yaml"

    @property
    def log(self) -> Path:
        """What was said."""
        return self.directory / "log.txt"

    @property
    def bad_data(self) -> Path:
        """What was left out of the data, with the reason."""
        return self.directory / "bad_data.txt"

    @property
    def diverged(self) -> Path:
        """The batch that training diverged on."""
        return self.directory / "diverged.txt"

    def existing(self) -> list[Path]:
        """Return, sorted, what an earlier run has left in the directory."""
        own = self._own_names()
        return sorted(p for p in self.directory.glob("*") if own.fullmatch(p.name))

    def prepare(self) -> None:
        """Make the directory and prove that it can be written, before any time is spent.

        Raises DataError if it cannot.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # as long a name as a model has while it is written
            name = f".{self.final(999).name}."
            with tempfile.NamedTemporaryFile(
                prefix=name, suffix=".tmp", dir=self.directory
            ) as probe:
                probe.write(b"\0")
        except OSError as error:
            raise self._unwritable(error) from error

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Yield a prefix in a new directory below this one; both vanish with what is in them."""
        made = [each for each in (self.directory, *self.directory.parents) if not each.exists()]
        try:
            self.prepare()
            with tempfile.TemporaryDirectory(prefix=".dry-run-", dir=self.directory) as directory:
                yield Path(directory, self._name)
        finally:
            for each in made:
                with suppress(OSError):
                    each.rmdir()

    def read_state(self) -> State | None:
        """Return where the run stopped; None if it never came to save anything.

        Raises UsageError where the directory holds models but no state, DataError.
        """
        if self.state.exists():
            return read_state(self.state)
        found = [path for path in self.existing() if ".mdl" in path.suffixes]
        if found:
            raise UsageError(
                f"resume: no {self.state.name} beside {found[0]}: start a new run with --model"
            )
        others = sorted(self.directory.glob("*.state"))
        if others:
            raise UsageError(
                f"resume: no {self.state.name} but {others[0]}: give --output-prefix "
                f"{os.fspath(others[0]).removesuffix('.state')}"
            )
        log.info("nothing to resume in %s: starting", self.directory)
        return None

    def check_new(self, overwrite: bool = False) -> None:
        """Raise UsageError if the directory holds a run, unless ``overwrite``."""
        found = self.existing() or sorted(self.directory.glob("*.state"))
        if found and not overwrite:
            raise UsageError(
                f"output: {self.directory} already holds a run ({found[0].name}): "
                "give --resume to go on with it, --overwrite to lose it, or another "
                "--output-prefix"
            )

    def lock(self) -> Lock:
        """Claim the files for this process until it ends or releases them. Raises DataError."""
        return Lock(self._file(".lock").with_name(f".{self._name}.lock"))

    def clear(self) -> None:
        """Remove the files of an earlier run. Raises DataError."""
        # killed in between, --resume must not go on with what is left
        first = [self.state, self.options]
        self._remove([*first, *self.existing(), self.bad_data])
        self.clear_leftovers()

    def clear_leftovers(self) -> None:
        """Remove what a process left that was killed while it wrote, or diverged. DataError."""
        own = self._own_names()
        names = {self.options.name, self.bad_data.name, self.diverged.name}
        written = (
            (path, path.name[1:].rsplit(".", 2)[0]) for path in self.directory.glob(".*.tmp")
        )
        self._remove([path for path, name in written if own.fullmatch(name) or name in names])
        # safetensors writes into a file of its own first
        self._remove(self.directory.glob(".tmp" + 6 * "[A-Za-z0-9]"))
        self._remove([self.diverged])

    def _remove(self, paths: Iterable[Path]) -> None:
        try:
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _own_names(self) -> re.Pattern[str]:
        return re.compile(
            re.escape(self._name)
            + r"(_(epoch\d+(_final)?|best)\.(mdl|mdl\.gz|test)|\.state)"
            + rf"|{re.escape(self.metrics.name)}|{re.escape(self.curves.name)}"
            + r"|events\.out\.tfevents\.\d+"
        )

    def _unwritable(self, error: OSError) -> DataError:
        reason = "not a directory" if isinstance(error, FileExistsError) else error.strerror
        path = error.filename or self.directory
        return DataError(f"output: cannot write: {path}: {reason}: give another --output-prefix")

    def _file(self, ending: str) -> Path:
        return self.directory / f"{self._name}{ending}"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises DataError with path and reason."""
    with atomic_text(path) as file:
        file.write(text)
