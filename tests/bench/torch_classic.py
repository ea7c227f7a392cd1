"""DenseNet-BC for CIFAR and two networks of ccv (2014) in PyTorch, as its users write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class DenseLayer(nn.Module):
    """``DL[growth]``; with ``memory_efficient`` what is cheap is computed twice, as torchvision."""

    def __init__(self, channels: int, growth: int, memory_efficient: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.memory_efficient = memory_efficient

    def bottleneck(self, *maps: Tensor) -> Tensor:
        return self.conv1(functional.relu(self.bn1(torch.cat(maps, 1)), inplace=True))

    def forward(self, maps: list[Tensor]) -> Tensor:
        if self.memory_efficient and self.training:
            y = checkpoint(self.bottleneck, *maps, use_reentrant=False)
        else:
            y = self.bottleneck(*maps)
        return self.conv2(functional.relu(self.bn2(y), inplace=True))


class DenseBlock(nn.ModuleList):
    """``nDL[count,growth]``."""

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self:
            maps.append(layer(maps))
        return torch.cat(maps, 1)


def dense(class_num: int, memory_efficient: bool = False, count: int = 16) -> nn.Sequential:
    """Return DenseNet-BC(100,12): ``C.B[24,3] nDL[16,12] TR nDL[16,12] TR nDL[16,12] ...``."""
    channels, growth = 24, 12
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for block in range(3):
        if block:
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
        inner = [
            DenseLayer(channels + index * growth, growth, memory_efficient)
            for index in range(count)
        ]
        layers.append(DenseBlock(inner))
        channels += count * growth
    layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, class_num, bias=False))


def dense_40(class_num: int) -> nn.Sequential:
    """Return DenseNet-BC(40,12)."""
    return dense(class_num, count=6)


def dense_efficient(class_num: int) -> nn.Sequential:
    """Return the same with its checkpoints."""
    return dense(class_num, memory_efficient=True)


class PartitionedNorm(nn.Module):
    """``LRN[5,2,0.0001,0.75,2]``: over five channels within either half; alpha is not divided."""

    def forward(self, x: Tensor) -> Tensor:
        halves = x.chunk(2, 1)
        normal = [functional.local_response_norm(each, 5, 5e-4, 0.75, 2.0) for each in halves]
        return torch.cat(normal, 1)


def convolution(
    before: int, filters: int, size: int, *more: int, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution (with stride and border in ``more``) and its ReLU."""
    return [nn.Conv2d(before, filters, size, *more, groups=groups), nn.ReLU(inplace=True)]


def full(inputs: int, class_num: int) -> list[nn.Module]:
    """Return ``F[4096] A F[4096] A R``."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in (inputs, 4096):
        layers += [nn.Linear(width, 4096), nn.ReLU(inplace=True)]
    return [*layers, nn.Linear(4096, class_num, bias=False)]


def alex(class_num: int) -> nn.Sequential:
    """Return ccv's AlexNet for 225x225 without dropout."""
    return nn.Sequential(
        *convolution(3, 96, 11, 4, 1),
        PartitionedNorm(),
        nn.MaxPool2d(3, 2),
        *convolution(96, 256, 5, 1, 2, groups=2),
        PartitionedNorm(),
        nn.MaxPool2d(3, 2),
        *convolution(256, 384, 3, 1, 1),
        *convolution(384, 384, 3, 1, 1, groups=2),
        *convolution(384, 256, 3, 1, 1, groups=2),
        nn.MaxPool2d(3, 2),
        *full(256 * 6 * 6, class_num),
    )


def vgg_d(class_num: int) -> nn.Sequential:
    """Return ccv's VGG-D for 225x225 without dropout."""
    layers: list[nn.Module] = []
    channels = 3
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += convolution(channels, filters, 3, 1, 1 if layers else 0)
            channels = filters
        layers.append(nn.MaxPool2d(3, 2))
    return nn.Sequential(*layers, *full(512 * 6 * 6, class_num))


CLASSIC = {
    "dense": dense,
    "dense-40": dense_40,
    "dense-efficient": dense_efficient,
    "alex": alex,
    "vgg-d": vgg_d,
}
