"""model-predict: classify images with a trained model."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.command import Parser, run
from denet.cli.options import (
    COUNT,
    ENGINE,
    EXTENSION,
    MAX_IMAGE_PIXELS,
    ON_BAD_DATA,
    THREAD_NUM,
    Option,
    engine,
    open_images,
)
from denet.cli.predict_detect import detect, mode_words
from denet.errors import DataError, UsageError
from denet.layer.kind import Choice

if TYPE_CHECKING:
    from denet.dataset import BadSample
    from denet.evaluate.classifier import Classifier
    from denet.model.model import Model
    from denet.predict.classify import Answer

log = logging.getLogger(__name__)

INPUT = (
    Option("model", "model file", metavar="FILE"),
    Option(
        "input",
        "image file, directory of images, list.txt of image files, or a labelled dataset: NAME of "
        "arrays, or directory of class directories named as the classes of the model",
        metavar="PATH",
    ),
    replace(
        EXTENSION,
        default=None,
        help=f"{EXTENSION.help} (of a labelled dataset; any image if not given)",
    ),
    Option("batch-size", "images computed together", COUNT, 100, metavar="N"),
    Option(
        "predict-mode",
        "single classifies each image as a whole; detect finds objects (detect,voc and "
        "detect,mscoco and detect,imagenet also evaluate as these do, detect,image draws)",
        default="single",
        metavar="MODE",
    ),
    Option(
        "params",
        "of detect, NAME=VALUE: prThreshold, nmsThreshold, useSoftNMS, cornerThreshold, cornerMax, "
        "matchIOU",
        default=[],
        count="*",
    ),
    THREAD_NUM,
    ON_BAD_DATA,
    MAX_IMAGE_PIXELS,
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
    Option(
        "report",
        "directory for the errors on a labelled dataset: per class, as a confusion matrix (tables "
        "and picture), and the most confident mistakes as a picture",
        metavar="DIR",
    ),
    Option("draw", "draw the answer beside the image, for one image", metavar="FILE.png"),
    Option("font", "TrueType font of the drawings, for names in any script", metavar="FILE.ttf"),
)


def parser() -> Parser:
    """Return the command line of model-predict."""
    return Parser(
        "model-predict",
        "Classify images, or find objects in them, with a trained model.",
        "model-predict --model run/a_best.mdl --input photos/ --format csv",
        {"input": INPUT, "output": OUTPUT, "engine": ENGINE},
    )


def predict(options: argparse.Namespace) -> int:
    """Print the likeliest classes of each image, or the errors where the classes are known."""
    from denet.evaluate.detector import detects
    from denet.model.format import load_model
    from denet.predict.classify import class_directories, unlabelled

    parser().require(options, "model", "input")
    if options.draw and not options.draw.lower().endswith(".png"):
        raise UsageError(f"--draw: {options.draw}: end the name in .png")
    mode, words = mode_words(options.predict_mode)
    backend, precision = engine(options)
    model = load_model(options.model)

    def classifier(image_num: int) -> Classifier:
        from denet.evaluate.classifier import Classifier

        return Classifier(model, min(options.batch_size, image_num), backend, precision)

    if mode == "single" and detects(model):
        raise UsageError("--predict-mode single: the model detects objects: give detect")
    bad: list[BadSample] = []
    if mode == "detect":
        image_num = detect(options, model, backend, precision, words, bad)
        tell_bad(bad, image_num, options.on_bad_data)
        return 0
    why = unlabelled(options.input, options.extension or "image", model.class_labels)
    if why is None:
        image_num = predict_dataset(options, model, classifier, bad)
    elif options.report:
        raise UsageError(f"--report: the true classes are not known: {why}")
    else:
        if not set(model.class_labels).isdisjoint(class_directories(options.input)):
            log.warning("true classes not known: %s", why)
        image_num = predict_files(options, classifier, bad)
    tell_bad(bad, image_num, options.on_bad_data)
    return 0


def predict_dataset(
    options: argparse.Namespace,
    model: Model,
    classifier: Callable[[int], Classifier],
    bad: list[BadSample],
) -> int:
    """Print the errors on a labelled dataset, and what else is asked for; return its size."""
    from denet.evaluate.confusion import doubt
    from denet.evaluate.topk import TOP
    from denet.predict.classify import classify_dataset
    from denet.predict.report import ReportFiles, Review

    images = open_images(
        options,
        options.input,
        model,
        extension=model_extension(options, model),
        on_bad_data="skip",  # the others are classified whatever the option says
    )
    bad += images.bad
    files = None
    if options.report:
        files = ReportFiles(options.report, images, options.font, options.max_image_pixels)
    review = Review(len(model.class_labels))
    answers = classify_dataset(
        classifier(len(images)), images, max(options.top, TOP), options.thread_num, review.add
    )
    write(drawn(answers, images.names, options), options, quiet=True)
    onto_stdout = options.results or not options.format
    print(review.errors.summary(), file=sys.stdout if onto_stdout else sys.stderr)
    if sentence := doubt(review.errors, model.class_labels):
        log.warning("%s: %s", options.input, sentence)
    if files:
        log.info("%s: %s", options.report, ", ".join(files.write(review)))
    return len(images) + len(bad)


def model_extension(options: argparse.Namespace, model: Model) -> str:
    """Return --extension, any image where it is not given, with the size of the model's input.

    Images of other sizes are then treated as loose files are.
    """
    from denet.dataset import parse_extension

    extension: str = options.extension or "image"
    _, form, given = parse_extension(extension)
    _, height, width = model.input_shape
    return (
        f"{extension},crop={width}x{height}" if form.converts and "crop" not in given else extension
    )


def predict_files(
    options: argparse.Namespace, classifier: Callable[[int], Classifier], bad: list[BadSample]
) -> int:
    """Print what the model says of each image file; return how many files there are."""
    from denet.dataset.decode import quiet_pillow
    from denet.predict.classify import classify_files, find_images

    paths = find_images(options.input)
    reading = (options.thread_num, options.max_image_pixels)
    answers = classify_files(classifier(len(paths)), paths, bad, options.top, *reading)
    with quiet_pillow():
        write(drawn(answers, paths, options), options)
    return len(paths)


def write(answers: Iterable[Answer], options: argparse.Namespace, quiet: bool = False) -> None:
    """Write the answers; if ``quiet``, only go through them unless --format or --results is set."""
    from denet.predict.output import write_answers

    if quiet and not (options.format or options.results):
        deque(answers, maxlen=0)
    else:
        write_answers(answers, options.format or "text", options.top, options.results)


def drawn(
    answers: Iterable[Answer], names: Sequence[str], options: argparse.Namespace
) -> Iterable[Answer]:
    """Return the answers; with --draw the one that there must be is drawn as it passes."""
    from denet.dataset.decode import decode_image
    from denet.model.format.atomic import atomic_write
    from denet.report.drawing import draw_classes

    def draw(answer: Answer) -> Answer:
        image = decode_image(answer.name, max_image_pixels=options.max_image_pixels)
        picture = draw_classes(image, answer.classes, answer.label, options.font)
        with atomic_write(options.draw) as temporary:
            picture.save(temporary, format="png")
        return answer

    if not options.draw:
        return answers
    if len(names) != 1 or not Path(names[0]).is_file():
        raise UsageError("--draw: needs one image: give --input one image file")
    return map(draw, answers)


def tell_bad(bad: Sequence[BadSample], image_num: int, on_bad_data: str) -> None:
    """Log what could not be read; raise DataError for the last unless it may be skipped."""
    from denet.dataset.base import printable

    lines = [f"cannot read the image: {printable(name)}: {reason}" for name, reason in bad]
    count = f"{len(bad)} of {image_num} cannot be read"
    if on_bad_data == "skip" and len(bad) < image_num:
        for line in lines:
            log.warning(line)
        if bad:
            log.warning(count)
    elif bad:
        for line in lines[:-1]:
            log.error(line)
        raise DataError(f"{lines[-1]} ({count})" if image_num > 1 else lines[-1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-predict; return its exit code."""
    return run(parser(), predict, arguments)
