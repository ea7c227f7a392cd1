"""The text of a kernel, whole: what a compiler gets, and what names a compiled kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "kernels"
_INCLUDE = re.compile(r'^#include "([\w.]+)"\n', re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """One kernel: a file of the folder ``kernels``, its constants, and the name of the function.

    ``defines`` are (name, value) pairs, sorted, that stand before the text: the element type, tile
    sizes, what is fused. Sizes of arrays are arguments of the function, so that few texts serve.
    """

    file: str
    name: str
    defines: tuple[tuple[str, int | str], ...] = ()

    @property
    def text(self) -> str:
        """The file behind its defines, with every ``#include "..."`` replaced by that text."""
        defines = "".join(f"#define {name} {value}\n" for name, value in self.defines)
        return defines + _read(self.file)


@cache
def _read(file: str) -> str:
    """Return the text of a file of the folder, each header in it once."""
    seen: set[str] = set()

    def included(match: re.Match[str]) -> str:
        return expanded(match[1])

    def expanded(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        return _INCLUDE.sub(included, (FOLDER / name).read_text())

    return expanded(file)
