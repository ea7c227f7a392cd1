"""Images with boxes as the reader of a layout lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from denet.dataset.image.boxes import Boxes
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

    def boxes_px(self, sizes: np.ndarray) -> Boxes:
        """Return the boxes in pixels of images of ``sizes`` (N, 2)."""
        if not self.shares:
            return self.boxes
        sides = np.tile(sizes, 2)[self.boxes.image].astype(np.float32)
        boxes_px = self.boxes.boxes_px * sides
        return replace(self.boxes, boxes_px=boxes_px, area=area(boxes_px).astype(np.float32))
