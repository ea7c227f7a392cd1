"""Images with boxes, decoded when they are asked for and cropped as a network takes them."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from denet.dataset.augment import (
    centre_view,
    change_colours,
    generator,
    random_view,
    ten_views,
)
from denet.dataset.base import (
    MAX_IMAGE_PIXELS,
    BadDataError,
    BadSample,
    Dataset,
    Samples,
    choose_samples,
    none_usable,
    repeated,
)
from denet.dataset.boxes import Boxes, View, fill_targets, network_boxes, seen
from denet.dataset.decode import decode_stored, open_image, quiet_pillow, reason
from denet.dataset.image_options import IMAGENET_MEAN, IMAGENET_STD, ImageOptions, Size
from denet.detect.box import BOX_CAPACITY
from denet.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

log = logging.getLogger(__name__)

_STATISTICS_IMAGES = 500
_REDUCING_GAP = 2.0  # a large image is first averaged over blocks, to twice its new size or more
_TOLERANCE = 1e-6  # network pixels


class DetectionDataset(Dataset):
    """N images in files, each with any number of boxes; memory holds annotations only.

    names, image_ids   N files, and what the annotations call the images
    boxes              of all images, as stored: targets leave out those of crowds
    sizes              (N, 2) int32 stored (width, height), 0 where unknown
    category_ids       number of each class in the annotations, -1 or [] where it has none
    view_num           samples of each image: sample s is view s % view_num of image s // view_num
    bad                what was left out, and what could not be decoded since

    An image that turns out to be damaged is an error. Under ``on_bad_data`` "skip" its place is
    taken in training by another image, which its key determines; in prediction it is black, and
    ``usable`` and ``truth`` leave it out of what is compared.
    """

    def __init__(
        self,
        class_labels: Sequence[str],
        names: list[str],
        image_ids: Sequence[str | int],
        boxes: Boxes,
        sizes: np.ndarray,
        options: ImageOptions,
        *,
        labels: np.ndarray | None = None,
        category_ids: Sequence[int] = (),
        published: bool = False,
        bad: Sequence[BadSample] = (),
        on_bad_data: str = "error",
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ):
        self.view_num = 10 if options.multicrop else 1
        self.classified = labels is not None
        self.boxed = not self.classified or len(boxes) > 0
        labels = np.zeros(len(names), np.int32) if labels is None else labels
        width, height = options.crop
        super().__init__(
            class_labels,
            np.repeat(labels, self.view_num),
            repeated(names, self.view_num),
            (3, height, width),
            bad,
        )
        self.image_ids = list(image_ids)
        self.boxes, self.sizes = boxes, sizes
        self.category_ids = list(category_ids)
        self.options = options
        self.epoch_limit = options.most_images
        self._targets = boxes.keep(~boxes.crowd)
        self._published = published
        self._skip = on_bad_data == "skip"
        self._max_image_pixels = max_image_pixels
        self._lock = threading.Lock()

    @property
    def truth(self) -> Boxes:
        """The boxes of the images that have not been found to be damaged, of the others none."""
        return self.boxes.keep(self.usable_images[self.boxes.image])

    @property
    def usable_images(self) -> np.ndarray:
        """Which images have not been found to be damaged (N,) bool."""
        return self.usable(range(0, len(self), self.view_num))

    @property
    def boxes_px(self) -> np.ndarray:
        """Corners of all boxes (T, 4) float32, see Boxes."""
        return self.boxes.boxes_px

    @property
    def box_class(self) -> np.ndarray:
        """Class of all boxes (T,) int32."""
        return self.boxes.box_class

    @property
    def difficult(self) -> np.ndarray:
        """Which boxes are difficult (T,) bool."""
        return self.boxes.difficult

    @property
    def crowd(self) -> np.ndarray:
        """Which boxes are around crowds (T,) bool."""
        return self.boxes.crowd

    @property
    def area(self) -> np.ndarray:
        """Pixels of the object in each box (T,) float32: what COCO calls small or large."""
        return self.boxes.area

    @property
    def start(self) -> np.ndarray:
        """First box of each image (N + 1,) int64."""
        return self.boxes.start

    def text(self) -> str:
        """Return number and shape of the samples, and numbers of boxes and classes, in words."""
        if not self.boxed:
            return super().text()
        shape, class_num = "x".join(map(str, self.shape)), len(self.class_labels)
        return (
            f"{len(self)} images of {shape} with {len(self.boxes)} boxes of {class_num} "
            f"class{'es' * (class_num != 1)}"
        )

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.load(indices, np.zeros(len(indices), np.uint64), training=False).images

    def class_counts(self) -> np.ndarray:
        """Return how many images of each class there are, or boxes where images have none."""
        found = self.labels if self.classified else self.boxes.box_class
        return np.bincount(found, minlength=len(self.class_labels))

    def append_mirrored(self) -> None:
        raise UsageError(
            "augment-mirror: images with boxes are mirrored at random anyway: leave it out"
        )

    def fingerprint(self) -> dict[str, int]:
        """Return checksums of the boxes and of the sizes of the files, which are not opened."""
        sizes = np.fromiter(map(_file_size, self.image_names), np.int64)
        return {"boxes": self.boxes.checksum(), "files": crc32(sizes.tobytes())}

    def statistics_samples(self) -> np.ndarray:
        images = choose_samples(len(self) // self.view_num, _STATISTICS_IMAGES, seed=0)
        return images * self.view_num

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the constants of ImageNet for the published sets and with ``subtract_mean``.

        For data of one's own: mean and std of up to 500 images as prediction sees them.
        """
        if self._published or self.options.subtract_mean:
            return IMAGENET_MEAN, IMAGENET_STD
        return super().channel_statistics()

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        """Return samples: in training cropped, mirrored and coloured as their keys determine.

        Images are float32 if their colours are changed, so that nothing is clipped, else uint8.
        Targets: box (k, BOX_CAPACITY, 4) float32, normalised, and box_class (k, BOX_CAPACITY)
        int32, -1 for none; class_index (k,) where images have a class; view (k, 5) float32, the
        fields of View.
        """
        if training and self.view_num > 1:
            raise UsageError("multicrop: --extension: ten views per image are for prediction")
        indices = indices.copy()
        count, (_, height, width) = len(indices), self.shape
        coloured = training and (self.options.augment_photo or self.options.augment_color)
        images = np.empty((count, height, width, 3), np.float32 if coloured else np.uint8)
        targets: dict[str, np.ndarray] = {"view": np.zeros((count, 5), np.float32)}
        if self.boxed:
            targets["box"] = np.zeros((count, BOX_CAPACITY, 4), np.float32)
            targets["box_class"] = np.full((count, BOX_CAPACITY), -1, np.int32)
        with quiet_pillow():
            for slot, key in enumerate(keys.tolist()):
                for index in self._candidates(int(indices[slot]), key, training):
                    rng = generator(key) if training else None
                    image, view = self._view(index, rng)
                    if image is not None:
                        break
                indices[slot], targets["view"][slot] = index, view
                if image is None:
                    images[slot] = 0
                    continue
                if coloured and rng:
                    image = change_colours(
                        image, self.options.augment_photo, self.options.augment_color, rng
                    )
                images[slot] = image
                if self.boxed:
                    self._fill(index, view, targets["box"][slot], targets["box_class"][slot])
        if self.classified:
            targets["class_index"] = self.labels[indices]
        return Samples(images, targets, indices)

    def _candidates(self, index: int, key: int, training: bool) -> Iterator[int]:
        """Yield a sample; in training then all others, in a circle from where its key points.

        Keys spread evenly, so that no other image is shown much more often than the rest.
        Raises BadDataError behind the last.
        """
        yield index
        if training:
            yield from ((key + place) % len(self) for place in range(len(self)))
            raise none_usable(self.bad)

    def _view(self, index: int, rng: np.random.Generator | None) -> tuple[np.ndarray | None, View]:
        """Return the pixels of a sample and where they lie; None for an image that is damaged."""
        options, (image_index, view_index) = self.options, divmod(index, self.view_num)
        resample = "LANCZOS"
        try:
            image = open_image(self.names[index], self._max_image_pixels)
            if rng:
                boxes_px = self._targets.boxes_px[self._targets.of(image_index)]
                view, resample = random_view(options, image.size, boxes_px, rng)
            elif options.multicrop:
                view = ten_views(options, image.size)[view_index]
            else:
                view = centre_view(options, image.size)
            return render(image, view, options.crop, resample), view
        except Exception as error:  # a damaged file can make a decoder raise anything
            self._note_damage(index, error)
            return None, View(1, 1, 0, 0)

    def _fill(self, index: int, view: View, box: np.ndarray, box_class: np.ndarray) -> None:
        """Write the boxes that a sample shows to its targets."""
        own = self._targets.of(index // self.view_num)
        boxes = network_boxes(self._targets.boxes_px[own], view, *self.options.crop)
        kept = seen(boxes, self.options.check_onscreen, self.options.check_center)
        fill_targets(boxes[kept], self._targets.box_class[own][kept], box, box_class)

    def _note_damage(self, index: int, error: Exception) -> None:
        """Remember an image that cannot be decoded; raise BadDataError unless it is passed over."""
        damaged = BadSample(self.names[index], reason(error))
        with self._lock:
            if damaged not in self.bad:
                self.bad.append(damaged)
                self.on_bad()
                if self._skip:
                    log.warning("damaged image left out: %s: %s", *damaged)
        if not self._skip:
            raise BadDataError(
                f"cannot read the image: {damaged.name}: {damaged.reason}; repair or "
                "remove it, or go on without it: --on-bad-data skip",
                [damaged],
            ) from None


def _file_size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return -1


def render(image: PillowImage, view: View, crop: Size, resample: str) -> np.ndarray:
    """Return the pixels (h, w, 3) uint8 that an opened image shows in a view, black outside.

    A network pixel that the border of the image crosses is black too. ``resample`` names a filter
    of Pillow.
    """
    from PIL import Image

    size = image.size
    (x0, x1), (y0, y1) = (
        _visible(length, scale, offset, limit)
        for length, scale, offset, limit in zip(size, view[:2], view[2:4], crop, strict=True)
    )
    if x0 >= x1 or y0 >= y1:
        return np.zeros((crop[1], crop[0], 3), np.uint8)
    stored, shrink = decode_stored(image, size[0] * view.scale_x, size[1] * view.scale_y)
    part = [
        min(max((place + offset) / scale, 0), length) / shrink
        for place, offset, scale, length in (
            (x0, view.offset_x, view.scale_x, size[0]),
            (y0, view.offset_y, view.scale_y, size[1]),
            (x1, view.offset_x, view.scale_x, size[0]),
            (y1, view.offset_y, view.scale_y, size[1]),
        )
    ]
    resized = stored.resize(
        (x1 - x0, y1 - y0),
        Image.Resampling[resample],
        (part[0], part[1], part[2], part[3]),
        _REDUCING_GAP,
    )
    pixels = np.asarray(resized.convert("RGB"))
    if pixels.shape[1::-1] != crop:
        shown, pixels = pixels, np.zeros((crop[1], crop[0], 3), np.uint8)
        pixels[y0:y1, x0:x1] = shown
    return pixels[:, ::-1] if view.mirrored else pixels


def _visible(length: int, scale: float, offset: float, limit: int) -> tuple[int, int]:
    """Return the first and behind the last network pixel that lie wholly in the image."""
    first = math.ceil(-offset - _TOLERANCE)
    return max(0, first), min(limit, math.floor(length * scale - offset + _TOLERANCE))
