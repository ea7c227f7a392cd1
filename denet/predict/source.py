"""The images that a request is about: those of a labelled dataset, or loose files."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from denet.dataset import ANNOTATED, Dataset, open_dataset, parse_extension
from denet.dataset.classes.directory import crop_size
from denet.dataset.image.options import Size
from denet.dataset.walk import directories_in
from denet.errors import UsageError
from denet.model.model import Model
from denet.predict.classify import LABELLED, unlabelled
from denet.predict.image_files import CoveringFiles, find_images, find_loose, read_truth
from denet.predict.look import Look
from denet.predict.loose import Files, Loose
from denet.predict.request import DENSE, MULTICROP, Request
from denet.predict.views import Pictures, scaled

log = logging.getLogger(__name__)


def open_labelled(request: Request, extension: str | None = None, **settings: Any) -> Dataset:
    """Open the dataset that is asked about; ``extension`` stands in the place of its own.

    Raises UsageError or DataError.
    """
    if len(request.input) > 1:
        raise UsageError(
            f"--input: {len(request.input)} paths: a labelled dataset is one: give it alone"
        )
    if request.frame_step != 1:
        raise UsageError("--frame-step: a labelled dataset has no videos: leave it out")
    return open_dataset(
        request.input[0],
        extension or request.extension or "image",
        **{
            "thread_num": request.thread_num,
            "seed": request.seed,
            "progress": not request.quiet,
            "on_bad_data": request.on_bad_data,
            "max_image_pixels": request.max_image_pixels,
            **settings,
        },
    )


def of_model(model: Model) -> dict[str, Any]:
    """Return the settings that open a dataset of a model's classes and image shape."""
    return {
        "class_labels": model.class_labels,
        "shape": model.input_shape,
        "class_owner": "the model",
    }


def open_loose(request: Request, find: Callable[[str], list[str]] = find_images) -> Loose:
    """Return the loose images that are asked about, files being what ``find`` returns."""
    if request.extension not in (None, "image") and not request.view_set:
        log.warning(
            "--extension %s: no effect: %s is no labelled dataset, and its images are read "
            "whatever they are",
            *(request.extension, request.place),
        )
    return find_loose(request.input, request.max_image_pixels, request.frame_step, find)


def loose_images(request: Request, images: Dataset) -> Loose | None:
    """Return what the images of a dataset are before they are scaled; None for arrays."""
    own: Loose | None = getattr(images, "loose", None)
    if own is None and os.path.isfile(images.image_names[0]):
        own = Files(images.image_names, request.max_image_pixels)
    return own


def _unlabelled(request: Request, extension: str, model: Model) -> str | None:
    """Return why the true classes are not known; None where they are. See ``unlabelled``."""
    if len(request.input) == 1 or parse_extension(extension)[0] in LABELLED:
        return unlabelled(request.input[0], extension, model.class_labels)
    return f"{len(request.input)} paths: give one directory that holds one per class, or one list"


def open_input(
    request: Request,
    model: Model,
    find: Callable[[str], list[str]],
    look: Look | None = None,
) -> tuple[Dataset, str | None]:
    """Return the images of --input, and why their true classes are not known, None if they are.

    Loose files are those that ``find`` returns. With a ``look`` the samples are its views of each
    image. Raises UsageError or DataError.
    """
    extension: str = request.extension or "image"
    kind = parse_extension(extension)[0]
    if kind in ANNOTATED and kind != "imagenet":
        raise UsageError(
            f"--extension {kind}: its images have no class of their own: give --predict-mode "
            "detect,voc, or one directory per class and --extension image"
        )
    why = _unlabelled(request, extension, model)
    if request.truth and why is None:
        raise UsageError(
            f"--truth: {request.place} tells the true classes: leave one of the two out"
        )
    if why is None and look:
        return open_labelled_views(request, extension, look), None
    if why is None:
        cropped = with_crop(extension, model.input_shape)
        # the others are classified whatever is asked for
        return open_labelled(request, cropped, **of_model(model), on_bad_data="skip"), None
    if request.report and not request.truth:
        raise UsageError(f"--report: the true classes are not known: {why}")
    directories = {name for path in request.input for name in directories_in(path)}
    if not directories.isdisjoint(model.class_labels):
        log.warning("true classes not known: %s", why)
    shape = larger_shape(extension, model) if look else model.input_shape
    loose, truth = open_loose(request, find), None
    if request.truth:
        truth = read_truth(request.truth, len(loose), len(model.class_labels))
        why = None
    files = CoveringFiles(loose, model.class_labels, shape, truth)
    return views_of(files, look, request, shape, in_files=True) if look else files, why


def open_labelled_views(request: Request, extension: str, look: Look) -> Dataset:
    """Return the views of each image of a labelled dataset."""
    model = look.model
    kind, form, given = parse_extension(extension)
    settings: dict[str, Any] = {"on_bad_data": "skip", "class_labels": model.class_labels}
    shape = larger_shape(extension, model)
    channels, height, width = shape
    if kind == "imagenet":
        words = [each for each in extension.split(",") if each.partition("=")[0] != "multicrop"]
        if request.mode == MULTICROP:  # it cuts them itself
            extension = with_crop(",".join(words), model.input_shape) + ",multicrop"
            scale = "" if "scale" in given else f",scale={width}x{height}"
            settings |= of_model(model)
            return open_labelled(request, extension + scale, **settings)
        words = [each for each in words if each.partition("=")[0] not in ("crop", "scale")]
        extension = ",".join([*words, f"crop={width}x{height}"])
    elif form.converts:
        settings["shape"] = shape
        extension = f"{kind},crop={width}x{height}"
    images = open_labelled(request, extension, **settings)
    if kind == "imagenet":  # its training scales otherwise
        loose = Files(images.names, request.max_image_pixels)
        files = CoveringFiles(loose, images.class_labels, shape, images.labels)
        files.bad = images.bad
        images = files
    in_files = kind == "imagenet" or form.converts
    return views_of(images, look, request, shape, in_files)


def views_of(
    images: Dataset,
    look: Look,
    request: Request,
    shape: tuple[int, int, int],
    in_files: bool,
) -> Dataset:
    """Return the views of images that are brought to ``shape`` (c, h, w) where they are files.

    Files are read anew where views are cut from more than what covers that shape.
    """
    channels, height, width = shape
    size, scaling = (width, height), look.views.scaling
    if look.name == DENSE and given_size(request.extension or "image", look.model):
        scaling = "cover"  # one size for all, as it says
    if not in_files or scaling == "cover":
        return look.cut(images, size)
    limit = request.max_image_pixels
    loose = images.loose if isinstance(images, CoveringFiles) else Files(images.names, limit)
    pictures = Pictures(images, loose, size, scaling, channels, limit)
    return look.cut(images, size, pictures)


def with_crop(extension: str, shape: tuple[int, int, int]) -> str:
    """Return --extension with the crop of a shape where it may have one and has none.

    Images of other sizes are then treated as loose files are.
    """
    _, form, given = parse_extension(extension)
    _, height, width = shape
    wanted = "crop" in form.options and "crop" not in given
    return f"{extension},crop={width}x{height}" if wanted else extension


def larger_shape(extension: str, model: Model) -> tuple[int, int, int]:
    """Return the shape of images that views are cut from: scale or a larger crop of --extension.

    Where it has none, or the model's own size as in training, which would leave nothing to cut,
    that of the model's mean image, or what 256 is to 224.
    """
    channels, height, width = model.input_shape
    image = model.preprocessing.mean_image
    size = given_size(extension, model)
    if not size and image is not None and image.shape[:2] != (height, width):
        size = image.shape[1], image.shape[0]
    width, height = size or scaled(width, height)
    return channels, height, width


def given_size(extension: str, model: Model) -> Size | None:
    """Return scale or crop of --extension, unless it is the model's own size."""
    given = parse_extension(extension)[2]
    sizes = (crop_size(given[name]) for name in ("scale", "crop") if name in given)
    return next((each for each in sizes if each != model.input_shape[:0:-1]), None)
