"""The files of a run: their names, the check that they can be written, and writing them whole."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from denet.errors import DataError, UsageError
from denet.model.format import FORMATS
from denet.model.format.atomic import atomic_write


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
    def interrupted(self) -> Path:
        """The model as it was when the user stopped the run."""
        return self._file(f"_interrupted{self._suffix}")

    @property
    def metrics(self) -> Path:
        """The table of one row per epoch."""
        return self.directory / "metrics.csv"

    @property
    def curves(self) -> Path:
        """The picture of that table."""
        return self.directory / "curves.png"

    def existing(self) -> list[Path]:
        """Return, sorted, what an earlier run has left in the directory."""
        pattern = re.compile(
            re.escape(self._name)
            + r"_(epoch\d+(_final)?|best|interrupted)\.(mdl|mdl\.gz|test)"
            + f"|{self.metrics.name}|{self.curves.name}"
        )
        return sorted(p for p in self.directory.glob("*") if pattern.fullmatch(p.name))

    def check(self, overwrite: bool = False) -> None:
        """Make the directory and prove that it can be written, before any time is spent.

        Raises DataError if it cannot; UsageError if it holds a run, unless ``overwrite``.
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
        self.check_new(overwrite)

    def check_new(self, overwrite: bool = False) -> None:
        """Raise UsageError if the directory holds a run, unless ``overwrite``."""
        found = self.existing()
        if found and not overwrite:
            raise UsageError(
                f"output: {self.directory} already holds a run ({found[0].name}): "
                "give another --output-prefix, or --overwrite to lose that run"
            )

    def clear(self) -> None:
        """Remove the files of an earlier run. Raises DataError."""
        try:
            for path in self.existing():
                path.unlink()
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
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
