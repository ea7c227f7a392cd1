"""model-predict: classify images with a trained model."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.command import Parser, run
from denet.cli.options import COUNT, ENGINE, EXTENSION, THREAD_NUM, Option, engine
from denet.errors import DataError, UsageError
from denet.layer.kind import Choice

if TYPE_CHECKING:
    from denet.predict.classify import Answer, BadImage

log = logging.getLogger(__name__)

INPUT = (
    Option("model", "model file", metavar="FILE"),
    Option(
        "input",
        "image file, directory of images, list.txt of image files, or a labelled dataset: NAME of "
        "arrays, or directory of class directories named as the classes of the model",
        metavar="PATH",
    ),
    EXTENSION,
    Option("batch-size", "images computed together", COUNT, 100, metavar="N"),
    Option("predict-mode", "single: each image as a whole", Choice(("single",)), "single"),
    THREAD_NUM,
)
OUTPUT = (
    Option("format", "form of the answers", Choice(("text", "jsonl", "csv")), "text"),
    Option("top", "classes told for each image", COUNT, 5, metavar="N"),
    Option("results", "file for the answers instead of stdout", metavar="FILE"),
    Option("draw", "draw the answer beside the image, for one image", metavar="FILE.png"),
    Option("font", "TrueType font of the drawing, for names in any script", metavar="FILE.ttf"),
)


def parser() -> Parser:
    """Return the command line of model-predict."""
    return Parser(
        "model-predict",
        "Classify images with a trained model.",
        "model-predict --model run/a_best.mdl --input photos/ --format csv",
        {"input": INPUT, "output": OUTPUT, "engine": ENGINE},
    )


def predict(options: argparse.Namespace) -> int:
    """Print the likeliest classes of each image, and the errors where the classes are known."""
    parser().require(options, "model", "input")
    bad: list[BadImage] = []
    images, answers = classify(options, bad)
    if options.draw:
        if len(images) != 1 or not Path(images[0]).is_file():
            raise UsageError("--draw: needs one image: give --input one image file")
        answers = drawn(answers, options)
    tally = Tally()
    write(tally.follow(answers), options)
    if tally.count:
        among_answers = options.format != "text" and not options.results
        print(tally, file=sys.stderr if among_answers else sys.stdout)
    for image in bad:
        log.error("cannot read: %s: %s", image.name, image.reason)
    if bad:
        raise DataError(f"{len(bad)} of {len(images)} images cannot be read: {bad[0].name}, ...")
    return 0


def classify(
    options: argparse.Namespace, bad: list[BadImage]
) -> tuple[list[str], Iterator[Answer]]:
    """Return the names of the images and, made as they are asked for, the answers."""
    from denet.dataset import open_dataset
    from denet.evaluate.classifier import Classifier
    from denet.model.format import load_model
    from denet.predict.classify import classify_dataset, classify_files, find_images

    backend, precision = engine(options)
    model = load_model(options.model)

    def classifier(image_num: int) -> Classifier:
        return Classifier(model, min(options.batch_size, image_num), backend, precision)

    threads = options.thread_num
    if not is_labelled(options.input, options.extension, model.class_labels):
        paths = find_images(options.input)
        return paths, classify_files(classifier(len(paths)), paths, bad, options.top, threads)
    dataset = open_dataset(
        options.input,
        options.extension,
        thread_num=threads,
        class_labels=model.class_labels,
        shape=model.input_shape,
        progress=not options.quiet,
    )
    top = max(options.top, Tally.top)
    return dataset.names, classify_dataset(classifier(len(dataset)), dataset, top, threads)


def is_labelled(path: str, extension: str, class_labels: Sequence[str]) -> bool:
    """Tell a dataset from loose images: arrays, or directories that are named as classes."""
    from denet.dataset import parse_extension

    if parse_extension(extension)[0] in ("npy", "npz"):
        return True
    root = Path(path)
    names = {each.name for each in root.iterdir() if each.is_dir()} if root.is_dir() else set()
    return bool(names) and names <= set(class_labels)


class Tally:
    """Counts wrong answers as they pass by."""

    top = 5

    def __init__(self) -> None:
        self.count = self.wrong = self.wrong_top = 0

    def follow(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Yield the answers; count those whose true class is known."""
        for answer in answers:
            if answer.label is not None:
                best = [name for name, _ in answer.classes[: self.top]]
                self.count += 1
                self.wrong += answer.label != best[0]
                self.wrong_top += answer.label not in best
            yield answer

    def __str__(self) -> str:
        errors = ((1, self.wrong), (self.top, self.wrong_top))
        return "\n".join(f"top-{k} error {100 * n / self.count:.3f}%" for k, n in errors)


def write(answers: Iterable[Answer], options: argparse.Namespace) -> None:
    """Write the answers in the form asked for, to stdout or to --results."""
    from denet.model.format.atomic import atomic_write
    from denet.predict.output import OUTPUTS

    shown = (replace(answer, classes=answer.classes[: options.top]) for answer in answers)
    lines = (f"{line}\n" for line in OUTPUTS[options.format](shown))
    if not options.results:
        sys.stdout.writelines(lines)
        return
    with atomic_write(options.results) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(lines)


def drawn(answers: Iterable[Answer], options: argparse.Namespace) -> Iterator[Answer]:
    """Yield the answers; draw them into --draw."""
    from denet.dataset.decode import decode_image
    from denet.model.format.atomic import atomic_write
    from denet.report.drawing import draw_classes

    for answer in answers:
        image = decode_image(answer.name)
        picture = draw_classes(image, answer.classes, answer.label, options.font)
        with atomic_write(options.draw) as temporary:
            picture.save(temporary, format="png")
        yield answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-predict; return its exit code."""
    return run(parser(), predict, arguments)
