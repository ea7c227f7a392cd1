"""What is free is what the system says, and what is advised where there is less fits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from denet.errors import OutOfMemoryError
from denet.memory import Estimate, advice, available_bytes, is_out_of_memory, room

FREE = 8192  # bytes of the machine


def system(root: Path, group: str, files: dict[str, str]) -> Path:
    """Make a directory with the files of a Linux machine whose process is in these groups."""
    files = {
        "proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {FREE // 1024} kB\nSwapFree: 0 kB\n",
        "proc/self/cgroup": group,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def version_1(path: str, most: int, taken: int, cache: int) -> dict[str, str]:
    """Return the files of a group of version 1, whose limit covers the groups below it."""
    return {
        f"memory{path}/memory.limit_in_bytes": f"{most}\n",
        f"memory{path}/memory.usage_in_bytes": f"{taken}\n",
        f"memory{path}/memory.stat": f"cache 1\ninactive_file 5\ntotal_inactive_file {cache}\n",
    }


def version_2(path: str, most: int | str, taken: int, cache: int) -> dict[str, str]:
    return {
        f"{path}memory.max": f"{most}\n",
        f"{path}memory.current": f"{taken}\n",
        f"{path}memory.stat": f"anon 7\ninactive_file {cache}\n",
    }


NO_LIMIT_1 = 0x7FFFFFFFFFFFF000  # the largest multiple of a page
OLD = "9:name=systemd:/\n4:memory:/jobs/7\n2:cpu,cpuacct:/\n"
NEW = "0::/jobs/7\n"
GROUPS = {
    "no groups": ("", {}, FREE),
    "version 1": (OLD, version_1("/jobs/7", 500, 300, 20), 220),
    "version 1, the group above": (
        OLD,
        version_1("/jobs/7", NO_LIMIT_1, 300, 20) | version_1("/jobs", 400, 350, 0),
        50,
    ),
    "version 1, the uppermost": (OLD, version_1("", 900, 800, 100), 200),
    "version 1 without limits": (OLD, version_1("/jobs/7", NO_LIMIT_1, 300, 20), FREE),
    "version 1 as a container sees it": (
        "4:memory:/docker/0123\n0::/docker/0123\n",
        version_1("", 700, 100, 0),
        600,
    ),
    "version 1 beside an empty version 2": (OLD + NEW, version_1("/jobs/7", 500, 300, 20), 220),
    "version 1 that is full": (OLD, version_1("/jobs/7", 500, 600, 20), 0),
    "version 2": (NEW, version_2("jobs/7/", 500, 300, 20), 220),
    "version 2, the group above": (
        NEW,
        version_2("jobs/7/", "max", 300, 20) | version_2("jobs/", 400, 350, 0),
        50,
    ),
    "version 2 without limits": (NEW, version_2("jobs/7/", "max", 300, 20), FREE),
}


@pytest.mark.parametrize("name", GROUPS)
def test_what_control_groups_leave(tmp_path: Path, name: str) -> None:
    group, files, expected = GROUPS[name]
    assert available_bytes(system(tmp_path, group, files)) == expected


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody may tell what is free")
def test_room_is_asked_for() -> None:
    with room(1, "a byte", ""):
        pass
    with pytest.raises(OutOfMemoryError) as caught, room(10**15, "a set of x", "take less"):
        raise AssertionError("the block is not entered")
    assert str(caught.value).startswith("a set of x: 1000000.00 GB of memory needed, ")
    assert str(caught.value).endswith(" free: take less")


# batch size, factor, times less memory -> batch size and factor with the same images per step
ADVICE = [
    (32, 1, 2.0, (16, 2)),
    (32, 1, 2.1, (8, 4)),
    (32, 1, 1.01, (16, 2)),
    (32, 4, 2.0, (16, 8)),
    (32, 1, 32.0, (1, 32)),
    (100, 1, 2.0, (50, 2)),
    (25, 1, 2.0, (12, 3)),  # 36 images instead of 25: not fewer than before
    (3, 2, 3.0, None),
    (1, 1, 2.0, None),
    (32, 1, 33.0, None),
    (32, 1, 1e30, None),
    (32, None, 2.0, (16,)),
    (3, None, 2.0, (1,)),
    (1, None, 2.0, None),
]


@pytest.mark.parametrize(("batch_size", "factor", "shrink", "expected"), ADVICE)
def test_advice(
    batch_size: int, factor: int | None, shrink: float, expected: tuple[int, ...] | None
) -> None:
    text = advice(batch_size, factor, shrink)
    if expected is None:
        assert text.startswith("use smaller images")
    else:
        words = zip(("--batch-size", "--batch-size-factor"), expected, strict=False)
        assert text == "try " + " ".join(f"{option} {number}" for option, number in words)


def test_nobody_is_sent_to_cuts_that_are_made_already() -> None:
    assert "SPLIT" in advice(1, 1) and "SPLIT" not in advice(1, 1, cuts=False)


# 700 MB grow with the batch, 100 MB do not, and 50 MB are held already
ESTIMATE = Estimate(
    work="training",
    batch_size=64,
    factor=1,
    growing={"activations": 600_000_000, "images": 100_000_000},
    fixed={"gradients": 99_500_000, "rest": 500_000},
    resident=50_000_000,
)


@pytest.mark.parametrize("available", [None, 800_000_000, 10**12])
def test_an_estimate_that_fits(available: int | None) -> None:
    ESTIMATE.check(available)


@pytest.mark.parametrize(
    ("available", "free", "mend"),
    [
        (799_999_999, "800 MB", "--batch-size 32 --batch-size-factor 2"),
        (450_000_000, "450 MB", "--batch-size 32 --batch-size-factor 2"),  # 350 + 100
        (449_000_000, "449 MB", "--batch-size 16 --batch-size-factor 4"),  # 175 + 100
        (111_000_000, "111 MB", "--batch-size 1 --batch-size-factor 64"),  # 10.9 + 100
        (110_000_000, "110 MB", "smaller images"),
        (90_000_000, "90 MB", "smaller images"),
        (0, "0 MB", "smaller images"),
    ],
)
def test_an_estimate_that_does_not_fit(available: int, free: str, mend: str) -> None:
    with pytest.raises(OutOfMemoryError) as caught:
        ESTIMATE.check(available)
    assert f"batch of 64: training needs 800 MB more memory, {free} are free: " in str(caught.value)
    assert mend in str(caught.value)


def test_a_device_holds_its_part() -> None:
    host, device = ESTIMATE.split({"activations", "gradients"})
    assert device.text(650_000_000) == (
        "device memory: about 700 MB at most (activations 600 MB, gradients 100 MB); 650 MB free"
    )
    assert host.text(None) == (
        "memory: about 150 MB at most (images 100 MB, program and data 50 MB)"
    )
    host.check(100_500_000)
    told = "training needs 700 MB more device memory, 650 MB are free: try --batch-size 32"
    with pytest.raises(OutOfMemoryError, match=told):
        device.check(650_000_000)


@pytest.mark.parametrize(
    ("error", "expected"),
    [  # the words of CUDA, cudaGetErrorString and cuGetErrorString, as CuPy 14.2 puts them
        (RuntimeError("cudaErrorMemoryAllocation: out of memory"), True),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True),
        (RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected"), False),
        (ValueError("a layer: out of memory"), False),
    ],
)
def test_what_a_gpu_says_without_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_the_text_tells_what_takes_most() -> None:
    assert ESTIMATE.text(2_000_000_000) == (
        "memory: about 850 MB at most (activations 600 MB, images 100 MB, gradients 100 MB, "
        "program and data 50 MB); 2.00 GB free"
    )
    assert ESTIMATE.text(None).endswith("program and data 50 MB)")


LIMITED = """
import os, resource
import numpy as np
from denet.memory import available_bytes
begin = 1_000_000_000 + 200_000_000 * os.cpu_count()
resource.setrlimit(resource.RLIMIT_AS, (begin, begin))
first = available_bytes()
resource.setrlimit(resource.RLIMIT_AS, (begin - 300_000_000, begin))
second = available_bytes()
taken = np.empty(second, np.uint8)
third = available_bytes()
print(first, second, third)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_what_a_limit_of_addresses_leaves() -> None:
    words = [sys.executable, "-c", LIMITED]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second, third = map(int, done.stdout.split())
    assert abs(first - second - 300_000_000) < 2_000_000
    assert 0 < second < 700_000_000 + 200_000_000 * (os.cpu_count() or 1)
    assert third < 2_000_000
