"""Objects found in a dataset that knows some: all of it, then what is told of it.

Crops of one image are compared and numbers are of all images, so these sinks take everything at
once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Set
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Protocol

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.detect.detections import Detections
from denet.errors import UsageError
from denet.evaluate.coco import evaluate_coco, require_evaluator
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.detector import DatasetDetections, Detector, detect_dataset, in_images
from denet.evaluate.localisation import localisation_error
from denet.evaluate.voc import evaluate_voc
from denet.model.model import Model
from denet.predict.detect import Found
from denet.predict.detect_output import (
    rounded_down,
    voc_files,
    write_coco,
    write_detections,
    write_detections_json,
    write_voc,
)
from denet.predict.detect_report import DetectionReport
from denet.predict.detect_tiles import detect_tiled
from denet.predict.picture import DRAWN, draw_dataset, picture_files
from denet.predict.request import LAYOUTS, Request
from denet.predict.results import results_prefix
from denet.predict.source import of_model, open_labelled
from denet.predict.tiles import Tiles
from denet.printable import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Everything:
    """What was found in all samples, boxes normalised, and in all images, boxes in pixels."""

    samples: DatasetDetections
    images: Detections
    params: DetectParams


@dataclass(frozen=True)
class Place:
    """What is asked, of which dataset, and where answers go: files of ``prefix``, lines to say."""

    request: Request
    dataset: DetectionDataset
    prefix: Path
    say: Callable[[str], None]


class SetSink(Protocol):
    """Takes everything that was found. Made before, so that what is in the way is told."""

    def take(self, found: Everything) -> None:
        """Write it, or say how good it is."""


def detect_in_dataset(
    request: Request,
    model: Model,
    make_detector: Callable[[int], Detector],
    words: Set[str],
    say: Callable[[str], None],
) -> int:
    """Say how well the objects of a dataset are found; return the number of its images.

    ``make_detector`` gives one for so many samples; ``words`` name the sinks.
    """
    if request.report and "voc" not in words:
        raise UsageError("--report: it holds the curves of voc: give --predict-mode detect,voc")
    if request.draw:
        raise UsageError("--draw: it is for one image file: give --predict-mode detect,image")
    if request.format in LAYOUTS:
        raise UsageError(
            "--format: it is for loose images: give --predict-mode detect, or detect,image, "
            "without --extension"
        )
    dataset = open_labelled(request, **of_model(model))
    assert isinstance(dataset, DetectionDataset)
    if "voc" in words:
        voc_files(dataset.class_labels)
    if "mscoco" in words and len(dataset.boxes):
        require_evaluator()
    place = Place(request, dataset, results_prefix(request.results), say)
    sinks = [make(place) for word, make in _SINKS if word in words or not word]
    if request.tiles:
        tiles = Tiles(request.tiles, request.overlap)
        detector = make_detector(request.batch_size)
        settings = request.thread_num, request.max_image_pixels
        samples = detect_tiled(detector, dataset, tiles, *settings)
    else:
        detector = make_detector(len(dataset))
        samples = detect_dataset(detector, dataset, request.thread_num)
    if request.min_score:
        good = samples.found.take(samples.found.score >= request.min_score)
        samples = DatasetDetections(good, samples.view)
    images = in_images(samples, dataset, detector.params)
    found = Everything(samples, images, detector.params)
    _tell_hidden(place, found)
    for sink in sinks:
        sink.take(found)
    return len(dataset.image_names)


class Lines:
    """The answers as lines, if a form of these is asked for."""

    def __init__(self, place: Place):
        self._form, request = place.request.format, place.request
        self._least = request.shown_score, request.params.pr_threshold
        self._dataset = place.dataset

    def take(self, found: Everything) -> None:
        if self._form:
            names = self._dataset.image_names
            columns = range(len(names)), map(tuple, self._dataset.sizes.tolist())
            answers = map(Found, names, found.images.by_image(len(names)), *columns)
            usable = compress(answers, self._dataset.usable_images)
            labels = self._dataset.class_labels
            write_detections(usable, labels, self._form, None, *self._least)


class SamplesFile:
    """detections.json."""

    def __init__(self, place: Place):
        self._file, self._dataset = place.prefix.with_name("detections.json"), place.dataset

    def take(self, found: Everything) -> None:
        write_detections_json(self._file, found.samples, self._dataset, found.params)
        images = counted(self._dataset.usable_images.sum(), "image")
        log.info("%s: what was found in %s", self._file, images)


class Voc:
    """The files for the server of VOC, and the average precision of each class."""

    def __init__(self, place: Place):
        self._place, request = place, place.request
        self._report = None
        if request.report:
            self._report = DetectionReport(request, place.dataset)

    def take(self, found: Everything) -> None:
        dataset, directory = self._place.dataset, self._place.prefix.parent
        labels, params = dataset.class_labels, found.params
        write_voc(directory, found.images, dataset.sizes, dataset.image_ids, labels)
        log.info("%s: comp4_det_test_CLASS.txt of %s", directory, counted(len(labels), "class"))
        result = evaluate_voc(found.images, dataset, len(labels), params.match_iou)
        self._place.say(result.report(labels))
        _knows_objects(self._place)
        if self._report:
            files = self._report.write(found.images, result, params)
            log.info("%s: %s", self._place.request.report, ", ".join(files))


class Coco:
    """PREFIX.json for the server of MSCOCO, and its twelve numbers."""

    def __init__(self, place: Place):
        self._place = place

    def take(self, found: Everything) -> None:
        dataset = self._place.dataset
        labels, file = dataset.class_labels, f"{self._place.prefix}.json"
        write_coco(file, found.images, dataset.image_ids, dataset.category_ids)
        log.info("%s: the same for the server of MSCOCO", file)
        if _knows_objects(self._place):
            self._place.say(evaluate_coco(found.images, dataset, len(labels)).report(labels))


class Localisation:
    """The localisation error of ImageNet."""

    def __init__(self, place: Place):
        self._place = place

    def take(self, found: Everything) -> None:
        if _knows_objects(self._place):
            dataset, iou = self._place.dataset, found.params.match_iou
            error = localisation_error(found.images, dataset, match_iou=iou)
            self._place.say(f"top-5 localisation error {error:.3f}%")


class Pictures:
    """Every image with what is found and known in it."""

    def __init__(self, place: Place):
        self._place = place
        self._files = picture_files(place.prefix.parent, place.dataset.image_names)

    def take(self, found: Everything) -> None:
        request, directory = self._place.request, self._place.prefix.parent
        count = draw_dataset(self._files, self._place.dataset, found.images, request)
        log.info(DRAWN, directory, counted(count, "picture"))


def _tell_hidden(place: Place, found: Everything) -> None:
    """Tell where people are shown little of what was found, and from which score on there is more.

    That is where F1 is less than half of what another --min-score gives, or nothing is shown.
    """
    images, dataset, least = found.images, place.dataset, place.request.shown_score
    shown, known = int((images.score >= least).sum()), int(dataset.truth.scored.sum())
    best = None
    if shown < known / 2:  # else it is not worth a comparison
        iou, class_num = found.params.match_iou, len(dataset.class_labels)
        curve = evaluate_voc(images, dataset, class_num, iou).together
        best = curve.best_f1()
    if best and best.score < least and curve.f1_from(least) < best.f1 / 2:
        score = rounded_down(best.score)
        log.warning(
            "%s: scores are low: text and pictures show %d of what is found, for %s, as they leave "
            "out what has less than %g: --min-score %g shows %d, where F1 is highest (%.0f%%)",
            *(place.request.place, shown, counted(known, "known object"), least, score),
            *(int((images.score >= score).sum()), 100 * best.f1),
        )
    elif not shown:
        probability = place.request.params.pr_threshold
        also = f" and a probability (prThreshold) of {probability:g}" * (probability > least)
        top = f"; the best has {images.score.max():.2g}" if len(images) else ""
        log.warning(
            "%s: nothing is found with a score of %g%s or more%s: is the model trained, and are "
            "these images prepared as those of its training (crop=, scale_mode=)?",
            *(place.request.place, least, also, top),
        )


def _knows_objects(place: Place) -> bool:
    """Say whether the dataset knows any objects; warn where it does not."""
    if not len(place.dataset.boxes):
        log.warning("%s: it has no known objects to compare with", place.request.place)
    return len(place.dataset.boxes) > 0


# in the order in which they take what was found: word of --predict-mode, "" for any, and sink
_SINKS: tuple[tuple[str, Callable[[Place], SetSink]], ...] = (
    ("", Lines),
    ("", SamplesFile),
    ("voc", Voc),
    ("mscoco", Coco),
    ("imagenet", Localisation),
    ("image", Pictures),
)
