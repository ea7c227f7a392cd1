"""model-predict: classify images with a trained model, or find objects in them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Container, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from denet.cli.command import Parser, run, tell, tell_aside
from denet.cli.options import (
    COUNT,
    ENGINE,
    EXTENSION,
    FRACTION,
    IMAGE_SIDE,
    MAX_IMAGE_PIXELS,
    ON_BAD_DATA,
    THREAD_NUM,
    Idle,
    Option,
    engine,
    refuse,
)
from denet.cli.pixels import subtract_mean, warn_of_training_options
from denet.errors import DataError, UsageError, nearest_hint
from denet.files import check_writable
from denet.kind import Choice, Real
from denet.predict.request import LAYOUTS, MODES, VIEW_NAMES, Request

if TYPE_CHECKING:
    from denet.dataset import BadSample
    from denet.model.model import Model

log = logging.getLogger(__name__)

OVERLAP = 0.2

INPUT = (
    Option("model", "model file", metavar="FILE"),
    Option(
        "input",
        "images: files, directories, patterns ('photos/**/*.jpg'), list.txt of files, videos "
        "(pip install av), several of these, or - for stdin, which is such a list (one path per "
        "line) or one image; or one labelled dataset: NAME of arrays, list.txt of CLASS PATH "
        "lines, or directory of class directories named as the classes of the model",
        metavar="PATH",
        count="+",
    ),
    Option("frame-step", "of a video, take every N-th frame", COUNT, 1, metavar="N"),
    replace(
        EXTENSION,
        default=None,
        help=f"{EXTENSION.help} (of a labelled dataset; any image if not given)",
    ),
    Option(
        "batch-size",
        "images computed together; whole ones (--views ccv10, dense) come one by one",
        COUNT,
        100,
        metavar="N",
    ),
    Option(
        "predict-mode",
        "single classifies each image as a whole; multicrop by the mean of ten views (centre, "
        "corners, all mirrored) of the image scaled to cover 256/224 of the network input, or "
        "crop=N of --extension, or scale=N of imagenet; segment classifies each position of the "
        "last map, compared with the true class or NAME_true.png beside an image: class ids of "
        "8 bits, grey or with a palette, 255 is not counted; detect finds objects (detect,voc and "
        "detect,mscoco and detect,imagenet also evaluate as these do, detect,image draws); if not "
        "given, detect or single, as the model is",
        metavar="MODE",
    ),
    Option(
        "views",
        "average the answers to several views of each image, scaled to cover 256/224 of the input "
        "of the network (or the mean image, or crop=N of --extension): centre alone; alex10, "
        "corners and centre and all mirrored; caffe10, of the image warped to that size; ccv10, "
        "of the map that the last convolution makes of the whole image; ccv30, of those of three "
        "crops along it; dense, all positions of the network slid over the whole image",
        Choice(VIEW_NAMES),
    ),
    Option(
        "params",
        "of detect, NAME=VALUE: prThreshold, nmsThreshold, useSoftNMS, cornerThreshold, cornerMax, "
        "matchIOU",
        default=[],
        count="*",
    ),
    Option(
        "tiles",
        "of detect, also look at parts of each image: squares of N pixels, each scaled into the "
        "network input, so that small objects are seen as large as those of training; what is "
        "found in all of them and the whole is compared over the whole image",
        IMAGE_SIDE,
        metavar="N",
    ),
    Option(
        "overlap",
        "part of a tile that its neighbour shows too: more than the objects that tiles are for",
        Real(0, 0.9),
        OVERLAP,
        metavar="PART",
    ),
    Option(
        "min-score",
        "of detect, leave out what has a lower score; not given, text, pictures and labels begin "
        "at 0.25, and all else tells every score: precision is measured down to the lowest. What "
        "is less probable than prThreshold of --params, 0.01, is left out before; no score is "
        "above the probability",
        FRACTION,
        metavar="SCORE",
    ),
    Option(
        "truth",
        "list whose line i holds the class of image i of the input, as a number from 1: the per "
        "cent of images are told whose class is not the likeliest (1), and not among five (5), as "
        "ccv's cnnvldtr.rb does",
        metavar="FILE",
    ),
    THREAD_NUM,
    ON_BAD_DATA,
    MAX_IMAGE_PIXELS,
)
OUTPUT = (
    Option(
        "format",
        "form of the answers, text where it is not given; voc, coco and yolo, of detect in loose "
        "images, make a dataset of them in a new directory, --results, whose boxes are what is "
        "found, to correct in a labelling tool; ccv is that of its cnnclassify, ID CONFIDENCE ID "
        "CONFIDENCE ... with class ids from 1, an empty line for an image that cannot be read, and "
        "the time of a single one; for a labelled dataset only the errors are told unless "
        "--format or --results is given",
        Choice(("text", "jsonl", "csv", "ccv", *LAYOUTS)),
    ),
    Option("top", "classes told for each image", COUNT, 5, metavar="N"),
    Option(
        "results",
        "file for the answers instead of stdout; of segment, the directory for NAME_predict.png, "
        "class ids with a palette in the size of the image, 255 where the network does not look, "
        "and NAME_true.png where that is known; of detect with a dataset or image, DIR/NAME: "
        "DIR/detections.json, DIR/comp4_det_test_CLASS.txt of voc, DIR/NAME.json of mscoco, "
        "DIR/IMAGE_dets.png of image. Files of these names are replaced. Of segment and detect, "
        "not given, it is results/, which then may not hold files",
        metavar="PATH",
    ),
    Option(
        "report",
        "directory for the errors on a labelled dataset: per class, as a confusion matrix (tables "
        "and picture), and the most confident mistakes as a picture; of detect,voc also precision "
        "and recall, the score of the best F1, and what is found of each size of object",
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
    """Print what the model says of each image, or how right that is where it is known."""
    from denet.evaluate.detector import detects
    from denet.model.format import load_model
    from denet.predict import pipe

    parser().require(options, "model", "input")
    model = None
    if options.predict_mode is None:
        model = load_model(options.model)
        options.predict_mode = "detect" if detects(model) else "single"
    request = read_request(options)
    backend, precision = engine(options)
    model = model or load_model(options.model)
    subtract_mean(model, request.extension)
    warn_of_training_options(request.extension, "extension")
    say = tell_aside if request.fills_stdout else tell
    outcome = pipe.predict(pipe.Job(request, model, backend, precision, say))
    tell_bad(outcome.bad, outcome.image_num, request.on_bad_data)
    return 0


def read_request(options: argparse.Namespace) -> Request:
    """Return what the options ask for; raise UsageError for such as contradict each other."""
    from denet.evaluate.detect_params import parse_params

    built = parser()
    if "" in options.input:
        raise UsageError("--input: an empty path: leave it out")
    if options.draw and not options.draw.lower().endswith(".png"):
        raise UsageError(f"--draw: {options.draw}: end the name in .png")
    mode, words = mode_words(options.predict_mode)
    if options.views and mode != "single":
        raise UsageError(f"--views: together with --predict-mode {mode}: leave one of them out")
    refuse(options, built.options, idle(options, mode, words))
    if options.draw:
        check_writable(options.draw)
    if options.results:
        check_writable(options.results, makes_directory=mode in ("segment", "detect"))
    given: dict[str, Any] = {
        each.name: getattr(options, each.name, None) for each in fields(Request)
    }
    given["input"] = tuple(options.input)
    given |= {"mode": mode, "words": words, "params": parse_params(options.params)}
    return Request(**given)


def idle(options: argparse.Namespace, mode: str, words: Container[str]) -> tuple[Idle, ...]:
    """Return which options can do nothing in a mode of these words, and beside each other."""
    of_detect = f"it is for --predict-mode detect, not {mode}: give that, or leave it out"
    drawn = options.draw or options.report or "image" in words
    return (
        (mode != "detect", "tiles min-score params", of_detect),
        (mode != "detect" and options.format in LAYOUTS, "format", of_detect),
        (
            mode == "segment",
            "format top truth report draw",
            "--predict-mode segment writes pictures: leave it out",
        ),
        (mode == "detect", "top truth", "it is for the classes of whole images: leave it out"),
        (
            mode == "detect" and options.format == "ccv",
            "format",
            "ccv is for the classes of whole images: give another, or leave it out",
        ),
        (not options.tiles, "overlap", "it is of --tiles: give both, or leave it out"),
        (
            not drawn,
            "font",
            "nothing is drawn: give --draw or --report too, or --predict-mode detect,image",
        ),
    )


def check_answers(values: argparse.Namespace, options: Sequence[Option], model: Model) -> None:
    """Raise UsageError for an option of answers that the model does not give."""
    from denet.evaluate.detect_params import DetectParams, parse_params
    from denet.evaluate.detector import detects

    finds = detects(model)
    judges = parse_params(values.params).match_iou != DetectParams.match_iou
    rows = (
        (finds, "top", "it is for classifiers, and the model detects objects: leave it out"),
        (
            not finds,
            "params",
            "it is for detectors, and the model detects no objects: leave it out",
        ),
        (judges, "params", "matchIOU is for a dataset that knows its objects: leave it out"),
    )
    refuse(values, options, rows)


def mode_words(mode: str) -> tuple[str, frozenset[str]]:
    """Return the first word of --predict-mode and the set of the others; raise UsageError."""
    first, *rest = mode.split(",")
    if first not in MODES:
        raise UsageError(
            f"--predict-mode: {first!r}{nearest_hint(first, list(MODES))}: give one of "
            f"{', '.join(MODES)}"
        )
    known = MODES[first]
    for word in rest:
        if word not in known:
            raise UsageError(
                f"--predict-mode: {word!r}{nearest_hint(word, list(known))}: after {first} may "
                f"stand {', '.join(known) or 'nothing'}"
            )
    return first, frozenset(rest)


def tell_bad(bad: Sequence[BadSample], image_num: int, on_bad_data: str) -> None:
    """Log what could not be read; raise DataError for the last unless it may be skipped."""
    from denet.printable import printable

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
