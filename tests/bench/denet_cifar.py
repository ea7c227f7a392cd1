"""Train a network on CIFAR with model-train, in a process of its own.

Takes the options of torch_cifar.py and prints the same JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import DESC

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "--border-mode half --activation relu --extension jpg --distort-mode o4 m50 --solver nesterov "
    "--learn-momentum 0.9 --learn-cosine --disable-intermediate"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--test")
    parser.add_argument("--network", choices=DESC, default="cifar")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--batch-size", default="64")
    parser.add_argument("--epochs", default="3")
    parser.add_argument("--learn-rate", default="0.05")
    parser.add_argument("--learn-decay", default="5e-4")
    parser.add_argument("--learn-decay-all", action="store_true")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--max-samples", help="train on a random part")
    given = vars(parser.parse_args())
    network, decay_all = given.pop("network"), given.pop("learn_decay_all")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "bin" / "model-train"), *SETTINGS.split()]
        command += [
            "--model-desc",
            *DESC[network].split(),
            "--output-prefix",
            f"{folder}/run/model",
        ]
        command += ["--learn-decay-all"] * decay_all
        for name, value in given.items():
            if value is not None:
                command += ["--" + name.replace("_", "-"), value]
        if code := subprocess.run(command, stdout=sys.stderr).returncode:
            sys.exit(code)
        with open(f"{folder}/run/model_metrics.csv", newline="") as file:
            epochs = list(csv.DictReader(file))
    result = {
        "images_per_second": statistics.median(float(e["images_per_second"]) for e in epochs),
        "accuracy": [1 - float(e["test_error"]) / 100 for e in epochs if e["test_error"]],
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
