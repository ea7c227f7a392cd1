"""Ten views of every image of a dataset, whose answers are averaged."""

from __future__ import annotations

import numpy as np

from denet.dataset.augment import ten_views
from denet.dataset.base import Dataset, Samples, repeated
from denet.dataset.image_options import ImageOptions, Size
from denet.errors import DataError


def scaled(width: int, height: int) -> Size:
    """Return the size that images are scaled to for views of this size: 256 for 224.

    Krizhevsky et al. 2012, section 4.1.
    """
    return round(width * 256 / 224), round(height * 256 / 224)


class TenViews(Dataset):
    """Centre, corners, and their mirror images, of ``shape`` (c, h, w), cut from each image.

    Sample s is view s % view_num of image s // view_num. Raises DataError for images of other
    channels than ``shape`` or smaller.
    """

    view_num = 10

    def __init__(self, images: Dataset, shape: tuple[int, int, int]):
        channels, height, width = shape
        _, image_height, image_width = images.shape
        if images.shape[0] != channels or image_height < height or image_width < width:
            found, wanted = ("x".join(map(str, each)) for each in (images.shape, shape))
            raise DataError(
                f"images are {found} (channels x height x width) but views of {wanted} are to be "
                "cut from them: give larger ones, or --predict-mode single"
            )
        names = repeated(images.names, self.view_num)
        labels = np.repeat(images.labels, self.view_num)
        super().__init__(images.class_labels, labels, names, shape)
        self.bad = images.bad  # of which there may be more later
        self._images = images
        size = (image_width, image_height)
        self._views = ten_views(ImageOptions(crop=(width, height), scale=size), size)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.load(indices, np.zeros(len(indices), np.uint64), training=False).images

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        rows, place = np.unique(indices // self.view_num, return_inverse=True)
        images, targets, _ = self._images.load(rows, keys[: len(rows)], training)
        channels, height, width = self.shape
        cut = np.empty((len(indices), height, width, channels), images.dtype)
        for slot, number in enumerate(indices % self.view_num):
            view = self._views[number]
            x, y = int(view.offset_x), int(view.offset_y)
            part = images[place[slot], y : y + height, x : x + width]
            cut[slot] = part[:, ::-1] if view.mirrored else part
        return Samples(cut, {name: values[place] for name, values in targets.items()}, indices)
