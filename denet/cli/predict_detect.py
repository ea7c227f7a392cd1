"""The detect mode of model-predict: objects in loose images, or in a dataset with known ones."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterator
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.command import tell
from denet.cli.options import open_images, results
from denet.errors import UsageError
from denet.printable import counted

if TYPE_CHECKING:
    from denet.dataset.base import BadSample
    from denet.dataset.boxes.image_loader import DetectionDataset
    from denet.detect.detections import Detections
    from denet.evaluate.detector import Detector
    from denet.graph.kernel import Backend
    from denet.model.model import Model
    from denet.predict.detect_report import DetectionReport

log = logging.getLogger(__name__)

EVALUATIONS = ("voc", "mscoco", "imagenet")
WORDS = ("image", *EVALUATIONS)  # that may follow detect
NAME = "results"  # of NAME.json where --results gives a directory only
DRAWN = "%s: %d pictures, IMAGE_dets.png"
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

    for name, given in (("truth", options.truth), ("format ccv", options.format == "ccv")):
        if given:
            raise UsageError(f"--{name}: it is for the classes of whole images: leave it out")
    params = parse_params(options.params)

    def detector(image_num: int) -> Detector:
        return Detector(model, min(options.batch_size, image_num), backend, precision, params)

    kind = parse_extension(options.extension)[0] if options.extension else ""
    if kind in EVALUATIONS:
        return detect_in_dataset(options, model, detector, words or {kind})
    if words & set(EVALUATIONS):
        name = min(words & set(EVALUATIONS))
        raise UsageError(f"--predict-mode: {name}: give the dataset with --extension {name},...")
    return detect_in_files(options, detector, "image" in words, bad)


def detect_in_files(
    options: argparse.Namespace,
    make_detector: Callable[[int], Detector],
    draw: bool,
    bad: list[BadSample],
) -> int:
    """Tell what is found in each loose image; return how many there are.

    ``make_detector`` gives one for so many images.
    """
    from denet.predict.detect import detect_files
    from denet.predict.detect_output import write_detections
    from denet.predict.image_files import find_images
    from denet.predict.picture import draw_file, picture_files

    if options.report:
        raise UsageError("--report: it needs known objects: give --extension voc,...")
    paths = find_images(options.input)
    detector = make_detector(len(paths))
    labels = detector.model.class_labels
    if options.draw and draw:
        raise UsageError("--draw: detect,image draws all images: leave one of the two out")
    if options.draw and len(paths) != 1:
        raise UsageError("--draw: needs one image: give --input one image file")

    file, pictures = options.results, {paths[0]: Path(options.draw)} if options.draw else {}
    if draw:  # --results is where the pictures go
        file, directory = None, results_prefix(options).parent
        pictures = dict(zip(paths, picture_files(directory, paths), strict=True))

    def drawn() -> Iterator[tuple[str, Detections]]:
        reading = (options.thread_num, options.max_image_pixels)
        for path, found in detect_files(detector, paths, bad, *reading):
            if target := pictures.get(path):
                draw_file(target, path, found, labels, options.font, options.max_image_pixels)
            yield path, found

    write_detections(drawn(), labels, options.format or "text", file)
    if draw:
        log.info(DRAWN, directory, len(paths) - len(bad))
    return len(paths)


def detect_in_dataset(
    options: argparse.Namespace,
    model: Model,
    make_detector: Callable[[int], Detector],
    words: set[str],
) -> int:
    """Print how well the objects of a dataset are found; return the number of its images.

    ``make_detector`` gives one for so many samples. What is found goes to --results.
    """
    from denet.dataset.boxes.image_loader import DetectionDataset
    from denet.evaluate.coco import require_evaluator
    from denet.evaluate.detector import detect_dataset, in_images
    from denet.predict.detect_output import voc_files, write_detections, write_detections_json
    from denet.predict.detect_report import DetectionReport
    from denet.predict.picture import draw_dataset, picture_files

    if options.report and "voc" not in words:
        raise UsageError("--report: it holds the curves of voc: give --predict-mode detect,voc")
    if options.draw:
        raise UsageError("--draw: it is for one image file: give --predict-mode detect,image")
    images = open_images(options, options.input, model)
    assert isinstance(images, DetectionDataset)
    names = images.image_names
    # what is missing or in the way is told before the work
    if "voc" in words:
        voc_files(images.class_labels)
    if "mscoco" in words and len(images.boxes):
        require_evaluator()
    prefix = results_prefix(options)
    pictures = picture_files(prefix.parent, names) if "image" in words else []
    detector = make_detector(len(images))
    report = None
    if options.report:
        report = DetectionReport(options.report, images.class_labels, options.font)
    found = detect_dataset(detector, images, options.thread_num)
    boxes = in_images(found, images, detector.params)
    usable = images.usable_images
    if options.format:
        pairs = compress(zip(names, boxes.by_image(len(names)), strict=True), usable)
        write_detections(pairs, model.class_labels, options.format)
    file = prefix.with_name("detections.json")
    write_detections_json(file, found, images, detector.params)
    log.info("%s: what was found in %s", file, counted(usable.sum(), "image"))
    for word in EVALUATIONS:
        if word in words:
            _EVALUATE[word](prefix, options, detector, images, boxes, report)
    if pictures:
        drawn = draw_dataset(pictures, images, boxes, options.font, options.max_image_pixels)
        log.info(DRAWN, prefix.parent, drawn)
    return len(names)


def evaluate_voc(
    prefix: Path,
    options: argparse.Namespace,
    detector: Detector,
    dataset: DetectionDataset,
    boxes: Detections,
    report: DetectionReport | None,
) -> None:
    """Write the files for the server of VOC; print the average precision of each class."""
    from denet.evaluate import voc
    from denet.predict.detect_output import write_voc

    labels, params = dataset.class_labels, detector.params
    write_voc(prefix.parent, boxes, dataset.sizes, dataset.image_ids, labels)
    log.info("%s: comp4_det_test_CLASS.txt of %d classes", prefix.parent, len(labels))
    result = voc.evaluate_voc(boxes, dataset, len(labels), params.match_iou)
    tell(result.report(labels))
    if report:
        log.info("%s: %s", options.report, ", ".join(report.write(result, params.pr_threshold)))


def evaluate_mscoco(
    prefix: Path,
    options: argparse.Namespace,
    detector: Detector,
    dataset: DetectionDataset,
    boxes: Detections,
    report: DetectionReport | None,
) -> None:
    """Write PREFIX.json for the server of MSCOCO; print its twelve numbers."""
    from denet.evaluate.coco import evaluate_coco
    from denet.predict.detect_output import write_coco

    labels = dataset.class_labels
    file = f"{prefix}.json"
    write_coco(file, boxes, dataset.image_ids, dataset.category_ids)
    log.info("%s: the same for the server of MSCOCO", file)
    if len(dataset.boxes):
        tell(evaluate_coco(boxes, dataset, len(labels)).report(labels))
    else:
        log.warning(NOTHING_KNOWN, options.input)


def evaluate_imagenet(
    prefix: Path,
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
        tell(f"top-5 localisation error {error:.3f}%")
    else:
        log.warning(NOTHING_KNOWN, options.input)


_EVALUATE: dict[str, Callable[..., None]] = {
    "voc": evaluate_voc,
    "mscoco": evaluate_mscoco,
    "imagenet": evaluate_imagenet,
}


def results_prefix(options: argparse.Namespace) -> Path:
    """Return DIR/NAME of --results, DIR/results where it gives a directory only, and make DIR."""
    from denet.files import make_directory

    given = results(options)
    prefix = Path(given, NAME if given.endswith(os.sep) or os.path.isdir(given) else "")
    make_directory(prefix.parent)
    return prefix
