"""What was found in somebody's data as text: classes, sizes, problems, and how to start."""

from __future__ import annotations

import math
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from denet.dataset.class_names import names_text
from denet.dataset.classes.directory import TEST_NAMES
from denet.dataset.survey.classes import Split, Survey
from denet.printable import counted, printable, word
from denet.report.survey_text import (
    bad_facts,
    class_rows,
    common,
    flat_images,
    held_out,
    identical,
    image_lines,
    refused_names,
    table,
    unequal,
    unreadable,
)

_ARRAYS = ("npy", "npz", "cifar", "svhn")
_LARGEST = 256  # pixels of the shorter side, above which images are cropped
_CROP = 64
_MEMORY = 2e9  # bytes of pixels, above which images are cropped
_CHANNELS = (32, 64, 128, 256, 256)
_PACE = ((5000, 64, 30), (500, 32, 60), (0, 16, 100))  # at least images: batch size, epochs


def survey_facts(survey: Survey) -> dict[str, Any]:
    """Return what programs want to know of the data, as JSON values."""
    return {
        "path": survey.path,
        "extension": survey.kind,
        "images": {split.name: split.counts for split in survey.splits},
        "unreadable": bad_facts(each for split in survey.splits for each in split.bad),
        "problems": _problems(survey),
        "train": train_command(survey),
    }


def _problems(survey: Survey) -> list[str]:
    return [line for check in _CHECKS for line in check(survey)]


def survey_report(survey: Survey) -> str:
    """Return all that is to be told of the data, with the command line to start with."""
    problems = _problems(survey)
    count = sum(map(len, survey.splits))
    parts = [
        f"{printable(survey.path)}: {counted(count, 'image')} in "
        f"{counted(len(survey.class_labels), 'class')}, --extension {survey.kind}, "
        f"looked at in {survey.seconds:.1f} s",
        "\n".join(_class_table(survey)),
        "\n".join(_image_lines(survey)),
        "\n  ".join(["problems:", *problems]) if problems else "no problems found",
        "\n".join(["start with:", *_hints(survey)]),
        train_command(survey),
    ]
    return "\n\n".join(parts)


def train_command(survey: Survey) -> str:
    """Return a model-train command line that runs as it stands, in several lines."""
    width, height = _input_size(survey)
    stages = max(0, min(len(_CHANNELS) - 1, int(math.log2(max(1, min(width, height) / 7)))))
    channels = _CHANNELS[: max(3, stages + 1)]
    blocks = [f"C.B[{each},3] BN A" + " P[2]" * (i < stages) for i, each in enumerate(channels)]
    network = " ".join([*blocks, "P.A R"])
    batch, epochs = next(pace[1:] for pace in _PACE if len(survey.train) >= pace[0])
    crop = f",crop={width if width == height else f'{width}x{height}'}" * _is_cropped(survey)
    trained = survey.train.extension or survey.kind
    name = os.path.basename(os.path.abspath(survey.path)) or "model"
    skip = " --on-bad-data skip" * any(split.bad for split in survey.splits)
    return " \\\n    ".join(
        [
            f"model-train --train {word(survey.train.path)}{_test(survey)}",
            f"--extension {trained}{crop}{skip} --thread-num 0",
            f"--model-desc {shlex.quote(network)} --border-mode half",
            f"--distort-mode o{max(1, min(width, height) // 8)}",
            "--learn-rate 0.05 --learn-momentum 0.9 --learn-decay 5e-4 --learn-cosine",
            f"--epochs {epochs} --batch-size {batch} --disable-intermediate "
            f"--output-prefix {word(f'run/{name}')}",
        ]
    )


def _hints(survey: Survey) -> Iterator[str]:
    yield "(m50 added to --distort-mode mirrors half of the images: good for photos, not letters)"
    if _is_cropped(survey):
        yield "(crop scales each image to cover that size and keeps the centre; larger shows more)"
    if "--val-split" in _test(survey):
        yield "(--val-split holds that share of the images out of training, to test on)"


def _class_table(survey: Survey) -> Iterator[str]:
    """Yield the images of each class and split."""
    splits = survey.splits
    sums = {n: sum(split.counts.get(n, 0) for split in splits) for n in survey.class_labels}
    total = [("total", sums)] if len(splits) > 1 else []
    columns = [*((split.name, split.counts) for split in splits), *total]
    yield from table(
        [
            ["class", *("images" if title == "all" else title for title, _ in columns)],
            *class_rows(sums, [_texts(counts) for _, counts in columns]),
            ["total", *(f"{sum(counts.values()):,}" for _, counts in columns)],
        ]
    )


def _texts(counts: dict[str, int]) -> dict[str, str]:
    return {name: f"{count:,}" for name, count in counts.items()}


def _image_lines(survey: Survey) -> Iterator[str]:
    modes: Counter[str] = sum((split.modes for split in survey.splits), Counter())
    turned = sum(split.turned for split in survey.splits)
    yield from image_lines(survey.sizes(), modes, turned, "read upright")


def _unreadable(survey: Survey) -> Iterator[str]:
    bad = [each for split in survey.splits for each in split.bad]
    yield from unreadable(bad, len(bad) + sum(map(len, survey.splits)))


def _flat(survey: Survey) -> Iterator[str]:
    yield from flat_images([file for split in survey.splits for file in split.flat])


def _sizes_differ(survey: Survey) -> Iterator[str]:
    if len(survey.sizes()) > 1 and survey.kind not in _ARRAYS:
        yield "image sizes differ: --extension ...,crop= brings them to one size"


def _boxed(survey: Survey) -> Iterator[str]:
    if boxed := [file for split in survey.splits for file in split.boxed]:
        yield (
            f"images with an .xml of their name beside them: {len(boxed):,}; their boxes are left "
            f"out: --data {word(os.path.dirname(boxed[0]))} would look at those of one directory"
        )


def _one_class(survey: Survey) -> Iterator[str]:
    if sum(count > 0 for count in survey.train.counts.values()) == 1:
        yield "only one class has images: there is nothing to tell apart"


def _missing_classes(survey: Survey) -> Iterator[str]:
    if survey.test is None:
        return
    for has, lacks in ((survey.train, survey.test), (survey.test, survey.train)):
        missing = [
            name for name, count in has.counts.items() if count and not lacks.counts.get(name)
        ]
        if missing:
            out = "; --test is left out below" if lacks is survey.train else ""
            yield f"{counted(len(missing), 'class')} only in {has.name}: {names_text(missing)}{out}"


def _small_classes(survey: Survey) -> Iterator[str]:
    yield from unequal(survey.train.counts, "images")


def _no_test(survey: Survey) -> Iterator[str]:
    if survey.test is None and survey.kind in _ARRAYS:
        yield "no test images: save about one in five as arrays of their own and add --test NAME"
    elif survey.test is None and survey.train.name == "all":
        yield (
            "no test images: for a test that stays the same, make train/CLASS/ and test/CLASS/ and "
            "move about one image in five into test/"
        )
    elif survey.test is None:
        place = printable(os.path.join(survey.path, TEST_NAMES[0]))
        yield (
            "no test images: for a test that stays the same, move about one in five of each class "
            f"to {place}/CLASS/"
        )


def _refused_names(survey: Survey) -> Iterator[str]:
    yield from refused_names(survey.class_labels, survey.path)


def _left_out(survey: Survey) -> Iterator[str]:
    for split in survey.splits:
        for what, suffixes in (
            ("with other suffixes", split.others),
            ("beside the class directories", split.loose),
        ):
            if suffixes:
                found = common(suffixes, "no suffix")
                yield f"left out: files {what} in {printable(split.path)}: {found}"
    if survey.unused:
        yield f"not looked at: {names_text(survey.unused)}"


def _identical(survey: Survey) -> Iterator[str]:
    yield from identical(survey.leaks(), "test images that are in the training set too")
    yield from identical(survey.conflicts(), "identical images in different classes")


_CHECKS: tuple[Callable[[Survey], Iterator[str]], ...] = (
    _unreadable,
    _boxed,
    _refused_names,
    _one_class,
    _no_test,
    _missing_classes,
    _small_classes,
    _identical,
    _flat,
    _sizes_differ,
    _left_out,
)


def _test(survey: Survey) -> str:
    """Return the options of the test: on images of classes that can be learned."""
    test, train = survey.test, survey.train
    if test and len(test) and all(name in train.counts for name in _held(test)):
        other = f" --test-extension {test.extension}" * (test.extension != train.extension)
        return f" --test {word(test.path)}{other}"
    share = held_out(len(train))
    return f" --val-split {share:.2g}" * (share > 0)


def _held(split: Split) -> list[str]:
    return [name for name, count in split.counts.items() if count]


def _is_cropped(survey: Survey) -> bool:
    """Whether the images are to be brought to another size: they differ, or are too large."""
    sizes = survey.sizes()
    width, height = sizes.most_common(1)[0][0]
    pixel_bytes = 3 * width * height * sum(sizes.values())
    large = min(width, height) > _LARGEST or pixel_bytes > _MEMORY
    if survey.kind in _ARRAYS:
        return False
    return survey.crop is not None or len(sizes) > 1 or large


def _input_size(survey: Survey) -> tuple[int, int]:
    """Return (width, height) of the network's input."""
    sizes = survey.sizes()
    if survey.crop:
        return survey.crop
    if not _is_cropped(survey):
        return sizes.most_common(1)[0][0]
    shorter = sorted(min(size) for size in sizes.elements())
    side = min(_CROP, shorter[len(shorter) // 2])
    return side, side
