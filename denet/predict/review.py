"""What a model makes of a test set, and what a set holds, as a report on a run shows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS, Dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.evaluate.classifier import Classifier
from denet.evaluate.confusion import confusion_matrix, doubt, mixups
from denet.evaluate.detector import Detector, detect_dataset, detects, in_images
from denet.evaluate.object_errors import object_errors
from denet.evaluate.topk import TOP, TopErrors, percent
from denet.evaluate.voc import ClassCurve, VocResult, evaluate_voc, in_words
from denet.graph.kernel import Backend
from denet.model.model import Model
from denet.predict.classify import classify_images
from denet.predict.detect_report import worst_images
from denet.predict.report import Review
from denet.predict.scenes import (
    class_key,
    class_scene,
    collected,
    error_scene,
    found_scene,
    known_scene,
    mistake_scene,
    spread,
)
from denet.printable import counted
from denet.report.detections import LEAST_SCORE
from denet.report.object_errors import FALSE_ALARM, KINDS, MISSED
from denet.report.run import DataSet, Evaluation

SAMPLES, SCENES, MISTAKES = 8, 6, 24  # pictures: of a set, of detections, of mistaken classes


@dataclass(frozen=True)
class Engine:
    """What computes, and how much at once."""

    backend: Backend
    precision: str
    batch_size: int
    thread_num: int | None
    max_image_pixels: int = MAX_IMAGE_PIXELS


def evaluate(model: Model, dataset: Dataset, engine: Engine, words: str) -> Evaluation:
    """Return what a model makes of a dataset that fits it; ``words`` say which of which.

    Raises DataError, OutOfMemoryError.
    """
    if detects(model):
        assert isinstance(dataset, DetectionDataset)
        return _evaluate_detector(model, dataset, engine, words)
    return _evaluate_classifier(model, dataset, engine, words)


def describe(dataset: Dataset, title: str, max_image_pixels: int = MAX_IMAGE_PIXELS) -> DataSet:
    """Return what a dataset holds: its classes, and some of its samples with what is known."""
    numbers = dataset.class_counts().tolist()
    counts = dict(zip(dataset.class_labels, numbers, strict=True))
    boxed = isinstance(dataset, DetectionDataset) and dataset.boxed
    show = known_scene if isinstance(dataset, DetectionDataset) else class_scene
    indices = spread(np.arange(len(dataset.image_names)), SAMPLES)
    samples = collected(indices, lambda index: show(dataset, index, max_image_pixels))
    key = class_key(dataset.class_labels) if boxed else {}
    return DataSet(title, dataset.text(), counts, "objects" if boxed else "images", samples, key)


def _evaluate_classifier(model: Model, dataset: Dataset, engine: Engine, words: str) -> Evaluation:
    batch_size = min(engine.batch_size, len(dataset))
    classifier = Classifier(model, batch_size, engine.backend, engine.precision)
    labels = model.class_labels
    review = Review(len(labels))
    answers = classify_images(classifier, dataset, 1, engine.thread_num, review.add)
    deque(answers, maxlen=0)
    errors = review.errors
    numbers = {"top-1 error": errors.top1_error}
    if len(labels) > TOP:
        numbers[f"top-{TOP} error"] = errors.top_error
    limit = engine.max_image_pixels
    scenes = collected(
        review.mistakes[:MISTAKES], lambda mistake: mistake_scene(dataset, mistake, limit)
    )
    total, wrong = errors.pairs.total(), int(errors.wrong.sum())
    told = (
        f"{words}: {wrong:,} of {counted(total, 'image')} mistaken. {doubt(errors, labels) or ''}"
    )
    return Evaluation(
        words=told,
        numbers=numbers,
        header=["class", "images", "errors", "error", "most mistaken for"],
        classes=_class_errors(errors, labels),
        matrix=confusion_matrix(errors),
        rows=labels,
        columns=labels,
        mistakes=scenes,
        mistakes_words=f"The {len(scenes)} most confident of {counted(wrong, 'mistake')}",
    )


def _class_errors(errors: TopErrors, labels: Sequence[str]) -> list[list[object]]:
    """Return a row for each class of a classifier."""
    commonest = {each.true: each for each in reversed(mixups(errors))}
    rows: list[list[object]] = []
    counts = zip(labels, errors.count.tolist(), errors.wrong.tolist(), strict=True)
    for index, (name, count, wrong) in enumerate(counts):
        most = commonest.get(index)
        answer = f"{labels[most.predicted]} ({most.times:,})" if most else ""
        rows.append([name, f"{count:,}", f"{wrong:,}", _per_cent(percent(wrong, count)), answer])
    return rows


def _evaluate_detector(
    model: Model, dataset: DetectionDataset, engine: Engine, words: str
) -> Evaluation:
    """Return what is found at the score where F1 of all classes together is highest."""
    batch_size = min(engine.batch_size, len(dataset))
    detector = Detector(model, batch_size, engine.backend, engine.precision)
    params, labels = detector.params, dataset.class_labels
    samples = detect_dataset(detector, dataset, engine.thread_num)
    found = in_images(samples, dataset, params)
    result = evaluate_voc(found, dataset, len(labels), params.match_iou)
    point = result.together.best_f1()
    score = point.score if point else LEAST_SCORE
    errors = object_errors(found, dataset.truth, len(labels), score, params.match_iou)
    matrix = errors.matrix(len(labels))
    shown = found.take(found.score >= score)
    worst = worst_images(errors.of_images(len(dataset.image_names)), SCENES).tolist()
    usable, limit = np.flatnonzero(dataset.usable_images), engine.max_image_pixels
    return Evaluation(
        words=f"{words}. {_at_score(matrix, score, point is not None)}",
        numbers=_detector_numbers(result),
        header=[
            *("class", "objects", "AP", "AP, 11 points"),
            *("best F1", "at score", "precision there", "recall there"),
        ],
        classes=list(map(_class_row, labels, result.curves)),
        matrix=matrix,
        rows=[*labels, FALSE_ALARM],
        columns=[*labels, MISSED],
        mistakes=collected(worst, lambda index: error_scene(dataset, errors, index, limit)),
        mistakes_words="The pictures with most errors",
        sizes=errors.sizes(),
        key=KINDS,
        answers=collected(
            spread(usable, SCENES), lambda index: found_scene(dataset, shown, index, limit)
        ),
        answers_key=class_key(labels),
    )


def _at_score(matrix: np.ndarray, score: float, is_best: bool) -> str:
    """Say what stands in the matrix of errors at a score."""
    objects, right = int(matrix[:-1].sum()), int(np.trace(matrix))
    alarms = counted(int(matrix[-1].sum()), "false alarm")
    why = ", at which F1 of all classes together is highest," if is_best else ""
    return (
        f"With a score of {score:.3g} or more{why} {right:,} of {counted(objects, 'object')} are "
        f"found, with {alarms}; so it is in counts and pictures below."
    )


def _detector_numbers(result: VocResult) -> dict[str, float]:
    numbers = {
        "mean AP (area)": result.mean_ap_area,
        "mean AP (11 points)": result.mean_ap_11,
        "coverage": result.coverage,
    }
    return {name: 100 * value for name, value in numbers.items() if value == value}


def _class_row(name: str, curve: ClassCurve) -> list[object]:
    """Return the row of a class of a detector."""
    known = [name, f"{curve.object_num:,}", in_words(curve.ap_area), in_words(curve.ap_11)]
    point = curve.best_f1()
    if not point:
        return [*known, "-", "-", "-", "-"]
    f1, precision, recall = map(in_words, (point.f1, point.precision, point.recall))
    return [*known, f1, f"{point.score:.3f}", precision, recall]


def _per_cent(value: float) -> str:
    return "-" if value != value else f"{value:.2f}%"
