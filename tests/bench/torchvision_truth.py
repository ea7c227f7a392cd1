"""What a network of torchvision computes, in float64, for torchvision_equal.py to compare with.

Runs in an environment of its own, see README.md. Writes one npz file: a batch, the state of the
network by torchvision's names, cost and gradients of a training step, class probabilities after it,
and how far torchvision's own float32 is from these.
"""

from __future__ import annotations

import argparse
import sys
from copy import deepcopy

import numpy as np
import torch
import torchvision
from torch import nn

Arrays = dict[str, np.ndarray]


def new_model(network: str) -> nn.Module:
    """Return a network of random weights without dropout, whose statistics are those of a batch."""
    model: nn.Module = getattr(torchvision.models, network)(weights=None)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return model


def computed(model: nn.Module, data: np.ndarray, target: np.ndarray, dtype: torch.dtype) -> Arrays:
    """Return cost, gradients and probabilities; leave the statistics of the batch in the model."""
    model.to(dtype).train()
    images = torch.from_numpy(data).to(dtype).permute(0, 3, 1, 2)
    cost = nn.functional.cross_entropy(model(images), torch.from_numpy(target).long())
    cost.backward()
    found = {f"gradient/{name}": each.grad for name, each in model.named_parameters()}
    with torch.inference_mode():
        found["class_probability"] = model.eval()(images).softmax(1)
    found["cost"] = cost.detach()
    return {name: each.double().numpy() for name, each in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("output", help="the npz file to write")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("image_size", type=int)
    parser.add_argument("seed", type=int)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    shape = given.batch_size, given.image_size, given.image_size, 3
    data = rng.standard_normal(shape).astype(np.float32)
    target = rng.integers(1000, size=given.batch_size, dtype=np.int32)
    model = new_model(given.network)
    rival = computed(deepcopy(model), data, target, torch.float32)
    truth = computed(model, data, target, torch.float64)
    sizes = {name: np.linalg.norm(each) for name, each in truth.items()}
    errors = {
        f"rival/{name}": np.linalg.norm(rival[name] - each) / sizes[name]
        for name, each in truth.items()
    }
    state = {f"state/{name}": each.float().numpy() for name, each in model.state_dict().items()}
    batch = {"data": data, "class_index": target}
    versions = {"versions": np.array(f"torchvision {torchvision.__version__}")}
    np.savez(given.output, **batch, **state, **truth, **errors, **versions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
