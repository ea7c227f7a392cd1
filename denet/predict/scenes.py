"""Pictures of a set with what is known and found in them, as a report on a run shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from denet.dataset.base import Dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.detect.detections import Detections
from denet.evaluate.object_errors import ObjectErrors
from denet.predict.detect_report import upright_image
from denet.predict.report import Mistake, sample_image
from denet.printable import counted
from denet.report.detections import class_colour
from denet.report.object_errors import KINDS, marked_boxes
from denet.report.run import Box, Scene

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

KEYED = 40  # classes whose colours are told
SIDE = 480  # px: longer side of a photo in the page


def class_key(class_labels: Sequence[str]) -> dict[str, str]:
    """Return the colours of the boxes of classes, those of very many left out."""
    if len(class_labels) > KEYED:
        return {}
    return {name: class_colour(index) for index, name in enumerate(class_labels)}


def known_scene(dataset: Dataset, index: int, limit: int) -> Scene:
    """Return an image with its known boxes, or with its class."""
    assert isinstance(dataset, DetectionDataset)
    name, caption = dataset.image_names[index], [_base(dataset.image_names[index])]
    image = upright_image(name, limit)
    if not dataset.boxed:
        label = dataset.labels[index * dataset.view_num]
        return _scene(image, [dataset.class_labels[label], *caption])
    boxes = _known_boxes(dataset, index)
    return _scene(image, caption, {counted(len(boxes), "box"): boxes})


def class_scene(dataset: Dataset, index: int, limit: int) -> Scene:
    """Return an image with its class."""
    sample = index * dataset.view_num
    label = dataset.class_labels[dataset.labels[sample]]
    return _scene(sample_image(dataset, sample, limit), [label])


def error_scene(dataset: DetectionDataset, errors: ObjectErrors, index: int, limit: int) -> Scene:
    """Return an image with boxes that are right and wrong, see ``marked_boxes``."""
    name = dataset.image_names[index]
    marked = marked_boxes(errors, index, dataset.class_labels)
    boxes = [Box(each.sides, KINDS[each.kind], f"{each.words}: {each.kind}") for each in marked]
    count = sum(each.kind != "found" for each in marked)
    return _scene(upright_image(name, limit), [_base(name)], {counted(count, "error"): boxes})


def mistake_scene(dataset: Dataset, mistake: Mistake, limit: int) -> Scene:
    """Return an image with what it was taken for, and what it is."""
    labels = dataset.class_labels
    told = [
        f"{mistake.probability:.1%} {labels[mistake.answer]}",
        f"{mistake.true_probability:.1%} {labels[mistake.true]}, which is true",
    ]
    return _scene(sample_image(dataset, mistake.sample, limit), told)


def found_scene(dataset: DetectionDataset, found: Detections, index: int, limit: int) -> Scene:
    """Return an image with what is found in it beside what is known."""
    own = found.take(found.image == index).best_first()
    boxes = [
        Box((x0, y0, x1, y1), class_colour(k), f"{dataset.class_labels[k]} {score:.2f}")
        for _, k, score, (x0, y0, x1, y1) in own.rows()
    ]
    known = _known_boxes(dataset, index)
    panels = {f"found: {len(boxes)}": boxes, f"known: {len(known)}": known}
    name = dataset.image_names[index]
    return _scene(upright_image(name, limit), [_base(name)], panels)


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
            (x0, y0, x1, y1),
            class_colour(k),
            dataset.class_labels[k] + " (difficult)" * difficult,
        )
        for (x0, y0, x1, y1), k, difficult in rows
    ]


def _scene(image: Image, caption: list[str], panels: dict[str, list[Box]] | None = None) -> Scene:
    size = image.size
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    return Scene(image, size, caption, panels or {})


def collected(items: Iterable[T], make: Callable[[T], Scene]) -> list[Scene]:
    """Return the scenes of these items but of those whose images cannot be read."""
    scenes = []
    for item in items:
        with suppress(Exception):  # a damaged file can make a decoder raise anything
            scenes.append(make(item))
    return scenes


def spread(indices: np.ndarray, count: int) -> list[int]:
    """Return so many of the indices, evenly spread."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    chosen: list[int] = indices[places].tolist()
    return chosen


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]
