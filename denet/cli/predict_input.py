"""The images that model-predict classifies: those of a labelled dataset, or loose files."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from denet.cli.options import open_images
from denet.errors import UsageError

if TYPE_CHECKING:
    from denet.dataset import Dataset
    from denet.model.model import Model

log = logging.getLogger(__name__)


def open_input(
    options: argparse.Namespace,
    model: Model,
    find: Callable[[str], list[str]],
    ten_views: bool = False,
) -> tuple[Dataset, str | None]:
    """Return the images of --input, and why their true classes are not known, None if they are.

    Loose files are those that ``find`` returns. With ``ten_views`` the samples are ten views of
    each image. Raises UsageError or DataError.
    """
    from denet.dataset import ANNOTATED, parse_extension
    from denet.dataset.walk import directories_in
    from denet.predict.classify import unlabelled
    from denet.predict.image_files import CoveringFiles
    from denet.predict.ten_views import TenViews

    extension: str = options.extension or "image"
    kind = parse_extension(extension)[0]
    if kind in ANNOTATED and kind != "imagenet":
        raise UsageError(
            f"--extension {kind}: its images have no class of their own: give --predict-mode "
            f"detect,{kind}, or one directory per class and --extension image"
        )
    why = unlabelled(options.input, extension, model.class_labels)
    if why is None and ten_views:
        return open_ten_views(options, model, extension), None
    if why is None:
        return open_images(
            options,
            options.input,
            model,
            extension=with_crop(extension, model.input_shape),
            on_bad_data="skip",  # the others are classified whatever the option says
        ), None
    if options.report:
        raise UsageError(f"--report: the true classes are not known: {why}")
    if not set(model.class_labels).isdisjoint(directories_in(options.input)):
        log.warning("true classes not known: %s", why)
    shape = larger_shape(extension, model) if ten_views else model.input_shape
    paths, max_image_pixels = find(options.input), options.max_image_pixels
    files = CoveringFiles(paths, model.class_labels, shape, max_image_pixels)
    return TenViews(files, model.input_shape) if ten_views else files, why


def open_ten_views(options: argparse.Namespace, model: Model, extension: str) -> Dataset:
    """Return ten views of each image of a labelled dataset."""
    from denet.dataset import parse_extension
    from denet.predict.ten_views import TenViews, scaled

    kind, form, given = parse_extension(extension)
    settings: dict[str, Any] = {"on_bad_data": "skip"}
    if kind == "imagenet":  # it cuts them itself
        words = [each for each in extension.split(",") if each.partition("=")[0] != "multicrop"]
        extension = with_crop(",".join(words), model.input_shape) + ",multicrop"
        if "scale" not in given:
            _, height, width = model.input_shape
            extension += ",scale={}x{}".format(*scaled(width, height))
        return open_images(options, options.input, model, extension=extension, **settings)
    settings["class_labels"] = model.class_labels
    if form.converts:
        settings["shape"] = _, height, width = larger_shape(extension, model)
        extension = f"{kind},crop={width}x{height}"
    images = open_images(options, options.input, extension=extension, **settings)
    return TenViews(images, model.input_shape)


def with_crop(extension: str, shape: tuple[int, int, int]) -> str:
    """Return --extension with the crop of a shape where it may have one and has none.

    Images of other sizes are then treated as loose files are.
    """
    from denet.dataset import parse_extension

    _, form, given = parse_extension(extension)
    _, height, width = shape
    wanted = "crop" in form.options and "crop" not in given
    return f"{extension},crop={width}x{height}" if wanted else extension


def larger_shape(extension: str, model: Model) -> tuple[int, int, int]:
    """Return the shape of images that ten views are cut from: a larger crop of --extension.

    A crop of the model's own size, as that of training, would leave nothing to cut.
    """
    from denet.dataset import parse_extension
    from denet.dataset.directory import crop_size
    from denet.predict.ten_views import scaled

    channels, height, width = model.input_shape
    given = parse_extension(extension)[2]
    size = crop_size(given["crop"]) if "crop" in given else (width, height)
    if size == (width, height):
        size = scaled(width, height)
    return channels, size[1], size[0]
