"""Whole networks as .onnx files: ONNX Runtime gives what the network gives here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layer.layer_cases import CASES
from model.onnx_files import drawn, written

from denet.backend.numpy.backend import NumpyBackend
from denet.detect.detections import Detections
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.detector import Detector
from denet.evaluate.onnx_check import UnequalError, as_detections, check, images_for
from denet.model.desc import parse_desc
from denet.model.format.onnx.detect_ops import Choice
from denet.model.format.onnx.export import Form
from denet.model.format.onnx.library import Session
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

BATCHES = (1, 3, 8)
NORMALISED = Preprocessing((0.1, 0.2, 0.3), (0.2, 0.25, 0.4))


def prove(model: Model, path: Path, form: Form | None = None) -> None:
    """Write a model and compare it with the reference, in small and larger batches."""
    check(written(model, path, form), path, NumpyBackend(), BATCHES)


def network(text: str, channels: int) -> str:
    """Return a network that has a layer between a convolution and an answer."""
    ended = parse_desc(text)[-1].symbol in ("R", "DND")
    return f"C[{channels}] {text}" + ("" if ended else " R")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_layer(case, tmp_path: Path) -> None:
    height, width, channels = case.input
    if height > 64:  # the same at a size that takes less time
        height, width = height // 8, width // 8
    options: dict[str, Any] = {"border_mode": "valid", **case.options}
    model = drawn(network(case.text, channels), (channels, height, width), **options)
    prove(model, tmp_path / "m.onnx")
    if any(name.endswith("gamma") for name in case.parameters):
        prove(model, tmp_path / "m.onnx", Form(fold=False))


# the networks of README, examples and papers that are small, and what they are made of; the others
# are in tests/bench/onnx_networks.py
NETWORKS = {
    "tour": ("C[128,3] BN A P[2] C[256,3] BN A P[2] C[512,3] BN A P.A R", (3, 31, 33)),
    "photos": ("C.B[32,3] BN A P[2] C.B[64,3] BN A P[2] C.B[128,3] BN A P.A R", (3, 64, 48)),
    "default": ("C[100,7] P[2] C[150,4] P[2] C[250,4] P[2] C[300,1] R", (3, 32, 32)),
    "shapes": (
        "C.B[16,3] BN A RSN.O[16,3] RSN.O[32,3,2] RSN.O[64,3,2] RSN.O[64,3,2] P.A R",
        (3, 32, 32),
    ),
    "ResNet-34": (
        "C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] "
        "nRSN.O[3,512,3,2] P.A R.TB",
        (3, 33, 47),
    ),
    "DenseNet-BC": (
        "C.B[24,3] nDL[16,12] TR nDL[16,12] TR nDL[16,12] BN A P.A R.TB",
        (3, 9, 8),
    ),
    "DenseNet": (
        "C.B[16,3] nDL[12,12,0] TR[1] nDL[12,12,0] TR[1] nDL[12,12,0] BN A P.A R.TB",
        (3, 8, 9),
    ),
    "ccv's": (
        "B[2] C[32,5] A P[3,2] LRN[3,1,0.00005,0.75] B[2] C[32,5] A LRN[3,1,0.00005,0.75] "
        "P.A[3,2] B[2] C[64,5] A P.A[3,2] F[64] A D R.TB",
        (3, 32, 32),
    ),
    "grey": ("C[8,3] A P[2] C[16,3] A R", (1, 15, 22)),
    "map": ("C[8,3] A C[8,3] A R[1]", (3, 15, 22)),
}
DETECTORS = {
    "README's": (
        "C.B[32,3,2] BN A RSN.O[32,3,2] SKIPSRC[0] RSN.O[64,3,2] SKIPSRC[1] nRSN.O[3,128,3,2] "
        "DC.B[64,3,2] BNA SKIP[1] C.B[64,3] BNA DC.B[32,3,2] BNA SKIP[0] C.B[64,3] BNA "
        "DNC.C[48,10] DNS.P[5,24,0.01,0.5,1,1,4] C.B[128,1] BNA C.B[128,1] BNA DND[0.5,1,10]",
        (3, 64, 96),
    ),
    "quickstart": (
        "C.B[32,3,2] BN A RSN.O[32,3,2] SKIPSRC[0] RSN.O[64,3,2] nRSN.O[3,128,3,2] "
        "DC.B[64,3,2] BNA DC.B[32,3,2] BNA SKIP[0] C.B[64,3] BNA DNC[48,50] DNS[5,12,0.01,0.1] "
        "C.B[128,1] BNA DND[0.5,3,3]",
        (3, 64, 64),
    ),
    "v1": (
        "C.B[8,3,2] BN A RSN.O[16,3,2] DC.B[8,3,2] BNA DNC[12,10] DNS[7,6,0.01,0.1] "
        "C.B[24,1] BNA DND[0.5,1,1]",
        (3, 46, 35),
    ),
    "v2": (
        "C.B[8,3,2] BN A RSN.O[16,3,2] DC.B[8,3,2] BNA DNC.C[12,10] DNS.G[7,6,0.01,0.1,1] "
        "C.B[24,1] BNA DND.JB[0.5,1,1]",
        (3, 46, 35),
    ),
    "fitness": ("C.B[8,3,2] BNA DNC.C[12] DNS[1,5,0.4] DND.XB[0.5,0.4,1,1,0.5]", (1, 31, 22)),
    "clusters": ("C.B[8,3,2] BNA DNC[12] DNS.GP[3,4,0.3,0,1,0.4,1] DND[0.5]", (3, 22, 31)),
}
EVERY = NETWORKS | DETECTORS


@pytest.mark.parametrize("name", EVERY)
def test_published_network(name: str, tmp_path: Path) -> None:
    text, shape = EVERY[name]
    normalised = NORMALISED if shape[0] == 3 else Preprocessing((0.4,), (0.2,))
    prove(drawn(text, shape, 5, normalised), tmp_path / "m.onnx")


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("text", ["C[6,3,2] BN A R[1]", DETECTORS["v1"][0]])
def test_images_as_they_are_asked_for(pixels, layout, text, tmp_path: Path) -> None:
    """With a mean image larger than the input by an odd number of pixels."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (25, 28, 3)).astype(np.float32)
    own = Preprocessing((0.1, 0.2, 0.3), (0.2, 0.25, 0.4), image)
    prove(drawn(text, (3, 22, 23), 5, own), tmp_path / "m.onnx", Form(pixels, layout))


# which answers a detector gives
CHOICES = [
    Choice(),
    Choice(pr_threshold=0.2),
    Choice(nms_threshold=0.1),
    Choice(nms_threshold=0),
    Choice(pr_threshold=0.0, nms_threshold=1),
]


@pytest.mark.parametrize("choice", CHOICES)
def test_choice_of_answers(choice: Choice, tmp_path: Path) -> None:
    text, shape = DETECTORS["fitness"]
    prove(drawn(text, shape, 3), tmp_path / "m.onnx", Form(choice=choice))


# tags and settings of the three layers; pixels and weights are such that all sums are exact
TAGS = [
    *("DNC[8] DNS[3,5] DND", "DNC.C[8] DNS[3,5] DND[0.5,1,1]", "DNC[8] DNS.G[3,5] DND.J"),
    *("DNC[8] DNS[2,5,0.5,0,1] DND.JB[0.5,1,1]", "DNC.C[8] DNS.GP[3,5,0.5,0,1] DND.B[0.5,1,1,1]"),
    *("DNC[8] DNS[3,4,0.5,0,0,0.5] DND.X[0.5,0.4,1,1]", "DNC[8] DNS[3,5,0.5,0,0,1,1] C[9] A DND"),
    "DNC.C[8] DNS.P[1,5,0.5,0,1,0.6,1] C[9] A DND.XB[0.6,0.4,1,1,1]",
]


@pytest.mark.parametrize("tags", TAGS)
def test_detector_says_what_prediction_says(tags: str, tmp_path: Path) -> None:
    """Box by box and in the same order, from pixels to answers.

    Pixels are 0 or 1 and weights up to the corners multiples of 1/4, so that both have the very
    same corners; scores and boxes may differ by rounding.
    """
    model = drawn(f"C[6,3,2] A {tags}", (3, 21, 26), 3, seed=5)
    rng = np.random.default_rng(7)
    for arrays in model.parameters[:3]:
        for name, array in arrays.items():
            array[:] = rng.integers(-3, 4, array.shape) / (4 if name.endswith("weight") else 2)
    path = tmp_path / "m.onnx"
    exported = written(model, path)
    detector = Detector(model, 8, NumpyBackend(), params=DetectParams())
    for batch_size in BATCHES:
        pixels = rng.integers(0, 2, (batch_size, 21, 26, 3)).astype(np.float32)
        found = as_detections(Session(path).run(images_for(exported.form, pixels)))
        expected = said(detector, pixels)
        assert len(expected) > 5 * batch_size
        same(found, expected)


def said(detector: Detector, pixels: np.ndarray) -> Detections:
    """Return what a detector says of a batch."""
    from denet.evaluate.detector import candidates, suppressed

    outputs = detector.outputs(pixels)
    found = candidates(outputs, 3, detector.params.pr_threshold, detector.overlap_threshold)
    return suppressed(found, detector.params).best_first()


def same(found: Detections, expected: Detections) -> None:
    """Assert the same boxes of the same classes in the same order, but for equal scores."""
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-5)

    def ordered(each: Detections) -> Detections:
        boxes = np.round(each.box, 3)
        scores = np.round(each.score, 3)
        return each.take(np.lexsort((*boxes.T, each.class_index, -scores, each.image)))

    one, other = ordered(found), ordered(expected)
    np.testing.assert_array_equal(one.class_index, other.class_index)
    np.testing.assert_allclose(one.box, other.box, atol=1e-5)


def test_another_answer_is_told(tmp_path: Path) -> None:
    """A file of other weights, and one of a detector with another choice."""
    model = drawn("C[6,3] A R", (3, 8, 9), 4)
    exported = written(model, tmp_path / "a.onnx")
    written(drawn("C[6,3] A R", (3, 8, 9), 4, seed=1), tmp_path / "b.onnx")
    with pytest.raises(UnequalError, match=r"class-conv.* of a batch of 1: .* apart, of numbers"):
        check(exported, tmp_path / "b.onnx", NumpyBackend())
    detector = drawn(*DETECTORS["fitness"], 3)
    exported = written(detector, tmp_path / "a.onnx")
    written(detector, tmp_path / "b.onnx", Form(choice=Choice(nms_threshold=0.2)))
    with pytest.raises(UnequalError, match="rows|boxes"):
        check(exported, tmp_path / "b.onnx", NumpyBackend())
