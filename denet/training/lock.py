"""A lock on the files of a run, so that two processes do not write one run."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from denet.errors import DataError

log = logging.getLogger(__name__)


class Lock:
    """Holds the empty file ``path`` locked for ``run``, its prefix; nothing where POSIX is not.

    Raises DataError where another process holds it, or ``path`` cannot be such a file.
    """

    def __init__(self, path: Path, run: Path):
        self._path = path
        self._file: int | None = None
        try:
            import fcntl
        except ModuleNotFoundError:  # Windows
            return
        try:
            # a pipe does not wait for its other end, a link is not followed
            flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW
            file = os.open(path, flags, 0o666)
        except OSError as error:
            raise DataError(f"output: cannot write: {path}: {error.strerror}") from error
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size:
                raise DataError(
                    f"output: not the lock of a run: {path}: remove it, or give another "
                    "--output-prefix"
                )
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise DataError(
                f"output: another process trains {run}: wait for it, or give another "
                "--output-prefix"
            ) from None
        except DataError:
            os.close(file)
            raise
        except OSError as error:  # some network file systems know no locks
            log.warning("output: %s cannot be locked: %s", path, error.strerror)
        if os.fstat(file).st_nlink == 0:  # its last holder has removed it meanwhile
            os.close(file)
            raise DataError(f"output: another process just ended {run}: try again")
        self._file = file

    def release(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        self.release()
