"""What NVRTC makes of the kernels, for every architecture, without a GPU or a driver."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from backend.cuda.recording_device import launched

from denet.backend.cuda import source
from denet.backend.cuda.conv_tile import TILES, Tile
from denet.backend.cuda.nvrtc import Compiled, NvrtcUnavailable, load
from denet.backend.cuda.source import Source
from denet.cores import core_count

try:
    NVRTC = load()
except NvrtcUnavailable as reason:
    pytest.skip(str(reason), allow_module_level=True)

# KB of shared memory that a block may take: CUDA C++ Programming Guide, "Compute Capabilities".
# A device of 9.0 gets code for 90a, never for plain 90
ARCHITECTURES = {
    **{"75": 64, "80": 163, "86": 99, "89": 99},
    **{"90a": 227, "100": 227, "120": 99},
}
REGISTERS = 128  # two blocks of 256 threads share the 65,536 of a multiprocessor
MOST_REGISTERS = 255  # that a thread can have: for kernels which say how many blocks are RESIDENT
FUNCTION = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<spills>\d+) bytes spill stores.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)
SHARED = re.compile(r"(\d+) bytes smem")
# what ptxas gives a number is a loss: C7510 and its like, that products of matrices do not overlap
REMARK = re.compile(r"\bwarning\b|\(C\d+\)")


@dataclass(frozen=True)
class Usage:
    """What one function takes: registers of a thread, bytes of a thread and of a block."""

    registers: int
    stack: int
    spills: int
    shared: int


def usage(log: str) -> dict[str, Usage]:
    """Read the report of ptxas, by function."""
    used = {}
    for found in FUNCTION.finditer(log):
        numbers = (int(found[key]) for key in ("registers", "stack", "spills"))
        shared = SHARED.search(found["rest"])
        used[found["name"]] = Usage(*numbers, int(shared[1]) if shared else 0)
    return used


def faults(kernel: Source, dynamic: int, compiled: Compiled, shared_limit: int) -> list[str]:
    """Return what is wrong with a compiled kernel that is launched with dynamic shared memory."""
    used = usage(compiled.log)
    if kernel.name not in used:
        return ["no such function"]
    own, defines = used[kernel.name], dict(kernel.defines)
    threads, resident = int(defines["THREADS"]), int(defines.get("RESIDENT", 0))
    registers = min(MOST_REGISTERS if resident else REGISTERS, 65_536 // threads // (resident or 1))
    found = [line for line in compiled.log.splitlines() if REMARK.search(line)]
    if own.registers > registers:
        found.append(f"{own.registers} registers, {registers} are enough")
    if own.spills:
        found.append(f"{own.spills} bytes of registers spilled")
    elif own.stack:
        found.append(f"{own.stack} bytes of stack: an array that is indexed at run time")
    if own.shared > 48 * 1024 or own.shared + dynamic > shared_limit:
        found.append(f"{own.shared} + {dynamic} bytes of shared memory, {shared_limit} are there")
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_keeps_to_its_budget(architecture: str) -> None:
    kernels = launched(int(architecture.rstrip("a")))
    texts = {(kernel.file, kernel.defines): kernel for kernel in kernels}
    assert len(texts) > 2
    with ThreadPoolExecutor(core_count()) as pool:
        done = pool.map(lambda kernel: NVRTC.compile(kernel, architecture), texts.values())
        compiled = dict(zip(texts, done, strict=True))
    found = {
        kernel: wrong
        for kernel, dynamic in kernels.items()
        if (
            wrong := faults(
                kernel,
                dynamic,
                compiled[kernel.file, kernel.defines],
                ARCHITECTURES[architecture] * 1024,
            )
        )
    }
    assert not found, "\n".join(f"{kernel}: {wrong}" for kernel, wrong in found.items())


TARGETS: list[tuple[str, dict[str, str]]] = [
    ("conv_tensor.cu", {"target_real": "bf16"}),
    ("conv_tensor.cu", {"target_real": "float"}),
    ("conv_tensor_weight.cu", {}),
]


@pytest.mark.parametrize("tile", TILES, ids=lambda tile: tile.name)
def test_every_tile_keeps_to_its_budget(tile: Tile) -> None:
    """Whether a network of the table asks for it or not; with what a processor holds at once."""
    for file, target in TARGETS:
        defines = {**tile.defines, **target, "THREADS": tile.threads, "real": "bf16"}
        kernel = Source(file, "", tuple(sorted(defines.items())))
        compiled = NVRTC.compile(kernel, "90a")
        names = usage(compiled.log)
        assert set(names) == (
            {"correlate", "correlate_statistics", "adjoint"} if target else {"by_weight"}
        )
        for name in names:
            assert not faults(replace(kernel, name=name), tile.shared, compiled, 227 * 1024)


GREEDY = """
extern "C" __global__ void __launch_bounds__(THREADS) greedy(float* x, int n) {
    __shared__ float kept[1000];
    float local[LOCAL];
    for (int i = 0; i < LOCAL; i++) local[i] = x[i * n];
    kept[threadIdx.x] = local[0];
    __syncthreads();
    for (int i = 0; i < LOCAL; i++) x[i] = local[WHERE] * kept[i];
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that stands for that of the kernels."""
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("local", "where", "threads", "dynamic", "fault"),
    [
        (8, "i", 256, 0, None),
        (150, "i", 256, 0, "registers, 128 are enough"),
        (150, "i", 1024, 0, "of registers spilled"),
        (64, "(i + n) & 63", 256, 0, "bytes of stack"),
        (8, "i", 256, 97, r"4000 \+ 97 bytes of shared memory, 4096 are there"),
        (8, "i + 0 * (1 << 40)", 256, 0, "warning.*shift count"),
    ],
)
def test_a_kernel_over_its_budget_is_caught(
    local: int, where: str, threads: int, dynamic: int, fault: str | None, folder: Path
) -> None:
    (folder / "greedy.cu").write_text(GREEDY)
    defines = ("LOCAL", local), ("WHERE", where), ("THREADS", threads)
    kernel = Source("greedy.cu", "greedy", defines)
    found = faults(kernel, dynamic, NVRTC.compile(kernel, "80"), 4096)
    assert found == [] if fault is None else re.search(fault, "\n".join(found))


SERIAL = """
extern "C" __global__ void __launch_bounds__(THREADS)
serial(float* x, unsigned long long matrix, int n) {
    float a = x[0], b = x[1], c = x[2], d = x[3];
    for (int i = 0; i < n; i++) {
        asm volatile("wgmma.fence.sync.aligned;");
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, 1, 0;"
            " wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16"
            " {%0, %1, %2, %3}, %4, %4, p, 1, 1, 0, 0;}"
            : "+f"(a), "+f"(b), "+f"(c), "+f"(d) : "l"(matrix));
        asm volatile("wgmma.commit_group.sync.aligned;");
        a += x[i];
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;");
    x[0] = a, x[1] = b, x[2] = c, x[3] = d;
}
"""


def test_products_that_wait_for_each_other_are_caught(folder: Path) -> None:
    (folder / "serial.cu").write_text(SERIAL)
    kernel = Source("serial.cu", "serial", (("THREADS", 128),))
    found = faults(kernel, 0, NVRTC.compile(kernel, "90a"), 4096)
    assert "wgmma.mma_async instructions are serialized" in "\n".join(found)
