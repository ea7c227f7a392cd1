"""An ONNX file run by ONNX Runtime, held against what the network computes here.

Numbers may differ by rounding (TOLERANCE), and a choice between boxes may fall otherwise for the
least of them. So maps and logits are compared as numbers, and what is chosen from them with what
this program chooses from the same numbers: boxes, classes and their order must be equal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from denet.dataset.loader import Normalise
from denet.detect.detections import Detections
from denet.errors import DenetError
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.detector import candidates, suppressed
from denet.graph.graph import Graph, Node, Tensor
from denet.graph.kernel import Backend
from denet.graph.op.base import Run
from denet.graph.op.class_probability import ClassProbability
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.decode_box import DecodeBox
from denet.graph.op.detection_probability import DetectionProbability
from denet.graph.plan import Plan
from denet.model.format.onnx.export import Exported, Form, overlap_threshold
from denet.model.format.onnx.library import Session, version
from denet.tolerance import TOLERANCE

BATCHES = (1, 3)  # sizes that are tried
ANSWERING = (ClassProbability, CornerSearch, DecodeBox, DetectionProbability)
Arrays = Mapping[str, np.ndarray]
Given = Mapping[Tensor, np.ndarray]  # of the exported graph: what ONNX Runtime has for a tensor


class UnequalError(DenetError):
    """ONNX Runtime gives other numbers or boxes than this program."""


def images_for(form: Form, pixels: np.ndarray) -> np.ndarray:
    """Return images as an ONNX file of this form takes them, for (n, h, w, c) from 0 to 1."""
    if form.layout == "nchw":
        pixels = pixels.transpose(0, 3, 1, 2)
    if form.pixels == "uint8":
        pixels = np.rint(pixels * 255)
    return np.ascontiguousarray(pixels, np.uint8 if form.pixels == "uint8" else np.float32)


def check(
    exported: Exported,
    path: str | os.PathLike[str],
    backend: Backend,
    batch_sizes: tuple[int, ...] = BATCHES,
    seed: int = 0,
) -> None:
    """Run the file on random images in batches of these sizes and compare with the backend.

    Raises UnequalError.
    """
    nodes = _answering(exported.graph)
    wanted = [tensor for node in nodes for tensor in (*node.inputs, *node.outputs)]
    session = Session(path, [exported.names[tensor] for tensor in wanted])
    rng = np.random.default_rng(seed)
    channels, height, width = exported.model.input_shape
    for batch_size in batch_sizes:
        levels = rng.integers(0, 256, (batch_size, height, width, channels), np.uint8)
        pixels = levels.astype(np.float32) / np.float32(255)
        outputs = session.run(images_for(exported.form, pixels))
        given = {
            tensor: _as_ours(outputs[exported.names[tensor]], tensor.shape) for tensor in wanted
        }
        compare = _Comparison(f"batch of {batch_size}")
        _compare_maps(compare, exported, backend, pixels, given)
        for node in nodes:
            _compare_op(compare, node, given)
        _compare_outputs(compare, exported, outputs, given)


class _Comparison:
    """What is compared, for the message."""

    def __init__(self, of_what: str):
        self._of_what = of_what

    def close(
        self, name: str, theirs: np.ndarray, ours: np.ndarray, precision: str = "f32"
    ) -> None:
        """Raise UnequalError unless numbers are those of the same shape, but for rounding."""
        if theirs.shape != ours.shape:
            raise self._error(name, f"shape {theirs.shape} instead of {ours.shape}")
        most = float(np.abs(ours).max(initial=0))
        apart = float(np.abs(theirs.astype(np.float64) - ours).max(initial=0))
        if not apart <= TOLERANCE[precision] * most:  # nan is not
            raise self._error(name, f"{apart:.2g} apart, of numbers up to {most:.4g}")

    def equal(self, name: str, theirs: np.ndarray, ours: np.ndarray) -> None:
        """Raise UnequalError unless both are the same."""
        if not np.array_equal(theirs, ours):
            raise self._error(name, "not the same")

    def _error(self, name: str, how: str) -> UnequalError:
        return UnequalError(
            f"ONNX Runtime {version()} computes something else than this program: {name} of a "
            f"{self._of_what}: {how}: nothing is written: try another version of onnxruntime, and "
            "report this network"
        )


def _answering(graph: Graph) -> list[Node]:
    """Return the nodes that make answers of maps, in order, whatever else was fused."""
    return [node for node in graph.nodes if isinstance(node.op, ANSWERING)]


def _as_ours(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a map (n, c, h, w) as (n, h, w, c); other arrays as they are."""
    return array.transpose(0, 2, 3, 1) if len(shape) == 4 else array


def _compare_maps(
    compare: _Comparison,
    exported: Exported,
    backend: Backend,
    pixels: np.ndarray,
    given: Given,
) -> None:
    """Compare what answers are made of, computed here from the samples that were found there."""
    model = exported.model
    graph = model.graph(len(pixels))
    inputs = {"data": Normalise(model.input_shape, model.preprocessing)(pixels)}
    wanted: dict[str, np.ndarray] = {}
    graph.outputs = {}
    for theirs, node in zip(_answering(exported.graph), _answering(graph), strict=True):
        if isinstance(node.op, CornerSearch):
            sample = node.outputs[0]
            graph.nodes.remove(node)
            sample.kind = "input"
            graph.inputs["sample"], inputs["sample"] = sample, given[theirs.outputs[0]]
        for tensor, ours in zip(theirs.inputs, node.inputs, strict=True):
            if len(tensor.shape) == 4:  # the others are samples
                name = f"{tensor.name} of {theirs.name}"
                wanted[name], graph.outputs[name] = given[tensor], ours
    plan = Plan(graph, backend, "predict", "f32")
    plan.load(model.values())
    for name, array in plan.run(inputs).items():
        compare.close(name, wanted[name], array, "network")


def _compare_op(compare: _Comparison, node: Node, given: Given) -> None:
    """Compare what one op makes of the numbers that came to it there."""
    outputs, _ = node.op.forward(Run(training=False), *(given[each] for each in node.inputs))
    same = compare.equal if isinstance(node.op, CornerSearch) else compare.close
    for tensor, ours in zip(node.outputs, outputs, strict=True):
        same(tensor.name, given[tensor], ours)


def _compare_outputs(
    compare: _Comparison, exported: Exported, outputs: Arrays, given: Given
) -> None:
    """Compare what users get with what it was made of."""
    own = {name: given[tensor] for name, tensor in exported.graph.outputs.items()}
    if "detection_probability" not in own:
        compare.equal("probabilities", outputs["probabilities"], own["class_probability"])
        if "class_map" in own:
            there = outputs["class_map"]
            there = there if exported.form.layout == "nhwc" else _as_ours(there, there.shape)
            compare.equal("class_map", there, own["class_map"])
        return
    theirs = as_detections(outputs)
    best_first = np.lexsort((-theirs.score, theirs.image))
    compare.equal("the order of boxes", best_first, np.arange(len(theirs)))
    theirs, ours = _in_one_order(theirs), _in_one_order(_chosen(exported, own))
    compare.equal("rows", theirs.image, ours.image)
    compare.equal("classes", theirs.class_index, ours.class_index)
    compare.equal("boxes", theirs.box, ours.box)
    compare.close("scores", theirs.score, ours.score)


def as_detections(outputs: Arrays) -> Detections:
    """Return what an ONNX file says of a batch, boxes normalised."""
    return Detections(
        outputs["rows"],
        outputs["classes"].astype(np.int32),
        outputs["scores"],
        outputs["boxes"],
    )


def _chosen(exported: Exported, outputs: Arrays) -> Detections:
    """Return the answers that this program chooses from the outputs of a network."""
    choice, model = exported.form.choice, exported.model
    found = candidates(
        outputs, len(model.class_labels), choice.pr_threshold, overlap_threshold(model)
    )
    return suppressed(found, DetectParams(nms_threshold=choice.nms_threshold))


def _in_one_order(found: Detections) -> Detections:
    """Return detections sorted by all but their scores, whose last bit may differ."""
    return found.take(np.lexsort((*found.box.T, found.class_index, found.image)))
