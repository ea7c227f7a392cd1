"""Images with boxes as the reader of a layout lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from denet.dataset.image.boxes import Boxes
from denet.dataset.image.orientation import LYING, turned_boxes
from denet.detect.box import area


@dataclass
class Annotated:
    """N images as annotations list them, in order.

    names         their files
    image_ids     what the annotations call them
    boxes         box_class is a position in ``class_names``
    class_names   all classes, in the order of the ids that a new network gets
    labels        (N,) class of the whole image, where it has one
    told_sizes    (N, 2) (width, height) that the annotations state, 0 if they do not
    faults        position of an image -> why it cannot be used
    category_ids  number of each class in the annotations, where it has one
    measured      whether the files of all images are looked at when they are opened; else only of
                  those with boxes, which have to be clipped
    shares        whether boxes are shares of the sides of their image, not pixels
    published     whether this is one of the sets that the constants of ImageNet are used for
    """

    names: list[str]
    image_ids: Sequence[str | int]
    boxes: Boxes
    class_names: list[str]
    told_sizes: np.ndarray
    labels: np.ndarray | None = None
    faults: dict[int, str] = field(default_factory=dict)
    category_ids: list[int] = field(default_factory=list)
    measured: bool = True
    published: bool = False
    shares: bool = False

    def take(self, rows: np.ndarray) -> Annotated:
        """Return the images of ``rows`` (ascending)."""
        place = {int(row): position for position, row in enumerate(rows)}
        return Annotated(
            [self.names[row] for row in rows],
            [self.image_ids[row] for row in rows],
            self.boxes.take(rows),
            self.class_names,
            self.told_sizes[rows],
            None if self.labels is None else self.labels[rows],
            {place[row]: text for row, text in self.faults.items() if row in place},
            self.category_ids,
            self.measured,
            self.published,
            self.shares,
        )

    def as_stored(self, sizes: np.ndarray, orientation: np.ndarray) -> np.ndarray:
        """Return of which images, see ``upright_boxes``, boxes mean the pixels as they lie (N,).

        Who labels sees photos upright today. Boxes drawn by a program that does not turn them have
        its width and height beside them; an upside down or square photo does not tell.
        """
        lying = np.isin(orientation, LYING) & (sizes[:, 0] != sizes[:, 1])
        found: np.ndarray = lying & (self.told_sizes == sizes[:, ::-1]).all(axis=1)
        return found

    def upright_boxes(self, sizes: np.ndarray, orientation: np.ndarray) -> Boxes:
        """Return the boxes in pixels of images of upright ``sizes`` (N, 2), orientation (N,)."""
        image, boxes_px = self.boxes.image, self.boxes.boxes_px
        stored = self.as_stored(sizes, orientation)
        object_area = self.boxes.area
        if self.shares:
            sides = np.where(stored[:, None], sizes[:, ::-1], sizes)[image]
            boxes_px = boxes_px * np.tile(sides, 2).astype(np.float32)
            object_area = area(boxes_px).astype(np.float32)
        rows = np.flatnonzero(stored[image])
        if len(rows):
            boxes_px = boxes_px.copy()
            of = image[rows]
            boxes_px[rows] = turned_boxes(boxes_px[rows], sizes[of], orientation[of])
        return replace(self.boxes, boxes_px=boxes_px, area=object_area)


def turned_text(stored: int) -> str:
    """Return how photos that EXIF turns are read, if boxes in ``stored`` of them lie as these."""
    if not stored:
        return "read upright, as their boxes are taken to mean"
    return (
        f"read upright; in {stored:,} of them boxes mean the pixels as they are stored, by the "
        "width and height beside them, and are turned too"
    )
