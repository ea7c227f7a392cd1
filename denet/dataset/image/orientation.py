"""How pixels lie in an image file, and what of them and of boxes is upright (EXIF 2.3, tag 274).

An orientation is a number from 1, upright, to 8. It is what the header of a file tells, before
anything is decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_TAG = 274
_SOURCES = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_TURNS = {  # orientation -> what Pillow calls that which sets it upright
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
LYING = (5, 6, 7, 8)  # which exchange width and height
_FROM_RIGHT, _FROM_BELOW = (2, 3, 6, 7), (3, 4, 7, 8)  # where what is stored first is seen


def orientation_of(image: PillowImage) -> int:
    """Return how the pixels of an opened image lie in its file, 1 if nothing tells."""
    tags = getattr(image, "tag_v2", None)
    try:
        if tags is None and any(key in image.info for key in _SOURCES):
            tags = image.getexif()
        value = int(tags.get(_TAG, 1)) if tags else 1
    except Exception:  # damaged EXIF can raise anything; the pixels are none the worse for it
        return 1
    return value if value in _TURNS else 1


def upright_size(image: PillowImage) -> tuple[int, int]:
    """Return the (width, height) that an opened image has once it is upright."""
    lying = orientation_of(image) in LYING and not _is_tiff(image)
    return (image.height, image.width) if lying else image.size


def turned(image: PillowImage, orientation: int) -> PillowImage:
    """Return a decoded image upright, which no longer says that it is to be turned."""
    if orientation not in _TURNS:
        return image
    from PIL import Image

    upright = image if _is_tiff(image) else image.transpose(Image.Transpose[_TURNS[orientation]])
    for source in _SOURCES:  # Pillow copies them
        upright.info.pop(source, None)
    return upright


def turned_boxes(boxes_px: np.ndarray, sizes: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Return where boxes (T, 4) in the stored pixels of lying images are once these are upright.

    sizes (T, 2) and orientation (T,), 5 to 8, are those of the image that each box is in.
    """
    corners = boxes_px[:, [1, 0, 3, 2]]
    for axis, backwards in enumerate((_FROM_RIGHT, _FROM_BELOW)):
        rows = np.flatnonzero(np.isin(orientation, backwards))
        ends = corners[rows, axis], corners[rows, axis + 2]
        corners[rows, axis + 2], corners[rows, axis] = (sizes[rows, axis] - end for end in ends)
    return corners


def beginning(image: PillowImage, spare: tuple[float, float]) -> tuple[float, float]:
    """Return where in the upright pixels of an opened image x and y begin.

    A reduced JPEG has parts of pixels to ``spare`` at what is its right and lower end in the file.
    """
    lies = orientation_of(image)
    return spare[0] * (lies in _FROM_RIGHT), spare[1] * (lies in _FROM_BELOW)


def _is_tiff(image: PillowImage) -> bool:
    """Say whether Pillow itself sets an image upright: its size when opened, its pixels loaded."""
    return hasattr(image, "tag_v2")
