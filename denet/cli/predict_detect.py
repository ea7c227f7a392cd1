"""The detect mode of model-predict: objects in loose images, or in a dataset with known ones."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.options import open_images
from denet.errors import UsageError

if TYPE_CHECKING:
    from denet.dataset.base import BadSample
    from denet.dataset.image_loader import DetectionDataset
    from denet.detect.detections import Detections
    from denet.evaluate.detector import Detector
    from denet.graph.kernel import Backend
    from denet.model.model import Model
    from denet.predict.detect_report import DetectionReport

log = logging.getLogger(__name__)

EVALUATIONS = ("voc", "mscoco", "imagenet")
WORDS = ("image", *EVALUATIONS)  # that may follow detect
RESULTS = "results/found"  # where --results is not given
DRAWN = "%s: pictures of %d images, 000000_dets.png and so on in their order"
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
    from denet.predict.detect import detect_files
    from denet.predict.detect_output import write_detections
    from denet.predict.image_files import find_images
    from denet.predict.picture import detections_file, draw_file

    if options.report:
        raise UsageError("--report: it needs known objects: give --extension voc,...")
    paths = find_images(options.input)
    labels = detector.model.class_labels
    if options.draw and len(paths) != 1:
        raise UsageError("--draw: needs one image: give --input one image file")

    directory = results_directory(options) if draw else None

    def drawn() -> Iterator[tuple[str, Detections]]:
        reading = (options.thread_num, options.max_image_pixels)
        for number, (path, found) in enumerate(detect_files(detector, paths, bad, *reading)):
            target = detections_file(directory, number) if directory else options.draw
            if target:
                draw_file(target, path, found, labels, options.font, options.max_image_pixels)
            yield path, found

    write_detections(drawn(), labels, options.format or "text", own_results(options, draw))
    if draw:
        log.info(DRAWN, directory, len(paths))
    return len(paths)


def detect_in_dataset(options: argparse.Namespace, detector: Detector, words: set[str]) -> int:
    """Print how well the objects of a dataset are found; return the number of its images."""
    from denet.dataset.image_loader import DetectionDataset
    from denet.evaluate.detector import detect_dataset, in_images
    from denet.predict.detect_output import write_detections, write_detections_json
    from denet.predict.detect_report import DetectionReport
    from denet.predict.picture import draw_dataset

    if options.report and "voc" not in words:
        raise UsageError("--report: it holds the curves of voc: give --predict-mode detect,voc")
    if options.draw:
        raise UsageError("--draw: it is for one image file: give --predict-mode detect,image")
    model = detector.model
    images = open_images(options, options.input, model)
    assert isinstance(images, DetectionDataset)
    if options.results or "image" in words:
        results_directory(options)  # what is in the way of it is told before the work
    report = None
    if options.report:
        report = DetectionReport(options.report, images.class_labels, options.font)
    found = detect_dataset(detector, images, options.thread_num)
    boxes = in_images(found, images, detector.params)
    names = images.image_names
    if options.format:
        pairs = zip(names, boxes.by_image(len(names)), strict=True)
        write_detections(pairs, model.class_labels, options.format)
    if options.results:
        write_detections_json(
            results_directory(options) / "detections.json", found, images, detector.params
        )
    for word in EVALUATIONS:
        if word in words:
            _EVALUATE[word](options, detector, images, boxes, report)
    if "image" in words:
        directory = results_directory(options)
        draw_dataset(directory, images, boxes, options.font, options.max_image_pixels)
        log.info(DRAWN, directory, len(names))
    return len(names)


def evaluate_voc(
    options: argparse.Namespace,
    detector: Detector,
    dataset: DetectionDataset,
    boxes: Detections,
    report: DetectionReport | None,
) -> None:
    """Print the average precision of each class; write what --results and --report ask for."""
    from denet.evaluate import voc
    from denet.predict.detect_output import write_voc

    labels, params = dataset.class_labels, detector.params
    result = voc.evaluate_voc(boxes, dataset, len(labels), params.match_iou)
    print(result.report(labels))
    if options.results:
        write_voc(results_directory(options), boxes, dataset.sizes, dataset.image_ids, labels)
    if report:
        log.info("%s: %s", options.report, ", ".join(report.write(result, params.pr_threshold)))


def evaluate_mscoco(
    options: argparse.Namespace,
    detector: Detector,
    dataset: DetectionDataset,
    boxes: Detections,
    report: DetectionReport | None,
) -> None:
    """Print the twelve numbers of MSCOCO; write RESULTS.json for its server."""
    from denet.evaluate.coco import evaluate_coco
    from denet.predict.detect_output import write_coco

    labels = dataset.class_labels
    if options.results:
        file = f"{results_prefix(options)}.json"
        write_coco(file, boxes, dataset.image_ids, dataset.category_ids)
    if len(dataset.boxes):
        print(evaluate_coco(boxes, dataset, len(labels)).report(labels))
    else:
        log.warning(NOTHING_KNOWN, options.input)


def evaluate_imagenet(
    options: argparse.Namespace,
    detector: Detector,
    dataset: DetectionDataset,
    boxes: Detections,
    report: DetectionReport | None,
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


def results_directory(options: argparse.Namespace) -> Path:
    """Return the directory of --results, made if it is not there."""
    from denet.files import make_directory

    return make_directory(results_prefix(options).parent)


def results_prefix(options: argparse.Namespace) -> Path:
    """Return DIR/NAME of --results, where NAME is found if only a directory is given."""
    given = options.results or RESULTS
    whole = given.endswith(os.sep) or os.path.isdir(given)
    return Path(given, "found") if whole else Path(given)


def own_results(options: argparse.Namespace, draw: bool) -> str | None:
    """Return the file that --results names for the answers; a prefix only where pictures go."""
    return None if draw else options.results
