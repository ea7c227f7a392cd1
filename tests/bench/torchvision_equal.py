"""Check that networks of torchvision and timm, read from their files, compute what they do there.

torchvision_truth.py makes a network of random weights and statistics, writes its file, and says
what it makes of a batch; here the file gives logits, with --train cost and gradients
of a training step too. Exit code 1 if they differ by more than stated.

    python tests/bench/torchvision_equal.py --torch-python ~/torch/bin/python densenet121
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from denet.backend.select import choose_backend  # noqa: E402
from denet.graph.plan import Plan  # noqa: E402
from denet.layer.dropout import DropoutLayer  # noqa: E402
from denet.model.format import load_weights  # noqa: E402
from denet.model.format.weights import stored_arrays  # noqa: E402
from denet.model.format.weights.networks import names_of, recognise  # noqa: E402
from denet.model.model import Model  # noqa: E402

# relative errors |a - truth| / |truth|: (median, worst array), as in torch_equal.py, where it
# stands why gradients of deep networks may differ so much
LIMITS = {
    "cost": (1e-6, 1e-6),
    "gradient": (5e-2, 1e-1),
    "logit": (1e-5, 1e-5),
}
# network: suffix of the file that its weights are written to, all kinds of which are met so
PUBLISHED = {
    **{f"resnet{depth}": ".pth" for depth in (18, 34, 50, 101, 152)},
    **{f"v1:resnet{depth}": ".pth" for depth in (50, 101)},
    **{f"vgg{depth}{norm}": ".th" for depth in (11, 13, 16, 19) for norm in ("", "_bn")},
    "alexnet": ".safetensors",
    **{f"densenet{depth}": ".pth" for depth in (121, 161, 169, 201)},
    "wide_resnet50_2": ".pth",
    **{f"timm:resnet{depth}": ".safetensors" for depth in (18, 34, 50, 101, 152)},
    **{f"timm:vgg{depth}{norm}": ".safetensors" for depth in (11, 16) for norm in ("", "_bn")},
    **{f"timm:densenet{depth}": ".bin" for depth in (121, 161)},
    **{f"cifar:{depth}": ".th" for depth in (20, 32, 44, 56, 110, 1202)},
}


def imported(network: str, path: Path, size: Sequence[int]) -> tuple[Model, dict[str, str]]:
    """Return the model of a file, without dropout, and the names of its arrays in the file."""
    with stored_arrays(str(path)) as arrays:
        known = recognise({name: array.shape for name, array in arrays.items()})
    assert known, network
    first = network.startswith("v1:")  # which arrays do not show
    text = known.text.replace("nRSN.OS", "nRSN.O") if first else None
    model = load_weights(path, text, known.options, size)
    for layer in model.layers:
        if isinstance(layer, DropoutLayer):
            layer.rate = 0.0
    return model, names_of(model, known)


def computed(
    model: Model, theirs: dict[str, str], given: dict[str, np.ndarray], backend_name: str
) -> dict[str, np.ndarray]:
    """Return what ``given`` has: logits, and of a training step cost and gradients."""
    backend, n = choose_backend(backend_name), len(given["data"])
    batch = {"data": given["data"], "class_index": given["class_index"]}
    found = {}
    if "cost" in given:
        plan = Plan(model.graph(n), backend, "train")
        plan.load(model.values())
        found = {"cost": np.array(float(sum(plan.run(batch).values())))}
        found |= {f"gradient/{theirs[p]}": g for p, g in plan.unpack(plan.gradients).items()}
    predictor = Plan(model.graph(n), backend, "predict")
    predictor.load(model.values())
    logarithm = np.log(predictor.run(batch)["class_probability"].astype(np.float64))
    return found | {"logit": logarithm - logarithm.mean(axis=1, keepdims=True)}


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the relative error of an array."""
    return float(np.linalg.norm(found.reshape(truth.shape) - truth) / np.linalg.norm(truth))


def compared(network: str, options: argparse.Namespace) -> bool:
    """Print how far each quantity of a network is from the truth; say whether that is near."""
    size = options.image_size or ([32, 32] if network.startswith("cifar:") else [224, 224])
    with tempfile.TemporaryDirectory() as folder:
        truth, weights = Path(folder) / "truth.npz", Path(folder) / f"a{PUBLISHED[network]}"
        script = Path(__file__).with_name("torchvision_truth.py")
        numbers = map(str, (options.batch_size, *size, options.seed))
        command = [options.torch_python, script, network, weights, truth, *numbers]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        train = ["--train"] if options.train else []
        subprocess.run([*command, *train], check=True, env=environment)
        model, theirs = imported(network, weights, size)
        with np.load(truth) as file:
            given = dict(file)
    found = computed(model, theirs, given, options.backend)
    fine = True
    for quantity, (median, worst) in LIMITS.items():
        chosen = [name for name in found if name.partition("/")[0] == quantity]
        if not chosen:
            continue
        ours = [error(found[name], given[name]) for name in chosen]
        rival = [float(given[f"rival/{name}"]) for name in chosen]
        # deep networks of random weights blow up any rounding: twice that of theirs is let pass
        limits = max(median, 2 * float(np.median(rival))), max(worst, 2 * max(rival))
        fits = np.median(ours) <= limits[0] and max(ours) <= limits[1]
        fine = fine and bool(fits)
        columns = [f"{np.median(each):11.1e} {max(each):10.1e}" for each in (ours, rival)]
        verdict = "" if fits else "  TOO MUCH"
        print(f"{network:20} {model.parameter_count():>12,} {quantity:18} {columns[0]} ", end="")
        print(f"{columns[1]:>27}{verdict}", flush=True)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="of those published; all")
    parser.add_argument("--torch-python", required=True, help="with torchvision and timm")
    parser.add_argument("--backend", choices=("auto", "onednn", "numpy"), default="auto")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--image-size", type=int, nargs=2, help="width and height, pixels")
    parser.add_argument("--train", action="store_true", help="cost and gradients too")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("relative error to their float64; theirs: that of their float32")
    print(f"{'network':20} {'parameters':>12} {'':18} {'DeNet: median worst':>22}", end="")
    print(f"{'theirs: median worst':>28}")
    outcomes = [compared(network, options) for network in options.networks or PUBLISHED]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
