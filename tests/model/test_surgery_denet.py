"""Surgery on detectors, and from it the published ones: their parameters and maps."""

from __future__ import annotations

import logging
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from denet.graph.op.sparse_sample import SparseSample
from denet.layer.options import LayerOptions
from denet.model import surgery
from denet.model.model import Model

HALF = LayerOptions(border_mode="half")


def create(head: str) -> Model:
    """Return a small detector of three classes."""
    text = f"C.B[8,3,2] BNA DNC[6,2] DNS[3,4] C.B[16] BNA {head}"
    return Model.create(text, (3, 16, 16), ["a", "b", "c"], HALF)


def with_values(model: Model) -> Model:
    """Return the model with all arrays drawn anew."""
    rng = np.random.default_rng(9)
    for arrays in model.parameters:
        for name, old in arrays.items():
            arrays[name] = rng.uniform(0.1, 1, old.shape).astype(np.float32)
    return model


def test_samples_and_image_size_change_no_weight():
    """What README of 2017 does for larger images: --image-size, denet-sparse sample_num=36."""
    model = with_values(create("DND.B[0.5,1,0.125]"))
    larger = surgery.set_image_size(model, 24, 32)
    larger = surgery.modify_layer(larger, "denet-sparse", {"sample_num": "6"})
    assert larger.text() == "C.B[8,3,2] BNA DNC[6,2] DNS[3,6] C.B[16] BNA DND.B[0.5,1,0.125]"
    assert larger.graph(1).outputs["detection_box"].shape == (1, 36, 4)
    ours, theirs = larger.values(), model.values()
    assert all((ours[name] == theirs[name]).all() for name in theirs) and len(ours) == len(theirs)


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        (lambda model: surgery.set_class_num(model, 7), 8),
        (
            lambda model: surgery.modify_layer(
                surgery.modify_layer(model, "denet-detect", {"fitness_factor": "0"}),
                "denet-detect",
                {"joint_fitness": "true"},
            ),
            16,
        ),
    ],
    ids=["class number", "joint fitness"],
)
def test_other_outputs_let_the_detection_convolutions_start_anew(change, shape, caplog):
    model = with_values(create("DND[0.5,1,1,0.1]"))
    with caplog.at_level(logging.WARNING):
        changed = change(model)
    assert "layer 7 (denet-detect) starts anew: detect.weight was [4, 16, 1, 1]" in caplog.text
    head = changed.parameters[-1]
    assert head["detect.weight"].shape == (shape, 16, 1, 1)
    assert not any(array.any() for array in head.values())
    for ours, theirs in zip(changed.parameters[:-1], model.parameters[:-1], strict=True):
        assert all(ours[name] is theirs[name] for name in theirs)


def test_the_same_number_of_classes_keeps_the_detection_weights():
    model = with_values(create("DND[0.5,1,1]"))
    renamed = surgery.set_class_num(model, ["x", "y", "z"])
    assert renamed.class_labels == ["x", "y", "z"]
    assert renamed.parameters[-1] is model.parameters[-1]


def test_a_box_regression_may_come_later():
    model = with_values(create("DND"))
    changed = surgery.modify_layer(model, "denet-detect", {"bbox_factor": "0.125"})
    assert changed.parameters[-1]["detect.weight"] is model.parameters[-1]["detect.weight"]
    assert not changed.parameters[-1]["bbox.weight"].any()
    assert changed.layers[-1].bbox_factor == 0.125


STEM = "C.B[64,7,2] BN A P[3,2,1] "
RESNET = {
    34: "nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] nRSN.O[3,512,3,2] ",
    101: "nRSN.O[3,256,3,1,64] nRSN.O[4,512,3,2,128] nRSN.O[23,1024,3,2,256] "
    "nRSN.O[3,2048,3,2,512] ",
}
HEAD = {
    34: " C.B[1536] BNA C.B[1024] BNA C.B[768] BNA C.B[512] BNA DND[0.5,1,1]",
    101: " C.B[2048] BNA C.B[1536] BNA C.B[1024] BNA C.B[768] BNA DND[0.5,1,1]",
}


class Published(NamedTuple):
    """A network of arXiv 1703.10295.

    The scripts of 2017 write some of its convolutions C, which had no bias in their program: C.B
    here.
    """

    depth: int
    variant: str
    inserts: list[tuple[int, str]]
    behind: str
    taps: dict[int, tuple[int, int]]  # by index: side and channels
    corners: int  # side of the map
    samples: int  # along a side
    features: int  # of a sample
    parameters: dict[int, int]  # by classes


PUBLISHED = [
    Published(
        34,
        "std",
        [],
        "PI C.B[256,3] BNA PI C.B[128,3] BNA DNC[96,100] DNS[7,24]",
        {},
        64,
        24,
        4706,
        {80: 32_805_113, 20: 32_774_333},
    ),
    Published(
        34,
        "skip",
        [(11, "SKIPSRC.X[0]"), (18, "SKIPSRC.X[1]")],
        "PI C.B[256,3] SKIP[1] BNA PI C.B[128,3] SKIP[0] BNA DNC[96,100] DNS[7,24]",
        {0: (64, 128), 1: (32, 256)},
        64,
        24,
        4706,
        {80: 32_805_113, 20: 32_774_333},
    ),
    Published(
        34,
        "wide",
        [(7, "SKIPSRC[0]"), (12, "SKIPSRC.X[1]"), (19, "SKIPSRC.X[2]")],
        "PI C.B[256,3] SKIP[2] BNA PI C.B[128,3] SKIP[1] BNA PI C.B[64,3] SKIP[0] BNA SPLIT "
        "DNC[48,400] DNS[10,48]",
        {0: (128, 64), 1: (64, 128), 2: (32, 256)},
        128,
        48,
        4802,
        {80: 33_016_905, 20: 33_016_905 - 60 * 513},
    ),
    Published(
        101,
        "std",
        [],
        "PI C.B[384,3] BNA PI C.B[192,3] BNA DNC[128,50] DNS[7,24]",
        {},
        64,
        24,
        6274,
        {80: 68_698_521, 20: 68_652_381},
    ),
    Published(
        101,
        "skip",
        # the script has 18, as 34 skip: the middle of the third stage, which ends at 35
        [(11, "SKIPSRC.X[0]"), (35, "SKIPSRC.X[1]")],
        "PI C.B[384,3] SKIP[1] BNA PI C.B[192,3] SKIP[0] BNA DNC[128,50] DNS[7,24]",
        {0: (64, 512), 1: (32, 1024)},
        64,
        24,
        6274,
        {80: 69_190_041, 20: 69_190_041 - 60 * 769},
    ),
    Published(
        101,
        "wide",
        [(7, "SKIPSRC[0]"), (12, "SKIPSRC.X[1]"), (24, "SPLIT"), (37, "SKIPSRC.X[2]")],
        "PI C.B[1024,3] SKIP[2] BNA PI C.B[512,3] SKIP[1] BNA PI C.B[256,3] SKIP[0] BNA SPLIT "
        "DNC[128,200] DNS[7,48]",
        {0: (128, 256), 1: (64, 512), 2: (32, 1024)},
        128,
        48,
        6274,
        {80: 85_740_569, 20: 85_740_569 - 60 * 769},
    ),
]


@lru_cache(maxsize=1)
def trunk(depth: int) -> Model:
    """Return a ResNet without its last three layers, as model-modify of the scripts leaves it."""
    labels = [f"class {number}" for number in range(1000)]
    model = Model.create(STEM + RESNET[depth] + "P.A[7] R.TB", (3, 224, 224), labels, HALF)
    model = surgery.set_class_num(model, 80)
    model = surgery.set_image_size(model, 512, 512)
    model = surgery.use_cudnn_pool(model)
    model = surgery.convert_bn_relu(model)
    model = surgery.modify_bn(model, 1, 0.9, 1e-5)
    return surgery.remove(model, 3)  # P.A, and R, which is two layers


@pytest.mark.parametrize(
    "row", PUBLISHED, ids=[f"DeNet-{row.depth} {row.variant}" for row in PUBLISHED]
)
def test_published_detectors(row):
    """Made as the scripts make them. Taps stand at the ends of stages: the map is halved next."""
    model = trunk(row.depth)
    assert model.parameter_count() == {34: 21_284_672, 101: 42_500_160}[row.depth]
    for number, text in row.inserts:
        model = surgery.insert(model, number, text, HALF)
    for layer, following in pairwise(model.layers):
        assert layer.type_name != "skip-src" or following.stride == 2
    model = surgery.append(model, row.behind + HEAD[row.depth], HALF)
    for classes, count in row.parameters.items():
        model = surgery.set_class_num(model, classes)
        assert model.parameter_count() == count
        graph = model.graph(2)
        taps = {index: (tap.shape[1], tap.shape[3]) for index, tap in graph.taps.items()}
        assert taps == row.taps
        assert graph.marks["corner"].shape == (2, row.corners, row.corners, 4)
        (sampled,) = (node for node in graph.nodes if isinstance(node.op, SparseSample))
        assert sampled.outputs[0].shape == (2, row.samples, row.samples, row.features)
        probability = graph.outputs["detection_probability"]
        assert probability.shape == (2, row.samples**2, classes + 1)
        assert graph.outputs["detection_box"].shape == (2, row.samples**2, 4)
