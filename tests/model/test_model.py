"""A model: known sizes, checks before any array is made, reproducible starts."""

from __future__ import annotations

import numpy as np
import pytest

from denet.errors import DataError, DescriptionError, OutOfMemoryError, UsageError
from denet.graph.op.pool import Pool
from denet.layer.options import LayerOptions
from denet.model.desc import build_layers, parse_desc
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

HALF = LayerOptions(border_mode="half")


def unfilled(text: str, shape=(3, 32, 32), class_num: int = 10, options=HALF) -> Model:
    """Return a model without arrays."""
    labels = [str(number) for number in range(class_num)]
    return Model(build_layers(parse_desc(text), options), shape, labels)


def create(text: str, shape=(3, 8, 8), seed: int = 0, options=HALF) -> Model:
    """Return a small model of two classes."""
    return Model.create(text, shape, ["cat", "dog"], options, seed)


STEM = "C.B[64,7,2] BN A P[3,2,1] "
TRUNK34 = STEM + "nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] nRSN.O[3,512,3,2]"
TRUNK101 = (
    STEM + "nRSN.O[3,256,3,1,64] nRSN.O[4,512,3,2,128] nRSN.O[23,1024,3,2,256] "
    "nRSN.O[3,2048,3,2,512]"
)


def head(*filters: int) -> str:
    """Return the 1x1 layers of a DeNet detector."""
    return "".join(f"C.B[{count},1] BNA " for count in filters)


def dense(depths, growth: int, stem: str, bottleneck: int = 4, compression: float = 0.5) -> str:
    """Return a DenseNet with blocks of so many layers."""
    blocks = [f"nDL[{depth},{growth},{bottleneck}]" for depth in depths]
    return stem + f" TR[{compression}] ".join(blocks) + " BN A P.A R.B"


def dense_cifar(depth: int, growth: int, start: int) -> str:
    """Return the plain DenseNet for CIFAR of this depth."""
    return dense([(depth - 4) // 3] * 3, growth, f"C.B[{start},3] ", 0, 1)


def dense_bc(depth: int, growth: int) -> str:
    """Return the DenseNet for CIFAR with bottlenecks and compression."""
    return dense([(depth - 4) // 6] * 3, growth, f"C.B[{2 * growth},3] ")


def dense_imagenet(depths, growth: int) -> str:
    """Return the DenseNet for ImageNet with these blocks."""
    stem = f"C.B[{2 * growth},7,2] BN A P[3,2,1] "
    return dense(depths, growth, stem)


def vgg(*filters: tuple[int, ...]) -> str:
    """Return ccv's VGG: the first convolution has no border, then 3x3 pools of stride 2."""
    convolutions = [" ".join(f"B[1] C[{count},3] A" for count in group) for group in filters]
    body = " P[3,2] ".join(convolutions).removeprefix("B[1] ")
    return f"{body} P[3,2] F[4096] A D F[4096] A D R.B"


LRN = "A LRN[5,2,0.0001,0.75,2] P[3,2] "
ALEX = (  # from the second convolution on, but for its stride
    LRN + "B[1] C[384,3] A B[1] C[384,3,1,2,1] A B[1] C[256,3,1,2,1] A P[3,2] "
    "F[4096,1] A D F[4096,1] A D R.B"
)
MATT = "B[1] C[512,3] A B[1] C[512,3,1,2] A B[1] C[512,3,1,2] A "
MATT_END = "B[1] C[512,3] A B[1] C[512,3,1,2] A P[3,2] P.A[3] F[2048] A D F[2048] A D R.B"

# network, input (c, h, w), classes, published number of parameters
COUNTS = [
    ("ResNet-34 trunk", TRUNK34, (3, 224, 224), 1000, 21_284_672),
    ("ResNet-101 trunk", TRUNK101, (3, 224, 224), 1000, 42_500_160),
    ("ResNet-34", TRUNK34 + " P.A[7] R.TB", (3, 224, 224), 1000, 21_797_672),
    (
        "DenseNet (40,12) as the code has it",
        dense_cifar(40, 12, 2 * 12),
        (3, 32, 32),
        10,
        1_059_298,
    ),
    ("DenseNet (40,12)", dense_cifar(40, 12, 16), (3, 32, 32), 10, 1_019_722),
    (
        "DenseNet (100,12) as the code has it",
        dense_cifar(100, 12, 2 * 12),
        (3, 32, 32),
        10,
        7_083_538,
    ),
    ("DenseNet (100,12)", dense_cifar(100, 12, 16), (3, 32, 32), 10, 6_979_642),
    (
        "DenseNet (100,24) as the code has it",
        dense_cifar(100, 24, 2 * 24),
        (3, 32, 32),
        10,
        28_071_706,
    ),
    ("DenseNet (100,24)", dense_cifar(100, 24, 16), (3, 32, 32), 10, 27_249_082),
    ("DenseNet-BC (100,12)", dense_bc(100, 12), (3, 32, 32), 10, 769_162),
    ("DenseNet-BC (250,24)", dense_bc(250, 24), (3, 32, 32), 10, 15_324_406),
    ("DenseNet-BC (190,40)", dense_bc(190, 40), (3, 32, 32), 10, 25_624_430),
    ("DenseNet-BC (40,36)", dense_bc(40, 36), (3, 32, 32), 10, 1_542_682),
    ("DenseNet-BC (40,48)", dense_bc(40, 48), (3, 32, 32), 10, 2_733_130),
    ("DenseNet-BC (40,60)", dense_bc(40, 60), (3, 32, 32), 10, 4_261_690),
    ("DenseNet-121", dense_imagenet((6, 12, 24, 16), 32), (3, 224, 224), 1000, 7_978_856),
    ("DenseNet-169", dense_imagenet((6, 12, 32, 32), 32), (3, 224, 224), 1000, 14_149_480),
    ("DenseNet-201", dense_imagenet((6, 12, 48, 32), 32), (3, 224, 224), 1000, 20_013_928),
    ("DenseNet-161", dense_imagenet((6, 12, 36, 24), 48), (3, 224, 224), 1000, 28_681_000),
    ("DenseNet-264", dense_imagenet((6, 12, 64, 48), 32), (3, 224, 224), 1000, 33_337_704),
    ("DenseNet-264 k48", dense_imagenet((6, 12, 64, 48), 48), (3, 224, 224), 1000, 72_686_632),
    ("DenseNet-232 k48", dense_imagenet((6, 12, 48, 48), 48), (3, 224, 224), 1000, 55_570_984),
]


@pytest.mark.parametrize(
    ("text", "shape", "class_num", "count"),
    [row[1:] for row in COUNTS],
    ids=[row[0] for row in COUNTS],
)
def test_published_parameter_counts(text, shape, class_num, count):
    assert unfilled(text, shape, class_num).parameter_count() == count


# ccv's networks for ImageNet, borders as they write them: sides of the pooled maps, parameters
CCV = {
    "alex": (f"B[1] C[96,11,4] {LRN}B[2] C[256,5,1,2,1] {ALEX}", [27, 13, 6], 60_965_224),
    "matt_a": (f"B[1] C[96,7,2] {LRN}B[1] C[256,5,2,2,1] {ALEX}", [55, 13, 6], 60_944_488),
    "matt_b": (
        f"B[1] C[128,7,2] {LRN}B[1] C[384,5,2,2] {LRN}{MATT}{MATT_END}",
        [55, 13, 6, 2],
        18_745_704,
    ),
    "matt_c": (
        f"B[1] C[128,7,2] {LRN}B[1] C[384,3,1,2] {LRN}{MATT}P[3,2] {MATT_END}",
        [55, 27, 13, 6, 2],
        18_352_488,
    ),
    "vgg_a": (
        vgg((64,), (128,), (256, 256), (512, 512), (512, 512)),
        [111, 55, 27, 13, 6],
        105_600_360,
    ),
    "vgg_d": (
        vgg((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
        [111, 55, 27, 13, 6],
        111_094_568,
    ),
}


@pytest.mark.parametrize("name", CCV)
def test_networks_of_ccv(name):
    text, sides, count = CCV[name]
    model = unfilled(text, (3, 225, 225), 1000, LayerOptions(border_mode="valid"))
    nodes = model.graph(1).nodes
    pooled = [node.outputs[0].shape[1:3] for node in nodes if isinstance(node.op, Pool)]
    assert pooled == [(side, side) for side in sides]
    assert model.parameter_count() == count


# A detector samples its features between two networks: the corner layer is a 1x1 convolution to 4
# corner types and the features of a sample; the head sees features times grid points plus 2.
DETECTORS = [
    (
        "DeNet-34",
        TRUNK34 + " PI C.B[256,3] BNA PI C.B[128,3] BNA C[100]",
        (96, 7),
        (1536, 1024, 768, 512),
        {80: 32_805_113, 20: 32_774_333},
    ),
    (
        "DeNet-34 skip",
        STEM + "nRSN.O[3,64,3] nRSN.O[4,128,3,2] SKIPSRC.X[0] nRSN.O[6,256,3,2] SKIPSRC.X[1] "
        "nRSN.O[3,512,3,2] PI C.B[256,3] SKIP[1] BNA PI C.B[128,3] SKIP[0] BNA C[100]",
        (96, 7),
        (1536, 1024, 768, 512),
        {80: 32_805_113},
    ),
    (
        "DeNet-34 wide",
        STEM
        + "nRSN.O[3,64,3] SKIPSRC[0] nRSN.O[4,128,3,2] SKIPSRC[1] nRSN.O[6,256,3,2] SKIPSRC[2] "
        "nRSN.O[3,512,3,2] PI C.B[256,3] SKIP[2] BNA PI C.B[128,3] SKIP[1] BNA PI C.B[64,3] "
        "SKIP[0] BNA SPLIT C[52]",
        (48, 10),
        (1536, 1024, 768, 512),
        {80: 33_016_905},
    ),
    (
        "DeNet-101",
        TRUNK101 + " PI C.B[384,3] BNA PI C.B[192,3] BNA C[132]",
        (128, 7),
        (2048, 1536, 1024, 768),
        {80: 68_698_521, 20: 68_652_381},
    ),
    (
        "DeNet-101 skip",
        STEM + "nRSN.O[3,256,3,1,64] nRSN.O[4,512,3,2,128] SKIPSRC.X[0] nRSN.O[23,1024,3,2,256] "
        "SKIPSRC.X[1] nRSN.O[3,2048,3,2,512] PI C.B[384,3] SKIP[1] BNA PI C.B[192,3] SKIP[0] BNA "
        "C[132]",
        (128, 7),
        (2048, 1536, 1024, 768),
        {80: 69_190_041},
    ),
    (
        "DeNet-101 wide",
        STEM + "nRSN.O[3,256,3,1,64] SKIPSRC[0] nRSN.O[4,512,3,2,128] SKIPSRC[1] "
        "nRSN.O[23,1024,3,2,256] SKIPSRC[2] nRSN.O[3,2048,3,2,512] PI C.B[1024,3] SKIP[2] BNA "
        "PI C.B[512,3] SKIP[1] BNA PI C.B[256,3] SKIP[0] BNA SPLIT C[132]",
        (128, 7),
        (2048, 1536, 1024, 768),
        {80: 85_740_569},
    ),
]


@pytest.mark.parametrize(
    ("text", "sample", "filters", "counts"),
    [row[1:] for row in DETECTORS],
    ids=[row[0] for row in DETECTORS],
)
def test_published_detector_counts(text, sample, filters, counts):
    features, grid = sample
    body = unfilled(text, (3, 512, 512)).parameter_count()
    for class_num, count in counts.items():
        classify = f"{head(*filters)}C[{class_num + 1 + 4}]"
        shape = (features * grid * grid + 2, 24, 24)
        assert body + unfilled(classify, shape).parameter_count() == count


def test_output_shapes_of_published_networks():
    graph = unfilled(TRUNK34 + " P.A[7] R.TB", (3, 224, 224), 1000).graph(2)
    maps = {node.name: node.outputs[0].shape for node in graph.nodes}
    assert maps["1.conv.conv"] == (2, 112, 112, 64)
    assert maps["4.pool.pool"] == (2, 56, 56, 64)
    assert maps["11.resnet.add"] == (2, 28, 28, 128)
    assert maps["20.resnet.add"] == (2, 7, 7, 512)
    assert maps["21.pool.pool"] == (2, 1, 1, 512)
    assert graph.outputs["class_probability"].shape == (2, 1000)
    assert graph.inputs["data"].shape == (2, 224, 224, 3)
    assert graph.inputs["class_index"].type.dtype == "int32"
    # He et al. 2015, table 1: 3.6 billion multiply-adds for one image
    assert graph.flops() / 2 / 2 == pytest.approx(3.6e9, rel=0.02)


def test_paths_and_references():
    model = create("C[4,3] BN RSN.O[4,3] SKIPSRC C[6] SKIP P R.B")
    assert list(model.values())[:8] == [
        "1.conv.weight",
        "1.conv.bias",
        "2.batchnorm.gamma",
        "2.batchnorm.beta",
        "2.batchnorm.mean",
        "2.batchnorm.variance",
        "3.resnet.conv1.weight",
        "3.resnet.bn1.gamma",
    ]
    assert {"6.skip.conv.weight", "8.class-conv.weight", "8.class-conv.bias"} <= set(model.values())
    assert len(model.parameters) == len(model.layers) == 9
    assert model.values()["1.conv.weight"] is model.parameters[0]["weight"]
    graph = model.graph(3)
    expected = {path: t.shape for path, t in (graph.parameters | graph.states).items()}
    assert {path: value.shape for path, value in model.values().items()} == expected
    assert all(value.dtype == np.float32 for value in model.values().values())
    assert model.parameter_count() == sum(t.type.size for t in graph.parameters.values())


def test_start_depends_on_seed_and_place_alone():
    first, again, other = (
        create("C[4,3] C[4] R.T"),
        create("C[4,3] C[4] R.T"),
        create("C[4,3] C[4] R.T", seed=1),
    )
    wider = create("C[9,3] C[4] R.T")
    for path, value in first.values().items():
        assert np.array_equal(value, again.values()[path])
    assert not np.array_equal(first.values()["1.conv.weight"], other.values()["1.conv.weight"])
    assert np.array_equal(
        first.values()["3.class-conv.weight"], wider.values()["3.class-conv.weight"]
    )
    equal_layers = create("C.B[3] C.B[3] R").values()
    assert not np.array_equal(equal_layers["1.conv.weight"], equal_layers["2.conv.weight"])


def test_weight_init_by_token():
    options = LayerOptions(weight_init=["0", "0.5", "uniform,0.25"])
    values = create("C[64] nRSN[1,64,3] C[64] C[64] R", options=options).values()
    assert not values["1.conv.weight"].any()
    assert values["2.resnet.conv1.weight"].std() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    for path in ("3.conv.weight", "4.conv.weight"):
        assert 0.24 < np.abs(values[path]).max() <= 0.25
    assert not values["5.class-conv.weight"].any()


def test_set_values_copies():
    model, other = create("C[4,3] BN R"), create("C[4,3] BN R", seed=5)
    values = other.values()
    model.set_values(values)
    assert all(np.array_equal(value, values[path]) for path, value in model.values().items())
    values["1.conv.weight"][:] = 7
    assert not (model.values()["1.conv.weight"] == 7).any()
    empty = Model(model.layers, model.input_shape, model.class_labels)
    empty.set_values(values)
    assert empty.values().keys() == model.values().keys()


def test_frozen_layers():
    graph = create("C[4,3] BN C[4] R").graph(2, frozen={1, 2})
    trainable = {path for path, tensor in graph.parameters.items() if tensor.trainable}
    assert trainable == {"3.conv.weight", "3.conv.bias", "4.class-conv.weight"}
    assert graph.updates == []


def test_label_smoothing_reaches_the_cost():
    graph = create("C[4,3] R").graph(2, label_smoothing=0.1)
    assert [
        node.op.label_smoothing for node in graph.nodes if "Entropy" in type(node.op).__name__
    ] == [0.1]


# network on a 3x8x8 input, how the message starts, what else it tells
BAD_NETWORKS = [
    ("C[4,3]", 'layer 1 "C[4,3]": the network ends here without a cost', "end it with R"),
    ("C[4] R A", 'layer 4 "A" on a map of 1x1 with 2 channels: ', "nothing may follow"),
    ("R R", 'layer 3 "R" on a map of 1x1 with 2 channels: ', "nothing may follow"),
    ("P[2] P[5] R", 'layer 2 "P[5]" on a map of 4x4 with 3 channels: ', "5x5"),
    ("nRSN[2,4,3] P[9] R", 'layer 3 "P[9]" on a map of 8x8 with 4 channels: ', "9x9"),
    ("P[2] P[2] P[2] P[2] R", 'layer 4 "P[2]" on a map of 1x1 with 3 channels: ', "2x2"),
    ("C[4] R[9]", 'layer 2 "R[9]" on a map of 8x8 with 4 channels: ', "9x9"),
    ("C[4] SKIP[2] R", 'layer 2 "SKIP[2]" on a map of 8x8 with 4 channels: ', "no SKIPSRC[2]"),
    ("SKIPSRC P[2] SKIP R", 'layer 3 "SKIP" on a map of 4x4', "[8, 8, 3] and this one [4, 4, 3]"),
]


@pytest.mark.parametrize(("text", "start", "rest"), BAD_NETWORKS)
def test_bad_network(text, start, rest):
    with pytest.raises(DescriptionError) as caught:
        create(text)
    assert str(caught.value).startswith(start)
    assert rest in str(caught.value)


def test_strided_same_is_refused_with_its_place():
    with pytest.raises(DescriptionError, match='layer 2 "C\\[4,3,2\\]" on a map of 8x8.*stride 1'):
        create("BN C[4,3,2] R", options=LayerOptions(border_mode="same"))


def test_other_wrong_settings():
    with pytest.raises(DescriptionError, match="no classes"):
        Model.create("R", (3, 8, 8), [])
    with pytest.raises(UsageError, match="seed: must be 0 or more; got -1"):
        create("R", seed=-1)
    with pytest.raises(UsageError, match="one value per channel; got 2 for 3 channels"):
        Model.create("R", (3, 8, 8), ["a"], preprocessing=Preprocessing(mean=(0.5, 0.5)))
    for wrong in (
        {"std": (0.0,)},
        {"std": (1e-40,)},
        {"mean": (float("nan"),)},
        {"mean": (1e308,)},
    ):
        with pytest.raises(UsageError, match="mean must be at most"):
            Preprocessing(**wrong)


def test_images_that_no_model_file_can_hold():
    with pytest.raises(DescriptionError, match="at most 65536 of each"):
        Model.create("P.A R", (3, 1, 70000), ["a", "b"])


def test_too_large_for_memory():
    with pytest.raises(OutOfMemoryError, match="4,494,.* parameters do not fit into memory"):
        create("C[65536] C[65536,1023] P R", shape=(3, 1024, 1024))


WRONG_VALUES = {
    "missing": ({"1.conv.bias": None}, "'1.conv.bias' is missing"),
    "shape": ({"1.conv.bias": np.zeros(5)}, r"has shape \[5\], the network needs \[4\]"),
    "foreign": ({"9.conv.bias": np.zeros(4)}, "'9.conv.bias' belongs to no layer"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_weights_of_another_network_are_refused(name):
    changes, message = WRONG_VALUES[name]
    model = create("C[4,3] R")
    before = model.parameters
    values = {k: v for k, v in {**model.values(), **changes}.items() if v is not None}
    with pytest.raises(DataError, match=message):
        model.set_values(values)
    assert model.parameters is before
