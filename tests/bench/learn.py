"""How well do the lines that model-info --data prints learn somebody's data in so many minutes?

    python tests/bench/learn.py DIR --minutes 10 --seed 1 2 3

trains as printed on one core, from random weights, without the test in between, and prints the
precision (IoU 0.5, as an area) of the last model on the test images and on those it has trained on.
"""

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WITHOUT = (
    "--epochs",
    "--test-epochs",
    "--test",
    "--test-extension",
    "--thread-num",
    "--output-prefix",
)


FAULTY = 3  # files that cannot be read, which are told


def command(words: list[str], core: int, codes: tuple[int, ...] = (0,)) -> str:
    """Run one of the commands on a core; return what it printed. Ends for other exit codes."""
    name, *options = words
    program = [sys.executable, str(REPOSITORY / "bin" / name), *options]
    done = subprocess.run(
        program,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode not in codes:
        sys.exit(f"{shlex.join(words)}: {done.stderr}")
    return done.stdout + done.stderr


def printed_lines(directory: str) -> list[list[str]]:
    """Return the words of the two lines that model-info prints for a directory."""
    text = command(["model-info", "--data", directory], 0, (0, FAULTY)).replace("\\\n", "")
    found = re.findall(
        r"^(?:model-train|model-predict) .*?(?=\n\n|\Z)", text, re.DOTALL | re.MULTILINE
    )
    return [shlex.split(line) for line in found]


def without(words: list[str], names: tuple[str, ...]) -> list[str]:
    """Return the words without these options and their one value."""
    dropped = {place + step for place, word in enumerate(words) if word in names for step in (0, 1)}
    return [word for place, word in enumerate(words) if place not in dropped]


def trained(directory: str, minutes: float, seed: int, core: int, more: list[str]) -> str:
    """Return the results of one training, in a line."""
    train, predict = printed_lines(directory)
    if "--test" not in train:
        sys.exit(f"{directory}: no images to test on: name them in ImageSets/Main/test.txt")
    with tempfile.TemporaryDirectory() as output:
        prefix = f"{output}/model"
        options = ["--minutes", f"{minutes:g}", "--seed", f"{seed}", "--thread-num", "1"]
        words = [*without(train, WITHOUT), *options, "--output-prefix", prefix, *more]
        start = time.perf_counter()
        command(words, core)
        seconds = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        (model,) = Path(output).glob("*_final.mdl")
        last = model.with_name("model_metrics.csv").read_text().splitlines()[-1]
        means = []
        tested = predict[predict.index("--extension") + 1]
        view = tested[tested.index(",crop=") :]
        splits = train[train.index("--extension") + 1].split(",crop=")[0]
        for extension in (tested, splits + view):
            options = ["--extension", extension, "--results", f"{output}/{len(means)}/x"]
            words = ["model-predict", "--predict-mode", "detect,voc", "--model", str(model)]
            words += ["--input", directory, *options]
            words += ["--on-bad-data", "skip"] * ("skip" in train)
            means.append(re.findall(r"^mean .* / (.*)%$", command(words, core), re.MULTILINE)[-1])
    epochs = last.split(",")[0]
    return (
        f"{directory}: seed {seed}: AP {means[0]} on the test, {means[1]} on training images; "
        f"{epochs} epochs, {seconds:.0f} s, {memory} MB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", metavar="DIR", help="images with boxes")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--core", type=int, default=0, help="number of the core to use")
    parser.add_argument("more", nargs="*", help="further options of model-train, after --")
    values = parser.parse_args()
    for each in values.seed:
        print(trained(values.directory, values.minutes, each, values.core, values.more), flush=True)
