"""Answers as lines of text, JSON, CSV, or those of ccv."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from denet.files import atomic_text
from denet.predict.classify import Answer
from denet.printable import printable


def text_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield ``NAME: CLASS 97.31%, CLASS 2.04%, ...`` for each image."""
    for answer in answers:
        classes = ", ".join(f"{name} {100 * p:.2f}%" for name, p in answer.classes)
        yield f"{answer.name}: {classes}"


def json_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield one JSON object per image: image, classes [{class, probability}], label if known."""
    for answer in answers:
        classes = [{"class": name, "probability": rounded(p)} for name, p in answer.classes]
        label = {} if answer.label is None else {"label": answer.label}
        yield json.dumps({"image": answer.name, "classes": classes, **label})


def csv_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield a header, then image, label (empty if unknown), class_1, probability_1, ..."""
    for row, answer in enumerate(answers):
        if row == 0:
            numbers = range(1, len(answer.classes) + 1)
            pairs = [f"{column}_{n}" for n in numbers for column in ("class", "probability")]
            yield csv_line(["image", "label", *pairs])
        cells = [cell for name, p in answer.classes for cell in (name, f"{rounded(p)}")]
        yield csv_line([answer.name, answer.label or "", *cells])


def ccv_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """Yield ``ID CONFIDENCE ID CONFIDENCE ...`` for each image, the ids of classes from 1.

    As ccv's cnnclassify does: behind the only image stands the time that it took. The line of a
    damaged image is empty, so that each other stays in its place.
    """
    start = time.perf_counter()
    taken = []
    for answer in answers:
        taken.append(time.perf_counter() - start)
        pairs = zip(answer.class_ids, answer.classes, strict=False)
        line = " ".join(f"{number + 1} {p:f}" for number, (_, p) in pairs)
        yield line
    if len(taken) == 1 and line:
        yield f"elapsed time {1000 * taken[0]:.0f}ms"


def write_answers(answers: Iterable[Answer], form: str, top: int, path: str | None = None) -> None:
    """Write the ``top`` classes of each image in a form of OUTPUTS, to stdout or into a file.

    Only the form of ccv, which has no names, tells of damaged images.
    """
    shown = (
        replace(answer, classes=answer.classes[:top])
        for answer in answers
        if answer.classes or form == "ccv"
    )
    write_lines(OUTPUTS[form](shown), path)


def write_lines(texts: Iterable[str], path: str | None = None) -> None:
    """Write lines of text to stdout or into a file, each as one line whatever names it holds."""
    lines = (f"{printable(line)}\n" for line in texts)
    if path is None:
        sys.stdout.writelines(lines)
        return
    with atomic_text(path) as file:
        file.writelines(lines)


OUTPUTS: dict[str, Callable[[Iterable[Answer]], Iterator[str]]] = {
    "text": text_lines,
    "jsonl": json_lines,
    "csv": csv_lines,
    "ccv": ccv_lines,
}


def rounded(probability: float) -> float:
    """Return a probability with six significant digits: what float32 holds."""
    return float(f"{probability:.6g}")


def csv_line(cells: Sequence[object]) -> str:
    """Return a row of a CSV file without its line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)  # quotes what holds its terminator
    return text.getvalue()[:-1]
