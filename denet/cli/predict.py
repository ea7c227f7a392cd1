"""model-predict: classify images with a trained model."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
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
    Option(
        "format",
        "form of the answers, text where it is not given; for a labelled dataset only the errors "
        "are told unless --format or --results is given",
        Choice(("text", "jsonl", "csv")),
    ),
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
    """Print the likeliest classes of each image, or the errors where the classes are known."""
    from denet.predict.output import write_answers
    from denet.predict.tally import Tally

    parser().require(options, "model", "input")
    if options.draw and not options.draw.lower().endswith(".png"):
        raise UsageError(f"--draw: {options.draw}: end the name in .png")
    bad: list[BadImage] = []
    images, labelled, answers = classify(options, bad)
    if options.draw:
        if len(images) != 1 or not Path(images[0]).is_file():
            raise UsageError("--draw: needs one image: give --input one image file")
        answers = drawn(answers, options)
    tally = Tally()
    answers = tally.follow(answers)
    if labelled and not (options.format or options.results):
        deque(answers, maxlen=0)
    else:
        write_answers(answers, options.format or "text", options.top, options.results)
    if labelled:
        print(tally, file=sys.stderr if options.format and not options.results else sys.stdout)
    for image in bad[:-1]:
        log.error("cannot read the image: %s: %s", image.name, image.reason)
    if bad:
        count = f" ({len(bad)} of {len(images)} cannot be read)" if len(images) > 1 else ""
        raise DataError(f"cannot read the image: {bad[-1].name}: {bad[-1].reason}{count}")
    return 0


def classify(
    options: argparse.Namespace, bad: list[BadImage]
) -> tuple[list[str], bool, Iterable[Answer]]:
    """Return the names of the images, whether their classes are known, and the answers.

    Answers are made as they are asked for.
    """
    from denet.dataset import open_dataset
    from denet.evaluate.classifier import Classifier
    from denet.evaluate.topk import TOP
    from denet.model.format import load_model
    from denet.predict.classify import (
        classify_dataset,
        classify_files,
        find_images,
        is_labelled,
    )

    backend, precision = engine(options)
    model = load_model(options.model)

    def classifier(image_num: int) -> Classifier:
        return Classifier(model, min(options.batch_size, image_num), backend, precision)

    threads = options.thread_num
    if not is_labelled(options.input, options.extension, model.class_labels):
        paths = find_images(options.input)
        answers = classify_files(classifier(len(paths)), paths, bad, options.top, threads)
        return paths, False, answers
    dataset = open_dataset(
        options.input,
        options.extension,
        thread_num=threads,
        class_labels=model.class_labels,
        shape=model.input_shape,
        progress=not options.quiet,
    )
    top = max(options.top, TOP)
    return dataset.names, True, classify_dataset(classifier(len(dataset)), dataset, top, threads)


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
