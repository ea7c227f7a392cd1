"""Networks recognised by names and shapes alone: their text, and the parameters they are known for.

The names are those that torchvision and timm document; parameter counts are those of torchvision's
list of models, for CIFAR those of He et al. 2015 (arXiv 1512.03385, table 6), counted by hand.
"""

from __future__ import annotations

import pytest

from denet.model.desc import build_layers, parse_desc
from denet.model.format.weights import fits
from denet.model.format.weights.networks import names_of, recognise
from denet.model.model import Model, nameless

Shapes = dict[str, tuple[int, ...]]
STEM = "C.B[64,7,2] BN A P[3,2,1]"
TAIL = "P.A R.B"


def norm(name: str, channels: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts}


def resnet(blocks: tuple[int, ...], bottleneck: bool, wide: int = 1) -> Shapes:
    """A ResNet of torchvision and timm."""
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    seen = 64
    for stage, count in enumerate(blocks, 1):
        planes = 32 << stage
        for block in range(count):
            name, out = f"layer{stage}.{block}", planes * 4 if bottleneck else planes
            width = planes * wide
            sizes = [(planes, 3), (planes, 3)]
            if bottleneck:
                sizes = [(width, 1), (width, 3), (out, 1)]
            channels = seen
            for number, (filters, size) in enumerate(sizes, 1):
                shapes[f"{name}.conv{number}.weight"] = (filters, channels, size, size)
                shapes |= norm(f"{name}.bn{number}", filters)
                channels = filters
            if seen != out:
                shapes[f"{name}.downsample.0.weight"] = (out, seen, 1, 1)
                shapes |= norm(f"{name}.downsample.1", out)
            seen = out
    return shapes | {"fc.weight": (1000, seen), "fc.bias": (1000,)}


def cifar_resnet(depth: int) -> Shapes:
    """A ResNet for CIFAR with shortcuts without weights."""
    shapes: Shapes = {"conv1.weight": (16, 3, 3, 3)} | norm("bn1", 16)
    seen = 16
    for stage, filters in enumerate((16, 32, 64), 1):
        for block in range((depth - 2) // 6):
            for number, channels in enumerate((seen, filters), 1):
                name = f"layer{stage}.{block}"
                shapes[f"{name}.conv{number}.weight"] = (filters, channels, 3, 3)
                shapes |= norm(f"{name}.bn{number}", filters)
            seen = filters
    return shapes | {"linear.weight": (10, 64), "linear.bias": (10,)}


LAYERS = {11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(depth: int, norms: bool, timm: bool = False) -> Shapes:
    shapes: Shapes = {}
    number, seen = 0, 3
    for filters, count in zip((64, 128, 256, 512, 512), LAYERS[depth], strict=True):
        for _ in range(count):
            shapes[f"features.{number}.weight"] = (filters, seen, 3, 3)
            shapes[f"features.{number}.bias"] = (filters,)
            if norms:
                shapes |= norm(f"features.{number + 1}", filters)
            seen, number = filters, number + 2 + norms
        number += 1
    ways = [("classifier.0", (512 * 7 * 7,)), ("classifier.3", (4096,)), ("classifier.6", (4096,))]
    if timm:
        ways = [("pre_logits.fc1", (512, 7, 7)), ("pre_logits.fc2", (4096, 1, 1))]
        ways += [("head.fc", (4096,))]
    for (name, inputs), outputs in zip(ways, (4096, 4096, 1000), strict=True):
        shapes |= {f"{name}.weight": (outputs, *inputs), f"{name}.bias": (outputs,)}
    return shapes


def alexnet() -> Shapes:
    sizes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    shapes: Shapes = {}
    for number, (filters, seen, size) in sizes.items():
        shapes[f"features.{number}.weight"] = (filters, seen, size, size)
        shapes[f"features.{number}.bias"] = (filters,)
    for number, (outputs, inputs) in {1: (4096, 9216), 4: (4096, 4096), 6: (1000, 4096)}.items():
        shapes[f"classifier.{number}.weight"] = (outputs, inputs)
        shapes[f"classifier.{number}.bias"] = (outputs,)
    return shapes


def densenet(blocks: tuple[int, ...], growth: int, seen: int) -> Shapes:
    shapes: Shapes = {"features.conv0.weight": (seen, 3, 7, 7)} | norm("features.norm0", seen)
    for block, count in enumerate(blocks, 1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            shapes |= norm(f"{name}.norm1", seen)
            shapes[f"{name}.conv1.weight"] = (4 * growth, seen, 1, 1)
            shapes |= norm(f"{name}.norm2", 4 * growth)
            shapes[f"{name}.conv2.weight"] = (growth, 4 * growth, 3, 3)
            seen += growth
        if block < len(blocks):
            shapes |= norm(f"features.transition{block}.norm", seen)
            shapes[f"features.transition{block}.conv.weight"] = (seen // 2, seen, 1, 1)
            seen //= 2
    shapes |= norm("features.norm5", seen)
    return shapes | {"classifier.weight": (1000, seen), "classifier.bias": (1000,)}


def bottlenecks(second: int, third: int, width: int = 64) -> str:
    return (
        f"{STEM} nRSN.O[3,256,3,1,{width}] nRSN.OS[{second},512,3,2,{2 * width}] "
        f"nRSN.OS[{third},1024,3,2,{4 * width}] nRSN.OS[3,2048,3,2,{8 * width}] {TAIL}"
    )


def dense(third: int, fourth: int, growth: int = 32, filters: int = 64) -> str:
    return (
        f"C.B[{filters},7,2] BN A P[3,2,1] nDL[6,{growth}] TR nDL[12,{growth}] TR "
        f"nDL[{third},{growth}] TR nDL[{fourth},{growth}] BN A {TAIL}"
    )


def cifar(blocks: int) -> str:
    return (
        f"C.B[16,3] BN A nRSN.O[{blocks},16,3] nRSN.OZ[{blocks},32,3,2] nRSN.OZ[{blocks},64,3,2] "
        f"{TAIL}"
    )


FULL = "F[4096] A D F[4096] A D R.B"
VGG11 = (
    "C[64,3] A P[2] C[128,3] A P[2] C[256,3] A C[256,3] A P[2] " + "C[512,3] A C[512,3] A P[2] " * 2
)
ALEX = (
    "B[2] C[64,11,4] A P[3,2] B[2] C[192,5] A P[3,2] B[1] C[384,3] A B[1] C[256,3] A "
    "B[1] C[256,3] A P[3,2] D F[4096] A D F[4096] A R.B"
)
# network: shapes, its text where it is stated, and its parameters
NETWORKS: dict[str, tuple[Shapes, str, int]] = {
    "resnet18": (
        resnet((2, 2, 2, 2), False),
        f"{STEM} nRSN.O[2,64,3] nRSN.O[2,128,3,2] nRSN.O[2,256,3,2] nRSN.O[2,512,3,2] {TAIL}",
        11_689_512,
    ),
    "resnet34": (
        resnet((3, 4, 6, 3), False),
        f"{STEM} nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] nRSN.O[3,512,3,2] {TAIL}",
        21_797_672,
    ),
    "resnet50": (resnet((3, 4, 6, 3), True), bottlenecks(4, 6), 25_557_032),
    "resnet101": (resnet((3, 4, 23, 3), True), bottlenecks(4, 23), 44_549_160),
    "resnet152": (resnet((3, 8, 36, 3), True), bottlenecks(8, 36), 60_192_808),
    "wide_resnet50_2": (resnet((3, 4, 6, 3), True, 2), bottlenecks(4, 6, 128), 68_883_240),
    "vgg11": (vgg(11, False), VGG11 + FULL, 132_863_336),
    "vgg11_bn": (vgg(11, True), VGG11.replace("] A", "] BN A") + FULL, 132_868_840),
    "vgg11 of timm": (vgg(11, False, True), VGG11 + FULL, 132_863_336),
    "vgg13": (vgg(13, False), "", 133_047_848),
    "vgg13_bn": (vgg(13, True), "", 133_053_736),
    "vgg16": (vgg(16, False), "", 138_357_544),
    "vgg16_bn": (vgg(16, True), "", 138_365_992),
    "vgg19": (vgg(19, False), "", 143_667_240),
    "vgg19_bn": (vgg(19, True), "", 143_678_248),
    "alexnet": (alexnet(), ALEX, 61_100_840),
    "densenet121": (densenet((6, 12, 24, 16), 32, 64), dense(24, 16), 7_978_856),
    "densenet161": (densenet((6, 12, 36, 24), 48, 96), dense(36, 24, 48, 96), 28_681_000),
    "densenet169": (densenet((6, 12, 32, 32), 32, 64), dense(32, 32), 14_149_480),
    "densenet201": (densenet((6, 12, 48, 32), 32, 64), dense(48, 32), 20_013_928),
    "ResNet-20 for CIFAR": (cifar_resnet(20), cifar(3), 269_722),
    "ResNet-32 for CIFAR": (cifar_resnet(32), cifar(5), 464_154),
    "ResNet-56 for CIFAR": (cifar_resnet(56), cifar(9), 853_018),
    "ResNet-110 for CIFAR": (cifar_resnet(110), cifar(18), 1_727_962),
    "ResNet-1202 for CIFAR": (cifar_resnet(1202), cifar(200), 19_421_274),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_network(name: str) -> None:
    """Each array of the file is one of the network's, and the other way round."""
    shapes, text, parameters = NETWORKS[name]
    known = recognise(shapes)
    classes, side = (10, 32) if "CIFAR" in name else (1000, 224)
    assert known and known.side == side
    model = Model(
        build_layers(parse_desc(known.text), known.options), (3, side, side), nameless(classes)
    )
    assert text in ("", model.text())
    assert model.parameter_count() == parameters
    needed, names = model.shapes(), names_of(model, known)
    assert sorted(names.values()) == sorted(shapes)
    assert all(fits(shapes[names[path]], shape) for path, shape in needed.items())


def test_a_resnext_is_refused() -> None:
    shapes = resnet((3, 4, 6, 3), True, 2)
    shapes["layer1.0.conv2.weight"] = (128, 4, 3, 3)
    with pytest.raises(ValueError, match="convolutions in groups .ResNeXt"):
        recognise(shapes)


def test_a_sequence_with_layers_between_is_refused() -> None:
    shapes = {name.replace("features.3.", "features.5."): s for name, s in vgg(11, False).items()}
    with pytest.raises(ValueError, match="3 unknown layers behind 'features.0'"):
        recognise(shapes)


def test_vgg_for_small_images() -> None:
    """One full connection from 512 channels: images of 32 pixels, halved five times."""
    shapes = {name: shape for name, shape in vgg(11, True).items() if name.startswith("features")}
    known = recognise(shapes | {"classifier.weight": (10, 512), "classifier.bias": (10,)})
    assert known and known.side == 32 and known.text == VGG11.replace("] A", "] BN A") + "R.B"
