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


DENSE, MULTICROP = "dense", "multicrop"
VIEW_NAMES = ("centre", "alex10", "caffe10", "ccv10", "ccv30", DENSE)


def open_input(
    options: argparse.Namespace,
    model: Model,
    find: Callable[[str], list[str]],
    views: str | None = None,
) -> tuple[Dataset, str | None]:
    """Return the images of --input, and why their true classes are not known, None if they are.

    Loose files are those that ``find`` returns. With the name of some ``views`` the samples are
    those of each image; of ``DENSE`` the images are as large as views are cut from. Raises
    UsageError or DataError.
    """
    from denet.dataset import ANNOTATED, parse_extension
    from denet.dataset.walk import directories_in
    from denet.predict.classify import unlabelled
    from denet.predict.image_files import CoveringFiles, read_truth

    extension: str = options.extension or "image"
    kind = parse_extension(extension)[0]
    if kind in ANNOTATED and kind != "imagenet":
        raise UsageError(
            f"--extension {kind}: its images have no class of their own: give --predict-mode "
            f"detect,{kind}, or one directory per class and --extension image"
        )
    why = unlabelled(options.input, extension, model.class_labels)
    if options.truth and why is None:
        raise UsageError(
            f"--truth: {options.input} tells the true classes: leave one of the two out"
        )
    if why is None and views:
        return open_labelled_views(options, model, extension, views), None
    if why is None:
        return open_images(
            options,
            options.input,
            model,
            extension=with_crop(extension, model.input_shape),
            on_bad_data="skip",  # the others are classified whatever the option says
        ), None
    if options.report and not options.truth:
        raise UsageError(f"--report: the true classes are not known: {why}")
    if not set(model.class_labels).isdisjoint(directories_in(options.input)):
        log.warning("true classes not known: %s", why)
    shape = larger_shape(extension, model) if views else model.input_shape
    paths, max_image_pixels = find(options.input), options.max_image_pixels
    truth = None
    if options.truth:
        truth = read_truth(options.truth, len(paths), len(model.class_labels))
        why = None
    files = CoveringFiles(paths, model.class_labels, shape, max_image_pixels, truth)
    return views_of(files, views, options, model, shape, in_files=True), why


def open_labelled_views(
    options: argparse.Namespace, model: Model, extension: str, views: str
) -> Dataset:
    """Return these views of each image of a labelled dataset."""
    from denet.dataset import parse_extension

    kind, form, given = parse_extension(extension)
    settings: dict[str, Any] = {"on_bad_data": "skip", "class_labels": model.class_labels}
    shape = larger_shape(extension, model)
    channels, height, width = shape
    if kind == "imagenet":
        words = [each for each in extension.split(",") if each.partition("=")[0] != "multicrop"]
        if views == MULTICROP:  # it cuts them itself
            extension = with_crop(",".join(words), model.input_shape) + ",multicrop"
            scale = "" if "scale" in given else f",scale={width}x{height}"
            return open_images(
                options, options.input, model, extension=extension + scale, on_bad_data="skip"
            )
        words = [each for each in words if each.partition("=")[0] not in ("crop", "scale")]
        extension = ",".join([*words, f"crop={width}x{height}"])
    elif form.converts:
        settings["shape"] = shape
        extension = f"{kind},crop={width}x{height}"
    images = open_images(options, options.input, extension=extension, **settings)
    in_files = kind == "imagenet" or form.converts
    return views_of(images, views, options, model, shape, in_files)


def views_of(
    images: Dataset,
    views: str | None,
    options: argparse.Namespace,
    model: Model,
    shape: tuple[int, int, int],
    in_files: bool,
) -> Dataset:
    """Return these views of images that are brought to ``shape`` (c, h, w) where they are files.

    Files are read anew where views are cut from more than what covers that shape.
    """
    from denet.predict.views import VIEWS, Pictures, Views

    if views in (None, DENSE):
        return images
    view_set = VIEWS["alex10" if views == MULTICROP else str(views)]
    channels, height, width = shape
    size = width, height
    picture = None
    if in_files and view_set.scaling != "cover":
        limit = options.max_image_pixels
        picture = Pictures(images, size, view_set.scaling, channels, limit)
    return Views(images, model.input_shape, view_set, size, picture)


def dense_model(model: Model, images: Dataset) -> Model:
    """Return the model made to slide over images of their size."""
    from denet.model.dense import fully_convolutional
    from denet.predict.views import check_covers

    check_covers(images.shape, model.input_shape)
    _, height, width = images.shape
    return fully_convolutional(model, width, height)


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
    """Return the shape of images that views are cut from: scale or a larger crop of --extension.

    Where it has none, or the model's own size as in training, which would leave nothing to cut,
    that of the model's mean image, or what 256 is to 224.
    """
    from denet.dataset import parse_extension
    from denet.dataset.directory import crop_size
    from denet.predict.views import scaled

    channels, height, width = model.input_shape
    given = parse_extension(extension)[2]
    image = model.preprocessing.mean_image
    sizes = [crop_size(given[name]) for name in ("scale", "crop") if name in given]
    if image is not None:
        sizes.append((image.shape[1], image.shape[0]))
    sizes.append(scaled(width, height))
    size = next((each for each in sizes if each != (width, height)), sizes[-1])
    return channels, size[1], size[0]
