"""The files of a run: their names, whose they are, and writing them whole."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from denet.errors import DataError, UsageError
from denet.files import atomic_text, is_device, prove_writable
from denet.training.lock import Lock
from denet.training.state import State, read_state
from denet.version import __version__

log = logging.getLogger(__name__)

# begin each record of a run, and no file of somebody else
SIGNATURES = ("# model-train, denet ", "# model-train-multi, denet ")
OPTIONS, LOG, BAD_DATA, DIVERGED = "_run.yaml", "_log.txt", "_bad_data.txt", "_diverged.txt"
RECORDS = (OPTIONS, LOG, BAD_DATA, DIVERGED)
BEST, STATE, METRICS, CURVES = "_best", ".state", "_metrics.csv", "_curves.png"
EVENTS = "_tensorboard"  # a directory: TensorBoard takes each for one run
SUFFIXES = (".mdl", ".mdl.gz")  # those of models in training
TRIAL = "_dry-run"  # likewise, for as long as a dry run takes
NAMES = re.compile(
    rf"(_epoch\d+(_final)?|{BEST})\.(mdl|mdl\.gz|test)|"
    + "|".join(map(re.escape, (STATE, METRICS, CURVES, *RECORDS)))
)
EVENT_FILE = re.compile(r"events\.out\.tfevents\.\d+")
TOKEN = r"\.[a-z0-9_]{8}\.tmp"  # ends the name of what is being written


class RunFiles:
    """Files of one training: PREFIX.state, PREFIX_epochNNN.mdl, PREFIX_metrics.csv and others.

    ``prefix`` is a path and the beginning of a name ("runs/a/model"); after a closing "/" the name
    is "model". As every name begins with it, runs share a directory without sharing a file.
    NNN counts epochs trained, from 001. ``suffix`` chooses the model format.

    Raises UsageError for a prefix that names a directory or device, and for an unknown suffix.
    """

    def __init__(self, prefix: str | os.PathLike[str], suffix: str = ".mdl"):
        if suffix not in SUFFIXES:
            raise UsageError(f"model suffix: {suffix!r}: use one of {', '.join(SUFFIXES)}")
        text = os.fspath(prefix)
        directory, name = os.path.split(text)
        self.directory, self._name = Path(directory).absolute(), name or "model"
        self._suffix = suffix
        if name and is_device(text):
            raise UsageError(f"--output-prefix: {text!r} is a device or pipe: give another")
        nothing = not text.strip(os.sep) or name in (os.curdir, os.pardir)
        # a directory beside a run of its name may hold what was made of it
        if nothing or (name and os.path.isdir(text) and not self.existing()):
            what = f"{text!r} is a directory" if text else "it is empty"
            inside = "/".join(filter(None, [text.rstrip(os.sep), "model"]))
            raise UsageError(
                f"--output-prefix: {what}: give the beginning of names of files, such as {inside}"
            )

    @property
    def prefix(self) -> Path:
        """What all names of the run begin with."""
        return self._file("")

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
        return self._file(f"{BEST}{self._suffix}")

    def tested(self, model: Path) -> Path:
        """Return the file of the errors of the best or final model on a test set of its own."""
        return model.with_name(model.name.removesuffix(self._suffix) + ".test")

    @property
    def state(self) -> Path:
        """All that going on with the training needs."""
        return self._file(STATE)

    @property
    def metrics(self) -> Path:
        """The table of one row per epoch."""
        return self._file(METRICS)

    @property
    def curves(self) -> Path:
        """The picture of that table."""
        return self._file(CURVES)

    @property
    def events(self) -> Path:
        """The directory of that table as TensorBoard events."""
        return self._file(EVENTS)

    @property
    def options(self) -> Path:
        """All options and versions, as YAML that --config takes."""
        return self._file(OPTIONS)

    @property
    def log(self) -> Path:
        """What was said."""
        return self._file(LOG)

    @property
    def bad_data(self) -> Path:
        """What was left out of the data, with the reason."""
        return self._file(BAD_DATA)

    @property
    def diverged(self) -> Path:
        """The batch that training diverged on."""
        return self._file(DIVERGED)

    def existing(self) -> list[Path]:
        """Return, sorted, what there is under the names of this run.

        Raises DataError for what is no file: writing there could wait for ever.
        """
        found = [path for path in self._own() if NAMES.fullmatch(path.name, len(self._name))]
        for path in found:
            if not path.is_file():
                raise DataError(
                    f"output: not a file: {path}: remove it, or give another --output-prefix"
                )
        events = [path for path in self.events.glob("*") if EVENT_FILE.fullmatch(path.name)]
        return sorted([*found, *events])

    def prepare(self) -> None:
        """Make the directory and prove that it can be written, before any time is spent.

        Raises DataError if it cannot.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        self.check_writable()

    def check_writable(self) -> None:
        """Prove that the directory can be written, or made; nothing is left. Raises DataError."""
        try:
            prove_writable(self.directory, self.final(999).name)
        except OSError as error:
            raise self._unwritable(error) from error

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Yield a prefix in a new directory beside it; both vanish with what is in them.

        What a dry run left that was killed vanishes too. Raises DataError.
        """
        made = [each for each in (self.directory, *self.directory.parents) if not each.exists()]
        try:
            self.prepare()
            lock = self.lock()
            try:
                self._clear_unfinished()
                with self.scratch() as prefix:
                    yield prefix
            finally:
                lock.release()
        finally:
            for each in made:
                with suppress(OSError):
                    each.rmdir()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a prefix in a new directory beside this one, whose lock must be held."""
        with tempfile.TemporaryDirectory(
            prefix=f".{self._name}{TRIAL}.", suffix=".tmp", dir=self.directory
        ) as directory:
            yield Path(directory, self._name)

    def read_state(self) -> State | None:
        """Return where the run stopped; None if it never came to save anything.

        Raises UsageError where there are models but no state, or what is not of a run, DataError.
        """
        found = self.existing()
        records = [path for path in found if path.name.endswith(RECORDS)]
        if foreign := [path for path in records if is_taken(path)]:
            raise UsageError(f"resume: not of a run: {foreign[0]}: move it away")
        if self.state.exists():
            return read_state(self.state)
        if saved := [path for path in found if path not in records]:
            raise UsageError(
                f"resume: no {self.state.name} beside {saved[0]}: start a new run with --model"
            )
        log.info("nothing to resume at %s: starting", self.prefix)
        return None

    def check_new(self, overwrite: bool = False) -> None:
        """Raise UsageError if a name is taken, unless ``overwrite``; DataError as ``existing``.

        What a start has left that came to save nothing is not worth a question: its records.
        """
        found = [path for path in self.existing() if is_taken(path)]
        if found and not overwrite:
            raise UsageError(
                f"output: {found[0]} is there already: give --resume to go on with that run, "
                "--overwrite to lose it, or another --output-prefix"
            )

    def keep_start(self, options: str) -> bool:
        """Record the options of a training that was stopped before it had files, for --resume.

        Returns whether that was done: beside another run, or where nothing can be written, not.
        """
        with suppress(DataError):
            self.prepare()
            lock = self.lock()
            try:
                if not any(map(is_taken, self.existing())):
                    write_text(self.options, options)
                    return True
            finally:
                lock.release()
        return False

    def lock(self) -> Lock:
        """Claim the files for this process until it ends or releases them. Raises DataError."""
        return Lock(self.directory / f".{self._name}.lock", self.prefix)

    def clear(self) -> None:
        """Remove the files of an earlier run. Raises DataError."""
        # killed in between, --resume must not go on with what is left
        first = [self.state, self.options]
        self._remove([*first, *self.existing()])
        with suppress(OSError):  # not there, or not empty
            self.events.rmdir()
        self.clear_leftovers()

    def clear_leftovers(self) -> None:
        """Remove what a process left that was killed while it wrote, or diverged. DataError."""
        self._clear_unfinished()
        self._remove([self.diverged])

    def _clear_unfinished(self) -> None:
        """Remove what the last process of this run was writing when it was killed."""
        names = re.compile(rf"(?:{NAMES.pattern}|{TRIAL}){TOKEN}")
        for path in self._own("."):
            if names.fullmatch(path.name, 1 + len(self._name)):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    self._remove([path])

    def _own(self, mark: str = "") -> list[Path]:
        """Return what lies in the directory under a name that begins with mark and prefix."""
        start = mark + self._name
        try:
            names = os.listdir(self.directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:  # what cannot be seen must not be replaced
            raise self._unwritable(error) from error
        return [self.directory / name for name in names if name.startswith(start)]

    def _remove(self, paths: Iterable[Path]) -> None:
        try:
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

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


def write_record(path: Path, text: str) -> None:
    """Write a text that tells by its first line that it is of a run. Raises DataError."""
    write_text(path, f"{SIGNATURES[0]}{__version__}\n{text}")


@contextmanager
def optional(path: Path) -> Iterator[None]:
    """Turn whatever prevents a file that training can do without into a warning."""
    try:
        yield
    except Exception as error:  # what draws pictures can raise anything
        log.warning("no %s: %s", path.name, error)


def is_taken(path: Path) -> bool:
    """Say whether there is something else at a path than what ``write_record`` wrote."""
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(max(map(len, SIGNATURES)))
                return not start.startswith(tuple(each.encode() for each in SIGNATURES))
    return os.path.lexists(path)
