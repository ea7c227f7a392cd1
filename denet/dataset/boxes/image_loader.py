"""Images with boxes, decoded when they are asked for and cropped as a network takes them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from zlib import crc32

import numpy as np

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
from denet.dataset.image.augment import Sources
from denet.dataset.image.boxes import Boxes, View, fill_targets
from denet.dataset.image.colours import IMAGENET_COMPONENTS, ColourSums, Components
from denet.dataset.image.decode import decode_upright, quiet_pillow, reason
from denet.dataset.image.kept_images import KeptImages
from denet.dataset.image.mosaic import MOSAIC_SALT, Shown, joined, tiles
from denet.dataset.image.options import IMAGENET_MEAN, IMAGENET_STD, ImageOptions
from denet.dataset.image.photo import Perform, Photo, finish, shown_by, take
from denet.dataset.image.render import Decode
from denet.detect.box import BOX_CAPACITY
from denet.errors import UsageError
from denet.files import file_size
from denet.printable import counted

log = logging.getLogger(__name__)

NOWHERE = View(1, 1, 0, 0)
_STATISTICS_IMAGES = 500
_CHECKSUM_MASK = (1 << 24) - 1  # float32 has room for no more


class DetectionDataset(Dataset):
    """N images in files, each with any number of boxes; memory holds annotations only.

    names, image_ids   N files, and what the annotations call the images
    boxes              of all images, upright: targets leave out those of crowds
    sizes              (N, 2) int32 upright (width, height), 0 where unknown
    category_ids       number of each class in the annotations, -1 or [] where it has none
    view_num           samples of each image: sample s is view s % view_num of image s // view_num
    bad                what was left out, and what could not be decoded since; what was left out
                       may still have its place, and is damaged then whatever its file shows

    An image that turns out to be damaged is an error. Under ``on_bad_data`` "skip" its place is
    taken in training by another image, which its key determines; in prediction it is black, and
    ``usable`` and ``truth`` leave it out of what is compared.
    """

    mirrors = True

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
        self.own_colours = options.own_colours
        self.in_files = not options.mosaic  # which takes more files than those asked for
        self._targets = boxes.keep(~boxes.crowd)
        self._published = published
        if published or options.subtract_mean:
            self.constants = IMAGENET_MEAN, IMAGENET_STD
        self._left_out = frozenset(each.name for each in bad)
        self._skip = on_bad_data == "skip"
        self._max_image_pixels = max_image_pixels
        self._lock = threading.Lock()
        self._kept = KeptImages()
        if options.mosaic and (self.classified or min(options.crop) < 2):
            raise UsageError(
                "mosaic: --extension: it is for images with boxes and without a class of their "
                "own, and crops of 2x2 pixels or more: leave it out"
            )

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

    @property
    def kept_bytes(self) -> int:
        return self._kept.at_most(self.sizes[self.usable_images])

    def text(self) -> str:
        """Return number and shape of the samples, and numbers of boxes and classes, in words."""
        if not self.boxed:
            return super().text()
        shape = "x".join(map(str, self.shape))
        boxes = counted(len(self.boxes), "box")
        return (
            f"{counted(len(self), 'image')} of {shape} with {boxes} of "
            f"{counted(len(self.class_labels), 'class')}"
        )

    def part(self, images: np.ndarray) -> DetectionDataset:
        """Return the set of these images (ascending indices) alone, told of once if damaged."""
        names, every = self.image_names, self.labels[:: self.view_num]
        part = DetectionDataset(
            self.class_labels,
            [names[index] for index in images],
            [self.image_ids[index] for index in images],
            self.boxes.take(images),
            self.sizes[images],
            self.options,
            labels=every[images] if self.classified else None,
            category_ids=self.category_ids,
            published=self._published,
            on_bad_data="skip" if self._skip else "error",
            max_image_pixels=self._max_image_pixels,
        )
        part.bad, part._lock, part._left_out = self.bad, self._lock, self._left_out
        part.on_bad = lambda: self.on_bad()
        return part

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.load(indices, np.zeros(len(indices), np.uint64), training=False).images

    def uncropped(self) -> DetectionDataset:
        """Return the images as prediction sees them, but not cropped to less than ``scale``."""
        width, height = map(max, self.options.crop, self.options.scale)
        whole = copy(self)
        whole.options = replace(self.options, crop=(width, height))
        whole.shape = (3, height, width)
        return whole

    def class_counts(self) -> np.ndarray:
        """Return how many images of each class there are, or boxes where images have none."""
        found = self.labels if self.classified else self.boxes.box_class
        return np.bincount(found, minlength=len(self.class_labels))

    def append_mirrored(self) -> None:
        raise UsageError(
            "--augment-mirror: images with boxes are mirrored at random anyway: leave it out"
        )

    def fingerprint(self) -> dict[str, int]:
        """Return checksums of the boxes and of the sizes of the files, which are not opened."""
        sizes = np.fromiter(map(file_size, self.image_names), np.int64)
        return {"boxes": self.boxes.checksum(), "files": crc32(sizes.tobytes())}

    def scored_fingerprint(self) -> dict[str, int]:
        """Return a checksum of which objects are difficult: they do not count."""
        return {"difficult": crc32(self.difficult.tobytes())}

    def image_checksums(self) -> np.ndarray:
        names, found = self.image_names, []
        for image, label in enumerate(self.labels[:: self.view_num].tolist()):
            name, own = names[image], self.boxes.of(image)
            text = f"{os.path.basename(name)}\0{file_size(name)}\0{label}"
            value = crc32(text.encode(errors="surrogateescape"))
            for array in (self.boxes.boxes_px, self.boxes.box_class, self.boxes.crowd):
                value = crc32(array[own].tobytes(), value)
            found.append(value & _CHECKSUM_MASK)
        return np.array(found, np.float32)

    def statistics_samples(self) -> np.ndarray:
        images = choose_samples(len(self) // self.view_num, _STATISTICS_IMAGES, seed=0)
        return images * self.view_num

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and std of up to 500 images as prediction sees them.

        They tell the components of colours, too, where training wants those.
        """
        if not self.own_colours:
            return super().channel_statistics()
        sums = self._measure_colours()
        return tuple(sums.mean().tolist()), tuple(sums.std().tolist())

    def prepare_training(self) -> None:
        if self.own_colours and self.components is None:
            self._measure_colours()

    def _measure_colours(self) -> ColourSums:
        """Take ``components`` from the images that statistics are of; return their sums."""
        sums = ColourSums()
        for chunk in self._chunks():
            sums.add(chunk)
        self.components = sums.components()
        return sums

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        """Return samples: in training cropped, mirrored and coloured as their keys determine.

        Images are float32 if their colours are changed, so that nothing is clipped, else uint8.
        Targets: box (k, BOX_CAPACITY, 4) float32, normalised, and box_class (k, BOX_CAPACITY)
        int32, -1 for none; class_index (k,) where images have a class; view (k, 5) float32, the
        fields of View; shift (k, 3), see Samples.
        """
        return self.load_by(None, indices, keys, training)

    def load_by(
        self, perform: Perform | None, indices: np.ndarray, keys: np.ndarray, training: bool
    ) -> Samples:
        if training and self.view_num > 1:
            raise UsageError("multicrop: --extension: ten views per image are for prediction")
        indices = indices.copy()
        count, (_, height, width) = len(indices), self.shape
        coloured = training and (self.options.augment_photo or self.options.augment_color)
        images = np.zeros((count, height, width, 3), np.float32 if coloured else np.uint8)
        targets: dict[str, np.ndarray] = {
            "view": np.zeros((count, 5), np.float32),
            "shift": np.zeros((count, 3), np.int32),
        }
        if self.boxed:
            targets["box"] = np.zeros((count, BOX_CAPACITY, 4), np.float32)
            targets["box_class"] = np.full((count, BOX_CAPACITY), -1, np.int32)
        sources, made = Sources() if training else None, {}
        if perform:
            photos = [self._photo(index) for index in indices.tolist()]
            settings = self.options, self._colours, self._max_image_pixels
            made = shown_by(perform, photos, images, keys.tolist() if sources else None, *settings)
        with quiet_pillow():
            for slot, (index, key) in enumerate(zip(indices.tolist(), keys.tolist(), strict=True)):
                if slot not in made or self.names[index] in self._left_out:
                    indices[slot], targets["view"][slot], shown = self._sample(index, key, sources)
                else:
                    targets["view"][slot], shown = made[slot]
                if not shown:
                    images[slot] = 0
                    continue
                if shown.pixels.base is not images:  # another process has not put them there
                    images[slot] = shown.pixels
                targets["shift"][slot] = shown.shift
                if self.boxed:
                    places = targets["box"][slot], targets["box_class"][slot]
                    fill_targets(shown.box, shown.box_class, *places)
        if self.classified:
            targets["class_index"] = self.labels[indices]
        return Samples(images, targets, indices)

    def _sample(
        self, index: int, key: int, sources: Sources | None
    ) -> tuple[int, View, Shown | None]:
        """Return what ``_usable`` does, or in training a mosaic, which lies nowhere."""
        if sources and self.options.mosaic:
            rng = sources.of(key, MOSAIC_SALT)
            if rng.random() < self.options.mosaic:
                return index, NOWHERE, self._mosaic(index, rng, sources)
        return self._usable(index, key, sources, self.options)

    def _mosaic(self, index: int, rng: np.random.Generator, sources: Sources) -> Shown:
        """Return an input whose tiles are samples of four images, this one among them."""
        images = rng.permutation([index, *rng.integers(len(self), size=3)]).tolist()
        keys = rng.integers(1 << 63, size=4).tolist()
        places = tiles(self.options.crop, rng)  # the last that is drawn of this source
        crop, scale = np.array(self.options.crop), np.array(self.options.scale)
        parts = []
        for tile, image, key in zip(places, images, keys, strict=True):
            width, height = np.maximum(np.rint(scale * tile.size / crop), 1).astype(int).tolist()
            options = replace(self.options, crop=tile.size, scale=(width, height))
            _, _, shown = self._usable(image, key, sources, options)
            assert shown, "training ends before it shows what is damaged"
            parts.append((tile, shown))
        return joined(parts)

    def _usable(
        self, index: int, key: int, sources: Sources | None, options: ImageOptions
    ) -> tuple[int, View, Shown | None]:
        """Return a sample, or in training the first candidate in its place that is not damaged.

        That is: its index, where it lies in its image, and what it shows, None if it is damaged.
        """
        for candidate in self._candidates(index, key, sources is not None):
            view, shown = self._show(candidate, sources.of(key) if sources else None, options)
            if shown:
                break
        return candidate, view, shown

    def _candidates(self, index: int, key: int, training: bool) -> Iterator[int]:
        """Yield a sample; in training then all others, in a circle from where its key points.

        Keys spread evenly, so that no other image is shown much more often than the rest.
        Raises BadDataError behind the last.
        """
        yield index
        if training:
            yield from ((key + place) % len(self) for place in range(len(self)))
            raise none_usable(self.bad)

    def _show(
        self, index: int, rng: np.random.Generator | None, options: ImageOptions
    ) -> tuple[View, Shown | None]:
        """Return where a sample lies in its image, and what it shows; None if that is damaged."""
        photo = self._photo(index)
        if photo.name in self._left_out:
            return NOWHERE, None
        decode: Decode = partial(self._kept.decode, photo.name) if rng else decode_upright
        try:
            picture = take(photo, options, self._max_image_pixels, rng, decode)
        except Exception as error:  # a damaged file can make a decoder raise anything
            self.note_damage(index, error, training=rng is not None)
            return NOWHERE, None
        return picture.view, finish(photo, picture, options, self._colours, rng)

    @property
    def _colours(self) -> Components | None:
        """The components along which training shifts colours, None if they are not known yet."""
        return self.components if self.own_colours else IMAGENET_COMPONENTS

    def _photo(self, index: int) -> Photo:
        """Return the file of a sample and its targets."""
        image_index, view_index = divmod(index, self.view_num)
        own = self._targets.of(image_index)
        boxes_px, box_class = self._targets.boxes_px[own], self._targets.box_class[own]
        return Photo(self.names[index], view_index, boxes_px, box_class)

    def note_damage(self, index: int, error: Exception, training: bool) -> None:
        """Remember an image that cannot be decoded; raise BadDataError unless it is passed over."""
        damaged = BadSample(self.names[index], reason(error))
        with self._lock:
            if damaged not in self.bad:
                self.bad.append(damaged)
                self.on_bad()
                if self._skip:
                    log.warning("damaged image left out: %s: %s", *damaged)
        if not self._skip:
            # what has begun goes on with the same files alone
            mend = "bring it back, then --resume" if training else "repair or remove it"
            raise BadDataError(
                f"cannot read the image: {damaged.name}: {damaged.reason}; {mend}, or go on "
                f"without it: {'--resume ' * training}--on-bad-data skip",
                [damaged],
            ) from None
