"""The table of a run, one row per epoch: the whole is on the disk as soon as an epoch is over."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from denet.errors import DataError
from denet.files import atomic_text

CORNER_CELLS = "corner_cells"  # column: per cent of the cells of a map of corners that are some
COST_PART = "cost_"  # begins the names of the columns that add up to the column cost


def write_metrics(path: str | os.PathLike[str], rows: Sequence[Mapping[str, float]]) -> None:
    """Write the table whole or not at all, a column for each name that any row has.

    A value that a row lacks or that is not a number stays empty. Raises DataError.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_text(row.get(name, math.nan)) for name in columns] for row in rows]
    with atomic_text(path) as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *cells])


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[float]]:
    """Return the columns by name, nan where a cell is empty.

    Raises DataError if the file cannot be read or holds anything but numbers.
    """
    try:
        header, *rows = csv.reader(Path(path).read_text(encoding="utf-8").splitlines())
        cells = [[_number(cell) for cell in row] for row in rows]
        columns = zip(*cells, strict=True) if cells else [()] * len(header)
        return {name: list(column) for name, column in zip(header, columns, strict=True)}
    except OSError as error:
        raise DataError(f"metrics: cannot read {path}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"metrics: {path} is not a table of numbers ({error})") from error


def cost_parts(columns: Iterable[str]) -> dict[str, str]:
    """Return {column: name of the cost} of those that add up to the column cost."""
    return {name: name.removeprefix(COST_PART) for name in columns if name.startswith(COST_PART)}


def _text(value: float) -> str:
    if math.isnan(value):
        return ""
    whole = abs(value) < 2**53 and value == int(value)
    return str(int(value)) if whole else f"{value:.7g}"


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan
