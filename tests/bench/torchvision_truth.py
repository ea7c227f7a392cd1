"""What a network of torchvision or timm computes, in float64, for torchvision_equal.py.

Runs in an environment of its own, see README.md. Writes the weights as a user would have them, and
one npz file: a batch, the logits of its classes (less their mean), with --train also cost and
gradients of a training step before it, and how far the same network in float32 is from these.
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


class Block(nn.Module):
    """A residual block of two convolutions; where it changes the shape, by option A.

    He et al. 2015 (arXiv 1512.03385), sections 3.3 and 4.2; half of the zeros stand before.
    """

    def __init__(self, seen: int, filters: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(seen, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.stride, self.more = stride, filters - seen

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        zeros = (0, 0, 0, 0, self.more // 2, self.more // 2)
        return (y + nn.functional.pad(x[:, :, :: self.stride, :: self.stride], zeros)).relu()


class CifarResNet(nn.Module):
    """The ResNet of 6n + 2 layers for CIFAR, with the names of akamaster/pytorch_resnet_cifar10."""

    def __init__(self, depth: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        count = (depth - 2) // 6
        for stage, (seen, filters) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
            first = Block(seen, filters, 1 if stage == 1 else 2)
            others = [Block(filters, filters, 1) for _ in range(count - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(first, *others))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(self.conv1(x)).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        y: torch.Tensor = self.linear(x.mean((2, 3)))
        return y


def new_model(network: str) -> nn.Module:
    """Return a network of random weights and statistics, without dropout."""
    kind, _, name = network.rpartition(":")
    model: nn.Module
    if kind == "cifar":
        model = CifarResNet(int(name))
    elif kind == "timm":
        import timm

        model = timm.create_model(name)
    else:
        model = getattr(torchvision.models, name)(weights=None)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
        if kind == "v1" and isinstance(module, torchvision.models.resnet.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    return model


def take_statistics(model: nn.Module, images: torch.Tensor) -> None:
    """Give normalisations the statistics of a batch, and some noise: they are to differ by it."""
    with torch.no_grad():
        model.train()(images.permute(0, 3, 1, 2))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                noise = torch.randn_like(module.running_mean)
                module.running_mean += 0.1 * noise * module.running_var.sqrt()
                module.running_var *= torch.empty_like(noise).uniform_(0.8, 1.25)


def computed(
    model: nn.Module, data: np.ndarray, target: np.ndarray, dtype: torch.dtype, train: bool
) -> Arrays:
    """Return logits; with ``train`` after a step, whose statistics stay in the model."""
    model.to(dtype)
    images, found = torch.from_numpy(data).to(dtype).permute(0, 3, 1, 2), {}
    if train:
        model.train()
        cost = nn.functional.cross_entropy(model(images), torch.from_numpy(target).long())
        cost.backward()
        found = {f"gradient/{name}": each.grad for name, each in model.named_parameters()}
        found["cost"] = cost.detach()
    with torch.inference_mode():
        logits = model.eval()(images)
        found["logit"] = logits - logits.mean(1, keepdim=True)
    return {name: each.double().numpy() for name, each in found.items()}


def save(model: nn.Module, path: str) -> None:
    """Write the weights: .safetensors, .th in the old format as part of a checkpoint, or .pth."""
    state = {name: each.contiguous() for name, each in model.float().state_dict().items()}
    if path.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(state, path)
    elif path.endswith(".th"):
        wrapped = {f"module.{name}": each for name, each in state.items()}
        checkpoint = {"state_dict": wrapped, "best_prec1": 12.5, "epoch": 3}
        torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(model.state_dict(), path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", help="resnet50, v1:resnet50, timm:resnet50 or cifar:20")
    parser.add_argument("weights", help="the file of weights to write")
    parser.add_argument("output", help="the npz file to write")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument("height", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--train", action="store_true")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    model = new_model(given.network)
    data = rng.standard_normal((given.batch_size, given.height, given.width, 3), np.float32)
    target = rng.integers(10, size=given.batch_size, dtype=np.int32)
    take_statistics(model, torch.from_numpy(data))
    rival = computed(deepcopy(model), data, target, torch.float32, given.train)
    truth = computed(model, data, target, torch.float64, given.train)
    sizes = {name: np.linalg.norm(each) for name, each in truth.items()}
    errors = {
        f"rival/{name}": np.linalg.norm(rival[name] - each) / sizes[name]
        for name, each in truth.items()
    }
    save(model, given.weights)
    batch = {"data": data, "class_index": target}
    versions = {"versions": np.array(f"torchvision {torchvision.__version__}")}
    np.savez(given.output, **batch, **truth, **errors, **versions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
