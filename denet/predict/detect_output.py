"""Detections as files: for people, for programs, and for the servers of VOC and MSCOCO."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.boxes import View, network_boxes, seen
from denet.detect.detections import Detections
from denet.errors import DataError
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.detector import DatasetDetections
from denet.files import atomic_text
from denet.predict.detect import Found
from denet.predict.output import csv_line, rounded, write_lines
from denet.printable import counted, printable
from denet.report.detections import LEAST_SCORE

log = logging.getLogger(__name__)

LONGEST = 240  # bytes of a file name: systems take 255, with what is added while it is written
CSV_COLUMNS = ("image", "class", "score", "x0", "y0", "x1", "y1")


def text_lines(
    images: Iterable[Found],
    class_labels: Sequence[str],
    least_score: float = LEAST_SCORE,
    least_probability: float = 0.0,
) -> Iterator[str]:
    """Yield ``NAME: CLASS 97.31% (x0 y0 x1 y1), ...`` for each image, ``nothing found ...`` if so.

    What has a lower score than ``least_score`` is left out, as in pictures, and counted in the log;
    what has a lower probability than ``least_probability`` has been left out before.
    """
    least, left_out, best, any_shown = f"a score of {100 * least_score:g}%", 0, 0.0, False
    asked = least
    if least_probability > least_score:  # else every score of the least is as probable
        asked += f" and a probability (prThreshold) of {100 * least_probability:g}%"
    for name, found in _pairs(images):
        shown = found.take(found.score >= least_score)
        left_out += len(found) - len(shown)
        any_shown |= len(shown) > 0
        best = max(best, found.score.max(initial=0))
        words = [
            f"{each} {100 * score:.2f}% ({' '.join(f'{side:.1f}' for side in box)})"
            for each, score, box in _objects(shown, class_labels)
        ]
        yield f"{name}: {', '.join(words) or f'nothing found with {asked} or more'}"
    if left_out:
        more = "" if any_shown else f", --min-score {rounded_down(best):g} shows the best"
        text = "%d with less than %s left out: --format jsonl or csv tells them%s"
        log.info(text, left_out, least, more)


def rounded_down(score: float) -> float:
    """Return a score with two digits that is no higher, for people to type."""
    step = 10.0 ** (math.floor(math.log10(score)) - 1) if score > 0 else 1.0
    return round(math.floor(score / step) * step, 12)


def json_lines(images: Iterable[Found], class_labels: Sequence[str]) -> Iterator[str]:
    """Yield one JSON object per image: image, detections [{class, score, box [x0, y0, x1, y1]}]."""
    for name, found in _pairs(images):
        detections = [
            {"class": each, "score": rounded(score), "box": [round(side, 1) for side in box]}
            for each, score, box in _objects(found, class_labels)
        ]
        yield json.dumps({"image": name, "detections": detections})


def csv_lines(images: Iterable[Found], class_labels: Sequence[str]) -> Iterator[str]:
    """Yield the CSV_COLUMNS, then a row for each detection."""
    yield csv_line(CSV_COLUMNS)
    for name, found in _pairs(images):
        for each, score, box in _objects(found, class_labels):
            yield csv_line([name, each, rounded(score), *(f"{side:.1f}" for side in box)])


OUTPUTS: dict[str, Callable[..., Iterator[str]]] = {
    "text": text_lines,
    "jsonl": json_lines,
    "csv": csv_lines,
}


def write_detections(
    images: Iterable[Found],
    class_labels: Sequence[str],
    form: str,
    path: str | None = None,
    least_score: float = LEAST_SCORE,
    least_probability: float = 0.0,
) -> None:
    """Write what was found in each image as text, jsonl or csv, to stdout or into a file.

    ``least_score`` and ``least_probability`` are those of text.
    """
    least = (least_score, least_probability) if form == "text" else ()
    write_lines(OUTPUTS[form](images, class_labels, *least), path)


def write_detections_json(
    path: str | os.PathLike[str],
    detections: DatasetDetections,
    dataset: DetectionDataset,
    params: DetectParams,
) -> None:
    """Write detections.json as DeNet (2017) does, boxes normalised to the network input.

    ``{"dets": [{"detections": [[score, class id, [x0, y0, x1, y1]], ...], "meta": {...}}, ...],
    "classLabels": {name: id}, "detectParams": {...}}``, with an element of dets for each sample;
    see ``sample_meta``.
    Images that are damaged have none.
    """
    found, view = detections
    usable = dataset.usable(range(len(view)))

    def elements() -> Iterator[str]:
        for index, each in enumerate(found.by_image(len(view))):
            if not usable[index]:
                continue
            element = {
                "detections": [
                    [rounded(score), class_index, [round(side, 6) for side in box]]
                    for _, class_index, score, box in each.rows()
                ],
                "meta": sample_meta(dataset, index, View(*view[index].tolist())),
            }
            yield json.dumps(element)

    labels = {name: index for index, name in enumerate(dataset.class_labels)}
    end = f'], "classLabels": {json.dumps(labels)}, "detectParams": {json.dumps(params.named())}}}'
    with atomic_text(path) as file:
        file.write('{"dets": [')
        for number, element in enumerate(elements()):
            file.write(f"{',' if number else ''}\n{element}")
        file.write(f"\n{end}\n")


def sample_meta(dataset: DetectionDataset, index: int, view: View) -> dict[str, Any]:
    """Return what detections.json tells of a sample: its image and place in it, what is in it.

    image: fname, id, and of all known objects in it bboxs [[class id, [x0, y0, x1, y1]], ...], in
    pixels, and difficult; image_size [width, height]; scale [x, y], offset [x, y] and mirror:
    network pixel = image pixel * scale - offset, then mirrored; class and bbox: the known objects
    that the sample shows, boxes normalised as those of the detections.
    """
    image = index // dataset.view_num
    own = dataset.boxes.of(image)
    classes, pixels = dataset.box_class[own], dataset.boxes_px[own]
    _, height, width = dataset.shape
    boxes = network_boxes(pixels, view, width, height)
    shown = seen(boxes, dataset.options.check_onscreen, dataset.options.check_center)
    return {
        "image": {
            "fname": dataset.names[index],
            "id": dataset.image_ids[image],
            "bboxs": [list(each) for each in zip(classes.tolist(), pixels.tolist(), strict=True)],
            "difficult": dataset.difficult[own].tolist(),
        },
        "image_size": dataset.sizes[image].tolist(),
        "scale": [rounded(view.scale_x), rounded(view.scale_y)],
        "offset": [rounded(view.offset_x), rounded(view.offset_y)],
        "mirror": bool(view.mirrored),
        "class": classes[shown].tolist(),
        "bbox": np.clip(boxes[shown], 0, 1).round(6).tolist(),
    }


def voc_files(class_labels: Sequence[str]) -> list[str]:
    """Return the name of the file of each class, comp4_det_test_CLASS.txt.

    What a file name cannot hold is escaped, a slash is an underline. Raises DataError for a class
    whose name is too long for one, or is another's then.
    """
    names = [f"comp4_det_test_{printable(each).replace('/', '_')}.txt" for each in class_labels]
    for label, name in zip(class_labels, names, strict=True):
        if len(os.fsencode(name)) > LONGEST or names.count(name) > 1:
            raise DataError(
                f"class {label[:LONGEST]!r}: it does not make the name of a file of its own, which "
                "detect,voc writes for each class: rename the class"
            )
    return names


def write_voc(
    directory: str | os.PathLike[str],
    found: Detections,
    sizes: np.ndarray,
    image_ids: Sequence[str | int],
    class_labels: Sequence[str],
) -> list[str]:
    """Write comp4_det_test_CLASS.txt for each class, as the VOC server takes them; return which.

    A line is ``id score x0 y0 x1 y1``, the pixels of the box counted from 1 to the (width, height)
    of ``sizes``, x1 and y1 being the last ones in it: pixel 1 alone is 1 1 1 1. Fractions stay.
    Blanks in an id, which would be further columns, are underlines. Raises DataError as
    ``voc_files`` does.
    """
    names = voc_files(class_labels)
    words = [re.sub(r"\s", "_", str(each)) for each in image_ids]
    if other := [each for each, word in zip(image_ids, words, strict=True) if str(each) != word]:
        log.warning(
            "%s: blanks in the names of %s are underlines in comp4_det_test_CLASS.txt: %s",
            *(directory, counted(len(other), "photo"), other[0]),
        )
    low = found.box[:, :2] + 1
    from_one = np.concatenate([low, found.box[:, 2:]], axis=1)
    clipped = np.clip(from_one, 1, np.tile(sizes[found.image], 2))
    found = replace(found, box=clipped).best_first()
    for class_index, name in enumerate(names):
        rows = found.take(found.class_index == class_index)
        with atomic_text(Path(directory, name)) as file:
            for image, _, score, box in rows.rows():
                numbers = " ".join(f"{number:.6f}" for number in (score, *box))
                file.write(f"{words[image]} {numbers}\n")
    return names


def write_coco(
    path: str | os.PathLike[str],
    found: Detections,
    image_ids: Sequence[str | int],
    category_ids: Sequence[int] | None = None,
) -> None:
    """Write a results file of MSCOCO: a list of image_id, category_id, bbox, score.

    bbox is x, y, width, height in pixels from 0, with one decimal. ``category_ids`` are those of
    the dataset by class, 1, 2, ... where they are not given; a class that is -1 there is left out.
    The best of each image come first. (DeNet of 2017 added 1 to x and y.)
    """
    ids = np.array(category_ids or range(1, found.class_index.max(initial=0) + 2))
    known = ids[found.class_index] >= 0
    if not known.all():
        log.warning("%s: without the %d detections of other classes", path, (~known).sum())
    with atomic_text(path) as file:
        file.write("[")
        rows = found.take(known).best_first().rows()
        for number, (image, class_index, score, box) in enumerate(rows):
            x, y, x1, y1 = (round(side, 1) for side in box)
            row = {
                "image_id": image_ids[image],
                "category_id": int(ids[class_index]),
                "bbox": [x, y, round(x1 - x, 1), round(y1 - y, 1)],
                "score": round(score, 6),
            }
            file.write(f"{',' if number else ''}\n{json.dumps(row)}")
        file.write("\n]\n")


def _pairs(images: Iterable[Found]) -> Iterator[tuple[str, Detections]]:
    return ((each.name, each.objects) for each in images)


def _objects(
    found: Detections, class_labels: Sequence[str]
) -> Iterator[tuple[str, float, list[float]]]:
    """Yield class, score and box of each detection."""
    for _, class_index, score, box in found.rows():
        yield class_labels[class_index], score, box
