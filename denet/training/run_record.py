"""What the files of a run tell of it, be they whole, damaged or somebody else's."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from denet.errors import DataError, DenetError, UsageError, nearest_hint
from denet.report.metrics import read_metrics
from denet.report.run import FileRecord, Run
from denet.training.checkpoint import METRICS, OPTIONS, SIGNATURES, STATE, RunFiles

LOG_BYTES = 1 << 20  # of a log that are looked at: its end
METRICS_BYTES = 64 << 20  # of a table: a row has some hundred
WARNINGS, LONGEST = 30, 1000  # of a log that are told, and letters of each
LEVEL = re.compile(r"\d{4}-\d\d-\d\d \S+ (?:WARNING|ERROR) (.*)")
REMARK = re.compile(r"# (\w[\w .-]{0,30}): (.*)")
CHUNK = 1 << 20  # bytes


def find_runs(path: str) -> list[RunFiles]:
    """Return the run with this prefix, or those in this directory. Raises DataError for none."""
    directory = path if os.path.isdir(path) else os.path.dirname(path) or os.curdir
    names = _run_names(directory)
    if os.path.isdir(path) and names:
        return [RunFiles(os.path.join(path, name)) for name in names]
    if os.path.basename(path) in names:
        return [RunFiles(path)]
    with suppress(UsageError):  # models alone
        files = RunFiles(path)
        if files.existing():
            return [files]
    hint = nearest_hint(os.path.basename(path), names)
    raise DataError(
        f"no run: {path}{hint}: give the --output-prefix of a run, or the directory that it is in"
    )


def _run_names(directory: str) -> list[str]:
    """Return the names that the files of runs in a directory begin with."""
    try:
        found = os.listdir(directory)
    except OSError:
        return []
    endings = OPTIONS, METRICS, STATE
    names = {name.removesuffix(end) for name in found for end in endings if name.endswith(end)}
    return sorted(names - {""})


@contextmanager
def noted(run: Run) -> Iterator[None]:
    """Turn an error of the data into a note of the run; what is left of it is told all the same."""
    try:
        yield
    except DenetError as error:
        run.notes.append(str(error))


def read_record(files: RunFiles, name: str) -> Run:
    """Return what table, log and options tell of a run, and all its files with their hashes."""
    run = Run(name)
    with noted(run):
        if os.path.lexists(files.metrics):
            _check_size(files.metrics, METRICS_BYTES)
            run.metrics = _read_metrics(files.metrics)
        else:
            run.notes.append("no table of metrics: the run has not ended an epoch")
    with noted(run):
        run.environment = list(_environment(files.options))
    with noted(run):
        run.warnings = _warnings(files.log)
    with noted(run):
        run.files = [_file(path, files.directory) for path in files.existing()]
    if files.diverged.exists():
        run.notes.append(f"the training diverged: {files.diverged.name} tells on which batch")
    return run


def model_file(files: RunFiles) -> Path:
    """Return the best model of a run, or the last one. Raises DataError where there is none."""
    found = [path for path in files.existing() if path.name.endswith((".mdl", ".mdl.gz"))]
    best = [
        path for path in found if path.name.removeprefix(files.prefix.name).startswith("_best.")
    ]
    last = best or sorted(found, key=_epoch)[-1:] or [files.state] * files.state.exists()
    if not last:
        raise DataError(f"no model of the run: {files.prefix}")
    return last[0]


def signature(files: RunFiles) -> str:
    """Return with which of SIGNATURES the options of a run begin, "" where with none."""
    if not files.options.is_file():
        return ""
    start = next(iter(_lines(files.options)), "")
    return next((each for each in SIGNATURES if start.startswith(each)), "")


def _epoch(path: Path) -> tuple[int, str]:
    """Return what sorts models by their age."""
    found = re.search(r"_epoch(\d{1,9})", path.name)
    return int(found[1]) if found else -1, path.name


def _read_metrics(path: Path) -> dict[str, list[float]]:
    columns = read_metrics(path)
    if "epoch" not in columns:
        raise DataError(f"metrics: {path} has no column 'epoch': it is not of a run")
    return columns


def _environment(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the remarks behind the options of a run: what computed it."""
    if path.is_file():
        for line in [*_lines(path)][1:]:
            if found := REMARK.fullmatch(line.rstrip()):
                yield found[1], found[2]


def _warnings(path: Path) -> list[str]:
    """Return what a log warns of, each once."""
    if not path.is_file():
        return []
    found = (LEVEL.fullmatch(line.rstrip()) for line in _lines(path))
    return list(dict.fromkeys(each[1][:LONGEST] for each in found if each))[-WARNINGS:]


def _lines(path: Path) -> Iterable[str]:
    """Return the lines of a text, of a large one those at its end. Raises DataError."""
    with _told(path), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - LOG_BYTES, 0))
        return file.read(LOG_BYTES).decode(errors="backslashreplace").splitlines()


def _file(path: Path, directory: Path) -> FileRecord:
    """Return name, size and hash of a file. Raises DataError."""
    digest, size = hashlib.sha256(), 0
    with _told(path), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileRecord(os.path.relpath(path, directory), size, digest.hexdigest())


def _check_size(path: Path, most: int) -> None:
    with _told(path):
        if not path.is_file() or path.stat().st_size > most:
            raise DataError(
                f"metrics: {path} is no file of {most:,} bytes or less: it is not of a run"
            )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read: {path}: {error.strerror or error}") from error
