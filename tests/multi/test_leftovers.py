"""Shared memory of killed processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from denet.multi.leftovers import SHARED, end_all, remove_leftovers, shared_files

HOLDER = """
import mmap, time
file = open("{}", "w+b")
file.truncate(1 << 29)
memory = mmap.mmap(file.fileno(), 1 << 29)
memory[:: mmap.PAGESIZE] = bytes(1 << 17)
print("holds", flush=True)
time.sleep(120)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_what_is_killed_lets_go_of_its_memory(request: pytest.FixtureRequest) -> None:
    """The kernel takes a while over it, within which its files are still in use."""
    mark = f"mpich_shm_{os.getpid()}_test"
    path = SHARED / mark
    request.addfinalizer(lambda: path.unlink(missing_ok=True))
    before = shared_files()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(path)],
        env={**os.environ, "MARK": mark},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stdout.readline() == b"holds\n"
        end_all(f"MARK={mark}", 0)
        remove_leftovers(before)
        assert not path.exists() and process.wait() == -signal.SIGKILL
