"""Ground truth boxes: those of many images in few arrays, and what a view of an image shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from zlib import crc32

import numpy as np

from denet.detect.box import BOX_CAPACITY, area

_FARTHEST = 1e9  # pixels; keeps wild coordinates finite in float32


class View(NamedTuple):
    """How network pixels lie in an image: network = image * scale - offset, then mirrored."""

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    mirrored: bool = False


@dataclass(frozen=True)
class Boxes:
    """The T boxes of N images, in the order of the images.

    boxes_px   (T, 4) float32 continuous pixel coordinates, x1 and y1 exclusive
    box_class  (T,) int32
    difficult  (T,) bool, hard even for people: trained on, left out of the score
    crowd      (T,) bool, around many objects: never a training target
    area       (T,) float32 pixels of the object, those of its box where nobody counted them
    start      (N + 1,) int64: the boxes of image i are start[i]:start[i + 1]
    """

    boxes_px: np.ndarray
    box_class: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    start: np.ndarray

    @classmethod
    def gather(
        cls,
        image_num: int,
        image: Sequence[int] | np.ndarray,
        boxes_px: Sequence[float] | np.ndarray,
        box_class: Sequence[int] | np.ndarray,
        difficult: Sequence[int] | np.ndarray | None = None,
        crowd: Sequence[int] | np.ndarray | None = None,
        object_area: Sequence[float] | np.ndarray | None = None,
    ) -> Boxes:
        """Sort boxes by the image that each is in; missing flags are False, missing areas nan."""
        image = np.asarray(image, np.int64)
        order = np.argsort(image, kind="stable")
        corners = np.clip(np.asarray(boxes_px, np.float64).reshape(-1, 4), -_FARTHEST, _FARTHEST)
        nothing = np.zeros(len(image), np.bool_)
        told = area(corners) if object_area is None else np.asarray(object_area, np.float64)
        return cls(
            corners[order].astype(np.float32),
            np.asarray(box_class, np.int32)[order],
            (nothing if difficult is None else np.asarray(difficult, np.bool_))[order],
            (nothing if crowd is None else np.asarray(crowd, np.bool_))[order],
            np.where(np.isnan(told), area(corners), told)[order].astype(np.float32),
            np.searchsorted(image[order], np.arange(image_num + 1)),
        )

    def __len__(self) -> int:
        return len(self.box_class)

    @property
    def counts(self) -> np.ndarray:
        """Number of boxes of each image (N,)."""
        return np.diff(self.start)

    @property
    def scored(self) -> np.ndarray:
        """Whether a detector must find each box (T,): difficult ones and crowds do not count."""
        found: np.ndarray = ~(self.difficult | self.crowd)
        return found

    @property
    def image(self) -> np.ndarray:
        """Index of the image that each box is in (T,)."""
        return np.repeat(np.arange(len(self.start) - 1), self.counts)

    def of(self, image: int) -> slice:
        """Return where the boxes of an image are."""
        return slice(self.start[image], self.start[image + 1])

    def checksum(self) -> int:
        """Return a number that tells these boxes from others as far as training sees them."""
        arrays = (self.boxes_px, self.box_class, self.crowd, self.start)
        value = 0
        for array in arrays:
            value = crc32(array.tobytes(), value)
        return value

    def keep(self, mask: np.ndarray) -> Boxes:
        """Return the boxes of the mask (T,), for as many images."""
        return Boxes(
            self.boxes_px[mask],
            self.box_class[mask],
            self.difficult[mask],
            self.crowd[mask],
            self.area[mask],
            np.concatenate([[0], np.cumsum(mask)])[self.start],
        )

    def take(self, images: np.ndarray) -> Boxes:
        """Return the boxes of these images (ascending indices)."""
        wanted = np.zeros(len(self.start) - 1, np.bool_)
        wanted[images] = True
        start = np.concatenate([[0], np.cumsum(self.counts[images])])
        return replace(self.keep(wanted[self.image]), start=start)


class Mended(NamedTuple):
    """How many boxes were dropped for having no area, or lying outside, or were clipped."""

    degenerate: int
    outside: int
    clipped: int


def mend(boxes: Boxes, sizes: np.ndarray) -> tuple[Boxes, Mended]:
    """Return the boxes clipped to images of ``sizes`` (N, 2), those with area."""
    limit = sizes[boxes.image]
    inside = np.clip(boxes.boxes_px, 0, np.tile(limit, 2)).astype(np.float32)
    proper, visible = area(boxes.boxes_px) > 0, area(inside) > 0
    clipped = visible & (inside != boxes.boxes_px).any(axis=1)
    mended = Mended(*(int(each.sum()) for each in (~proper, proper & ~visible, clipped)))
    size = np.where(clipped, np.minimum(boxes.area, area(inside)), boxes.area)
    return replace(boxes, boxes_px=inside, area=size).keep(visible), mended


def network_boxes(boxes_px: np.ndarray, view: View, width: int, height: int) -> np.ndarray:
    """Return boxes (T, 4) float64, normalised to a network input of this size; not clipped."""
    scale = np.array([view.scale_x, view.scale_y] * 2)
    offset = np.array([view.offset_x, view.offset_y] * 2)
    boxes = (boxes_px * scale - offset) / np.array([width, height] * 2)
    if view.mirrored:
        boxes[:, [0, 2]] = 1 - boxes[:, [2, 0]]
    return boxes


def image_boxes(boxes: np.ndarray, views: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return boxes (T, 4) float64 in pixels of their images: ``network_boxes`` undone.

    views (T, 5): the View of each; width and height are those of the network input.
    """
    scale, offset, mirrored = np.tile(views[:, :2], 2), np.tile(views[:, 2:4], 2), views[:, 4:] != 0
    flipped = np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)
    shown = np.where(mirrored, flipped, boxes) * np.array([width, height] * 2)
    pixels: np.ndarray = (shown + offset) / scale
    return pixels


def seen(boxes: np.ndarray, check_onscreen: float, check_center: bool) -> np.ndarray:
    """Return which of the normalised boxes (T, 4) a network is to find in its input.

    Those with at least the share ``check_onscreen`` of their area inside; with ``check_center``
    also those whose centre is.
    """
    shown = area(np.clip(boxes, 0, 1))
    kept = shown >= check_onscreen * area(boxes)
    if check_center:
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        kept |= ((centre >= 0) & (centre < 1)).all(axis=1)
    result: np.ndarray = kept & (shown > 0)
    return result


def fill_targets(
    boxes: np.ndarray, box_class: np.ndarray, box: np.ndarray, target_class: np.ndarray
) -> None:
    """Write normalised boxes, clipped, to the targets of one sample.

    Those are ``box`` (BOX_CAPACITY, 4) float32 and ``target_class`` (BOX_CAPACITY,) int32, whose
    places that are left have class -1. Of more boxes the largest are kept.
    """
    clipped = np.clip(boxes, 0, 1)
    if len(clipped) > BOX_CAPACITY:
        largest = np.sort(np.argsort(-area(clipped), kind="stable")[:BOX_CAPACITY])
        clipped, box_class = clipped[largest], box_class[largest]
    box[:] = 0
    target_class[:] = -1
    box[: len(clipped)] = clipped
    target_class[: len(clipped)] = box_class
