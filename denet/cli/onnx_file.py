"""What model-modify asks about an .onnx file, and how it writes one."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from denet.cli.command import tell
from denet.cli.options import (
    EXTENSION,
    MAX_IMAGE_PIXELS,
    ON_BAD_DATA,
    THREAD_NUM,
    Option,
    open_images,
    option_names,
    refuse,
)
from denet.errors import UsageError
from denet.kind import Choice, Flag

if TYPE_CHECKING:
    from denet.model.format.onnx.export import Form
    from denet.model.model import Model

log = logging.getLogger(__name__)

SUFFIX = ".onnx"
INPUTS = ("float32,nchw", "float32,nhwc", "uint8,nchw", "uint8,nhwc")
DATA = (  # how --int8 reads its dataset
    replace(EXTENSION, help=f"of --int8: {EXTENSION.help}"),
    THREAD_NUM,
    ON_BAD_DATA,
    MAX_IMAGE_PIXELS,
)
ONNX = (
    Option(
        "onnx-input",
        "images that an .onnx file takes, not normalised: float32 from 0 to 1 or uint8 from 0 to "
        "255, channels before (nchw) or behind (nhwc) the pixels",
        Choice(INPUTS),
        INPUTS[0],
    ),
    Option(
        "onnx-batch-norm",
        "leave batch normalisation in an .onnx file as nodes of its own",
        Flag(),
        False,
    ),
    Option(
        "params",
        "which answers the .onnx file of a detector gives, NAME=VALUE: prThreshold, nmsThreshold "
        "(0: all), cornerThreshold, cornerMax",
        default=[],
        count="*",
    ),
    Option(
        "int8",
        "dataset by which an .onnx file is written in 8 bits; its errors before and after are told",
        metavar="PATH",
    ),
    *DATA,
)


def check_options(options: argparse.Namespace) -> None:
    """Raise UsageError where the output is no .onnx file and an option is for one, or unfit."""
    is_onnx = options.output.endswith(SUFFIX)
    other = f"{options.output}: it is for an .onnx file: leave it out"
    unread = "without --int8 no data is read: leave it out"
    folded = "8 bits need it folded: leave it or --int8 out"
    rows = (
        (not is_onnx, option_names(ONNX), other),
        (not options.int8, option_names(DATA), unread),
        (options.int8, "onnx-batch-norm", folded),
    )
    refuse(options, ONNX, rows)
    if is_onnx:
        from denet.model.format.onnx.library import require_onnx

        if options.half:
            raise UsageError(f"--half: {options.output}: only .sqlite3 holds 16-bit floats")
        require_onnx()


def write_onnx(model: Model, options: argparse.Namespace) -> None:
    """Write a model as an .onnx file, run by ONNX Runtime and compared before it has its name."""
    from denet.backend.select import choose_backend
    from denet.evaluate.onnx_check import BATCHES, check
    from denet.files import atomic_write, check_writable
    from denet.model.format import content
    from denet.model.format.onnx.export import export
    from denet.model.format.onnx.library import version

    model, form = chosen(model, options)
    check_writable(options.output)
    content.check_writable(model, options.output)
    exported = export(model, form, options.output)
    accuracy = None
    if options.int8:
        from denet.evaluate.onnx_accuracy import Accuracy, in_8_bits
        from denet.training.tester import check_targets

        images = open_images(options, options.int8, model)
        check_targets(model, images)
        accuracy = Accuracy(exported, images, options.thread_num)
    with atomic_write(options.output) as temporary:
        whole = temporary.with_name("float32.onnx") if accuracy else temporary
        whole.write_bytes(exported.proto.SerializeToString())
        check(exported, whole, choose_backend("auto"), BATCHES, options.seed)
        log.info(
            "%s: ONNX Runtime %s computes the same in batches of %s",
            *(options.output, version(), " and ".join(map(str, BATCHES))),
        )
        if accuracy:
            before, after = in_8_bits(exported, whole, temporary, accuracy)
            tell(f"float32: {before}\nint8: {after}")


def chosen(model: Model, options: argparse.Namespace) -> tuple[Model, Form]:
    """Return the model with the corner search that is asked for, and the form of its file."""
    from denet.evaluate.detect_params import DetectParams, parse_params, with_corner_search
    from denet.evaluate.detector import detects
    from denet.model.format.onnx.detect_ops import Choice
    from denet.model.format.onnx.export import Form

    params = parse_params(options.params)
    if options.params and not detects(model):
        raise UsageError("--params: the model detects no objects: leave it out")
    defaults = DetectParams()
    for name, unlike in (
        ("useSoftNMS", params.use_soft_nms),
        ("matchIOU", params.match_iou != defaults.match_iou),
    ):
        if unlike:
            raise UsageError(f"--params: {name}: an .onnx file cannot do it: leave it out")
    pixels, layout = options.onnx_input.split(",")
    choice = Choice(params.pr_threshold, params.nms_threshold)
    return (
        with_corner_search(model, params),
        Form(pixels, layout, not options.onnx_batch_norm, choice),
    )
