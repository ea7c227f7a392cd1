"""What was found in somebody's images with boxes as text: objects, problems, how to start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from denet.dataset.boxes.annotated import turned_text
from denet.dataset.boxes.splits import SHARE, role
from denet.dataset.class_names import names_text
from denet.dataset.image.decode import size_text
from denet.dataset.survey.boxes import DetectionSplit, DetectionSurvey, NamedBox
from denet.detect.box import BOX_CAPACITY, area
from denet.printable import counted, printable
from denet.report.detection_advice import hints, predict_command, train_command
from denet.report.detector_choice import SMALL_OBJECT, DetectorChoice, choose_detector
from denet.report.survey_text import (
    bad_facts,
    class_rows,
    flat_images,
    identical,
    image_lines,
    refused_names,
    short,
    table,
    unequal,
    unreadable,
)

_BOXES_SHOWN = 5
_Found = TypeVar("_Found", str, NamedBox)


def detection_facts(survey: DetectionSurvey, bf16: bool = False) -> dict[str, Any]:
    """Return what programs want to know of the data, as JSON values."""
    choice = choose_detector(survey)
    return {
        "path": survey.path,
        "extension": survey.kind,
        "images": {split.name: len(split) for split in survey.splits},
        "objects": {split.name: survey.class_objects([split.name]) for split in survey.splits},
        "unreadable": bad_facts(each for split in survey.splits for each in split.bad),
        "problems": _problems(survey, choice),
        "train": train_command(survey, choice, bf16),
        "predict": predict_command(survey, choice),
    }


def _problems(survey: DetectionSurvey, choice: DetectorChoice) -> list[str]:
    return [*(line for check in _CHECKS for line in check(survey)), *_small(choice)]


def detection_report(survey: DetectionSurvey, bf16: bool = False) -> str:
    """Return all that is to be told of the data, with the command lines to start with.

    ``bf16``: whether the processor computes in it.
    """
    choice = choose_detector(survey)
    problems = _problems(survey, choice)
    images, objects = len(survey.sizes()), len(survey.objects()[0])
    why = f" ({printable(survey.why)})" if survey.why else ""
    parts = [
        f"{printable(survey.path)}: {counted(images, 'image')}, {counted(objects, 'object')} in "
        f"{counted(len(survey.class_labels), 'class')}, --extension {survey.kind}{why}, looked at "
        f"in {survey.seconds:.1f} s",
        "\n".join(_split_table(survey)),
        "\n".join(_size_table(survey, choice)),
        "\n".join(_image_lines(survey)),
        "\n  ".join(["problems:", *problems]) if problems else "no problems found",
        "\n".join(["start with:", *hints(survey, choice, bf16)]),
        train_command(survey, choice, bf16),
        predict_command(survey, choice),
    ]
    return "\n\n".join(parts)


def _split_table(survey: DetectionSurvey) -> Iterator[str]:
    """Yield the objects of each class and split and in how many images they are."""
    yield from table(
        [
            ["objects in images", *(split.name for split in survey.splits)],
            *class_rows(_sums(survey), [_class_column(split) for split in survey.splits]),
            *(
                [title, *(f"{number:,}" for number in numbers)]
                for title, count in _SPLIT_ROWS
                if any(numbers := [count(split) for split in survey.splits])
            ),
        ]
    )


_SPLIT_ROWS: tuple[tuple[str, Callable[[DetectionSplit], int]], ...] = (
    ("objects", lambda split: len(split.objects)),
    ("  difficult", lambda split: int(split.objects.difficult.sum())),
    ("crowd boxes", lambda split: int(split.boxes.crowd.sum())),
    ("images", len),
    ("  without objects", lambda split: int((split.objects.counts == 0).sum())),
    ("objects of the median image", lambda split: _median(split.objects.counts)),
    ("objects of the most crowded", lambda split: int(split.objects.counts.max(initial=0))),
)


def _median(counts: np.ndarray) -> int:
    return int(np.median(counts)) if len(counts) else 0


def _sums(survey: DetectionSurvey) -> dict[str, int]:
    """Return how many objects there are of each class, each image counted once."""
    counts = np.bincount(survey.objects()[1], minlength=len(survey.class_labels))
    return dict(zip(survey.class_labels, counts.tolist(), strict=True))


def _class_column(split: DetectionSplit) -> dict[str, str]:
    numbers = zip(split.class_labels, split.class_objects(), split.class_images(), strict=True)
    return {name: f"{objects:,} in {images:,}" for name, objects, images in numbers if objects}


def _size_table(survey: DetectionSurvey, choice: DetectorChoice) -> Iterator[str]:
    """Yield how large the objects of each class are, and at the size that a network sees."""
    boxes, classes, _ = survey.objects()
    own, seen = np.sqrt(area(boxes)), choice.sides
    columns: list[dict[str, str]] = [{}, {}, {}, {}]
    for number in np.unique(classes):
        sides, small = own[classes == number], seen[classes == number]
        values = sides.min(), np.median(sides), sides.max(), np.median(small)
        for column, value in zip(columns, values, strict=True):
            column[survey.class_labels[number]] = f"{value:.0f}"
    counts = {name: count for name, count in _sums(survey).items() if count}
    at_network = f"median at {size_text(choice.size)}"
    yield from table(
        [
            ["pixels (root of the area)", "smallest", "median", "largest", at_network],
            *class_rows(counts, columns),
        ]
    )


def _image_lines(survey: DetectionSurvey) -> Iterator[str]:
    sizes = Counter((width, height) for width, height in survey.sizes().tolist())
    yield from image_lines(sizes, survey.modes, survey.turned, turned_text(survey.stored))


def _unusable(survey: DetectionSurvey) -> Iterator[str]:
    bad = list(dict.fromkeys(each for split in survey.splits for each in split.bad))
    yield from unreadable(bad, len(bad) + len(survey.sizes()))


def _refused_names(survey: DetectionSurvey) -> Iterator[str]:
    yield from refused_names(survey.class_labels, survey.path)


def _unlike_image(survey: DetectionSurvey) -> Iterator[str]:
    for what, box_list in (
        ("boxes without area, which are left out", DetectionSplit.degenerate),
        ("boxes outside their image, which are left out", DetectionSplit.outside),
    ):
        boxes = _together(survey, box_list)
        if boxes:
            yield f"{what}: {len(boxes):,}"
        for each in boxes[:_BOXES_SHOWN]:
            yield f"  {_box_text(each, survey.kind)}"
        if len(boxes) > _BOXES_SHOWN:
            yield f"  ... and {len(boxes) - _BOXES_SHOWN:,} more"
    yield from _such_box("boxes clipped to their image", survey, DetectionSplit.clipped)
    yield from _such_box(
        "boxes one pixel wide or high, which may be clicks", survey, DetectionSplit.thin
    )


def _repeated(survey: DetectionSurvey) -> Iterator[str]:
    repeated_files = _together(survey, DetectionSplit.repeated_files)
    yield from _such("images that one split lists more than once", repeated_files)
    yield from _such_box(
        "objects listed more than once, each mention counts", survey, DetectionSplit.repeated
    )


def _box_text(box: NamedBox, kind: str) -> str:
    """Return where a box is in its image; if it has no area, as its file says it, and why."""
    x0, y0, x1, y1 = box.corners
    swapped, click = x1 < x0 or y1 < y0, x1 == x0 or y1 == y0
    if (swapped or click) and kind == "voc":  # which counts pixels from 1
        x1, y1 = x1 + (x1 == x0), y1 + (y1 == y0)
        x0, y0 = x0 + 1, y0 + 1
    why = ", its corners are swapped" if swapped else ", a click: its corners coincide" * click
    image = f"{printable(box.file)} ({size_text(box.size)})"
    return f"{image}: {short(box.class_label)} from {x0:g},{y0:g} to {x1:g},{y1:g}{why}"


def _unlike_told(survey: DetectionSurvey) -> Iterator[str]:
    for what, file_list in (
        ("images of another size than annotated", DetectionSplit.other_size),
        (
            f"images of more than {BOX_CAPACITY} objects, the largest are trained on",
            DetectionSplit.crowded,
        ),
    ):
        yield from _such(what, _together(survey, file_list))


def _together(
    survey: DetectionSurvey, found: Callable[[DetectionSplit], Sequence[_Found]]
) -> list[_Found]:
    """Return what is found in any split, each once."""
    return list(dict.fromkeys(each for split in survey.splits for each in found(split)))


def _such(what: str, files: Sequence[str]) -> Iterator[str]:
    if files:
        yield f"{what}: {len(files):,}, such as {printable(files[0])}"


def _such_box(
    what: str, survey: DetectionSurvey, found: Callable[[DetectionSplit], list[NamedBox]]
) -> Iterator[str]:
    if boxes := _together(survey, found):
        yield f"{what}: {len(boxes):,}, such as {_box_text(boxes[0], survey.kind)}"


def _small(choice: DetectorChoice) -> Iterator[str]:
    if round(choice.side) < SMALL_OBJECT:
        yield (
            f"small objects: half of them have sides below {choice.side:.0f} pixels at "
            f"{size_text(choice.size)}: cut the images into parts"
        )


def _missing_classes(survey: DetectionSurvey) -> Iterator[str]:
    if not survey.test:
        return
    for here, there in ((survey.train, survey.test), (survey.test, survey.train)):
        missing = survey.only_in(here, there)
        if missing:
            out = "; --test is left out below" if here is survey.test else ""
            places, names = ", ".join(here), names_text(missing)
            yield f"{counted(len(missing), 'class')} only in {places}: {names}{out}"


def _small_classes(survey: DetectionSurvey) -> Iterator[str]:
    yield from unequal(survey.class_objects(survey.train), "objects")


def _no_test(survey: DetectionSurvey) -> Iterator[str]:
    if survey.test:
        return
    yield (
        "no test images with objects: for a test that stays the same, --extension "
        f"{survey.kind},split={SHARE:g} trains on that share of them and tests on the others"
    )


def _meant_to_test(survey: DetectionSurvey) -> Iterator[str]:
    if not survey.test and all(role(name) in ("test", "val") for name in survey.train):
        names = ", ".join(survey.train)
        yield f"trained on below, as no other split looked at has objects: {names}"


def _unannotated(survey: DetectionSurvey) -> Iterator[str]:
    for split in survey.splits:
        if not len(split.boxes):
            yield f"no boxes in {split.name}: it is left out"


def _difficult(survey: DetectionSurvey) -> Iterator[str]:
    for split in survey.splits:
        if len(split.boxes) and not split.objects.scored.any():
            yield f"all objects of {split.name} are difficult: trained on, but no test counts them"


def _identical(survey: DetectionSurvey) -> Iterator[str]:
    yield from identical(survey.leaks(), "test images that are trained on too")


def _flat(survey: DetectionSurvey) -> Iterator[str]:
    yield from flat_images(survey.flat)


def _left_out(survey: DetectionSurvey) -> Iterator[str]:
    yield from _such("images beside those of the splits, or without annotation", survey.unlisted)
    if survey.unused:
        yield f"splits not looked at: {names_text(survey.unused)}"


_CHECKS: tuple[Callable[[DetectionSurvey], Iterator[str]], ...] = (
    _unusable,
    _meant_to_test,
    _refused_names,
    _no_test,
    _unannotated,
    _difficult,
    _missing_classes,
    _small_classes,
    _identical,
    _repeated,
    _unlike_image,
    _unlike_told,
    _flat,
    _left_out,
)
