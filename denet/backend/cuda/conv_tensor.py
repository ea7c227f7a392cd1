"""The products of a convolution on tensor cores: bf16 maps and weights, float32 sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.backend.cuda.conv_geometry import Geometry
from denet.backend.cuda.conv_parts import SMALLEST, Parts
from denet.backend.cuda.device import Device
from denet.backend.cuda.request import Request, blocks
from denet.backend.cuda.scratch import Scratch
from denet.backend.cuda.weight import CHUNK, filled
from denet.graph.kernel import Call

READS = {
    "correlate": ("large", "weight"),
    "adjoint": ("small", "weight"),
    "by_weight": ("large", "small"),
}


HOPPER = 90  # the capability whose warpgroups multiply (wgmma), four warps together
REGISTERS = 1 << 16  # of a processor
STATIC_SHARED = 48 << 10  # bytes that a block may have without asking
HOPPER_SHARED = 228 << 10  # bytes of a processor, of which each block takes SYSTEM_SHARED more
SYSTEM_SHARED = 1 << 10
MOST_STAGES = 4  # more hide no more of the memory's latency


@dataclass(frozen=True)
class Tile:
    """Results of a block and of one of its warps, which multiply alone or as ``warpgroups``."""

    rows: int
    columns: int
    warp_rows: int
    warp_columns: int
    speed: float  # relative, on a full device, by how often an operand is used; not measured
    warpgroups: bool = False

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self.rows}x{self.columns}" + " by warpgroups" * self.warpgroups

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 32 * (self.rows // self.warp_rows) * (self.columns // self.warp_columns)

    @property
    def resident(self) -> int:
        """Blocks that a processor holds, by registers: of a thread, 64 sums leave half."""
        sums = self.warp_rows * self.warp_columns // 32
        return REGISTERS // (self.threads * (128 if sums <= 64 else 256))

    @property
    def slice(self) -> int:
        """Steps of depth that come together: SLICE in conv_mma.cuh and conv_wgmma.cuh."""
        return 64 if self.warpgroups else 32

    @property
    def stages(self) -> int:
        """Slices in shared memory."""
        room = HOPPER_SHARED // self.resident - SYSTEM_SHARED if self.warpgroups else STATIC_SHARED
        return min(MOST_STAGES, room // self._stage)

    @property
    def shared(self) -> int:
        """Bytes of dynamic shared memory."""
        return self.stages * self._stage if self.warpgroups else 0

    @property
    def _stage(self) -> int:
        return 2 * self.slice * (self.rows + self.columns)

    @property
    def defines(self) -> dict[str, int | str]:
        """What conv_tensor.cuh asks for."""
        block = {"TILE_ROWS": self.rows, "TILE_COLUMNS": self.columns}
        warp = {"WARP_ROWS": self.warp_rows, "WARP_COLUMNS": self.warp_columns}
        held = {"STAGES": self.stages, "RESIDENT": self.resident}
        return {**block, **warp, **held, "WARPGROUPS": int(self.warpgroups)}

    def count(self, rows: int, columns: int) -> int:
        """Return how many tiles cover so many results."""
        return blocks(rows, self.rows) * blocks(columns, self.columns)


TILES = [
    Tile(128, 128, 64, 32, 1.0),
    Tile(128, 64, 64, 32, 0.85),
    Tile(64, 128, 64, 32, 0.85),
    Tile(64, 64, 32, 32, 0.65),
    Tile(32, 32, 16, 32, 0.3),
    Tile(256, 128, 32, 128, 1.6, warpgroups=True),
    Tile(128, 128, 16, 128, 1.5, warpgroups=True),
    Tile(128, 64, 16, 64, 1.1, warpgroups=True),
]


def best_tile(rows: int, columns: int, depth: int, times: int, device: Device) -> Tile:
    """Return the tile that computes ``times`` products, (rows, depth) by (depth, columns), soonest.

    A processor works on its blocks one by one, each in a time proportional to its size.
    """

    def time(tile: Tile) -> float:
        rounds = blocks(tile.count(rows, columns) * times, device.processors)
        steps = blocks(depth, tile.slice) * tile.slice
        return rounds * tile.rows * tile.columns * steps / tile.speed

    served = [tile for tile in TILES if device.capability == HOPPER or not tile.warpgroups]
    return min(served, key=time)


def on_tensor_cores(request: Request, geometry: Geometry) -> bool:
    """Say whether tensor cores serve: bf16 maps, channels of groups in whole chunks."""
    whole = geometry.large_channels % CHUNK == geometry.small_channels % CHUNK == 0
    bf16 = request.precision == "bf16" and request.type().dtype == "real"
    return bf16 and request.device.capability >= 80 and (geometry.groups == 1 or whole)


class TensorProducts:
    """The products (``products``: "correlate", "adjoint", "by_weight") of one node, one direction.

    They read maps and weights as bf16 in whole chunks; what lies otherwise is copied first.
    """

    name = "tensor cores"

    def __init__(
        self,
        request: Request,
        geometry: Geometry,
        elements: dict[str, str],
        products: list[str],
        scratch: Scratch,
    ):
        self._request, self._geometry, self._elements = request, geometry, elements
        shapes = {
            "large": (geometry.large_pixels, geometry.large_channels * geometry.groups),
            "small": (geometry.small_pixels, geometry.small_channels * geometry.groups),
            "weight": (geometry.weights // geometry.large_channels, geometry.large_channels),
        }
        if elements["weight"] == "bf16":
            del shapes["weight"]  # the layout has filled them up
        self._copies = {
            name: Packed(request, rows, channels, elements[name], scratch)
            for name, (rows, channels) in shapes.items()
            if any(name in READS[product] for product in products)
            and (elements[name] == "float" or channels % CHUNK)
        }
        if "by_weight" in products:
            sizes = geometry.small_channels, geometry.window * filled(geometry.large_channels)
            pixels, groups = geometry.small_pixels, geometry.groups
            times = groups * blocks(pixels, SMALLEST)  # what parts can be had
            self._tile = best_tile(*sizes, SMALLEST, times, request.device)
            self._tiles = self._tile.count(*sizes)
            work = self._tiles * groups, self._tile.resident
            self._parts = Parts(request, scratch, geometry.weights, pixels, *work)

    def prepare(self, arrays: dict[str, Any], scratch: Any) -> tuple[dict[str, Any], list[Call]]:
        """Return the arrays ("large", "small", "weight") as the products read them."""
        copies = {name: copy.array(scratch) for name, copy in self._copies.items()}
        calls = [copy.bind(arrays[name], scratch) for name, copy in self._copies.items()]
        return {**arrays, **copies}, calls

    def rows(self, product: str) -> int:
        """Return how many pixels of the target a block of "correlate" or "adjoint" computes."""
        return self._gather_tile(product).rows

    def gather(
        self,
        product: str,
        source: Any,
        weight: Any,
        target: Any,
        bias: Any = None,
        residual: Any = None,
        rectified: bool = False,
        parts: list[Any] | None = None,
    ) -> Call:
        """Bind "correlate" or "adjoint": target = product + bias + residual, then the ReLU.

        ``parts``, of "correlate" without the last two: where Statistics of the target wants them.
        """
        phases, pixels, channels = self._geometry.target(product == "adjoint")
        times = phases * self._geometry.groups
        tile = self._gather_tile(product)
        grid = tile.count(pixels, channels), 1, times
        arguments = [source, weight, bias, residual, np.int32(rectified), target]
        if parts:
            assert product == "correlate" and residual is None and not rectified
            product, arguments = "correlate_statistics", [source, weight, bias, target, *parts]
        element = self._elements["large" if product == "adjoint" else "small"]
        return self._launch("conv_tensor.cu", product, grid, tile, arguments, target_real=element)

    def by_weight(self, large: Any, small: Any, gradient: Any, scratch: Any) -> list[Call]:
        """Bind the gradient of the weights."""
        parts = self._parts
        grid = self._tiles, 1, parts.count * self._geometry.groups
        arguments = [large, small, np.int32(parts.pixels), parts.sums(gradient, scratch)]
        product = self._launch("conv_tensor_weight.cu", "by_weight", grid, self._tile, arguments)
        return [product, *parts.add(gradient, scratch)]

    def _gather_tile(self, product: str) -> Tile:
        adjoint = product == "adjoint"
        phases, pixels, channels = self._geometry.target(adjoint)
        times, depth = phases * self._geometry.groups, self._geometry.depth(adjoint)
        return best_tile(pixels, channels, depth, times, self._request.device)

    def _launch(
        self,
        file: str,
        name: str,
        grid: tuple[int, int, int],
        tile: Tile,
        arguments: list[Any],
        **defines: Any,
    ) -> Call:
        given = [*self._geometry.arguments, *arguments]
        options: dict[str, Any] = {**tile.defines, **defines}
        options |= {"threads": tile.threads, "shared": tile.shared}
        return self._request.launch(file, name, grid, given, **options)


class Packed:
    """A copy in scratch memory of rows of channels: bf16, in whole chunks."""

    def __init__(self, request: Request, rows: int, channels: int, element: str, scratch: Scratch):
        self._request, self._element = request, element
        self._rows, self._channels = rows, channels
        self._chunks = rows * filled(channels) // CHUNK
        self._place = scratch.reserve(self._chunks * CHUNK * 2)

    def array(self, scratch: Any) -> Any:
        """Return the copy."""
        return scratch[self._place].view(np.uint16)

    def bind(self, source: Any, scratch: Any) -> Call:
        """Bind what fills the copy."""
        sizes = np.int64(self._rows), np.int32(self._channels)
        arguments = [source, *sizes, self.array(scratch)]
        grid = blocks(self._chunks)
        return self._request.launch("conv_pack.cu", "pack", grid, arguments, real=self._element)
