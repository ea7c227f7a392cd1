"""The modes single and multicrop of model-predict, with --views: classes of whole images."""

from __future__ import annotations

import argparse
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.command import tell, tell_aside
from denet.cli.predict_input import open_input
from denet.errors import UsageError

if TYPE_CHECKING:
    from denet.dataset import BadSample
    from denet.graph.kernel import Backend
    from denet.model.model import Model
    from denet.predict.classify import Answer

log = logging.getLogger(__name__)

SLOW = 100  # times the work for an image of the network's own size, of which users are told


def classify(
    options: argparse.Namespace,
    model: Model,
    backend: Backend,
    precision: str,
    words: set[str],
    bad: list[BadSample],
    views: str | None = None,
) -> int:
    """Print the likeliest classes of each image, or the errors where the classes are known.

    ``views`` names those that are averaged of each image, instead of --views. Returns the number
    of images; those that cannot be read go to ``bad``.
    """
    from denet.evaluate.classifier import Classifier
    from denet.evaluate.confusion import doubt
    from denet.predict.classify import classify_images
    from denet.predict.image_files import find_images
    from denet.predict.look import Look
    from denet.predict.report import ClassReport, Review

    views = views or options.views
    look = Look(model, views) if views else None
    images, why = open_input(options, model, find_images, look)
    image_num = len(images.image_names) + len(images.bad)
    report = None
    if options.report:
        report = ClassReport(options.report, images, options.font, options.max_image_pixels)
    if look:
        classifier = look.classifier(images, options.batch_size, backend, precision)
        work = images.view_num * classifier.model.graph(1).flops() / model.graph(1).flops()
        if work > SLOW:
            text = "--views %s: each image takes the work of %.0f of the network's own size"
            log.warning(text, views, work)
    else:
        classifier = Classifier(model, min(options.batch_size, len(images)), backend, precision)
    review = Review(len(model.class_labels))
    answers = classify_images(
        classifier, images, options.top, options.thread_num, review.add if why is None else None
    )
    write(drawn(answers, images.image_names, options), options, quiet=why is None)
    bad += sorted(images.bad)
    if why is None:
        say = tell if options.results or not options.format else tell_aside
        say(review.errors.miss_rates() if options.truth else review.errors.summary())
        if sentence := doubt(review.errors, model.class_labels):
            log.warning("%s: %s", options.input, sentence)
    if report:
        log.info("%s: %s", options.report, ", ".join(report.write(review)))
    return image_num


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
    from denet.predict.picture import draw_answer

    def draw(answer: Answer) -> Answer:
        if answer.classes:
            draw_answer(options.draw, answer, options.font, options.max_image_pixels)
        return answer

    if not options.draw:
        return answers
    if len(names) != 1 or not Path(names[0]).is_file():
        raise UsageError("--draw: needs one image: give --input one image file")
    return map(draw, answers)
