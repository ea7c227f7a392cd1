"""How well an ONNX file answers on a dataset, and its form in 8 bits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from denet.dataset import Dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.loader import Batch, Images, Loader
from denet.detect.detections import Detections
from denet.evaluate.classifier import check_fit
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.detector import detect_batches, in_images
from denet.evaluate.onnx_check import as_detections, images_for
from denet.evaluate.topk import TopErrors
from denet.evaluate.voc import evaluate_voc, in_words
from denet.model.format.onnx.export import Exported, Form
from denet.model.format.onnx.library import Session, quantise
from denet.model.preprocessing import Preprocessing

CALIBRATION = 100  # images of which the ranges of maps are taken
BATCH = 16


class OnnxFile:
    """An ONNX file that answers as a Classifier or a Detector does, for images from 0 to 1."""

    def __init__(self, path: str | os.PathLike[str], form: Form):
        self._session, self._form = Session(path), form

    def probabilities(self, data: Images) -> np.ndarray:
        """Return class probabilities (n, k)."""
        return self._session.run(images_for(self._form, np.asarray(data)))["probabilities"]

    def batches(
        self, batches: Iterable[Batch], names: Sequence[str], suppress: bool = True
    ) -> Iterator[tuple[Batch, Detections]]:
        """Yield what is found in each batch; the file itself suppresses."""
        for batch in batches:
            outputs = self._session.run(images_for(self._form, np.asarray(batch.data)))
            yield batch, as_detections(outputs)


class Accuracy:
    """How an ONNX file of a model answers on a dataset, and images to set the ranges of 8 bits.

    Raises DataError for a dataset that does not fit the model, BadDataError if no image can be
    read.
    """

    def __init__(self, exported: Exported, dataset: Dataset, thread_num: int | None = 1):
        self._exported, self._dataset = exported, dataset
        check_fit(exported.model, dataset)
        # the file normalises
        self._loader = Loader(
            dataset, BATCH, Preprocessing(), thread_num=thread_num, training=False
        )
        self._step = -(-len(dataset) // CALIBRATION)
        self.images: list[np.ndarray] = []  # (1, ...), evenly from the dataset, as the file takes

    def of(self, path: str | os.PathLike[str]) -> str:
        """Return the errors of a file in a line."""
        file, dataset = OnnxFile(path, self._exported.form), self._dataset
        self.images.clear()
        if isinstance(dataset, DetectionDataset):
            boxes = in_images(
                detect_batches(file, dataset, self._batches()), dataset, DetectParams()
            )
            result = evaluate_voc(boxes, dataset, len(dataset.class_labels))
            return f"mean AP {in_words(result.mean_ap_area)} (IoU 0.5, as an area)"
        errors = TopErrors(len(dataset.class_labels))
        for batch in self._batches():
            good = dataset.usable(batch.indices)
            found = file.probabilities(batch.data)
            errors.add(found[good], batch.targets["class_index"][good])
        dataset.check_usable()
        return errors.summary().replace("\n", ", ")

    def _batches(self) -> Iterator[Batch]:
        for batch in self._loader.epoch(0):
            for row in np.flatnonzero(batch.indices % self._step == 0):
                one = np.asarray(batch.data[row : row + 1])
                self.images.append(images_for(self._exported.form, one))
            yield batch


def in_8_bits(
    exported: Exported,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    accuracy: Accuracy,
) -> tuple[str, str]:
    """Write the ONNX file ``source`` in 8 bits; return the errors before and after."""
    before = accuracy.of(source)
    quantise(source, target, accuracy.images, exported.exact)
    return before, accuracy.of(target)
