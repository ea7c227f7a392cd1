"""model-info: tell what a network, a set of images or this installation consists of."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from denet.cli.command import Parser, run, tell
from denet.cli.completion import SHELLS, completion
from denet.cli.options import (
    COUNT,
    EXTENSION,
    MAX_IMAGE_PIXELS,
    NETWORK,
    THREAD_NUM,
    Idle,
    Option,
    network,
    option_names,
    refuse,
)
from denet.errors import DataError
from denet.kind import Choice, Flag

WIDTH = 100  # columns that are read well
DATA = (
    Option(
        "data",
        "images to look at: directory of class directories, or one with train and test in it, or "
        "NAME of arrays, or directory of images with boxes as YOLO, COCO, Pascal VOC, CVAT, "
        "LabelMe or a .csv have them; tells classes, objects, sizes, problems and command lines to "
        "start with",
        metavar="DIR",
    ),
    replace(EXTENSION, default=None, help="kind of the data, guessed if not given"),
    replace(THREAD_NUM, default=0),
    MAX_IMAGE_PIXELS,
)
BATCH_SIZE = Option("batch-size", "images that memory is counted for", COUNT, 32, metavar="N")
INSTEAD = ("completion", "env", "layers", "data")  # of a network, each alone


def parser() -> Parser:
    """Return the command line of model-info."""
    return Parser(
        "model-info",
        "Tell the layers of a network with output shapes, parameters, operations and memory, or "
        "what is in a set of images and how to train on it.",
        "model-info --model-desc C.B[64,7,2] BN A P[3,2,1] P.A R --image-size 224 224",
        {
            "network": NETWORK,
            "data": DATA,
            "what to tell": (
                BATCH_SIZE,
                Option("layers", "tell all layers that a network text can hold", Flag(), False),
                Option("markdown", "tell --layers as Markdown", Flag(), False),
                Option(
                    "env",
                    "tell versions, processor and instruction set, and what is missing",
                    Flag(),
                    False,
                ),
                Option("json", "tell --data or --env as JSON, for programs", Flag(), False),
                Option(
                    "completion",
                    "tell a script that completes the options of all commands, for "
                    'eval "$(model-info --completion bash)"',
                    Choice(SHELLS),
                ),
            ),
        },
    )


def info(options: argparse.Namespace) -> int:
    """Print what was asked for; return the exit code, that of faulty data where some is."""
    refuse(options, parser().options, idle(options))
    if options.completion:
        tell(completion(options.completion))
    if options.env:
        from denet.backend.environment import environment

        rows = environment(gpu=True)
        lines = (f"{name:<16} {found}" for name, found in rows)
        tell(_json(dict(rows)) if options.json else "\n".join(lines))
    if options.layers:
        from denet.report.layer_guide import guide_markdown, guide_text

        tell(guide_markdown() if options.markdown else guide_text(line_width()))
    if options.data:
        text, facts = data_report(options)
        tell(_json(facts) if options.json else text)
        if facts["unreadable"]:
            return DataError.exit_code
    if not asked(options):
        from denet.report.layers import layers_report

        tell(layers_report(network(options), options.batch_size))
    return 0


def asked(options: argparse.Namespace) -> str:
    """Return what is to be told instead of a network, "" if nothing is."""
    return next((name for name in INSTEAD if getattr(options, name)), "")


def idle(options: argparse.Namespace) -> list[Idle]:
    """Return which options can do nothing beside the others."""
    told = asked(options)
    of_network = option_names((*NETWORK, BATCH_SIZE))
    return [
        (
            told,
            " ".join(name for name in INSTEAD if name != told),
            f"together with --{told}: ask for one of the two",
        ),
        (
            told,
            of_network,
            f"it is of a network, and --{told} tells of none: leave one of them out",
        ),
        (
            told != "data",
            option_names(DATA[1:]),
            "it is for --data: give both, or leave it out",
        ),
        (told != "layers", "markdown", "it is a form of --layers: give both"),
        (told not in ("data", "env"), "json", "it is a form of --data or --env: give one of them"),
    ]


def _json(value: object) -> str:
    return json.dumps(value, indent=2)


def line_width() -> int:
    """Return the columns of the terminal, at most WIDTH, which also stands where there is none."""
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


def data_report(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return what is in a set of images as text, and as JSON values.

    That is classes, or objects where it has the layout of those.
    """
    from denet.backend.environment import computes_bf16
    from denet.dataset.survey.boxes import detection_kind, survey_detection
    from denet.dataset.survey.classes import survey
    from denet.report.detection_survey import detection_facts, detection_report
    from denet.report.survey import survey_facts, survey_report

    settings = {
        "thread_num": options.thread_num,
        "max_image_pixels": options.max_image_pixels,
        "progress": not options.quiet,
    }
    if kind := detection_kind(options.data, options.extension):
        words = (options.extension or kind).split(",")[1:]
        extension = ",".join([kind, *words])
        boxes = survey_detection(options.data, extension, seed=options.seed, **settings)
        bf16 = computes_bf16()
        return detection_report(boxes, bf16), detection_facts(boxes, bf16)
    classes = survey(options.data, options.extension, **settings)
    return survey_report(classes), survey_facts(classes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-info; return its exit code."""
    return run(parser(), info, arguments)
