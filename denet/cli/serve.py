"""model-serve: answer over HTTP what is in pictures."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.command import Parser, run, tell
from denet.cli.options import (
    COUNT,
    ENGINE,
    MAX_IMAGE_PIXELS,
    THREAD_NUM,
    Option,
    engine,
)
from denet.cli.predict import INPUT, check_answers
from denet.errors import UsageError
from denet.files import is_device
from denet.kind import Bytes, Integer, Real
from denet.printable import counted

if TYPE_CHECKING:
    from denet.model.model import Model
    from denet.predict.answerer import Answerer

log = logging.getLogger(__name__)

TOKEN = "DENET_TOKEN"  # the variable that may hold it
A_TOKEN = "give one line of letters and digits"
MODEL, PARAMS = (next(each for each in INPUT if each.name == name) for name in ("model", "params"))
ANSWERS = (
    MODEL,
    Option("top", "classes told for each picture", COUNT, 5, metavar="N"),
    PARAMS,
    Option("batch-size", "pictures computed together at most", Integer(1, 1024), 8, metavar="N"),
    Option(
        "wait",
        "milliseconds that a batch which is not full waits at most for pictures that are decoded "
        "at the moment",
        Real(0, 1000),
        5.0,
        metavar="MS",
    ),
    replace(THREAD_NUM, help="threads that decode pictures, 0 for one per core", default=2),
)
ACCESS = (
    Option("host", "address to listen on; 0.0.0.0 is all of this machine", default="127.0.0.1"),
    Option("port", "port to listen on, 0 for any free one", Integer(0, 65535), 8000, metavar="N"),
    Option(
        "token-file",
        f"file of a token that clients must send (Authorization: Bearer TOKEN); not given, the "
        f"variable {TOKEN} holds it, or none is asked for",
        metavar="FILE",
    ),
)
LIMITS = (
    Option("queue", "requests in work at a time; more are told 503", COUNT, 32, metavar="N"),
    Option("max-body", "longest body; more is told 413", Bytes(), 16_000_000, metavar="SIZE"),
    replace(MAX_IMAGE_PIXELS, default=50_000_000),
)


def parser() -> Parser:
    """Return the command line of model-serve."""
    return Parser(
        "model-serve",
        "Serve a trained model over HTTP: POST a picture to /predict, or open / in a browser.",
        "model-serve --model run/a_best.mdl --port 8000",
        {"answers": ANSWERS, "access": ACCESS, "limits": LIMITS, "engine": ENGINE},
    )


def serve(options: argparse.Namespace) -> int:
    """Answer requests until a signal stops the service; print its address."""
    from denet.dataset.base import thread_count
    from denet.model.format import load_model
    from denet.serve import server
    from denet.serve.app import Limits, Service, make_app

    parser().require(options, "model")
    server.require_libraries()
    token = read_token(options.token_file)
    # it makes what it computes with: a GPU belongs to one thread
    computing = ThreadPoolExecutor(1, "predictor")
    with server.listen(options.host, options.port) as opened, computing:  # before a model is read
        model = load_model(options.model)
        check_answers(options, ANSWERS, model)
        service = Service(
            computing.submit(ready_answerer, options, model).result(),
            model.class_labels,
            about(options.model, model),
            Limits(options.queue, options.max_body, options.max_image_pixels),
            computing,
            thread_num=thread_count(options.thread_num),
            wait_seconds=options.wait / 1000,
            token=token,
        )
        with closing(service), suppress(KeyboardInterrupt):
            if not server.is_loopback(opened) and not token:
                log.warning("whoever reaches this machine can ask the model: --token-file")
            tell(server.address(opened))
            sys.stdout.flush()
            server.run(make_app(service), opened)
        log.info("stopped: %s answered", counted(service.health()["answered"], "picture"))
    return 0


def about(path: str, model: Model) -> dict[str, object]:
    """Return what the service tells of its model."""
    from denet.evaluate.detector import detects

    channels, height, width = model.input_shape
    return {
        "model": Path(path).name,
        "tells": "objects" if detects(model) else "classes",
        "classes": len(model.class_labels),
        "input": {"width": width, "height": height, "channels": channels},
    }


def ready_answerer(options: argparse.Namespace, model: Model) -> Answerer:
    """Return what answers, after it has computed a batch of each size that will come.

    What does not fit into memory, and weights that are no numbers, are told before any request.
    """
    import numpy as np

    from denet.evaluate.detect_params import parse_params
    from denet.predict.answerer import answerer
    from denet.serve.batcher import largest_power_of_two

    size = largest_power_of_two(options.batch_size)
    params = parse_params(options.params)
    ready = answerer(model, size, *engine(options), options.top, params)
    grey = ready.sample(np.full((64, 64), 128, np.uint8), "a grey picture")
    while size:
        ready.answers([grey] * size)
        size //= 2
    return ready


def read_token(path: str | None) -> str | None:
    """Return the token of the file, or of the variable; None without either. Raises UsageError."""
    if path is None:
        place, text = TOKEN, os.environ.get(TOKEN)
        if text is None:
            return None
    else:
        place = f"--token-file: {path}"
        if is_device(path):
            raise UsageError(f"{place}: a device or pipe: give a file")
        try:
            with open(path, encoding="ascii") as file:
                text = file.read(4097)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", "not ASCII")
            raise UsageError(f"{place}: {reason}: {A_TOKEN}") from None
    token = text.strip()
    if not token.isascii() or not token.isprintable() or not 0 < len(token) <= 4096 or " " in token:
        raise UsageError(f"{place}: it holds no token: {A_TOKEN}")
    return token


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-serve; return its exit code."""
    return run(parser(), serve, arguments)
