"""What the kernels of batch_norm.cu that go over a whole map have in common: tiles of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import numpy as np

from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.request import VECTOR_BYTES, Request
from denet.graph.kernel import Call
from denet.graph.tensor_type import TensorType

FILE = "batch_norm.cu"
MOST_COLUMNS = 32  # of a block: neighbouring threads of one row
BLOCKS = 12  # of a multiprocessor, which runs 3 or 4 at a time
LEAST_ROWS = 4  # of a thread, where there are enough


@dataclass(frozen=True)
class Tiles:
    """How the blocks of a launch share a map (rows, channels)."""

    rows: int
    channels: int
    width: int  # channels of a thread
    columns: int  # threads side by side
    across: int  # blocks side by side
    height: int  # rows of a block
    parts: int  # blocks one below the other

    @classmethod
    def of(cls, type_: TensorType, element: str, processors: int) -> Tiles:
        """Cover an activation of a C type with whole rounds of blocks, where it is large."""
        rows, channels = prod(type_.shape[:3]), type_.shape[3]
        width = gcd(channels, VECTOR_BYTES // (4 if element == "float" else 2))
        across = blocks(channels // width, MOST_COLUMNS)
        columns = blocks(channels // width, across)
        parts = min(
            blocks(BLOCKS * processors, across), blocks(rows, THREADS // columns * LEAST_ROWS)
        )
        height = blocks(rows, parts)
        return cls(rows, channels, width, columns, across, height, blocks(rows, height))

    def launch(self, request: Request, name: str, arguments: list[Any], element: str) -> Call:
        """Bind a kernel that goes over a map of this C type; counts follow its arguments."""
        counts = map(np.int32, (self.rows, self.channels, self.columns, self.height))
        grid = self.parts, self.across, 1
        return request.launch(
            FILE, name, grid, [*arguments, *counts], WIDTH=self.width, real=element
        )
