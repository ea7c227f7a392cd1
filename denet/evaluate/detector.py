"""A model made ready to detect objects: from what it says of its samples to boxes and scores."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.boxes import image_boxes
from denet.dataset.loader import Batch
from denet.detect.detections import Detections, joined
from denet.detect.nms import greedy_nms, soft_nms
from denet.detect.target import FITNESS_BINS, fitness_iou
from denet.evaluate.detect_params import DetectParams, with_corner_search
from denet.evaluate.predictor import Predictor, check_numbers
from denet.graph.kernel import Backend
from denet.layer.denet_detect import DenetDetect
from denet.model.model import Model

log = logging.getLogger(__name__)


def candidates(
    outputs: Mapping[str, np.ndarray],
    class_num: int,
    pr_threshold: float,
    overlap_threshold: float = 0.5,
) -> Detections:
    """Return every class of every sample whose probability is ``pr_threshold`` or more.

    outputs of a batch of n: sample_count (n,), the samples of each image, which come first;
    detection_probability (n, N, C + 1), or (n, N, 5 C + 1) with joint fitness, the last for no
    object; detection_box (n, N, 4); detection_fitness (n, N, 6) where the fitness is independent.
    Boxes stay as they are, ``image`` is the row in the batch.

    The fitness f = 0..4 of a sample stands for an IoU with its object of v_f = t + f (1 - t) / 5,
    t being the ``overlap_threshold`` of the layer (``fitness_iou``). The score is Pr(c) without
    fitness, the sum over f of Pr(c, f) v_f with the joint one, and Pr(c) E[v] with the independent
    one, whose first of six values stands for no object, v = 0.
    """
    levels = fitness_iou(overlap_threshold)
    probability = outputs["detection_probability"]
    joint = probability.shape[2] == FITNESS_BINS * class_num + 1
    assert joint or probability.shape[2] == class_num + 1, "classes of outputs and model differ"
    probability = probability[..., :-1]
    if joint:
        pairs = probability.reshape(*probability.shape[:2], class_num, FITNESS_BINS)
        probability = pairs.sum(axis=-1)
        score = pairs @ levels
    elif "detection_fitness" in outputs:
        expected = outputs["detection_fitness"] @ np.append(0, levels)
        score = probability * expected[..., None]
    else:
        score = probability
    likely = probability >= pr_threshold
    likely &= (np.arange(likely.shape[1]) < outputs["sample_count"][:, None])[..., None]
    image, sample, class_index = np.nonzero(likely)
    return Detections(
        image,
        class_index.astype(np.int32),
        score[image, sample, class_index].astype(np.float32),
        outputs["detection_box"][image, sample],
    )


def suppressed(found: Detections, params: DetectParams) -> Detections:
    """Return the detections that stay when those of one class in one image are compared."""
    class_num = int(found.class_index.max(initial=0)) + 1
    group = found.image * class_num + found.class_index
    if params.use_soft_nms:
        stay, score = soft_nms(found.box, found.score, group, params.nms_threshold)
        return replace(found.take(stay), score=score)
    return found.take(greedy_nms(found.box, found.score, group, params.nms_threshold))


def detects(model: Model) -> bool:
    """Say whether a model detects objects."""
    return Detector.needs in model.graph(1).outputs


class Finder(Protocol):
    """What finds objects in batches: a Detector, or a file of another format that was one."""

    def batches(
        self, batches: Iterable[Batch], names: Sequence[str], suppress: bool = True
    ) -> Iterator[tuple[Batch, Detections]]: ...


class Detector(Predictor):
    """A model that detects objects, whose corner search does as the params say.

    Raises UsageError for one that does not end in DND, and for params of a corner search that it
    does not have.
    """

    needs = "detection_probability"
    lacking = "it detects no objects: end its network with DND"

    def __init__(
        self,
        model: Model,
        batch_size: int,
        backend: Backend,
        precision: str = "f32",
        params: DetectParams | None = None,
    ):
        self.params = params or DetectParams()
        model = with_corner_search(model, self.params)
        super().__init__(model, batch_size, backend, precision)
        last = next(layer for layer in model.layers if isinstance(layer, DenetDetect))
        self.overlap_threshold = last.overlap_threshold[0]

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the network input."""
        _, height, width = self.model.input_shape
        return width, height

    def batches(
        self, batches: Iterable[Batch], names: Sequence[str], suppress: bool = True
    ) -> Iterator[tuple[Batch, Detections]]:
        """Yield what is found in each batch: boxes normalised, ``image`` the row in the batch.

        ``names`` are those of all samples, for messages. Without ``suppress`` boxes that show the
        same object all stay. Raises DataError where the outputs are not numbers.
        """
        class_num = len(self.model.class_labels)
        for batch in batches:
            outputs = self.outputs(batch.data)
            for values in outputs.values():
                check_numbers(values, [names[index] for index in batch.indices])
            found = candidates(outputs, class_num, self.params.pr_threshold, self.overlap_threshold)
            yield batch, suppressed(found, self.params) if suppress else found


class DatasetDetections(NamedTuple):
    """What was found in the samples of a dataset, boxes normalised to the network input."""

    found: Detections  # image: index of the sample
    view: np.ndarray  # (samples, 5) float32: scale x, scale y, offset x, offset y, mirrored

    @staticmethod
    def joined(parts: Sequence[DatasetDetections]) -> DatasetDetections:
        """Return as one what was found in different samples of a dataset."""
        found = joined([part.found for part in parts])
        order = np.argsort(found.image, kind="stable")
        return DatasetDetections(found.take(order), np.sum([part.view for part in parts], axis=0))


def detect_dataset(
    detector: Detector, dataset: DetectionDataset, thread_num: int | None = 1
) -> DatasetDetections:
    """Return what ``detect_batches`` finds in all samples; log the speed after the first batch.

    Raises BadDataError if no image can be read.
    """
    loader = detector.loader(dataset, thread_num)
    times: list[float] = []

    def timed() -> Iterator[Batch]:
        for batch in loader.epoch(0):
            yield batch
            times.append(time.perf_counter())

    found = detect_batches(detector, dataset, timed())
    dataset.check_usable()
    if len(times) > 1:
        speed = (len(dataset) - detector.batch_size) / (times[-1] - times[0])
        log.info("%.1f samples per second, loading included", speed)
    return found


def detect_batches(
    detector: Finder, dataset: DetectionDataset, batches: Iterable[Batch]
) -> DatasetDetections:
    """Return what is found in these batches but in images that turn out to be damaged.

    Crops of one image are each taken for itself, and nothing in them is suppressed.
    """
    view = np.zeros((len(dataset), 5), np.float32)
    parts = []
    whole = dataset.view_num == 1
    for batch, found in detector.batches(batches, dataset.names, whole):
        view[batch.indices] = batch.targets["view"]
        parts.append(replace(found, image=batch.indices[found.image]))
    everything = joined(parts)
    good = dataset.usable(range(len(dataset)))
    return DatasetDetections(everything.take(good[everything.image]), view)


def in_images(
    detections: DatasetDetections, dataset: DetectionDataset, params: DetectParams
) -> Detections:
    """Return the detections in pixels of the images, ``image`` being the index of the image.

    Where the samples are several crops of each image, those of all crops are compared here.
    """
    found, view = detections
    _, height, width = dataset.shape
    sizes = np.repeat(dataset.sizes, dataset.view_num, axis=0)
    found = in_pixels(found, view, (width, height), sizes)
    if dataset.view_num == 1:
        return found
    return suppressed(replace(found, image=found.image // dataset.view_num), params)


def in_pixels(
    found: Detections, view: np.ndarray, input_size: tuple[int, int], sizes: np.ndarray
) -> Detections:
    """Return normalised detections in pixels of their images, clipped to them.

    view (k, 5): the View of each sample; input_size and sizes (k, 2): (width, height) of the
    network input and of the images, 0 where unknown. What lies outside its image is left out.
    """
    size = np.where(sizes > 0, sizes, np.inf)[found.image]
    box = image_boxes(found.box, view[found.image], *input_size)
    box = np.clip(box, 0, np.tile(size, 2))
    inside = np.all(box[:, 2:] > box[:, :2], axis=1)
    return replace(found, box=box.astype(np.float32)).take(inside)
