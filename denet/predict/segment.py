"""The class of every part of an image, compared with what is known, and as pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denet.dataset import BadSample, Dataset
from denet.dataset.base import MAX_IMAGE_PIXELS
from denet.dataset.image.decode import open_image, quiet_pillow, reason
from denet.errors import DataError
from denet.evaluate.classifier import check_fit
from denet.evaluate.segmentation import NO_CLASS, PositionCounts, Segmenter, over_image
from denet.files import atomic_write, make_directory
from denet.memory import room
from denet.predict.image_files import find_images, picture_stems
from denet.predict.loose import Loose
from denet.printable import counted
from denet.report.class_picture import class_picture

log = logging.getLogger(__name__)

PREDICTED, TRUE = "_predict.png", "_true.png"
_NAME_BYTES = 400  # of memory for a name among all names
_ENCODINGS = ("L", "P", "P;1", "P;2", "P;4")  # of Pillow, in which pixels are class ids


@dataclass(frozen=True)
class Segmented:
    """What a model says of one image, and what is known: the class of all or a label picture."""

    name: str
    class_ids: np.ndarray  # (h, w) uint8 at each position of the network's last map
    input_shape: tuple[int, int]  # (height, width) of the network input
    label: int | None = None
    label_picture: np.ndarray | None = None  # (H, W) uint8 class ids, NO_CLASS where not known

    def over(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the class at each pixel of the image, taken to have this (height, width)."""
        return over_image(self.class_ids, shape, self.input_shape)

    def compared(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return true and predicted class ids: pixels of the label picture, or positions."""
        if self.label_picture is not None:
            return self.label_picture, self.over(self.label_picture.shape)
        if self.label is not None:
            return np.full_like(self.class_ids, self.label), self.class_ids
        return None


def find_segment_images(path: str) -> list[str]:
    """Return the image files that ``path`` stands for, of a directory without label pictures.

    That is without NAME_true.png and NAME_predict.png. Raises DataError where there is none.
    """
    found = find_images(path)
    if os.path.isdir(path):
        found = [each for each in found if not each.endswith((PREDICTED, TRUE))]
    if not found:
        raise DataError(f"input: no images in {os.path.abspath(path)} but label pictures")
    return found


def label_file(name: str) -> str:
    """Return where the label picture of an image is looked for."""
    return os.path.splitext(name)[0] + TRUE


def read_label_picture(path: str, class_num: int, max_image_pixels: int) -> np.ndarray:
    """Return the class ids (H, W) uint8 of an 8-bit picture; ValueError where it is none."""
    from PIL.PngImagePlugin import PngImageFile

    image = open_image(path, max_image_pixels)
    # grey levels of 2 or 4 bits, "L;2" and "L;4", would be stretched
    if not isinstance(image, PngImageFile) or image.tile[0][3] not in _ENCODINGS:
        raise ValueError("not class ids: save it as PNG with a palette or 8 bits of grey")
    class_ids = np.array(image)
    if wrong := set(np.unique(class_ids).tolist()) - {*range(class_num), NO_CLASS}:
        raise ValueError(
            f"class id {min(wrong)}: the classes of the model are 0 to {class_num - 1}, and "
            f"{NO_CLASS} is not counted"
        )
    return class_ids


def segment_images(
    segmenter: Segmenter,
    dataset: Dataset,
    thread_num: int | None = 1,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> Iterator[Segmented]:
    """Yield what is found in each image, in order.

    The truth is the class of the sample, or where the dataset knows none the picture
    ``label_file``, if there is one. Damaged images and label pictures are left out:
    ``dataset.bad`` tells them.
    """
    check_fit(segmenter.model, dataset)
    class_num = len(dataset.class_labels)
    _, height, width = dataset.shape
    for batch in segmenter.loader(dataset, thread_num).epoch(0):
        names = [dataset.names[index] for index in batch.indices]
        maps = segmenter.class_ids(batch.data, names)
        labels = batch.targets.get("class_index", [None] * len(names))
        usable = dataset.usable(batch.indices)
        for name, class_ids, label, good in zip(names, maps, labels, usable, strict=True):
            if not good:
                continue
            found = Segmented(name, class_ids, (height, width), label)
            file = label_file(name)
            if label is None and os.path.exists(file):
                with quiet_pillow():
                    try:
                        picture = read_label_picture(file, class_num, max_image_pixels)
                    except Exception as error:  # a damaged file can make a decoder raise anything
                        dataset.bad.append(BadSample(file, reason(error)))
                        continue
                found = Segmented(name, class_ids, (height, width), None, picture)
            yield found


class PositionErrors:
    """The sink that says how right the classes are where they are known."""

    def __init__(self, class_labels: Sequence[str], say: Callable[[str], None]):
        self._labels, self._say = class_labels, say
        self._counts = PositionCounts(len(class_labels))

    def add(self, found: Segmented) -> None:
        """Compare an image with its truth, if there is one."""
        if compared := found.compared():
            self._counts.add(*compared)

    def finish(self) -> None:
        """Say the numbers, if there are any."""
        if self._counts.pairs.any():
            self._say(self._counts.report(self._labels))


class PictureFiles:
    """NAME_predict.png, and NAME_true.png where it is known, for images in a directory.

    They have the size of the label picture, else of the image among ``loose``, else of the network
    input. Images of several directories go to directories as theirs are below ``root``; names that
    differ in their suffix only keep it.
    Raises DataError where the directory cannot be made.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        names: Sequence[str],
        root: str,
        loose: Loose | None = None,
    ):
        self._given, self._directory, self._written = directory, Path(directory), 0
        self._loose, self._places = loose, {name: index for index, name in enumerate(names)}
        what = f"names of {len(names)} pictures"
        with room(_NAME_BYTES * len(names), what, "give fewer images"):
            self._stems = dict(zip(names, picture_stems(names, root), strict=True))
        make_directory(self._directory)

    def add(self, found: Segmented) -> None:
        """Write the pictures of an image; a label picture itself is never written over."""
        shape = self._shape(found)
        true = found.label_picture
        if found.label is not None:
            true = np.full(shape, found.label, np.uint8)
        self._save(found.name, PREDICTED, found.over(shape))
        if true is not None:
            self._save(found.name, TRUE, true)
        self._written += 1

    def finish(self) -> None:
        """Tell of how many images there are pictures."""
        log.info("%s: pictures of %s", self._given, counted(self._written, "image"))

    def _shape(self, found: Segmented) -> tuple[int, int]:
        if found.label_picture is not None:
            return found.label_picture.shape
        if not self._loose:  # arrays, which have the size of the network input
            return found.input_shape
        width, height = self._loose.size(self._places[found.name])
        return height, width

    def _save(self, name: str, ending: str, class_ids: np.ndarray) -> None:
        target = self._directory / f"{self._stems[name]}{ending}"
        if os.path.realpath(target) == os.path.realpath(label_file(name)):
            return
        make_directory(target.parent)
        with atomic_write(target) as temporary:
            class_picture(class_ids).save(temporary, format="png")
