"""What was found in somebody's data as text: classes, sizes, problems, and how to start."""

from __future__ import annotations

import math
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from denet.dataset.base import printable
from denet.dataset.directory import TEST_NAMES
from denet.dataset.survey import Split, Survey

_ARRAYS = ("npy", "npz")
_CLASSES_SHOWN = 30
_FILES_SHOWN = 20
_FEW_IMAGES = 5  # of a class, below which it is told
_IMBALANCE = 10  # times the smallest class, from which it is told
_LARGEST = 256  # pixels of the shorter side, above which images are cropped
_CROP = 64
_MEMORY = 2e9  # bytes of pixels, above which images are cropped
_CHANNELS = (32, 64, 128, 256, 256)
_PACE = ((5000, 64, 30), (500, 32, 60), (0, 16, 100))  # at least images: batch size, epochs


def survey_report(survey: Survey) -> str:
    """Return all that is to be told of the data, with the command line to start with."""
    problems = [line for check in _CHECKS for line in check(survey)]
    count = sum(map(len, survey.splits))
    parts = [
        f"{printable(survey.path)}: {count:,} images in {_plural(survey.class_labels, 'class')}, "
        f"--extension {survey.kind}, looked at in {survey.seconds:.1f} s",
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
    test = f" --test {_word(survey.test.path)}" if survey.test and _testable(survey) else ""
    name = os.path.basename(os.path.abspath(survey.path)) or "model"
    skip = " --on-bad-data skip" * any(split.bad for split in survey.splits)
    return " \\\n    ".join(
        [
            f"model-train --train {_word(survey.train.path)}{test}",
            f"--extension {survey.kind}{crop}{skip} --thread-num 0",
            f"--model-desc {shlex.quote(network)} --border-mode half",
            f"--distort-mode o{max(1, min(width, height) // 8)}",
            "--learn-rate 0.05 --learn-momentum 0.9 --learn-decay 5e-4 --learn-cosine",
            f"--epochs {epochs} --batch-size {batch} --output-prefix {_word(f'run/{name}')}",
        ]
    )


def _hints(survey: Survey) -> Iterator[str]:
    yield "(m50 added to --distort-mode mirrors half of the images: good for photos, not letters)"
    if _is_cropped(survey):
        yield "(crop scales each image to cover that size and keeps the centre; larger shows more)"


def _class_table(survey: Survey) -> Iterator[str]:
    """Yield the images of each class and split; of many classes the largest and the smallest."""
    labels = survey.class_labels
    splits = survey.splits
    sums = {name: sum(split.counts.get(name, 0) for split in splits) for name in labels}
    shown: list[str | None] = list(labels)
    if len(labels) > _CLASSES_SHOWN:
        ranked = sorted(labels, key=lambda name: (-sums[name], labels.index(name)))
        half = _CLASSES_SHOWN // 3
        shown = [*ranked[:half], None, *ranked[-half:]]
    total = [("total", sums)] if len(splits) > 1 else []
    columns = [*((split.name, split.counts) for split in splits), *total]
    rows = [["class", *("images" if title == "all" else title for title, _ in columns)]]
    for name in shown:
        if name is None:
            rows.append(
                [f"... {len(labels) - len(shown) + 1} classes between", *[""] * len(columns)]
            )
        else:
            rows.append([_short(name), *(f"{counts.get(name, 0):,}" for _, counts in columns)])
    rows.append(["total", *(f"{sum(counts.values()):,}" for _, counts in columns)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *numbers in rows:
        cells = (f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *cells]).rstrip()


def _image_lines(survey: Survey) -> Iterator[str]:
    sizes = survey.sizes()
    yield f"sizes  {_common({_size(size): n for size, n in sizes.items()})}"
    if len(sizes) > 1:
        for what, sides in (("width", [w for w, _ in sizes]), ("height", [h for _, h in sizes])):
            yield f"       {what} {min(sides)} to {max(sides)}"
    modes: Counter[str] = sum((split.modes for split in survey.splits), Counter())
    yield f"modes  {_common(modes)}"
    if turned := sum(split.turned for split in survey.splits):
        yield f"EXIF   {turned:,} stored lying or mirrored, read upright"


def _unreadable(survey: Survey) -> Iterator[str]:
    bad = [each for split in survey.splits for each in split.bad]
    if bad:
        count = f"{len(bad):,} of {len(bad) + sum(map(len, survey.splits)):,} images"
        yield f"{count} cannot be read; the command below leaves them out:"
    for each in bad[:_FILES_SHOWN]:
        yield f"  {printable(each.name)}: {each.reason}"
    if len(bad) > _FILES_SHOWN:
        yield f"  ... and {len(bad) - _FILES_SHOWN:,} more"


def _flat(survey: Survey) -> Iterator[str]:
    flat = [file for split in survey.splits for file in split.flat]
    if flat:
        yield (
            f"images of one colour only, once transparency and the lower byte of 16 bits are left "
            f"out: {len(flat):,}, such as {printable(flat[0])}"
        )


def _sizes_differ(survey: Survey) -> Iterator[str]:
    if len(survey.sizes()) > 1 and survey.kind not in _ARRAYS:
        yield "image sizes differ: --extension ...,crop= brings them to one size"


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
            yield f"{_plural(missing, 'class')} only in {has.name}: {_names(missing)}{out}"


def _small_classes(survey: Survey) -> Iterator[str]:
    counts = survey.train.counts
    few = [name for name, count in counts.items() if count < _FEW_IMAGES]
    if few:
        what = f"fewer than {_FEW_IMAGES} images to train on"
        yield f"{_plural(few, 'class')} with {what}: {_names(few)}"
    present = {name: count for name, count in counts.items() if count}
    most, least = (choose(present, key=lambda name: present[name]) for choose in (max, min))
    if present[most] >= _IMBALANCE * present[least]:
        yield (
            f"unequal classes: {_short(most)} has {present[most]:,} images, {_short(least)} has "
            f"{present[least]:,}: rare classes will be guessed seldom"
        )


def _no_test(survey: Survey) -> Iterator[str]:
    if survey.test is None and survey.kind in _ARRAYS:
        yield "no test images: save about one in five as arrays of their own and add --test NAME"
    elif survey.test is None and survey.train.name == "all":
        yield (
            "no test images: make train/CLASS/ and test/CLASS/ and move about one image in five "
            "into test/, else nothing tells how good the model is"
        )
    elif survey.test is None:
        place = printable(os.path.join(survey.path, TEST_NAMES[0]))
        yield (
            f"no test images: move about one in five of each class to {place}/CLASS/, else nothing "
            "tells how good the model is"
        )


def _left_out(survey: Survey) -> Iterator[str]:
    for split in survey.splits:
        for what, suffixes in (
            ("with other suffixes", split.others),
            ("beside the class directories", split.loose),
        ):
            if suffixes:
                found = _common(suffixes, "no suffix")
                yield f"left out: files {what} in {printable(split.path)}: {found}"
    if survey.unused:
        yield f"not looked at: {_names(survey.unused)}"


def _identical(survey: Survey) -> Iterator[str]:
    for pairs, what in (
        (survey.leaks(), "test images that are in the training set too"),
        (survey.conflicts(), "identical images in different classes"),
    ):
        if pairs:
            first, second = map(printable, pairs[0])
            yield f"{what}: {len(pairs):,}, such as {first} = {second}"


_CHECKS: tuple[Callable[[Survey], Iterator[str]], ...] = (
    _unreadable,
    _one_class,
    _no_test,
    _missing_classes,
    _small_classes,
    _identical,
    _flat,
    _sizes_differ,
    _left_out,
)


def _testable(survey: Survey) -> bool:
    """Whether the test images are of classes that can be learned."""
    test = survey.test
    return bool(test and len(test) and all(n in survey.train.counts for n in _held(test)))


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


def _word(path: str) -> str:
    """Return a path as one word of a shell command; bytes that are no text need $'...' of bash."""
    path = f"./{path}" if path.startswith("-") else path
    if path.isprintable():
        return shlex.quote(path)
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(path)
    )
    return f"$'{escaped}'"


def _common(counts: Counter[str] | dict[str, int], nameless: str = "") -> str:
    common = Counter(counts).most_common(5)
    more = f", ... {len(counts) - 5} more" if len(counts) > 5 else ""
    return ", ".join(f"{name or nameless} ({count:,})" for name, count in common) + more


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(map(_short, names[:5])) + more


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= 40 else f"{name[:37]}..."


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _plural(items: Sequence[object], noun: str) -> str:
    ending = {"class": "es"}.get(noun, "s") if len(items) != 1 else ""
    return f"{len(items):,} {noun}{ending}"
