"""Networks recognised by the names and shapes of their arrays, as torchvision and timm name them.

Others use the same names: akamaster/pytorch_resnet_cifar10 for the ResNets of He et al. 2015 for
CIFAR. What arrays do not show is as in torchvision: bottlenecks have their stride in the
convolution behind the first, and each normalisation adds 1e-5 to the variance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from denet.layer.options import LayerOptions
from denet.model.model import Model

IMAGENET_SIDE, CIFAR_SIDE = 224, 32
MAX_POOLS = 16  # that halve a map
NUMBERS = re.compile(r"(\d+)")

Shapes = Mapping[str, tuple[int, ...]]


class UnknownNetworkError(ValueError):
    """A network that this language cannot say, or whose arrays are not all there; says why."""


@dataclass(frozen=True)
class Known:
    """A network, and the modules of the file that its layers have their arrays from.

    ``modules`` has them in order for each type of layer, ``parts`` the names inside a block.
    """

    name: str
    text: str
    modules: Mapping[str, list[str]]
    parts: Mapping[str, str] = field(default_factory=dict)
    side: int = IMAGENET_SIDE  # width and height of its images
    border_mode: str = "half"

    @property
    def options(self) -> LayerOptions:
        """What its layers take where the text says nothing."""
        return LayerOptions(border_mode=self.border_mode)


LAST = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
SAME_MODULES = {"batchnorm-relu": "batchnorm"}  # types that share the modules of another


def names_of(model: Model, known: Known) -> dict[str, str]:
    """Return {path of each array of a model: its name in the file}; "" where there is none."""
    left = {kind: iter(modules) for kind, modules in known.modules.items()}
    kinds = [SAME_MODULES.get(layer.type_name, layer.type_name) for layer in model.layers]
    modules = [next(left.get(kind, iter(())), "") for kind in kinds]
    found = {}
    for path in model.shapes():
        number, _, *own = path.split(".")
        module = modules[int(number) - 1]
        words = [known.parts.get(word, word) for word in own[:-1]] + [LAST.get(own[-1], own[-1])]
        found[path] = ".".join(filter(None, (module, *words))) if module else ""
    return found


def recognise(shapes: Shapes) -> Known | None:
    """Return the network of these arrays, None for an unknown one; raise UnknownNetworkError."""
    for mark, read in READERS.items():
        if mark in shapes:
            try:
                return read(shapes)
            except KeyError as error:
                raise UnknownNetworkError(f"no array {error.args[0]!r:.80}") from None
    return None


def resnet(shapes: Shapes) -> Known:
    """Return a ResNet: v1.5 of torchvision and timm, also wide ones, and those for CIFAR."""
    for pattern, what in NO_RESNET.items():
        if name := next((name for name in shapes if re.search(pattern, name)), ""):
            raise UnknownNetworkError(f"{what} ({name!r:.80})")
    filters, _, size, _ = axes(shapes, "conv1.weight", 4)
    stems = {7: f"C.B[{filters},7,2] BN A P[3,2,1]", 3: f"C.B[{filters},3] BN A"}
    if size not in stems:
        raise UnknownNetworkError(f"a first convolution of {size}x{size}")
    shortcut = next((word for word in ("downsample", "shortcut") if has_part(shapes, word)), "")
    words, modules, channels = [stems[size]], [], filters
    for stage, blocks in enumerate(stages(shapes, r"layer(\d{1,6})\.(\d{1,6})\."), 1):
        first, stride = f"layer{stage}.0", 1 if stage == 1 else 2
        last = "conv3" if f"{first}.conv3.weight" in shapes else "conv2"
        out = axes(shapes, f"{first}.{last}.weight", 4)[0]
        width, seen, window, _ = axes(shapes, f"{first}.conv2.weight", 4)
        if seen != axes(shapes, f"{first}.conv1.weight", 4)[0]:
            raise UnknownNetworkError("convolutions in groups (ResNeXt)")
        tags = "O" + "S" * (last == "conv3" and stride > 1)
        tags += "Z" * (not shortcut and (out != channels or stride > 1))
        arguments = [blocks, out, window, stride, *([width] if last == "conv3" else [])]
        words.append(f"nRSN.{tags}[{','.join(map(str, arguments))}]")
        modules += [f"layer{stage}.{block}" for block in range(blocks)]
        channels = out
    head = next((name for name in ("fc", "linear") if f"{name}.weight" in shapes), "fc")
    return Known(
        "ResNet",
        " ".join([*words, "P.A", classes(shapes, head)]),
        {"conv": ["conv1"], "batchnorm": ["bn1"], "resnet": modules, "class-conv": [head]},
        {"shortcut": f"{shortcut}.0", "shortcut_bn": f"{shortcut}.1"},
        IMAGENET_SIDE if size == 7 else CIFAR_SIDE,
    )


# pattern of a name: what a network with such a name has
NO_RESNET = {
    r"^conv1\.\d": "a stem of several convolutions (ResNet-C, -D, -T)",
    r"\.downsample\.2\.": "a mean pooling in its shortcuts (ResNet-D, avg_down)",
    r"\.(se|se_module)\.": "squeeze-and-excitation (SE-ResNet)",
    r"\.(eca|attn|cbam|gcb)\.": "attention in its blocks",
}


def densenet(shapes: Shapes) -> Known:
    """Return a DenseNet for ImageNet."""
    filters, _, size, _ = axes(shapes, "features.conv0.weight", 4)
    if size != 7 or "features.conv1.weight" in shapes:
        raise UnknownNetworkError("a stem of several convolutions ('features.conv0.weight')")
    words, layers, transitions = [], [], []
    counts = list(stages(shapes, r"features\.denseblock(\d{1,6})\.denselayer(\d{1,6})\.", 1))
    for block, count in enumerate(counts, 1):
        first = f"features.denseblock{block}.denselayer"
        growth, between, _, _ = axes(shapes, f"{first}1.conv2.weight", 4)
        words.append(f"nDL[{count},{growth},{between // max(1, growth)}]")
        layers += [f"{first}{number}" for number in range(1, count + 1)]
        if block < len(counts):
            name = f"features.transition{block}"
            out, seen, _, _ = axes(shapes, f"{name}.conv.weight", 4)
            words.append("TR" if out == seen // 2 else f"TR[{out / max(1, seen)!r}]")
            transitions.append(name)
    return Known(
        "DenseNet",
        f"C.B[{filters},7,2] BN A P[3,2,1] {' '.join(words)} BN A P.A "
        + classes(shapes, "classifier"),
        {
            "conv": ["features.conv0"],
            "batchnorm": ["features.norm0", "features.norm5"],
            "dense": layers,
            "transition": transitions,
            "class-conv": ["classifier"],
        },
        {"bn1": "norm1", "bn2": "norm2", "bn": "norm"},
    )


def plain(shapes: Shapes) -> Known:
    """Return a VGG or AlexNet: convolutions under "features", then full connections.

    Each module of a sequence has a number there, also those without arrays: what stands between
    two convolutions is told by the gap.
    """
    convolutions = numbered(shapes, "features", 4)
    norms = [number for number in convolutions if f"features.{number + 1}.running_mean" in shapes]
    alex = axes(shapes, "features.0.weight", 4)[2] == 11
    words, pools = [], 0
    for number, following in zip(convolutions, [*convolutions[1:], None], strict=True):
        filters, _, size, _ = axes(shapes, f"features.{number}.weight", 4)
        if alex:
            words.append(
                "B[2] C[64,11,4]" if number == 0 else f"B[{size // 2}] C[{filters},{size}]"
            )
        else:
            words.append(f"C[{filters},{size}]")
        own = ["BN", "A"] if number in norms else ["A"]
        words += own
        gap = 1 if following is None else following - number - 1 - len(own)
        if gap not in (0, 1):
            raise UnknownNetworkError(f"{gap} unknown layers behind 'features.{number}'")
        words += ["P[3,2]" if alex else "P[2]"] * gap
        pools += gap
    full = full_modules(shapes)
    channels = axes(shapes, f"features.{convolutions[-1]}.weight", 4)[0]
    seen = math.prod(axes(shapes, f"{full[0]}.weight")[1:])
    cells = math.isqrt(seen // max(1, channels))
    return Known(
        "AlexNet" if alex else "VGG",
        " ".join([*words, *full_words(shapes, full), classes(shapes, full[-1])]),
        {
            "conv": [f"features.{number}" for number in convolutions],
            "batchnorm": [f"features.{number + 1}" for number in norms],
            "full": full[:-1],
            "class-conv": full[-1:],
        },
        side=IMAGENET_SIDE if alex else cells << min(pools, MAX_POOLS),
        border_mode="valid" if alex else "half",
    )


TIMM_FULL = ["pre_logits.fc1", "pre_logits.fc2", "head.fc"]


def full_modules(shapes: Shapes) -> list[str]:
    """Return the full connections of a plain network."""
    if f"{TIMM_FULL[0]}.weight" in shapes:
        return TIMM_FULL
    found = [f"classifier.{number}" for number in numbered(shapes, "classifier", 2)]
    return found or ["classifier"]


def full_words(shapes: Shapes, modules: list[str]) -> Iterator[str]:
    """Yield what stands for the full connections before the classes: F, A and D."""
    numbers = [int(found[-1]) if (found := NUMBERS.findall(name)) else 0 for name in modules]
    if modules == TIMM_FULL:
        numbers = [0, 3, 6]  # as in torchvision
    if numbers[0]:
        yield "D"
    for name, number, following in zip(modules, numbers, numbers[1:], strict=False):
        if following - number not in (2, 3):
            raise UnknownNetworkError(f"unknown layers behind {name!r:.80}")
        yield f"F[{axes(shapes, f'{name}.weight')[0]}]"
        yield "A D" if following - number == 3 else "A"


def in_order(shapes: Shapes) -> Known:
    """Return what fits any sequence of convolutions, normalisations and full connections.

    Their modules are taken in the order of the file; the network has to be said.
    """
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in shapes))
    norms = [name for name in names if f"{name}.running_mean" in shapes]
    others = {name: len(shapes.get(f"{name}.weight", ())) for name in names if name not in norms}
    convolutions = [name for name, count in others.items() if count == 4]
    full = [name for name, count in others.items() if count == 2]
    head = (full or convolutions)[-1:]
    return Known(
        "a sequence",
        "",
        {
            "conv": [name for name in convolutions if name not in head],
            "batchnorm": norms,
            "full": full[:-1],
            "class-conv": head,
        },
    )


def classes(shapes: Shapes, module: str) -> str:
    """Return the layer of the classes."""
    axes(shapes, f"{module}.weight")
    return "R.B" if f"{module}.bias" in shapes else "R"


def axes(shapes: Shapes, name: str, count: int | None = None) -> tuple[int, ...]:
    """Return the shape of an array; KeyError where it is absent, or has not so many axes."""
    shape = shapes[name]
    if len(shape) != (count or max(2, len(shape))):
        raise UnknownNetworkError(f"{name!r:.80} has the shape {list(shape)!s:.80}")
    return shape


def has_part(shapes: Shapes, word: str) -> bool:
    """Say whether a block has a part of this name."""
    return any(f".{word}.0.weight" in name for name in shapes)


def numbered(shapes: Shapes, module: str, count: int) -> list[int]:
    """Return the numbers of a sequence whose weights have so many axes, in order."""
    pattern = re.compile(rf"{module}\.(\d{{1,6}})\.weight")
    found = [(match, shape) for name, shape in shapes.items() if (match := pattern.fullmatch(name))]
    return sorted(int(match[1]) for match, shape in found if len(shape) == count)


def stages(shapes: Shapes, pattern: str, first: int = 0) -> Iterator[int]:
    """Yield how many blocks each stage has; stages count from 1, blocks from ``first``."""
    matches = (re.match(pattern, name) for name in shapes)
    found = {(int(match[1]), int(match[2])) for match in matches if match}
    stage, count = 1, 0
    while (stage, first) in found:
        count = 1
        while (stage, first + count) in found:
            count += 1
        yield count
        stage += 1


# name of an array that each network of a kind has: what reads the others
READERS: dict[str, Callable[[Shapes], Known]] = {
    "layer1.0.conv1.weight": resnet,
    "features.denseblock1.denselayer1.conv1.weight": densenet,
    "features.0.weight": plain,
}
