"""Run a command on one of two hosts that a slow link joins: network namespaces of this machine.

    python tests/bench/two_hosts.py --delay-ms 5 --loss 0.01 -- \\
        model-train-multi --hosts denet-a:1,denet-b:1 ...

The command runs on denet-a; sshd waits on both, so that mpiexec starts ranks as on machines of
their own, with the same files. Frames from one to the other wait for ``--delay-ms`` and are dropped
by chance; ``--cut-after`` drops all of them so many seconds after the first 256 kB. Needs Linux,
root, iproute2 and OpenSSH's server. The exit code is that of the command.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

HOSTS = {"denet-a": "10.77.0.1", "denet-b": "10.77.0.2"}
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
CLONE_NEWNET = 0x40000000  # linux/sched.h
DEVICE = "wire0"
# MPICH would see through the namespaces, and take memory that both share
BY_NETWORK = {"UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp", "OMPI_MCA_btl": "tcp,self"}
FRAME = 65536  # bytes
BEGUN = 1 << 18  # bytes after which ranks are at work, not yet starting


class Wire(threading.Thread):
    """Carries frames between the two hosts, late, and not all of them."""

    def __init__(self, delay: float, loss: float, cut_after: float | None):
        super().__init__(daemon=True)
        self._ends = [_open_tap(name) for name in HOSTS]
        self._delay, self._loss, self._cut_after = delay, loss, cut_after
        self._chance = random.Random(0)
        self.carried = self.dropped = 0  # bytes, frames

    def run(self) -> None:
        other = dict(zip(self._ends, reversed(self._ends), strict=True))
        waiting: list[tuple[float, int, int, bytes]] = []  # due, order, to, frame
        order, cut = itertools.count(), float("inf")
        while True:
            pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            for end in select.select(self._ends, [], [], pause)[0]:
                frame, now = os.read(end, FRAME), time.monotonic()
                if self.carried < BEGUN and self.carried + len(frame) >= BEGUN:
                    cut = now + (self._cut_after or cut)
                if now > cut or self._chance.random() < self._loss:
                    self.dropped += 1
                    continue
                self.carried += len(frame)
                heapq.heappush(waiting, (now + self._delay, next(order), other[end], frame))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, end, frame = heapq.heappop(waiting)
                with contextlib.suppress(OSError):
                    os.write(end, frame)


def _open_tap(host: str) -> int:
    """Return the end of a network device that is made in the namespace of a host."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{host}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            tap = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TAP | IFF_NO_PI))
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)
    return tap


def on(host: str, words: Sequence[str]) -> list[str]:
    """Return the words that run a command on a host, under its name."""
    named = [
        "unshare",
        "--uts",
        "--mount",
        "sh",
        "-c",
        f'hostname {host} && mount -t tmpfs shm /dev/shm && exec "$@"',
        "sh",
    ]
    return ["ip", "netns", "exec", host, *named, *words]


@contextlib.contextmanager
def hosts() -> Iterator[None]:
    """Make both hosts, each with its address, loopback and the names of both."""
    etc = [Path("/etc/netns") / name for name in HOSTS]
    try:
        for name, directory in zip(HOSTS, etc, strict=True):
            directory.mkdir(parents=True)  # what ip mounts over /etc for this host alone
            lines = [f"{address} {name}\n" for name, address in HOSTS.items()]
            (directory / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
            subprocess.run(["ip", "netns", "add", name], check=True)
        yield
    finally:
        for name, directory in zip(HOSTS, etc, strict=True):
            left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            for process in left.stdout.split():
                os.kill(int(process), signal.SIGKILL)  # sessions of sshd whose other end is cut
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)
            shutil.rmtree(directory, ignore_errors=True)


def bring_up() -> None:
    """Give the devices of both hosts their addresses."""
    for name, address in HOSTS.items():
        for words in (
            f"addr add {address}/24 dev {DEVICE}",
            f"link set dev {DEVICE} up",
            "link set dev lo up",
        ):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)


@contextlib.contextmanager
def ssh(directory: Path) -> Iterator[dict[str, str]]:
    """Let sshd wait on both hosts, for a key of this run alone; yield what lets mpiexec use it."""
    for key in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / key], check=True
        )
    shutil.copy(directory / "user.pub", directory / "authorized")
    Path("/run/sshd").mkdir(exist_ok=True)
    server = ["-D", "-f", "/dev/null", "-h", directory / "host", "-o", "StrictModes=no"]
    server += ["-o", f"AuthorizedKeysFile={directory / 'authorized'}", "-o", "UsePAM=no"]
    server += ["-o", f"PidFile={directory}/pid", "-E", directory / "sshd.log"]
    client = directory / "ssh"
    client.write_text(
        f"#!/bin/sh\nexec ssh -i {directory}/user -o UserKnownHostsFile={directory}/known "
        '-o StrictHostKeyChecking=no -o LogLevel=ERROR "$@"\n'
    )
    client.chmod(0o755)
    path = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or "sshd"
    servers = [subprocess.Popen(on(name, [path, *map(str, server)])) for name in HOSTS]
    try:
        yield {
            "HYDRA_LAUNCHER_EXEC": str(client),
            "OMPI_MCA_plm_rsh_agent": str(client),
            **BY_NETWORK,
        }
    finally:
        for each in servers:
            each.terminate()
            each.wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--delay-ms", type=float, default=0.0, help="each way (0)")
    parser.add_argument("--loss", type=float, default=0.0, help="share of frames (0)")
    parser.add_argument(
        "--cut-after", type=float, help="seconds of work after which nothing passes"
    )
    parser.add_argument("command", nargs="+", help="after --")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with hosts(), tempfile.TemporaryDirectory() as directory:
        wire = Wire(options.delay_ms / 1000, options.loss, options.cut_after)
        bring_up()
        wire.start()
        with ssh(Path(directory)) as environment:
            ended = subprocess.run(on("denet-a", options.command), env=os.environ | environment)
    print(
        f"link: {wire.carried / 1e6:.1f} MB carried, {wire.dropped} frames dropped", file=sys.stderr
    )
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
