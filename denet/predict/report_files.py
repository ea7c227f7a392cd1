"""The files of a report in a directory."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TextIO

from denet.files import atomic_text, atomic_write, make_directory
from denet.report.drawing import load_font
from denet.report.plotting import MISSING, can_draw

log = logging.getLogger(__name__)


class ReportFiles:
    """A directory, which is made, for tables and pictures of which matplotlib draws ``plots``.

    Made before the answers are, so that what is in the way of them is told early: UsageError for
    the font, DataError for the directory, a warning where ``plots`` are left out. ``names`` are
    those in the pictures, whose letters the font, of ``font_size`` px, should have.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        plots: Sequence[str],
        names: Iterable[str],
        font_file: str | None,
        font_size: int,
    ):
        self.directory, self.font_file = Path(directory), font_file
        self.font = load_font(
            font_size, "".join(sorted(set(chain.from_iterable(names)))), font_file
        )
        self._plots = plots
        make_directory(directory)
        if not can_draw():
            for plot in plots:
                log.warning("%s is left out: %s", self.directory / plot, MISSING)

    def write(
        self,
        tables: Mapping[str, Callable[[TextIO], None]],
        pictures: Mapping[str, Callable[[Path], None]],
    ) -> list[str]:
        """Write what each function writes to the file of its name; return which files."""
        shown = {
            name: draw for name, draw in pictures.items() if name not in self._plots or can_draw()
        }
        for name, write in tables.items():
            with atomic_text(self.directory / name) as file:
                write(file)
        for name, draw in shown.items():
            with atomic_write(self.directory / name) as temporary:
                draw(temporary)
        return [*tables, *shown]
