"""Check that DeNet and PyTorch compute the same, before their speeds are compared.

Takes two training steps in f32 here (gradients of the first, weights and running statistics after
the second), then class probabilities; torch_equal.py repeats all of it from the same weights and
states the limits.

    python tests/bench/equal.py --torch-python ~/torch/bin/python --network cifar
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from side_by_side import BORDERLESS, DESC  # noqa: E402

from denet.backend.select import choose_backend  # noqa: E402
from denet.graph.plan import Plan  # noqa: E402
from denet.layer.options import LayerOptions  # noqa: E402
from denet.model.model import Model  # noqa: E402
from denet.training.solver import make_solver  # noqa: E402

CLASS_NUM = 10
LEARN_RATE = 1e-4  # large steps of a new network are chaotic
MOMENTUM = 0.9
DECAY = 1.0  # enough to be seen after two such steps
KEPT = 0.9**2  # share of their start in the running statistics after two steps


def two_steps(
    network: str, backend_name: str, n: int, size: int, seed: int
) -> dict[str, np.ndarray]:
    """Return all that PyTorch needs to do the same, and what came out here, by name."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((n, size, size, 3)).astype(np.float32)
    batch = {"data": data, "class_index": rng.integers(CLASS_NUM, size=n, dtype=np.int32)}
    text = DESC[network].removesuffix("R") + "R.T"  # R's zeros would hide the trunk's gradients
    labels = [str(index) for index in range(CLASS_NUM)]
    options = LayerOptions(border_mode="valid" if network in BORDERLESS else "half")
    model = Model.create(text, (3, size, size), labels, options, seed)
    backend = choose_backend(backend_name)

    plan = Plan(model.graph(n), backend, "train")
    plan.load(model.values())
    solver = make_solver(
        "nesterov", plan.weights.size, plan.decay_size, [MOMENTUM], DECAY, plan.memory
    )
    costs = []
    for step in range(2):
        costs.append(float(sum(plan.run(batch).values())))
        if step == 0:
            gradients = plain_gradients(plan)
        solver.update(plan.weights, plan.gradients, LEARN_RATE)
    after = plan.values()
    settled = settle(after)
    predictor = Plan(model.graph(n), backend, "predict")
    predictor.load(settled)
    probability = predictor.run(batch)["class_probability"].copy()

    parameters = model.graph(n).parameters
    return (
        batch
        | {"costs": np.array(costs), "class_probability": probability}
        | {f"before/{path}": value for path, value in model.values().items()}
        | {f"gradient/{path}": gradients[path] for path in parameters}
        | {f"after/{path}": value for path, value in after.items()}
        | {f"settled/{path}": value for path, value in settled.items()}
    )


def settle(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return values whose running statistics have lost their start (means 0, variances 1)."""
    starts = {"mean": 0, "variance": 1}
    return {
        path: (value - KEPT * starts[name]) / (1 - KEPT) if name in starts else value
        for path, value in values.items()
        for name in [path.rpartition(".")[2]]
    }


def plain_gradients(plan: Plan) -> dict[str, np.ndarray]:
    """Return the gradients by path in border layout: the plan reads them out as if weights."""
    weights = plan.weights.copy()
    plan.weights[:] = plan.gradients
    gradients = plan.values()
    plan.weights[:] = weights
    return gradients


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", required=True, help="an interpreter that has torch")
    parser.add_argument("--network", choices=DESC, default="cifar")
    parser.add_argument("--backend", choices=("auto", "onednn", "numpy"), default="auto")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=32, help="width = height, pixels")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "denet.npz"
        np.savez(
            path,
            **two_steps(
                arguments.network,
                arguments.backend,
                arguments.batch_size,
                arguments.image_size,
                arguments.seed,
            ),
        )
        command = [arguments.torch_python, Path(__file__).with_name("torch_equal.py")]
        settings = [LEARN_RATE, MOMENTUM, DECAY]
        return subprocess.run([*command, arguments.network, path, *map(str, settings)]).returncode


if __name__ == "__main__":
    sys.exit(main())
