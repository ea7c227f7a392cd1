"""What options say of the pixels that a network sees: --normalise, and --extension."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from denet.errors import UsageError
from denet.kind import Real

if TYPE_CHECKING:
    from denet.dataset.image.options import ImageOptions
    from denet.model.model import Model
    from denet.model.preprocessing import Preprocessing

log = logging.getLogger(__name__)


def imagenet() -> Preprocessing:
    """Return mean and deviation of the pixels of ImageNet."""
    from denet.dataset.image.options import IMAGENET_MEAN, IMAGENET_STD
    from denet.model.preprocessing import Preprocessing

    return Preprocessing(IMAGENET_MEAN, IMAGENET_STD)


def read_normalise(words: Sequence[str], channels: int) -> Preprocessing:
    """Return what ``none``, ``imagenet`` or MEAN... DEVIATION... stands for; raise UsageError.

    One mean and one deviation stand for those of all channels.
    """
    from denet.model.preprocessing import LARGEST, SMALLEST, Preprocessing

    if words == ["none"]:
        return Preprocessing()
    if words == ["imagenet"]:
        return imagenet()
    half = len(words) // 2
    if len(words) not in (2, 2 * channels):
        many = f", or {channels} means and {channels} deviations" * (channels > 1)
        raise UsageError(
            f"--normalise {' '.join(words):.80}: give none, imagenet, or one mean and one "
            f"deviation{many}"
        )
    try:
        mean = [Real(-LARGEST, LARGEST).read(word) for word in words[:half]]
        deviation = [Real(SMALLEST, LARGEST).read(word) for word in words[half:]]
    except ValueError as error:
        raise UsageError(f"--normalise: means, then deviations, each {error}") from None
    repeats = channels // half
    return Preprocessing(tuple(mean * repeats), tuple(deviation * repeats))


def image_words(extension: str | None) -> tuple[dict[str, Any], ImageOptions] | None:
    """Return what an --extension says of images with boxes, None of others; raise UsageError."""
    from denet.dataset import ANNOTATED, parse_extension
    from denet.dataset.image.options import parse_image_options

    kind, _, given = parse_extension(extension or "image")
    given.pop("splits", None)
    return (given, parse_image_options(given)) if kind in ANNOTATED else None


def asks_for_mean(extension: str | None) -> bool:
    """Return whether --extension says subtract_mean; raise UsageError where it is wrong."""
    words = image_words(extension)
    return words is not None and words[1].subtract_mean


def check_training_words(extension: str) -> None:
    """Raise UsageError for words of --extension that nothing in training uses."""
    from denet.dataset.image.options import check_used

    if words := image_words(extension):
        check_used(*words)


def warn_of_training_options(extension: str | None, name: str) -> None:
    """Tell which words of an extension, given as the option ``name``, change training alone."""
    from denet.dataset import parse_extension
    from denet.dataset.image.options import TRAINING_NAMES

    given = parse_extension(extension or "image")[2]
    if idle := [each for each in TRAINING_NAMES if each in given]:
        log.warning("%s of --%s: no effect: training alone varies images", ", ".join(idle), name)


def subtract_mean(model: Model, extension: str | None, settled: bool = False) -> None:
    """Let a model normalise pixels by the constants of ImageNet if --extension says subtract_mean.

    That is for models without a normalisation of their own, such as those of 2017, which left it
    to the dataset. Where a model has one, or must stay as it is (``settled``), it is told that
    the option has no effect.
    """
    from denet.model.preprocessing import Preprocessing

    if not asks_for_mean(extension) or model.preprocessing == imagenet():
        return
    if settled or model.preprocessing != Preprocessing():
        log.warning(
            "subtract_mean of --extension has no effect: the model normalises pixels by %s; "
            "model-modify --normalise imagenet changes that",
            model.preprocessing.text(),
        )
        return
    model.preprocessing = imagenet()
    log.info("subtract_mean: pixels are normalised by %s", model.preprocessing.text())
