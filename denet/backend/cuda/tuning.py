"""Which variant of a product a convolution runs: what was measured on this device, else a formula.

A table holds the variant of every product that ``model-bench --tune`` has measured, by its key.
The user's own table goes before one that comes with the package, and that before the formula. The
choice depends on nothing else, so every run has the same results.
"""

from __future__ import annotations

import datetime
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as brief
from typing import Any, Protocol

from denet import files
from denet.backend.cuda.compile import cache_folder
from denet.backend.cuda.device import Device
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.nvrtc import capability_text
from denet.errors import DataError
from denet.files import alone_in, atomic_text, is_device, make_directory

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "tuned"  # tables of devices that were measured
FORMAT = 1
MEND = "the formula chooses: run model-bench --tune again"

SMALLEST = 128  # steps of depth of a part
MOST_BYTES = 1 << 26  # of all parts
MOST_LAYERS = 65535  # of a grid of blocks
FILLS = (1, 2, 4, 8)  # blocks that parts leave to a processor

# For the formula: sizes as GPUs of 8.0 to 9.0 have them, about; none was measured
RATE = 1e12  # multiply-adds per second of a processor, of a tile whose speed is 1
TRAFFIC = 2e10  # bytes per second of memory for each processor
LAUNCH = 2e-6  # seconds until another launch runs
EDGE = 32  # steps of depth that a block takes to begin and to end


class Tile(Protocol):
    """How a block computes its results: so many rows and columns, by slices of depth."""

    @property
    def name(self) -> str: ...

    @property
    def rows(self) -> int: ...

    @property
    def columns(self) -> int: ...

    @property
    def slice(self) -> int: ...

    @property
    def resident(self) -> int:
        """Blocks that a processor holds."""
        ...

    @property
    def speed(self) -> float:
        """Of a full processor, relative."""
        ...


@dataclass(frozen=True)
class Product:
    """``times`` products of matrices, (rows, depth) by (depth, columns).

    ``elements`` counts all results: each part of the depth leaves so many float32 sums.
    """

    key: str
    rows: int
    columns: int
    depth: int
    times: int
    elements: int


@dataclass(frozen=True)
class Variant:
    """A tile, and parts of ``length`` steps into which the depth falls."""

    tile: Tile
    length: int
    parts: int

    @property
    def name(self) -> str:
        """What to call it, in tables too."""
        return self.tile.name + (f" in {self.parts} parts" if self.parts > 1 else "")


def count(tile: Tile, product: Product) -> int:
    """Return how many blocks compute a product that is not in parts."""
    return blocks(product.rows, tile.rows) * blocks(product.columns, tile.columns) * product.times


def candidates(product: Product, tiles: Sequence[Tile], device: Device) -> list[Variant]:
    """Return the variants of a product: every tile, whole and in parts that fill the device."""
    most = max(
        1,
        min(
            product.depth // SMALLEST,
            MOST_BYTES // (4 * product.elements),
            MOST_LAYERS // product.times,
        ),
    )
    found: dict[Variant, None] = {}
    for tile in tiles:
        fills = [blocks(fill * device.processors, count(tile, product)) for fill in FILLS]
        for parts in (1, *fills):
            length = blocks(blocks(product.depth, min(parts, most)), tile.slice) * tile.slice
            found[Variant(tile, length, blocks(product.depth, length))] = None
    return list(found)


def estimate(product: Product, variant: Variant, device: Device) -> float:
    """Return about how many seconds a variant takes.

    The processor with the most blocks is the last to end. It is at its full speed with all blocks
    that it can hold; with fewer, at the root of their share. Parts are written, read and added.
    """
    tile = variant.tile
    share = blocks(count(tile, product) * variant.parts, device.processors)
    work = share * tile.rows * tile.columns * (variant.length + EDGE) / (RATE * tile.speed)
    seconds = work * math.sqrt(tile.resident / min(share, tile.resident))
    if variant.parts > 1:
        moved = 2 * 4 * product.elements * variant.parts
        seconds += LAUNCH + moved / (TRAFFIC * device.processors)
    return seconds


@dataclass
class Tuning:
    """Chooses for one device. ``asked`` are the products chosen for, with their candidates."""

    device: Device
    table: Mapping[str, str] | None = None  # names of variants by key; None reads the files
    asked: dict[str, tuple[Product, list[Variant]]] = field(default_factory=dict)

    def choose(self, product: Product, tiles: Sequence[Tile]) -> Variant:
        """Return the variant that the table names, else the one that the formula takes."""
        if self.table is None:
            self.table = read(self.device)
        served = candidates(product, tiles, self.device)
        self.asked[product.key] = product, served
        named = self.table.get(product.key)
        for variant in served:
            if variant.name == named:
                return variant
        if named is not None:
            why = f"there is no variant {brief(named)}"
            log.warning("tuned convolutions: %s: %s: %s", product.key, why, MEND)
        return by_formula(product, served, self.device)


def by_formula(product: Product, served: Sequence[Variant], device: Device) -> Variant:
    """Return the variant that takes least time by the formula; the first of several."""
    return min(served, key=lambda variant: estimate(product, variant, device))


def file_name(device: Device) -> str:
    """Return the name of a device's table."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", device.name).strip("-")
    return f"{name}-{capability_text(device.capability)}-{device.processors}.json"


def own_path(device: Device) -> Path | None:
    """Return where the user's own table of a device is; None without a home."""
    folder = cache_folder()
    return folder / file_name(device) if folder else None


def read(device: Device) -> dict[str, str]:
    """Return the table of a device; of one that cannot be read a line tells, and it is empty."""
    own, remedy = own_path(device), f"{MEND}, or delete it"
    table = _table(SHIPPED / file_name(device), device, remedy)
    return table | _table(own, device, remedy) if own else table


def _table(path: Path, device: Device, remedy: str) -> dict[str, str]:
    try:
        return _read(path, device)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        log.warning("tuned convolutions: %s: %s: %s", path, reason, remedy)
        return {}


def _read(path: Path, device: Device) -> dict[str, str]:
    """Return the table of a file. Raises OSError, ValueError."""
    if is_device(path):
        raise ValueError("a device or pipe")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("not JSON, or damaged") from None
    header = _header(device)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"not a table of format {FORMAT}")
    for name, value in header.items():
        if content.get(name) != value:
            raise ValueError(f"made for another GPU, whose {name} is {brief(content.get(name))}")
    table = content.get("convolutions")
    if not isinstance(table, dict) or not all(isinstance(each, str) for each in table.values()):
        raise ValueError("convolutions: not names of variants by key")
    return table


def check_writable(device: Device) -> Path:
    """Return where the user's own table of a device is. Raises DataError where none can be."""
    path = own_path(device)
    if path is None:
        raise DataError("tuned convolutions: there is no home directory: set XDG_CACHE_HOME")
    files.check_writable(path, makes_directory=True)
    return path


def write(device: Device, found: Mapping[str, str]) -> Path:
    """Put variants into the user's own table; return where it is. Raises DataError."""
    path = check_writable(device)
    make_directory(path.parent)
    content: dict[str, Any] = {"format": FORMAT, **_header(device), "compiler": device.compiler}
    content["date"] = datetime.date.today().isoformat()
    with alone_in(path.parent):  # GPUs of one kind have one table, and may be tuned side by side
        before = _table(path, device, "it is replaced")
        content["convolutions"] = dict(sorted({**before, **found}.items()))
        with atomic_text(path) as file:
            json.dump(content, file, indent=1)
    return path


def _header(device: Device) -> dict[str, Any]:
    """Return what tells one kind of GPU from another."""
    return {
        "device": device.name,
        "capability": capability_text(device.capability),
        "processors": device.processors,
    }
