"""The networks of the measurements, in PyTorch: eager modules as its users write them."""

from __future__ import annotations

from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch_classic import CLASSIC


class Block(nn.Module):
    """A residual block with post-activation, ``RSN.O[filters,3,stride]``."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.shortcut is None else self.shortcut(x)
        return self.relu(y)


def resnet34(class_num: int) -> nn.Sequential:
    """Return the ResNet-34 whose last layer, as in ``R``, has no bias."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = 64
    for count, filters, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
        for index in range(count):
            layers.append(Block(channels, filters, stride if index == 0 else 1))
            channels = filters
    return nn.Sequential(*layers, *classifier(channels, class_num))


def cifar(class_num: int) -> nn.Sequential:
    """Return the network of the README's CIFAR example."""
    layers: list[nn.Module] = []
    for channels, filters in ((3, 128), (128, 256), (256, 512)):
        layers += [
            nn.Conv2d(channels, filters, 3, padding=1),
            nn.BatchNorm2d(filters),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers[:-1], *classifier(512, class_num))


def classifier(channels: int, class_num: int) -> list[nn.Module]:
    """Return ``P.A R``: the mean over the map, then class scores without bias."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, class_num, bias=False)]


NETWORKS = {"r34": resnet34, "cifar": cifar, **CLASSIC}


def build(name: str, class_num: int) -> nn.Sequential:
    """Return a network in channels_last with our start: he-backward, last layer and biases zero."""
    model = NETWORKS[name](class_num)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(
                module.weight, std=sqrt(2 / (module.out_channels * prod(module.kernel_size)))
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
    return model.to(memory_format=torch.channels_last)


def solver(
    model: nn.Module,
    learn_rate: float,
    decay: float,
    momentum: float = 0.9,
    kind: str = "fused",
    decay_all: bool = False,
) -> torch.optim.SGD:
    """Return Nesterov SGD; ``kind`` is loop, foreach or fused.

    Only weights decay, or with ``decay_all`` scales and biases too.
    """
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": decay},
            {"params": others, "weight_decay": decay * decay_all},
        ],
        lr=learn_rate,
        momentum=momentum,
        nesterov=True,
        foreach=kind == "foreach",
        fused=kind == "fused",
    )
