"""What a path stands for."""

from __future__ import annotations

import os


def is_device(path: str | os.PathLike[str]) -> bool:
    """Say whether a path is a device or a pipe, which to read may never end or never begin."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))
