"""Train a network on CIFAR by ranks that make K steps alone; print a table of test errors.

    python tests/bench/local_steps.py --train CIFAR10/train --test CIFAR10/test --ranks 2

Each row is a training of its own, from the same weights, over the same images in the same order.
Steps of ranks together (K = 0) come first. Needs mpi4py and an MPI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from multi.ranks import mpiexec  # noqa: E402

DESC = "C[16,3] BN A P[2] C[32,3] BN A P[2] C[64,3] BN A P.A R"
OUTER: dict[str, dict[str, Any]] = {  # by the words of the table
    "mean of the weights": {},
    "momentum 0.8": {"outer_momentum": 0.8},
    "Nesterov 0.9, rate 0.7": {
        "outer_solver": "nesterov",
        "outer_momentum": 0.9,
        "outer_rate": 0.7,
    },
}


def train(given: dict[str, Any]) -> None:
    """Train as a rank; rank 0 prints the rows of the metrics."""
    from mpi4py import MPI

    from denet.backend.select import choose_backend
    from denet.dataset import open_dataset
    from denet.layer.options import LayerOptions
    from denet.model.model import Model
    from denet.model.preprocessing import Preprocessing
    from denet.multi.team import MpiTeam
    from denet.training.settings import TrainSettings
    from denet.training.trainer import Trainer

    team = MpiTeam(MPI.COMM_WORLD)
    size = {"max_samples": given["max_samples"]} if given["max_samples"] else {}
    train_set = open_dataset(given["train"], "jpg", seed=given["seed"], **size)
    test_set = open_dataset(given["test"], "jpg", class_labels=train_set.class_labels, **size)
    options = LayerOptions(border_mode="half")
    statistics = Preprocessing(*train_set.channel_statistics())
    model = Model.create(
        DESC, train_set.shape, train_set.class_labels, options, given["seed"], statistics
    )
    settings = TrainSettings(
        **given["case"],
        epochs=given["epochs"],
        batch_size=given["batch_size"] // team.share.ranks,
        ranks=team.share.ranks,
        learn_rate=given["learn_rate"],
        learn_momentum=(0.9,),
        learn_decay=5e-4,
        learn_cosine=True,
        distort_mode=("o4", "m50"),
        seed=given["seed"],
        test_epochs=given["epochs"],
        log_every=1e9,
        output_prefix=given["prefix"],
    )
    history = Trainer(model, train_set, test_set, settings, choose_backend(), team=team).run()
    if team.leads:
        print(json.dumps(history))


def main() -> None:
    """Start the ranks of each case, or be one."""
    if len(sys.argv) == 2 and os.path.isfile(sys.argv[1]):
        train(json.loads(Path(sys.argv[1]).read_text()))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64, help="of all ranks")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learn-rate", type=float, default=0.05)
    parser.add_argument("--max-samples", type=int, help="take a random part of both sets")
    parser.add_argument("--local-steps", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seed", type=int, default=1)
    given = vars(parser.parse_args())
    cases = [({}, "")]
    cases += [
        ({"local_steps": k, **OUTER[how]}, how) for k in given["local_steps"] for how in OUTER
    ]
    print("| K | outer update | cost of the last epoch | test error |\n|---|---|---|---|")
    for case, how in cases:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "case.json")
            file.write_text(json.dumps({**given, "case": case, "prefix": f"{folder}/run"}))
            command = [
                str(mpiexec()),
                "-n",
                str(given["ranks"]),
                sys.executable,
                __file__,
                str(file),
            ]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, stdin=-3)
            last = json.loads(done.stdout)[-1]
        steps = case.get("local_steps", "0: together")
        cost, error = last["cost"], last["test_error"]
        print(f"| {steps} | {how} | {cost:.3f} | {error:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
