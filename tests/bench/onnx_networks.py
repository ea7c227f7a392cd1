"""Write the published networks as .onnx files, compare, and time ONNX Runtime beside ours.

Real sizes, random weights. A line for each: megabytes, seconds to write it and to compare it in
batches of 1 and 3, and images/s of a batch of 4, of ONNX Runtime and of ours. Exit code 1 if one
gives other answers.

    python tests/bench/onnx_networks.py
    python tests/bench/onnx_networks.py denet34 vgg_d
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cli.commands import parser  # noqa: E402
from model.onnx_files import drawn, written  # noqa: E402
from paper_scripts import printed  # noqa: E402
from test_papers import DATA  # noqa: E402
from test_papers import SIZES as DETECTORS  # noqa: E402
from test_papers_classify import SIZES as CLASSIFIERS  # noqa: E402

from denet.backend.select import choose_backend  # noqa: E402
from denet.evaluate.onnx_check import UnequalError, check, images_for  # noqa: E402
from denet.graph.plan import Plan  # noqa: E402
from denet.model.format.onnx.library import Session  # noqa: E402
from denet.model.model import Model  # noqa: E402

BATCH, REPEATS = 4, 5
# script, words behind it, input (c, h, w), classes
NETWORKS = [
    *((name, words, shape, classes) for name, words, shape, classes, _ in CLASSIFIERS),
    *(
        (f"papers/dss/denet{depth}.sh", f"{variant} {data} d", (3, 512, 512), DATA[data])
        for depth, variant, data in DETECTORS
    ),
]


def model_of(name: str, words: str, shape: tuple[int, int, int], classes: int) -> Model:
    """Return the network that a script of papers/ trains, with random weights."""
    (line,) = printed(name, *words.split())["model-train"]
    options = parser("model-train").parse(line)
    more = {"activation": options.activation, "border_mode": options.border_mode}
    return drawn(options.model_desc, shape, classes, **more)


def rate(call: Callable[[], object]) -> float:
    """Return images/s of a call on a batch, the median of a few."""
    seconds = []
    call()
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return BATCH / median(seconds)


def measure(model: Model, path: Path) -> str:
    """Return what is told of a network."""
    start = time.perf_counter()
    exported = written(model, path)
    wrote = time.perf_counter() - start
    backend = choose_backend("auto")
    check(exported, path, backend)
    compared = time.perf_counter() - start - wrote
    channels, height, width = model.input_shape
    pixels = np.random.default_rng(0).random((BATCH, height, width, channels), np.float32)
    session, images = Session(path), images_for(exported.form, pixels)
    theirs = rate(lambda: session.run(images))
    plan = Plan(model.graph(BATCH), backend, "predict", "f32")
    plan.load(model.values())
    ours = rate(lambda: plan.run({"data": pixels}))
    size = path.stat().st_size / 1e6
    return f"{size:7.1f} MB {wrote:6.1f} s {compared:6.1f} s {theirs:8.1f} {ours:8.1f}"


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("part", nargs="*", help="of the names to take")
    parts = words.parse_args().part
    failed = 0
    for name, arguments, shape, classes in NETWORKS:
        title = f"{Path(name).stem} {arguments.removesuffix(' d')}"
        if parts and not any(part in title for part in parts):
            continue
        with tempfile.TemporaryDirectory() as directory:
            try:
                told = measure(model_of(name, arguments, shape, classes), Path(directory, "m.onnx"))
            except UnequalError as error:
                told, failed = str(error), 1
        print(f"{title:26} {told}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
