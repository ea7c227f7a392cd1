"""Check that DeNet computes what torchvision's networks do, with weights carried over by name.

torchvision_truth.py makes a network of random weights and a batch; here the same weights give the
cost and the gradients of a training step and class probabilities. Exit code 1 if they differ by
more than stated.

    python tests/bench/torchvision_equal.py --torch-python ~/torch/bin/python densenet121
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from denet.backend.select import choose_backend  # noqa: E402
from denet.graph.plan import Plan  # noqa: E402
from denet.layer.base import Layer  # noqa: E402
from denet.layer.options import LayerOptions  # noqa: E402
from denet.model.model import Model, nameless  # noqa: E402

# relative errors |a - truth| / |truth|: (median, worst array), as in torch_equal.py, where it
# stands why gradients of deep networks may differ so much
LIMITS = {
    "cost": (1e-6, 1e-6),
    "gradient": (5e-2, 1e-1),
    "class_probability": (1e-5, 1e-5),
}
BLOCKS = "nDL[6,32] TR nDL[12,32] TR nDL[24,32] TR nDL[16,32]"
THREES = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
VGG = " P[2] ".join(" ".join(f"B[1] C[{count},3] A" for count in each) for each in THREES)
ALEX = (
    "B[2] C[64,11,4] A P[3,2] B[2] C[192,5] A P[3,2] B[1] C[384,3] A B[1] C[256,3] A "
    "B[1] C[256,3] A P[3,2]"
)
LAST = {  # part of a path -> part of torchvision's name
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
    "bn": "norm",
    "bn1": "norm1",
    "bn2": "norm2",
}


def dense_names(layers: Sequence[Layer]) -> Iterator[str]:
    """Yield what torchvision calls each layer of a DenseNet."""
    block, position, stem = 1, 0, "0"
    for layer in layers:
        match layer.type_name:
            case "dense":
                position, stem = position + 1, "5"
                yield f"features.denseblock{block}.denselayer{position}"
            case "transition":
                yield f"features.transition{block}"
                block, position = block + 1, 0
            case "conv":
                yield "features.conv0"
            case "batchnorm":
                yield f"features.norm{stem}"
            case _:
                yield "classifier"


def plain_names(layers: Sequence[Layer]) -> Iterator[str]:
    """Yield what torchvision calls each layer of two plain sequences: features, classifier.

    A border is no layer there; the classifier begins at the first full or dropout layer.
    """
    part, number = "features", 0
    for layer in layers:
        if part == "features" and layer.type_name in ("full", "dropout"):
            part, number = "classifier", 0
        yield f"{part}.{number}"
        number += layer.type_name != "border"


# network: (text, names of its layers); dropout never drops, but has its number
NETWORKS: dict[str, tuple[str, Callable[[Sequence[Layer]], Iterator[str]]]] = {
    "densenet121": (f"B[3] C.B[64,7,2] BN A P[3,2,1] {BLOCKS} BN A P.A R.B", dense_names),
    "vgg16": (f"{VGG} P[2] F[4096] A D[0] F[4096] A D[0] R.B", plain_names),
    "alexnet": (f"{ALEX} D[0] F[4096] A D[0] F[4096] A R.B", plain_names),
}


def names(model: Model, of_layers: Sequence[str]) -> dict[str, str]:
    """Return {path of a parameter or state: torchvision's name}."""
    found = {}
    for path in model.values():
        number, _, *parts = path.split(".")
        found[path] = ".".join([of_layers[int(number) - 1], *(LAST.get(x, x) for x in parts)])
    return found


def computed(
    network: str, given: dict[str, np.ndarray], backend_name: str
) -> dict[str, np.ndarray]:
    """Return cost, gradients (by torchvision's names) and probabilities from the given state."""
    text, layer_names = NETWORKS[network]
    size = given["data"].shape[1]
    model = Model.create(text, (3, size, size), nameless(1000), LayerOptions(border_mode="valid"))
    theirs = names(model, list(layer_names(model.layers)))
    known = {name.removeprefix("state/") for name in given if name.startswith("state/")}
    known = {name for name in known if not name.endswith("num_batches_tracked")}
    assert known == set(theirs.values()), known ^ set(theirs.values())
    values = {
        path: given[f"state/{theirs[path]}"].reshape(value.shape)
        for path, value in model.values().items()
    }
    backend, n = choose_backend(backend_name), len(given["data"])
    batch = {"data": given["data"], "class_index": given["class_index"]}
    plan = Plan(model.graph(n), backend, "train")
    plan.load(values)
    found = {"cost": np.array(float(sum(plan.run(batch).values())))}
    found |= {f"gradient/{theirs[p]}": g for p, g in plan.unpack(plan.gradients).items()}
    predictor = Plan(model.graph(n), backend, "predict")
    predictor.load(values)
    return found | {"class_probability": predictor.run(batch)["class_probability"]}


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the relative error of an array."""
    return float(np.linalg.norm(found.reshape(truth.shape) - truth) / np.linalg.norm(truth))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--torch-python", required=True, help="an interpreter with torchvision")
    parser.add_argument("--backend", choices=("auto", "onednn", "numpy"), default="auto")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=224, help="width = height, pixels")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.npz"
        truth = Path(__file__).with_name("torchvision_truth.py")
        sizes = map(str, (options.batch_size, options.image_size, options.seed))
        command = [options.torch_python, truth, options.network, path, *sizes]
        subprocess.run(command, check=True)
        with np.load(path) as file:
            given = dict(file)
    found = computed(options.network, given, options.backend)
    print(f"{given['versions']}, relative error to its float64")
    print(f"{options.network:18} {'DeNet: median worst':>22} {'torchvision: median worst':>27}")
    fine = True
    for quantity, (median, worst) in LIMITS.items():
        chosen = [name for name in found if name.partition("/")[0] == quantity]
        ours = [error(found[name], given[name]) for name in chosen]
        rival = [float(given[f"rival/{name}"]) for name in chosen]
        fits = np.median(ours) <= median and max(ours) <= worst
        fine = fine and bool(fits)
        columns = [f"{np.median(each):11.1e} {max(each):10.1e}" for each in (ours, rival)]
        print(f"{quantity:18} {columns[0]} {columns[1]:>27}  {'' if fits else 'TOO MUCH'}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
