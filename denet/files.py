"""Files: what a path stands for, and writing that leaves a whole file or none."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from denet.errors import DataError
from denet.printable import PrintableWriter


def is_device(path: str | os.PathLike[str]) -> bool:
    """Say whether a path is a device or a pipe, which to read may never end or never begin."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def make_directory(path: str | os.PathLike[str]) -> Path:
    """Make a directory, and those it is in, unless it is there. Raises DataError."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"cannot make the directory: {os.fspath(path)}: {reason}: give another"
        ) from None
    return Path(path)


def prove_writable(directory: Path, name: str) -> None:
    """Write a file and drop it in a directory, or in the nearest that there is above it.

    ``name`` is as long as names there will be. Raises OSError of the directory.
    """
    directory = directory.absolute()
    place = next(each for each in (directory, *directory.parents) if os.path.lexists(each))
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a directory", str(place))
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{name}.", suffix=".tmp", dir=place) as probe:
            probe.write(b"\0")
    except OSError as error:
        error.filename = str(place)  # nobody has asked for the file that is tried
        raise


def check_writable(path: str | os.PathLike[str], makes_directory: bool = False) -> None:
    """Raise DataError unless a file can be written there: told before the work that it is to hold.

    With ``makes_directory`` the directory may be missing, and the path may be one.
    """
    target = Path(path)
    if is_device(target):
        return  # atomic_write tells it
    try:
        if target.is_dir() and not makes_directory:
            raise IsADirectoryError(errno.EISDIR, "a directory: give a file")
        if not os.path.lexists(target.parent) and not makes_directory:
            raise FileNotFoundError(errno.ENOENT, f"no such directory: {target.parent}")
        prove_writable(target if target.is_dir() else target.parent, target.name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write: {os.fspath(path)}: {reason}") from None


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new empty file on the disk of ``path``; rename it to ``path`` on success.

    The content is on the disk before the name changes. After any failure the file that ``path``
    named before is intact and the new one is gone. Raises DataError with path and reason.

    The new file lies in a directory of its own, .NAME.xxxxxxxx.tmp beside ``path``: what a library
    writes beside it, and a process that is killed leaves, tells by its place whose it is.
    """
    target = Path(os.path.realpath(path))  # a link stays a link: the file behind it is replaced
    if is_device(target):  # it would become a plain file
        raise DataError(f"cannot write: {os.fspath(path)}: a device or pipe: give a file")
    directory = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    temporary = directory / target.name
    try:
        directory.mkdir()
        temporary.touch()
        mode = (target if target.is_file() else temporary).stat().st_mode & 0o777
        yield temporary
        temporary.chmod(mode)  # a library that writes the file may have made it private
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, target)
        with suppress(PermissionError):  # Windows cannot open a directory
            _sync(target.parent, os.O_RDONLY)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write: {os.fspath(path)}: {reason}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def atomic_text(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Yield a new text file in UTF-8 that becomes ``path`` on success, as ``atomic_write`` does.

    Line ends stay as they are written; what else acts in a terminal, as names may, is escaped.
    """
    with (
        atomic_write(path) as temporary,
        PrintableWriter(temporary.open("wb"), encoding="utf-8", newline="") as file,
    ):
        yield file


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Keep others that ask for the same out of a directory, to read a file and write it anew.

    Where the system knows no locks (Windows, some network file systems) nobody waits.
    """
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl

            handle = os.open(directory, os.O_RDONLY)
            stack.callback(os.close, handle)  # which ends the lock
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sync(path: Path, flags: int) -> None:
    """Wait until the file or directory is on the disk."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_size(path: str) -> int:
    """Return the bytes of a file, -1 where it cannot be asked."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
