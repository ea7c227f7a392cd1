"""Repeat in PyTorch what equal.py did; exit with 1 if the results differ by more than stated.

The truth is PyTorch in float64. Errors are relative: |a - truth| / |truth| over a whole array.
PyTorch's own float32 errors stand beside ours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn
from torch_network import NETWORKS, build, solver

STATES = ("mean", "variance")  # last part of the paths of running statistics
# In a deep network rounding decides on which side of 0 a few inputs of ReLU fall, and one that
# falls on the other side moves gradients by 1 % (PyTorch's float32 against its float64 as well).
DEEP = {
    "costs": (1e-3, 1e-3),
    "gradient": (5e-2, 1e-1),
    "after": (1e-4, 2e-3),
    "class_probability": (1e-5, 1e-5),
}
LIMITS = {  # network: {quantity: (median, worst array)}
    "cifar": {
        "costs": (1e-6, 1e-6),
        "gradient": (1e-5, 1e-3),
        "after": (1e-6, 1e-5),
        "class_probability": (1e-6, 1e-6),
    },
    **dict.fromkeys(("r34", "dense", "dense-40", "alex", "vgg-d"), DEEP),
}
FLOOR = 1e-3


def match(model: nn.Module, paths: Collection[str]) -> dict[str, Tensor]:
    """Return our path -> PyTorch's tensor: both list the same network in the same order."""
    states = [path for path in paths if path.rpartition(".")[2] in STATES]
    parameters = [path for path in paths if path not in states]
    buffers = [buffer for buffer in model.buffers() if buffer.ndim == 1]  # not the step counters
    return dict(zip(parameters, model.parameters(), strict=True)) | dict(
        zip(states, buffers, strict=True)
    )


@torch.no_grad()
def load(tensors: dict[str, Tensor], values: dict[str, np.ndarray]) -> None:
    """Copy our arrays into PyTorch's tensors, which have a shape of their own for class weights."""
    for path, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(values[path]).reshape(tensor.shape))


def plain(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Return a copy in our shape: class weights are (k, c, 1, 1) here, (k, c) in PyTorch."""
    return tensor.detach().double().numpy().reshape(shape).copy()


def two_steps(
    network: str, given: dict[str, np.ndarray], dtype: torch.dtype, settings: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Return the quantities of LIMITS from the same weights and batch, computed in ``dtype``."""
    before = select(given, "before")
    model = build(network, len(given["class_probability"][0])).to(dtype)
    ours = match(model, before)
    load(ours, before)
    data = torch.from_numpy(given["data"]).to(dtype).permute(0, 3, 1, 2)
    target = torch.from_numpy(given["class_index"]).long()
    optimizer = solver(model, settings.learn_rate, settings.decay, settings.momentum)
    costs, result = [], {}
    for step in range(2):
        optimizer.zero_grad()
        cost = nn.functional.cross_entropy(model(data), target)
        cost.backward()
        costs.append(cost.item())
        if step == 0:
            for path in select(given, "gradient"):
                result[f"gradient/{path}"] = plain(ours[path].grad, before[path].shape)
        optimizer.step()
    for path, tensor in ours.items():
        result[f"after/{path}"] = plain(tensor, before[path].shape)
    load(ours, select(given, "settled"))
    with torch.inference_mode():
        probability = model.eval()(data).softmax(1).double().numpy()
    return result | {"costs": np.array(costs), "class_probability": probability}


def select(arrays: dict[str, np.ndarray], quantity: str) -> dict[str, np.ndarray]:
    """Return the arrays whose name starts with ``quantity/``, without that."""
    start = quantity + "/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def errors(
    arrays: dict[str, np.ndarray], truth: dict[str, np.ndarray], quantity: str
) -> np.ndarray:
    """Return the relative error of each array of a quantity.

    Biases before batch normalisation have no gradient but rounding: an error is measured against
    no less than FLOOR times the largest array of the quantity.
    """
    names = [name for name in truth if name.partition("/")[0] == quantity]
    sizes = np.array([np.linalg.norm(truth[name]) for name in names])
    differences = np.array([np.linalg.norm(arrays[name] - truth[name]) for name in names])
    return differences / np.maximum(sizes, FLOOR * sizes.max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("arrays", help="the npz file of equal.py")
    parser.add_argument("learn_rate", type=float)
    parser.add_argument("momentum", type=float)
    parser.add_argument("decay", type=float)
    arguments = parser.parse_args()
    with np.load(arguments.arrays) as file:
        given = dict(file)
    truth, rival = (
        two_steps(arguments.network, given, dtype, arguments)
        for dtype in (torch.float64, torch.float32)
    )
    print(f"{'relative error':18} {'DeNet: median worst':>22} {'PyTorch: median worst':>22}")
    fine = True
    for quantity, (median, worst) in LIMITS[arguments.network].items():
        ours, theirs = (errors(arrays, truth, quantity) for arrays in (given, rival))
        fits = np.median(ours) <= median and np.max(ours) <= worst
        fine = fine and bool(fits)
        columns = [f"{np.median(e):11.1e} {np.max(e):10.1e}" for e in (ours, theirs)]
        print(f"{quantity:18} {columns[0]} {columns[1]}  {'' if fits else 'TOO MUCH'}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
