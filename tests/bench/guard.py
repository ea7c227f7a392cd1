"""Run the kernels of random networks between guard zones, against float64 references.

Prints every write beyond an array or a scratch memory, and every wrong result. Exit code 1 if
there is one.

    python tests/bench/guard.py --backend onednn --count 3000
    python tests/bench/guard.py --backend cuda --count 300 --most-flop 3e7

The kernels of ``cuda`` run on the processor, so slowly that small networks must do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from backend.cuda.host_device import HostDevice  # noqa: E402
from backend.guard_check import faults  # noqa: E402
from backend.random_networks import MOST_FLOP, random_network  # noqa: E402

from denet.backend.cuda.backend import CudaBackend  # noqa: E402
from denet.backend.select import BACKENDS  # noqa: E402

GUARDED = {**BACKENDS, "cuda": lambda: CudaBackend(HostDevice())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=GUARDED, default="onednn")
    parser.add_argument("--count", type=int, default=3000, help="networks")
    parser.add_argument("--first", type=int, default=0, help="seed of the first network")
    parser.add_argument("--most-flop", type=float, default=MOST_FLOP, help="of a forward pass")
    arguments = parser.parse_args()
    backend = GUARDED[arguments.backend]()
    found = 0
    seeds = range(arguments.first, arguments.first + arguments.count)
    for seed in tqdm(seeds, unit=" networks", disable=None):
        for line in faults(backend, random_network(seed, arguments.most_flop)):
            tqdm.write(f"seed {seed}: {line}", file=sys.stdout)
            found += 1
    print(f"{arguments.count} networks: {found} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
