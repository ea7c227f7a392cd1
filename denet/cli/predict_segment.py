"""The segment mode of model-predict: the class of every part of an image."""

from __future__ import annotations

import argparse
import logging
import os
from typing import TYPE_CHECKING

from denet.cli.command import tell
from denet.cli.options import results
from denet.cli.predict_input import open_input
from denet.errors import UsageError
from denet.printable import counted

if TYPE_CHECKING:
    from denet.dataset import BadSample
    from denet.graph.kernel import Backend
    from denet.model.model import Model

log = logging.getLogger(__name__)


def segment(
    options: argparse.Namespace,
    model: Model,
    backend: Backend,
    precision: str,
    words: set[str],
    bad: list[BadSample],
) -> int:
    """Write pictures of the classes; print how right they are where the truth is known.

    Returns the number of images; those that cannot be read go to ``bad``.
    """
    from denet.dataset import parse_extension
    from denet.evaluate.segmentation import PositionCounts, Segmenter
    from denet.predict.image_files import common_directory
    from denet.predict.segment import PictureFiles, find_segment_images, segment_images

    for name in ("format", "draw", "report", "truth"):
        if getattr(options, name):
            raise UsageError(f"--{name}: --predict-mode segment writes pictures: leave it out")
    if parse_extension(options.extension or "image")[0] == "imagenet":
        raise UsageError(
            "--extension imagenet: --predict-mode segment takes image files, directories or "
            "arrays: give --extension image"
        )
    images, _ = open_input(options, model, find_segment_images)
    image_num = len(images) + len(images.bad)
    segmenter = Segmenter(model, min(options.batch_size, len(images)), backend, precision)
    directory, max_image_pixels = results(options), options.max_image_pixels
    root = options.input if os.path.isdir(options.input) else common_directory(images.names)
    pictures = PictureFiles(directory, images.names, root, max_image_pixels)
    counts, written = PositionCounts(len(model.class_labels)), 0
    for found in segment_images(segmenter, images, options.thread_num, max_image_pixels):
        pictures.write(found)
        written += 1
        if compared := found.compared():
            counts.add(*compared)
    bad += sorted(images.bad)
    if counts.pairs.any():
        tell(counts.report(model.class_labels))
    log.info("%s: pictures of %s", directory, counted(written, "image"))
    return image_num
