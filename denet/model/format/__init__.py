"""Model files: load_model and save_model choose the format by the suffix of the name."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from denet.errors import DataError, OutOfMemoryError, UsageError
from denet.layer.options import LayerOptions
from denet.model.format import ccv, ccv_write, mdl, mdl_gz, weights
from denet.model.format.content import open_file
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

log = logging.getLogger(__name__)

Read = Callable[[str], Model]
Write = Callable[[Model, str], None]
FORMATS: dict[str, tuple[Read, Write]] = {
    ".sqlite3": (ccv.read, ccv_write.write),
    ".mdl.gz": (mdl_gz.read, mdl_gz.write),
    ".mdl": (mdl.read, mdl.write),
}
# what a file of a format does not hold: whose it is, and its clauses
LOSSES: dict[str, tuple[str, Callable[[Model], list[str]]]] = {
    ".sqlite3": ("the format of ccv", ccv_write.lost_in_ccv),
    ".mdl.gz": ("the program of 2017", mdl_gz.lost_in_2017),
}
STARTS = {b"\x1f\x8b": ".mdl.gz", b"SQLite format 3\0": ".sqlite3"}
TO_WEIGHTS = "if it holds weights of PyTorch, name it .pth and give it to model-modify --input"
# first bytes: what the file is, and how to go on
FOREIGN = {
    b"\x1f\x8b": ("gzip data", "if it is a model of 2017, its name must end in .mdl.gz"),
    b"\x80": ("a Python pickle", TO_WEIGHTS),
    b"PK\x03\x04": ("a zip archive", TO_WEIGHTS),
    b"SQLite format 3\0": (
        "an SQLite database",
        "if it is a model of ccv, its name must end in .sqlite3",
    ),
    b"\x89HDF": ("an HDF5 file", "models of Keras cannot be read"),
    b"{": ("JSON text", "if it is a model of 2017, pack it with gzip and name it .mdl.gz"),
    b"<": ("HTML or XML text", "if it was downloaded, get it again"),
    b"version https://git-lfs": ("a Git LFS pointer", "get the file with git lfs pull"),
}
SUFFIXES = " or ".join(", ".join(FORMATS).rsplit(", ", 1))
SIGNATURE_BYTES = 32
SHOWN_MODELS = 3  # names of those that lie beside one that is missing


def model_suffix(path: str | os.PathLike[str]) -> str:
    """Return the suffix that tells the format; UsageError if it is none of them."""
    for suffix in FORMATS:
        if os.fspath(path).endswith(suffix):
            return suffix
    if holds_weights(path):
        raise UsageError(
            f"not a model: {os.fspath(path)}: weights of other programs are made one by "
            "model-modify --input FILE --output NAME.mdl"
        )
    raise UsageError(
        f"unknown model format: {os.fspath(path)}: end it in {SUFFIXES} (.onnx is only written, by "
        "model-modify)"
    )


def save_model(model: Model, path: str | os.PathLike[str], half: bool = False) -> None:
    """Save a model atomically: a file that was there stays whole until the new one is.

    With ``half`` the weights are 16-bit floats, which only .sqlite3 has: UsageError for others.
    """
    suffix = model_suffix(path)
    if half:
        if suffix != ".sqlite3":
            raise UsageError(f"--half: {os.fspath(path)}: only .sqlite3 holds 16-bit floats")
        return ccv_write.write(model, os.fspath(path), half=True)
    _, write = FORMATS[suffix]
    write(model, os.fspath(path))


def warn_of_loss(model: Model, path: str | os.PathLike[str]) -> None:
    """Log what is lost of a model that is saved in the format of another program."""
    if model_suffix(path) in LOSSES:
        whose, lost = LOSSES[model_suffix(path)]
        for clause in lost(model):
            log.warning("%s: %s %s", os.fspath(path), whose, clause)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Return the model in a file; raise DataError if it holds none, OutOfMemoryError.

    Files of strangers cannot run code, and what they make us allocate is bounded by their size
    (for .mdl.gz by MAX_TEXT_BYTES).
    """
    source = os.fspath(path)
    with _faults_told(source):
        with open_file(source) as file:
            start = file.read(SIGNATURE_BYTES)
        # the state of a training is its model, and more
        suffix = ".mdl" if source.endswith(".state") else model_suffix(source)
        check_content(start, suffix, source)
        read, _ = FORMATS[suffix]
        return read(source)


def holds_weights(path: str | os.PathLike[str]) -> bool:
    """Say whether the name is that of a file of weights, which ``load_weights`` reads."""
    return os.fspath(path).endswith(weights.SUFFIXES)


def load_weights(
    path: str | os.PathLike[str],
    text: str | None = None,
    options: LayerOptions | None = None,
    size: Sequence[int] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Model:
    """Return the model of the weights that another program trained, see ``weights.read``."""
    with _faults_told(os.fspath(path)):
        return weights.read(path, text, options, size, preprocessing)


@contextmanager
def _faults_told(source: str) -> Iterator[None]:
    """Raise DataError for a file that cannot be read, OutOfMemoryError for too large a one."""
    try:
        yield
    except FileNotFoundError:
        looked = "" if os.path.isabs(source) else f" (in {os.getcwd()})"
        raise DataError(f"model file not found: {source}{looked}{_others(source)}") from None
    except OSError as error:
        raise DataError(f"cannot read model: {source}: {error.strerror or error}") from error
    except MemoryError:
        raise OutOfMemoryError(
            f"model: {source}: it does not fit into memory: stop other programs, or take a "
            "machine with more"
        ) from None


def _others(source: str) -> str:
    """Return in words which models lie where one was looked for."""
    directory = os.path.dirname(source) or "."
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(tuple(FORMATS)))
    except OSError:
        return ""
    more = ", ..." if len(names) > SHOWN_MODELS else ""
    return f": there are {', '.join(names[:SHOWN_MODELS])}{more}" if names else ""


def check_content(start: bytes, suffix: str, source: str) -> None:
    """Raise DataError telling what the file is unless it starts as its suffix promises."""
    if start[8:9] == b"{" and start[4:8] == bytes(4):  # length of the header, then its JSON
        found, what, advice = ".mdl", "a .mdl file", "rename it to end in .mdl"
    else:
        known = ((bits, *told) for bits, told in FOREIGN.items() if start.startswith(bits))
        bits, what, advice = next(known, (b"", "of unknown content", "take another copy"))
        found = STARTS.get(bits, "")
    if found != suffix:
        what = what if start else "empty"
        raise DataError(f"not a {suffix} file: {source}: it is {what}; {advice}")
