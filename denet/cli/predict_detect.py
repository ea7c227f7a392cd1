"""The detect mode of model-predict: objects in loose images, or in a dataset with known ones."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.options import open_images
from denet.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from denet.dataset.base import BadSample
    from denet.dataset.image_loader import DetectionDataset
    from denet.detect.detections import Detections
    from denet.evaluate.detector import Detector
    from denet.evaluate.voc import VocResult
    from denet.graph.kernel import Backend
    from denet.model.model import Model
    from denet.report.detections import Objects

log = logging.getLogger(__name__)

EVALUATIONS = ("voc", "mscoco", "imagenet")
WORDS = ("image", *EVALUATIONS)  # that may follow detect
NOTHING_KNOWN = "%s: it has no known objects to compare with"


def detect(
    options: argparse.Namespace,
    model: Model,
    backend: Backend,
    precision: str,
    words: set[str],
    bad: list[BadSample],
) -> int:
    """Tell what is found and how good that is; return the number of images looked at."""
    from denet.dataset import parse_extension
    from denet.evaluate.detect_params import parse_params
    from denet.evaluate.detector import Detector

    detector = Detector(model, options.batch_size, backend, precision, parse_params(options.params))
    kind = parse_extension(options.extension)[0] if options.extension else ""
    if kind in EVALUATIONS:
        return detect_in_dataset(options, detector, words or {kind})
    if words & set(EVALUATIONS):
        name = min(words & set(EVALUATIONS))
        raise UsageError(f"--predict-mode: {name}: give the dataset with --extension {name},...")
    return detect_in_files(options, detector, "image" in words, bad)


def detect_in_files(
    options: argparse.Namespace, detector: Detector, draw: bool, bad: list[BadSample]
) -> int:
    """Tell what is found in each loose image; return how many there are."""
    from denet.dataset.decode import decode_image
    from denet.predict.classify import find_images
    from denet.predict.detect import detect_files
    from denet.predict.detect_output import write_detections

    if options.report:
        raise UsageError("--report: it needs known objects: give --extension voc,...")
    paths = find_images(options.input)
    labels = detector.model.class_labels
    if options.draw and len(paths) != 1:
        raise UsageError("--draw: needs one image: give --input one image file")

    def drawn() -> Iterator[tuple[str, Detections]]:
        reading = (options.thread_num, options.max_image_pixels)
        for number, (path, found) in enumerate(detect_files(detector, paths, bad, *reading)):
            target = picture_path(options, number) if draw else options.draw
            if target:
                image = decode_image(path, max_image_pixels=options.max_image_pixels)
                save_picture(target, image, found, labels, options.font)
            yield path, found

    write_detections(drawn(), labels, options.format or "text", own_results(options, draw))
    return len(paths)


def detect_in_dataset(options: argparse.Namespace, detector: Detector, words: set[str]) -> int:
    """Print how well the objects of a dataset are found; return the number of its images."""
    from denet.dataset.image_loader import DetectionDataset
    from denet.evaluate.detector import detect_dataset, in_images
    from denet.predict.detect_output import write_detections, write_detections_json

    if options.report and "voc" not in words:
        raise UsageError("--report: it holds the curves of voc: give --predict-mode detect,voc")
    if options.draw:
        raise UsageError("--draw: it is for one image file: give --predict-mode detect,image")
    model = detector.model
    images = open_images(options, options.input, model)
    assert isinstance(images, DetectionDataset)
    found = detect_dataset(detector, images, options.thread_num)
    boxes = in_images(found, images, detector.params)
    names = images.names[:: images.view_num]
    if options.format:
        pairs = zip(names, boxes.by_image(len(names)), strict=True)
        write_detections(pairs, model.class_labels, options.format)
    if options.results:
        directory = results_directory(options)
        write_detections_json(directory / "detections.json", found, images, detector.params)
    for word in EVALUATIONS:
        if word in words:
            _EVALUATE[word](options, detector, images, boxes)
    if "image" in words:
        draw_dataset(options, images, boxes)
    return len(names)


def evaluate_voc(
    options: argparse.Namespace, detector: Detector, dataset: DetectionDataset, boxes: Detections
) -> None:
    """Print the average precision of each class; write what --results and --report ask for."""
    from denet.evaluate import voc
    from denet.predict.detect_output import write_voc

    labels, params = dataset.class_labels, detector.params
    result = voc.evaluate_voc(boxes, dataset, len(labels), params.match_iou)
    print(result.report(labels))
    if options.results:
        write_voc(results_directory(options), boxes, dataset.sizes, dataset.image_ids, labels)
    if options.report:
        report(options, result, labels, params.pr_threshold)


def evaluate_mscoco(
    options: argparse.Namespace, detector: Detector, dataset: DetectionDataset, boxes: Detections
) -> None:
    """Print the twelve numbers of MSCOCO; write RESULTS.json for its server."""
    from denet.evaluate.coco import evaluate_coco
    from denet.predict.detect_output import write_coco

    labels = dataset.class_labels
    if options.results:
        write_coco(f"{options.results}.json", boxes, dataset.image_ids, dataset.category_ids)
    if len(dataset.boxes):
        print(evaluate_coco(boxes, dataset, len(labels), dataset.boxes.area).report(labels))
    else:
        log.warning(NOTHING_KNOWN, options.input)


def evaluate_imagenet(
    options: argparse.Namespace, detector: Detector, dataset: DetectionDataset, boxes: Detections
) -> None:
    """Print the localisation error of ImageNet."""
    from denet.evaluate.localisation import localisation_error

    if len(dataset.boxes):
        error = localisation_error(boxes, dataset, match_iou=detector.params.match_iou)
        print(f"top-5 localisation error {error:.3f}%")
    else:
        log.warning(NOTHING_KNOWN, options.input)


_EVALUATE: dict[str, Callable[..., None]] = {
    "voc": evaluate_voc,
    "mscoco": evaluate_mscoco,
    "imagenet": evaluate_imagenet,
}


def report(
    options: argparse.Namespace, result: VocResult, labels: list[str], pr_threshold: float
) -> None:
    """Write the precision and recall of each class as tables and as a picture."""
    from denet.model.format.atomic import atomic_text, atomic_write
    from denet.report.precision_recall import draw_precision_recall, write_class_ap, write_curves

    directory = Path(options.report)
    directory.mkdir(parents=True, exist_ok=True)
    for name, write in (("precision_recall.csv", write_curves), ("class_ap.csv", write_class_ap)):
        with atomic_text(directory / name) as file:
            write(file, result, labels)
    picture = directory / "precision_recall.png"
    with atomic_write(picture) as temporary:
        draw_precision_recall(result, labels, temporary, pr_threshold, options.font)
    log.info("%s: class_ap.csv, precision_recall.csv, precision_recall.png", directory)


def draw_dataset(options: argparse.Namespace, dataset: DetectionDataset, boxes: Detections) -> None:
    """Draw each image with what is found and what is known."""
    from denet.dataset.decode import decode_stored, open_image
    from denet.report.detections import Objects

    names = dataset.names[:: dataset.view_num]
    for number, (name, found) in enumerate(zip(names, boxes.by_image(len(names)), strict=True)):
        own = dataset.boxes.of(number)
        notes = ["difficult" if each else "" for each in dataset.difficult[own]]
        known = Objects(dataset.box_class[own], dataset.boxes_px[own], notes)
        image = open_image(name, options.max_image_pixels)
        image, _ = decode_stored(image, *image.size)
        target = picture_path(options, number)
        save_picture(target, image, found, dataset.class_labels, options.font, known)


def save_picture(
    target: str | Path,
    image: Image,
    found: Detections,
    labels: Sequence[str],
    font: str | None,
    known: Objects | None = None,
) -> None:
    """Draw the image with what is found in it into a PNG file."""
    from denet.model.format.atomic import atomic_write
    from denet.report.detections import draw_detections

    picture = draw_detections(image, found, labels, known, font_file=font)
    with atomic_write(target) as temporary:
        picture.save(temporary, format="png")


def results_directory(options: argparse.Namespace) -> Path:
    """Return the directory of --results, made if it is not there."""
    directory = Path(options.results or "results").parent
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def picture_path(options: argparse.Namespace, number: int) -> Path:
    """Return where the annotated picture of an image goes."""
    return results_directory(options) / f"{number:06d}_dets.png"


def own_results(options: argparse.Namespace, draw: bool) -> str | None:
    """Return the file that --results names for the answers; a prefix only where pictures go."""
    return None if draw else options.results
