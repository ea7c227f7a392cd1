"""What a model makes of a test set, and what a set holds, as a report on a run shows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS, Dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.detect.detections import Detections
from denet.evaluate.classifier import Classifier
from denet.evaluate.confusion import confusion_matrix, doubt, mixups
from denet.evaluate.detector import Detector, detect_dataset, detects, in_images
from denet.evaluate.object_errors import ObjectErrors, object_errors
from denet.evaluate.topk import TOP, percent
from denet.evaluate.voc import ClassCurve, VocResult, evaluate_voc, in_words
from denet.graph.kernel import Backend
from denet.model.model import Model
from denet.predict.classify import classify_images
from denet.predict.detect_report import stored_image, worst_images
from denet.predict.report import Review, sample_image
from denet.printable import counted
from denet.report.detections import LEAST_SCORE, class_colour
from denet.report.object_errors import FALSE_ALARM, KINDS, MISSED, marked_boxes
from denet.report.run import Box, DataSet, Evaluation, Scene

if TYPE_CHECKING:
    from PIL.Image import Image

KEYED = 40  # classes whose colours are told
SIDE = 480  # px: longer side of a photo in the page
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
    samples = []
    for index in _spread(np.arange(len(dataset.image_names)), SAMPLES):
        show = _known_scene if isinstance(dataset, DetectionDataset) else _class_scene
        samples += _shown(lambda: show(dataset, index, max_image_pixels))  # noqa: B023
    key = class_key(dataset.class_labels) if boxed else {}
    return DataSet(title, dataset.text(), counts, "objects" if boxed else "images", samples, key)


def class_key(class_labels: Sequence[str]) -> dict[str, str]:
    """Return the colours of the boxes of classes, those of very many left out."""
    if len(class_labels) > KEYED:
        return {}
    return {name: class_colour(index) for index, name in enumerate(class_labels)}


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
    scenes: list[Scene] = []
    for mistake in review.mistakes[:MISTAKES]:
        told = [
            f"{mistake.probability:.1%} {labels[mistake.answer]}",
            f"{mistake.true_probability:.1%} {labels[mistake.true]}, which is true",
        ]
        index, limit = mistake.sample, engine.max_image_pixels
        scenes += _shown(
            lambda: _scene(sample_image(dataset, index, limit), told)  # noqa: B023
        )
    commonest = {each.true: each for each in reversed(mixups(errors))}
    rows = [
        [
            name,
            f"{count:,}",
            f"{wrong:,}",
            _share(percent(wrong, count)),
            f"{labels[commonest[k].predicted]} ({commonest[k].times:,})" if k in commonest else "",
        ]
        for k, (name, count, wrong) in enumerate(
            zip(labels, errors.count.tolist(), errors.wrong.tolist(), strict=True)
        )
    ]
    total, wrong = errors.pairs.total(), int(errors.wrong.sum())
    sentence = doubt(errors, labels)
    return Evaluation(
        words=f"{words}: {wrong:,} of {counted(total, 'image')} mistaken. {sentence or ''}".strip(),
        numbers=numbers,
        header=["class", "images", "errors", "error", "most mistaken for"],
        classes=rows,
        matrix=confusion_matrix(errors),
        rows=labels,
        columns=labels,
        mistakes=scenes,
        mistakes_words=f"The {len(scenes)} most confident of {counted(wrong, 'mistake')}",
    )


def _evaluate_detector(
    model: Model, dataset: DetectionDataset, engine: Engine, words: str
) -> Evaluation:
    batch_size = min(engine.batch_size, len(dataset))
    detector = Detector(model, batch_size, engine.backend, engine.precision)
    params, labels = detector.params, dataset.class_labels
    samples = detect_dataset(detector, dataset, engine.thread_num)
    found = in_images(samples, dataset, params)
    result = evaluate_voc(found, dataset, len(labels), params.match_iou)
    errors = object_errors(found, dataset.truth, len(labels), LEAST_SCORE, params.match_iou)
    matrix = errors.matrix(len(labels))
    usable = np.flatnonzero(dataset.usable_images)
    wrong = errors.of_images(len(dataset.image_names))
    worst = worst_images(wrong, SCENES).tolist()
    limit = engine.max_image_pixels
    objects, right = int(matrix[:-1].sum()), int(np.trace(matrix))
    told = (
        f"{words}: with a score of {LEAST_SCORE:g} or more {right:,} of "
        f"{counted(objects, 'object')} found, {counted(int(matrix[-1].sum()), 'false alarm')} "
        f"(IoU {params.match_iou:g})."
    )
    return Evaluation(
        words=told,
        numbers=_detector_numbers(result),
        header=[
            *("class", "objects", "AP", "AP, 11 points"),
            *("best F1", "at score", "precision there", "recall there"),
        ],
        classes=[
            _class_row(name, curve) for name, curve in zip(labels, result.curves, strict=True)
        ],
        matrix=matrix,
        rows=[*labels, FALSE_ALARM],
        columns=[*labels, MISSED],
        mistakes=_collected(worst, lambda index: _error_scene(dataset, errors, index, limit)),
        mistakes_words="The pictures with most errors",
        sizes=errors.sizes(),
        key=KINDS,
        answers=_collected(
            _spread(usable, SCENES), lambda index: _found_scene(dataset, found, index, limit)
        ),
        answers_key=class_key(labels),
    )


def _detector_numbers(result: VocResult) -> dict[str, float]:
    numbers = {
        "mean AP (area)": result.mean_ap_area,
        "mean AP (11 points)": result.mean_ap_11,
        "coverage": result.coverage,
    }
    return {name: 100 * value for name, value in numbers.items() if value == value}


def _class_row(name: str, curve: ClassCurve) -> list[object]:
    row: list[object] = [
        name,
        f"{curve.object_num:,}",
        in_words(curve.ap_area),
        in_words(curve.ap_11),
    ]
    if best := curve.best_f1():
        shares = (_share(100 * each) for each in (best.f1, best.precision, best.recall))
        f1, precision, recall = shares
        return [*row, f1, f"{best.score:.3f}", precision, recall]
    return [*row, "-", "-", "-", "-"]


def _known_scene(dataset: Dataset, index: int, limit: int) -> Scene:
    """Return a stored image with its known boxes, or with its class."""
    assert isinstance(dataset, DetectionDataset)
    name, caption = dataset.image_names[index], [_base(dataset.image_names[index])]
    image = stored_image(name, limit)
    if not dataset.boxed:
        label = dataset.labels[index * dataset.view_num]
        return _scene(image, [dataset.class_labels[label], *caption])
    boxes = _known_boxes(dataset, index)
    return _scene(image, caption, {counted(len(boxes), "box"): boxes})


def _class_scene(dataset: Dataset, index: int, limit: int) -> Scene:
    sample = index * dataset.view_num
    label = dataset.class_labels[dataset.labels[sample]]
    return _scene(sample_image(dataset, sample, limit), [label])


def _error_scene(dataset: DetectionDataset, errors: ObjectErrors, index: int, limit: int) -> Scene:
    name = dataset.image_names[index]
    marked = marked_boxes(errors, index, dataset.class_labels)
    boxes = [Box(each.sides, KINDS[each.kind], f"{each.words}: {each.kind}") for each in marked]
    count = sum(each.kind != "found" for each in marked)
    return _scene(stored_image(name, limit), [_base(name)], {counted(count, "error"): boxes})


def _found_scene(dataset: DetectionDataset, found: Detections, index: int, limit: int) -> Scene:
    own = found.take((found.image == index) & (found.score >= LEAST_SCORE)).best_first()
    boxes = [
        Box((x0, y0, x1, y1), class_colour(k), f"{dataset.class_labels[k]} {score:.2f}")
        for _, k, score, (x0, y0, x1, y1) in own.rows()
    ]
    known = _known_boxes(dataset, index)
    panels = {f"found: {len(boxes)}": boxes, f"known: {len(known)}": known}
    name = dataset.image_names[index]
    return _scene(stored_image(name, limit), [_base(name)], panels)


def _known_boxes(dataset: DetectionDataset, index: int) -> list[Box]:
    own = dataset.boxes.of(index)
    rows = zip(
        dataset.boxes_px[own].tolist(),
        dataset.box_class[own].tolist(),
        dataset.difficult[own].tolist(),
        strict=True,
    )
    return [
        Box(
            tuple(sides),
            class_colour(k),
            dataset.class_labels[k] + " (difficult)" * difficult,
        )
        for sides, k, difficult in rows
    ]


def _scene(image: Image, caption: list[str], panels: dict[str, list[Box]] | None = None) -> Scene:
    size = image.size
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    return Scene(image, size, caption, panels or {})


def _collected(indices: Iterable[int], make: Callable[[int], Scene]) -> list[Scene]:
    return [scene for index in indices for scene in _shown(lambda: make(index))]  # noqa: B023


def _shown(make: Callable[[], Scene]) -> list[Scene]:
    """Return the scene, or nothing where its image cannot be read, which the set has told."""
    try:
        return [make()]
    except Exception:  # a damaged file can make a decoder raise anything
        return []


def _spread(indices: np.ndarray, count: int) -> list[int]:
    """Return so many of the indices, evenly spread."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    spread: list[int] = indices[places].tolist()
    return spread


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _share(value: float) -> str:
    return "-" if value != value else f"{value:.2f}%"
