"""Measure DeNet and PyTorch on the same machine in the same sitting.

The two run alternately, each time in a fresh process that prints one JSON object. A run counts
only if all other processes together (by /proc/stat, stolen time included) took less than 8 % of
one core meanwhile; else it is repeated. Printed are the medians of the runs that count.

    python tests/bench/side_by_side.py --torch-python ~/torch/bin/python r34-train-f32 cifar-epoch
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TICKS = os.sysconf("SC_CLK_TCK")  # units of /proc/stat per second

LRN = "A LRN[5,2,0.0001,0.75,2] P[3,2] "
VGG_D = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
DESC = {
    "r34": "C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] "
    "nRSN.O[3,512,3,2] P.A R",
    "cifar": "C[128,3] BN A P[2] C[256,3] BN A P[2] C[512,3] BN A P.A R",
    "dense": "C.B[24,3] nDL[16,12] TR nDL[16,12] TR nDL[16,12] BN A P.A R",
    "dense-40": "C.B[24,3] nDL[6,12] TR nDL[6,12] TR nDL[6,12] BN A P.A R",
    "alex": f"B[1] C[96,11,4] {LRN}B[2] C[256,5,1,2,1] {LRN}B[1] C[384,3] A B[1] C[384,3,1,2,1] A "
    "B[1] C[256,3,1,2,1] A P[3,2] F[4096,1] A F[4096,1] A R",
    "vgg-d": " P[3,2] ".join(
        " ".join(f"B[1] C[{filters},3] A" for filters in group) for group in VGG_D
    ).removeprefix("B[1] ")
    + " P[3,2] F[4096] A F[4096] A R",
}
# pixels, classes, images in a batch; steps of training and prediction
SIZE = {
    "r34": (128, 1000, 32),
    "cifar": (32, 10, 32),
    "dense": (32, 10, 64),
    "dense-40": (32, 10, 64),
    "alex": (225, 1000, 32),
    "vgg-d": (225, 1000, 10),
}
STEPS = {
    "train": {"r34": 9, "cifar": 30, "dense": 5, "dense-40": 15, "alex": 9, "vgg-d": 3},
    "predict": {"r34": 20, "cifar": 100, "dense": 10, "dense-40": 30, "alex": 20, "vgg-d": 5},
}
BORDERLESS = ("alex", "vgg-d")  # their borders are written out


Commands = dict[str, list[str]]  # side: command


@dataclass(frozen=True)
class Run:
    """What one process printed, and the cores that all others used meanwhile."""

    result: dict[str, float]
    disturbance: float


def step_case(network: str, mode: str, precision: str, torch: str, *convert: str) -> Commands:
    """Compare single steps on data that are in memory already."""
    size, class_num, batch_size = SIZE[network]
    same = f"--mode {mode} --precision {precision} --batch-size {batch_size}"
    same += f" --class-num {class_num} --steps {STEPS[mode][network]}"
    border = "valid" if network in BORDERLESS else "half"
    ours = [sys.executable, str(ROOT / "bin" / "model-bench"), "--border-mode", border, "--json"]
    ours += ["--model-desc", *DESC[network].split(), "--image-size", str(size), str(size)]
    rival = [torch, str(HERE / "torch_step.py"), "--network", network, "--image-size", str(size)]
    return {"denet": ours + same.split(), "torch": [*rival, *convert, *same.split()]}


def epoch_case(precision: str, torch: str, data: str) -> Commands:
    """Compare an epoch over part of the CIFAR directory, augmentation included."""
    same = ["--train", f"{data}/train", "--max-samples", "10000", "--epochs", "1"]
    same += ["--precision", precision, "--batch-size", "32"]
    return {
        "denet": [sys.executable, str(HERE / "denet_cifar.py"), *same],
        "torch": [torch, str(HERE / "torch_cifar.py"), *same],
    }


def cases(torch: str, data: str) -> dict[str, Commands]:
    """Return every comparison by name, given PyTorch's interpreter and the CIFAR directory."""
    table = {
        f"{network}-{mode}-{precision}": step_case(network, mode, precision, torch)
        for network in DESC
        for mode in STEPS
        for precision in ("f32", "bf16")
    }
    table["r34-predict-bf16-converted"] = step_case("r34", "predict", "bf16", torch, "--convert")
    for precision in ("f32", "bf16"):
        table[f"cifar-epoch-{precision}"] = epoch_case(precision, torch, data)
        saving = step_case("dense", "train", precision, torch)
        saving["denet"] += ["--recompute", "cheap"]
        saving["torch"][saving["torch"].index("dense")] = "dense-efficient"
        table[f"dense-train-{precision}-cheap"] = saving
    table["decode"] = {
        reader: [sys.executable, str(HERE / "decode.py"), reader, f"{data}/train"]
        for reader in ("denet", "pillow")
    }
    return table


def busy_seconds() -> float:
    """Return the processor seconds used on this machine since its start, all cores together."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, interrupt, soft, stolen = map(
            int, file.readline().split()[1:9]
        )
    return (user + nice + system + interrupt + soft + stolen) / TICKS


def own_seconds() -> float:
    """Return the processor seconds of this process and its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(command: list[str], environment: dict[str, str]) -> Run:
    """Run one side once; its last line on stdout is the JSON object."""
    begin, busy, own = time.perf_counter(), busy_seconds(), own_seconds()
    finished = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        raise SystemExit(f"exit code {finished.returncode}: {shlex.join(command)}")
    others = busy_seconds() - busy - (own_seconds() - own)
    result = json.loads(finished.stdout.splitlines()[-1])
    return Run(result, others / (time.perf_counter() - begin))


def wait_for_quiet(limit: float, patience: float = 60.0) -> None:
    """Return when all others used less than ``limit`` of a core for half a second, or after
    ``patience`` seconds all the same."""
    end = time.perf_counter() + patience
    while time.perf_counter() < end:
        begin, busy = time.perf_counter(), busy_seconds()
        time.sleep(0.5)
        if busy_seconds() - busy < limit * (time.perf_counter() - begin) + 1 / TICKS:
            return


def alternate(commands: Commands, arguments: argparse.Namespace) -> dict[str, list[Run]]:
    """Return the clean runs of each side, ``arguments.runs`` of them or what was to be had."""
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    clean: dict[str, list[Run]] = {side: [] for side in commands}
    for _ in range(arguments.attempts):
        for side, command in commands.items():
            if len(clean[side]) == arguments.runs:
                continue
            wait_for_quiet(arguments.disturbance)
            run = measure(command, environment)
            counts = run.disturbance < arguments.disturbance
            if counts:
                clean[side].append(run)
            speed = run.result["images_per_second"]
            print(
                f"{side:6} {speed:8.1f} images/s, others {100 * run.disturbance:.0f} % of a core"
                + ("" if counts else ": not counted"),
                file=sys.stderr,
            )
    return clean


def report(name: str, clean: dict[str, list[Run]]) -> None:
    """Print the medians of both sides and their ratio as rows of a Markdown table."""
    speeds, memories = [], []
    for side, runs in clean.items():
        if not runs:
            print(f"| {name} | {side} | no clean run |")
            continue
        speeds.append(statistics.median(run.result["images_per_second"] for run in runs))
        memories.append(statistics.median(run.result["peak_memory_mb"] for run in runs))
        print(
            f"| {name} | {side} | {speeds[-1]:.1f} images/s | {memories[-1]:.0f} MB"
            f" | {len(runs)} runs |"
        )
    if len(speeds) == 2:
        ratio, memory = speeds[0] / speeds[1], memories[0] / memories[1]
        print(f"| {name} | ratio | {ratio:.2f} | {memory:.2f} | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "cases",
        nargs="+",
        metavar="CASE",
        help="for instance r34-train-f32; an unknown name lists them",
    )
    parser.add_argument("--torch-python", required=True, help="an interpreter that has torch")
    parser.add_argument("--only", choices=("denet", "torch", "pillow"), help="one side")
    parser.add_argument("--runs", type=int, default=5, help="clean runs per side")
    parser.add_argument("--attempts", type=int, default=15, help="most runs per side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--disturbance", type=float, default=0.08, help="limit, in cores")
    parser.add_argument("--data", default="CIFAR10", help="directory with CIFAR's train and test")
    arguments = parser.parse_args()
    table = cases(arguments.torch_python, arguments.data)
    for name in arguments.cases:
        if name not in table:
            parser.error(f"unknown case {name}: one of {', '.join(table)}")
    for name in arguments.cases:
        commands = table[name]
        if arguments.only:
            commands = {arguments.only: commands[arguments.only]}
        report(name, alternate(commands, arguments))


if __name__ == "__main__":
    main()
