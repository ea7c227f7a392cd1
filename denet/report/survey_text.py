"""What the reports on data of any kind share: tables, names and paths in few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from denet.dataset.base import BadSample
from denet.dataset.class_names import names_text
from denet.dataset.image.decode import size_text
from denet.errors import DataError
from denet.model.format.content import check_labels
from denet.printable import counted, printable

_FEW = 5  # of a class to train on, below which it is told
_IMBALANCE = 10  # times the smallest class, from which it is told
_CLASSES_SHOWN = 30
_FILES_SHOWN = 20
_HELD_OUT, _HELD_OUT_IMAGES = 0.1, 10  # of the images where there are none to test on, at least


def held_out(count: int) -> float:
    """Return the share of images to hold out where none are for tests; 0 of too few."""
    share = max(_HELD_OUT, _HELD_OUT_IMAGES / count)
    return share if share <= 0.5 else 0.0


def shown_classes(counts: Mapping[str, int]) -> list[str | None]:
    """Return the classes to show: of many the largest, None, and the smallest."""
    if len(counts) <= _CLASSES_SHOWN:
        return list(counts)
    ranked = sorted(counts, key=lambda name: -counts[name])
    half = _CLASSES_SHOWN // 3
    return [*ranked[:half], None, *ranked[-half:]]


def class_rows(
    counts: Mapping[str, int], columns: Sequence[Mapping[str, str]]
) -> Iterator[list[str]]:
    """Yield a row of a table for each class to show, with its entry in each column."""
    shown = shown_classes(counts)
    for name in shown:
        if name is None:
            between = f"... {len(counts) - len(shown) + 1} classes between"
            yield [between, *[""] * len(columns)]
        else:
            yield [short(name), *(column.get(name, "0") for column in columns)]


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, its first column flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *entries in rows:
        cells = (f"{entry:>{width}}" for entry, width in zip(entries, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *cells]).rstrip()


def image_lines(
    sizes: Mapping[tuple[int, int], int], modes: Mapping[str, int], turned: int, reading: str
) -> Iterator[str]:
    """Yield how large the images are, and how they are stored and, if turned by EXIF, read."""
    yield f"sizes  {common({size_text(size): n for size, n in sizes.items()})}"
    if len(sizes) > 1:
        for what, sides in (("width", [w for w, _ in sizes]), ("height", [h for _, h in sizes])):
            yield f"       {what} {min(sides)} to {max(sides)}"
    yield f"modes  {common(modes)}"
    if turned:
        yield f"EXIF   {turned:,} stored lying or mirrored, {reading}"


def unreadable(bad: Sequence[BadSample], count: int) -> Iterator[str]:
    """Yield which of ``count`` images are bad, and why."""
    if bad:
        yield f"{len(bad):,} of {count:,} images cannot be read; the command below leaves them out:"
    for each in bad[:_FILES_SHOWN]:
        yield f"  {printable(each.name)}: {each.reason}"
    if len(bad) > _FILES_SHOWN:
        yield f"  ... and {len(bad) - _FILES_SHOWN:,} more"


def bad_facts(bad: Iterable[BadSample]) -> list[dict[str, str]]:
    """Return which images are bad, and why, as JSON values."""
    return [{"file": each.name, "reason": each.reason} for each in bad]


def refused_names(class_labels: Sequence[str], path: str) -> Iterator[str]:
    """Yield why a network cannot have these classes."""
    try:
        check_labels(class_labels, path)
    except DataError as error:
        yield str(error)


def flat_images(files: Sequence[str]) -> Iterator[str]:
    """Yield that these images show nothing."""
    if files:
        yield (
            f"images of one colour only, once transparency and the lower byte of 16 bits are left "
            f"out: {len(files):,}, such as {printable(files[0])}"
        )


def unequal(counts: Mapping[str, int], noun: str) -> Iterator[str]:
    """Yield which classes have few of what a network learns from, all or beside the others."""
    few = [name for name, count in counts.items() if count < _FEW]
    if few:
        classes = counted(len(few), "class")
        yield f"{classes} with fewer than {_FEW} {noun} to train on: {names_text(few)}"
    present = {name: count for name, count in counts.items() if count}
    most, least = (choose(present, key=lambda name: present[name]) for choose in (max, min))
    if present[most] >= _IMBALANCE * present[least]:
        yield (
            f"unequal classes: {short(most)} has {present[most]:,} {noun}, {short(least)} has "
            f"{present[least]:,}: rare classes will be guessed seldom"
        )


def identical(pairs: Sequence[tuple[str, str]], what: str) -> Iterator[str]:
    """Yield that there are pairs of identical files, or files that are in two places."""
    if pairs:
        first, second = map(printable, pairs[0])
        yield f"{what}: {len(pairs):,}, such as {first}" + f" = {second}" * (first != second)


def common(counts: Mapping[str, int], nameless: str = "") -> str:
    """Return the most frequent names with their numbers."""
    most = Counter(counts).most_common(5)
    more = f", ... {len(counts) - 5} more" if len(counts) > 5 else ""
    listed = (f"{printable(name) or nameless} ({count:,})" for name, count in most)
    return ", ".join(listed) + more


def short(name: str) -> str:
    """Return a name in one line, the end of a long one left out."""
    name = printable(name)
    return name if len(name) <= 40 else f"{name[:37]}..."
