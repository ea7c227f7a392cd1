"""The way of an answer: request -> images -> predictor -> answers -> sinks.

Each mode of prediction is one function that puts these five together.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

from denet.dataset import ANNOTATED, parse_extension
from denet.dataset.base import BadSample, Dataset
from denet.dataset.boxes.layouts import AUTO
from denet.errors import UsageError
from denet.evaluate.classifier import Classifier
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.detector import Detector, detects
from denet.evaluate.segmentation import Segmenter
from denet.evaluate.topk import TOP
from denet.graph.kernel import Backend
from denet.model.model import Model
from denet.predict.classify import Answer, classify_images
from denet.predict.detect import Found, detect_images
from denet.predict.detect_output import write_detections
from denet.predict.detect_set import detect_in_dataset
from denet.predict.image_files import common_directory, find_images
from denet.predict.label_files import LabelFiles
from denet.predict.look import Look
from denet.predict.loose import Loose
from denet.predict.output import write_answers
from denet.predict.picture import DrawnAnswer, DrawnFiles, check_one, picture_files
from denet.predict.report import ClassReport, Errors
from denet.predict.request import EVALUATIONS, LAYOUTS, MULTICROP, Request
from denet.predict.results import results, results_prefix
from denet.predict.segment import PictureFiles, PositionErrors, find_segment_images, segment_images
from denet.predict.sink import Sink, pour
from denet.predict.source import loose_images, open_input, open_loose
from denet.predict.tiles import Tiles

log = logging.getLogger(__name__)

SLOW = 100  # times the work for an image of the network's own size, of which users are told


@dataclass(frozen=True)
class Job:
    """A request, and who answers it. ``say`` tells numbers about all answers, in lines of text."""

    request: Request
    model: Model
    backend: Backend
    precision: str
    say: Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How many images there were, and which of them could not be read."""

    image_num: int
    bad: Sequence[BadSample]


def predict(job: Job) -> Outcome:
    """Answer a request. Raises UsageError, DataError or OutOfMemoryError."""
    mode = job.request.mode
    if mode != "detect" and detects(job.model):
        raise UsageError(f"--predict-mode {mode}: the model detects objects: give detect")
    return _MODES[mode](job)


def classify(job: Job) -> Outcome:
    """Tell the likeliest classes of each image, or the errors where the classes are known."""
    request, model = job.request, job.model
    look = Look(model, request.view_set) if request.view_set else None
    images, why = open_input(request, model, find_images, look)
    image_num = len(images.image_names) + len(images.bad)
    report = None
    if request.report:
        report = ClassReport(request.report, images, request.font, request.max_image_pixels)
    only_errors = why is None and not (request.format or request.results)
    if only_errors and not request.draw and request.top != TOP:
        raise UsageError(
            "--top: only the errors are told where the true classes are known: give --format or "
            "--results too, or leave it out"
        )
    classifier = _classifier(job, images, look)
    errors = Errors(request, model, job.say, report) if why is None else None
    sinks: list[Sink[Answer]] = []
    if request.draw:
        sinks = [DrawnAnswer(request, loose_images(request, images))]
    review = errors.add if errors else None
    answers = classify_images(classifier, images, request.top, request.thread_num, review)
    form, top, file = request.format or "text", request.top, request.results
    pour(
        answers,
        sinks,
        None if only_errors else partial(write_answers, form=form, top=top, path=file),
    )
    if errors:
        errors.finish()
    return Outcome(image_num, sorted(images.bad))


def _classifier(job: Job, images: Dataset, look: Look | None) -> Classifier:
    """Return what classifies these images, or the views of them."""
    request, model = job.request, job.model
    if not look:
        batch_size = min(request.batch_size, len(images))
        return Classifier(model, batch_size, job.backend, job.precision)
    classifier = look.classifier(images, request.batch_size, job.backend, job.precision)
    work = images.view_num * classifier.model.graph(1).flops() / model.graph(1).flops()
    if work > SLOW:
        text = "--views %s: each image takes the work of %.0f of the network's own size"
        log.warning(text, look.name, work)
    return classifier


def segment(job: Job) -> Outcome:
    """Write pictures of the classes; tell how right they are where the truth is known."""
    request, model = job.request, job.model
    if parse_extension(request.extension or "image")[0] == "imagenet":
        raise UsageError(
            "--extension imagenet: --predict-mode segment takes image files, directories or "
            "arrays: give --extension image"
        )
    images, _ = open_input(request, model, find_segment_images)
    image_num = len(images) + len(images.bad)
    batch_size = min(request.batch_size, len(images))
    segmenter = Segmenter(model, batch_size, job.backend, job.precision)
    directory, limit = results(request.results), request.max_image_pixels
    only = request.input[0] if len(request.input) == 1 else ""
    root = only if os.path.isdir(only) else common_directory(images.names)
    errors = PositionErrors(model.class_labels, job.say)
    pictures = PictureFiles(directory, images.names, root, loose_images(request, images))
    pour(segment_images(segmenter, images, request.thread_num, limit), [errors, pictures])
    return Outcome(image_num, sorted(images.bad))


def detect(job: Job) -> Outcome:
    """Tell what is found in loose images, or how well what is known of a dataset is found."""
    request = job.request
    asked = request.words & set(EVALUATIONS)
    if asked and not request.extension:
        request = replace(request, extension=AUTO)
    kind = parse_extension(request.extension)[0] if request.extension else ""
    words: Set[str] = request.words
    if kind in ANNOTATED:
        words = words or {kind if kind in EVALUATIONS else "voc"}
    if request.params.match_iou != DetectParams.match_iou and not words & {"voc", "imagenet"}:
        raise UsageError(
            "--params: matchIOU: it is for what detect,voc and detect,imagenet tell of known "
            "objects: leave it out"
        )

    def detector(image_num: int) -> Detector:
        batch_size = min(request.batch_size, image_num)
        return Detector(job.model, batch_size, job.backend, job.precision, request.params)

    if kind in ANNOTATED:
        return Outcome(detect_in_dataset(request, job.model, detector, words, job.say), [])
    if asked:
        raise UsageError(
            f"--predict-mode: {min(asked)}: images of --extension {kind} have no boxes: give auto, "
            "or leave --extension out"
        )
    if request.report:
        raise UsageError("--report: it needs known objects: give --extension auto")
    return detect_in_files(request, detector)


def detect_in_files(request: Request, make_detector: Callable[[int], Detector]) -> Outcome:
    """Tell what is found in each loose image; ``make_detector`` gives one for so many samples."""
    loose = open_loose(request)
    tiles = Tiles(request.tiles, request.overlap) if request.tiles else None
    detector = make_detector(request.batch_size if tiles else len(loose))
    labels = detector.model.class_labels
    sinks, lines = _sinks(request, loose, labels)
    bad: list[BadSample] = []
    found = detect_images(detector, loose, bad, request.thread_num, tiles)
    pour((each.of_score(request.min_score or 0) for each in found), sinks, lines)
    return Outcome(len(loose), bad)


def _sinks(
    request: Request, loose: Loose, labels: Sequence[str]
) -> tuple[list[Sink[Found]], Callable[[Iterable[Found]], None] | None]:
    """Return what draws or makes labels of what is found in loose images, and what writes lines."""
    form, file, least = request.format or "text", request.results, request.shown_score
    draw_all = "image" in request.words
    if draw_all and (request.draw or form in LAYOUTS):
        name = "draw" if request.draw else f"format {form}"
        raise UsageError(f"--{name}: detect,image draws all images: leave one of the two out")
    sinks: list[Sink[Found]] = []
    if request.draw:
        sinks.append(DrawnFiles(request, check_one(loose), labels, [request.draw]))
    if form in LAYOUTS:
        return [*sinks, LabelFiles(form, results(file), loose, labels, least)], None
    if draw_all:  # --results is where the pictures go
        directory = results_prefix(file).parent
        files = picture_files(directory, loose.names)
        sinks.append(DrawnFiles(request, loose, labels, files, directory))
        file = None
    write = partial(
        write_detections,
        class_labels=labels,
        form=form,
        path=file,
        least_score=least,
        least_probability=request.params.pr_threshold,
    )
    return sinks, write


_MODES: dict[str, Callable[[Job], Outcome]] = {
    "single": classify,
    MULTICROP: classify,
    "segment": segment,
    "detect": detect,
}
