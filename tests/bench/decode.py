"""Time reading a directory of image files into memory; print one JSON object.

The readers: denet as model-train reads, pillow with threads and nothing but Pillow.

    python tests/bench/decode.py denet CIFAR10/train
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np


def with_denet(root: Path, threads: int) -> int:
    """Read as model-train does; return the number of files."""
    sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
    from denet.dataset import open_dataset

    return len(open_dataset(root, "image", thread_num=threads))


def with_pillow(root: Path, threads: int) -> int:
    """Open, decode and stack every file with Pillow alone; return the number of files."""
    from PIL import Image

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    files = sorted(path for path in root.rglob("*") if path.is_file())
    with ThreadPoolExecutor(threads) as pool:
        return len(np.stack(list(pool.map(read, files))))


READERS = {"denet": with_denet, "pillow": with_pillow}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("root", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    begin = time.perf_counter()
    count = READERS[arguments.reader](arguments.root, arguments.threads)
    result = {
        "images_per_second": count / (time.perf_counter() - begin),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
