"""How many photos a second a processor makes ready for a GPU; print one JSON object.

The loader of model-train goes through the photos of a folder ``--repeat`` times: decoded anew each
time, as those of a large set, 224x224 of them cut out at random and mirrored, left as bytes and
copied to where a GPU would read them. Processor time is counted, which other programs do not
change much; what is computed from it says so. ``held`` is the part of it that is spent outside of
what Pillow decodes and resamples, at most which holds Python's interpreter lock: whatever the
number of cores, the threads of one process make no more than ``most_by_interpreter``. With
``--processes`` each thread has a decoder process, as loaders of many threads have: then all that
the loader itself spends is counted as ``held``.

    python tests/bench/feed.py photos --threads 2
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from bench.loader import open_photos  # noqa: E402

CORES = 16
OPTIONS = {  # of --extension
    "resnet": ",crop_mode=resnet",
    "resnet photo": ",crop_mode=resnet,augment_photo",
    "lenet": ",crop_mode=lenet",
}


class Free:
    """Processor time of calls that let other threads interpret meanwhile."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its time counted."""

        def call(*arguments: Any, **named: Any) -> Any:
            begin = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                with self._lock:
                    self.seconds += time.thread_time() - begin

        return call


def spent_by_processes() -> float:
    """Return the processor time of all decoder processes that were lent and are idle."""
    from denet.dataset.image.decoder import _idle

    fields = [Path(f"/proc/{each._process.pid}/stat").read_text().split() for each in _idle]
    return sum(int(each[13]) + int(each[14]) for each in fields) / os.sysconf("SC_CLK_TCK")


def measure(
    root: Path, options: str, processes: bool, batch_size: int, threads: int, repeat: int
) -> dict[str, Any]:
    """Go through the photos of a folder; return processor time per image, and what follows."""
    from PIL import Image, ImageFile

    from denet.dataset import loader as loader_module
    from denet.dataset.feed import Here
    from denet.dataset.loader import Loader
    from denet.model.preprocessing import Preprocessing

    class Copied(Here):
        """A way that copies what it is given, as that to a GPU does."""

        def stage(self, images: Any) -> Any:
            return images.levels.copy() if hasattr(images, "levels") else images.copy()

    dataset = open_photos(root, options)
    dataset._kept._room = 0
    if processes:  # for any number of threads and photos
        loader_module.MOST_DECODING = loader_module.DECODER_FILES = 0
    feed: Any = Copied()
    loader = Loader(
        *(dataset, batch_size, Preprocessing((0.5,) * 3, (0.2,) * 3)),
        thread_num=threads,
        training=True,
        feed=feed,
    )
    for _ in loader.epoch(0):  # files into the page cache, lazy imports done
        pass
    free = Free()
    ImageFile.ImageFile.load = free.timed(ImageFile.ImageFile.load)  # type: ignore[method-assign]
    Image.Image.resize = free.timed(Image.Image.resize)  # type: ignore[method-assign]
    begin, count = (time.process_time(), spent_by_processes()), 0
    for epoch in range(repeat):
        for batch in loader.epoch(epoch):
            assert batch.data.dtype in (np.uint8, np.float32)
            count += len(batch.data)
    own, others = time.process_time() - begin[0], spent_by_processes() - begin[1]
    spent = own + others
    return {
        "options": options,
        "threads": threads,
        "processes": loader.processes,
        "milliseconds_per_image": 1000 * spent / count,
        "held_milliseconds_per_image": 1000 * (own - free.seconds) / count,
        "computed_images_per_second_of_a_core": count / spent,
        f"computed_images_per_second_of_{CORES}_cores": CORES * count / spent,
        "most_by_interpreter": count / (own - free.seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--augmentation", choices=OPTIONS, default="resnet")
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--processes", action="store_true")
    options = parser.parse_args()
    extension = OPTIONS[options.augmentation]
    sizes = options.batch_size, options.threads, options.repeat
    print(json.dumps(measure(options.root, extension, options.processes, *sizes)))


if __name__ == "__main__":
    main()
