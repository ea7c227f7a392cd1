"""Time loading photos in batches, cropped for a network; print one JSON object.

Both sides see every photo of a folder ``--repeat`` times, at 256 pixels on the shorter side, and
crop 224x224 of it. The loaders: denet as model-train loads (two threads), denet-processes the same
work in two processes, pillow two processes with nothing but Pillow and NumPy, no augmentation.

    python tests/bench/loader.py denet photos
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

BATCH, SCALE, CROP = 20, 256, 224
Result = tuple[int, float, float]  # images, seconds, seconds of all processors together


def open_photos(root: Path, options: str):
    """Return the photos as a denet dataset of one class."""
    from denet.dataset import open_dataset

    with tempfile.TemporaryDirectory() as directory:
        os.symlink(root.resolve(), Path(directory, "photo"))
        dataset = open_dataset(directory, f"imagenet,scale={SCALE},crop={CROP}{options}")
        dataset.names = [os.path.realpath(name) for name in dataset.names]
    return dataset


def with_denet(root: Path, threads: int, repeat: int, options: str) -> Result:
    """Load as model-train does."""
    from denet.dataset.loader import Loader
    from denet.model.preprocessing import Preprocessing

    dataset = open_photos(root, options)
    preprocessing = Preprocessing(*dataset.channel_statistics())
    loader = Loader(dataset, BATCH, preprocessing, thread_num=threads, training=True)
    for _ in loader.epoch(0):  # files into the page cache, lazy imports done
        pass
    begin, begin_cpu = time.perf_counter(), time.process_time()
    count = sum(len(batch.data) for number in range(repeat) for batch in loader.epoch(number))
    return count, time.perf_counter() - begin, time.process_time() - begin_cpu


def _denet_batches(root: Path, options: str, part: slice) -> Iterator[int]:
    dataset = open_photos(root, options)
    indices = np.arange(len(dataset))[part]
    while True:
        keys = indices.astype(np.uint64)
        yield sum(
            len(dataset.load(indices[i : i + BATCH], keys[i : i + BATCH], True).images)
            for i in range(0, len(indices), BATCH)
        )


def _pillow_batches(root: Path, options: str, part: slice) -> Iterator[int]:
    from PIL import Image

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            image.draft("RGB", (SCALE, SCALE))
            shorter = min(image.size)
            size = tuple(-(-side * SCALE // shorter) for side in image.size)
            image = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            left, top = ((side - CROP) // 2 for side in size)
            return np.asarray(image.crop((left, top, left + CROP, top + CROP)))

    files = sorted(path for path in root.iterdir() if path.is_file())[part]
    while True:
        yield sum(
            len(np.stack([read(path) for path in files[i : i + BATCH]]))
            for i in range(0, len(files), BATCH)
        )


def _work(make, root, options, part, repeat, pipe) -> None:
    batches = make(root, options, part)
    next(batches)
    pipe.send("ready")
    pipe.recv()
    begin_cpu = time.process_time()
    pipe.send((sum(next(batches) for _ in range(repeat)), time.process_time() - begin_cpu))


def in_processes(make):
    """Return a loader that shares the photos out among processes."""

    def run(root: Path, processes: int, repeat: int, options: str) -> Result:
        context = multiprocessing.get_context("spawn")
        pipes, workers = [], []
        for number in range(processes):
            pipe, other = context.Pipe()
            part = slice(number, None, processes)
            arguments = (make, root, options, part, repeat, other)
            workers.append(context.Process(target=_work, args=arguments))
            pipes.append(pipe)
        for worker in workers:
            worker.start()
        for pipe in pipes:
            pipe.recv()
        begin = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        counts, cpu_seconds = zip(*(pipe.recv() for pipe in pipes), strict=True)
        seconds = time.perf_counter() - begin
        for worker in workers:
            worker.join()
        return sum(counts), seconds, sum(cpu_seconds)

    return run


LOADERS = {
    "denet": with_denet,
    "denet-processes": in_processes(_denet_batches),
    "pillow": in_processes(_pillow_batches),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loader", choices=LOADERS)
    parser.add_argument("root", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--options", default="", help="more of --extension: ,crop_mode=lenet")
    arguments = parser.parse_args()
    count, seconds, cpu_seconds = LOADERS[arguments.loader](
        arguments.root, arguments.threads, arguments.repeat, arguments.options
    )
    result = {
        "images_per_second": count / seconds,
        "cpu_milliseconds_per_image": 1000 * cpu_seconds / count,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
