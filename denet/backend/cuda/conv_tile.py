"""How a block of threads computes its share of a product on tensor cores."""

from __future__ import annotations

from dataclasses import dataclass

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


def served(capability: int) -> list[Tile]:
    """Return the tiles that a device has."""
    return [tile for tile in TILES if capability == HOPPER or not tile.warpgroups]
