"""One photo as a network sees it: opened, cropped, in other light, with the boxes that it shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from denet.dataset.augment import centre_shift, centre_view, random_view, ten_views
from denet.dataset.boxes import View, network_boxes, seen
from denet.dataset.colours import Components, change_colours
from denet.dataset.decode import decode_stored, open_image
from denet.dataset.image_options import ImageOptions
from denet.dataset.mosaic import Shown
from denet.dataset.render import Decode, render


class Photo(NamedTuple):
    """A file with the boxes in it that are targets, and which of its ten views is asked for."""

    name: str
    view_index: int
    boxes_px: np.ndarray  # (T, 4) float32
    box_class: np.ndarray  # (T,) int32


class Picture(NamedTuple):
    """The pixels (h, w, 3) uint8 of a view, and how far it is from the centre, see Samples."""

    view: View
    pixels: np.ndarray
    shift: tuple[int, int, bool]


def take(
    photo: Photo,
    options: ImageOptions,
    max_image_pixels: int,
    rng: np.random.Generator | None,
    decode: Decode = decode_stored,
) -> Picture:
    """Return what a file shows, in training in a view that ``rng`` draws.

    ``decode`` does what ``decode_stored`` does. A damaged file can raise anything.
    """
    image, resample = open_image(photo.name, max_image_pixels), "LANCZOS"
    if rng:
        view, resample = random_view(options, image.size, photo.boxes_px, rng)
        if options.mosaic:  # with so many views, LANCZOS would take most of the time
            resample = "BILINEAR"
    elif options.multicrop:
        view = ten_views(options, image.size)[photo.view_index]
    else:
        view = centre_view(options, image.size)
    pixels = render(image, view, options.crop, resample, decode)
    return Picture(view, pixels, centre_shift(options, image.size, view))


def finish(
    photo: Photo,
    picture: Picture,
    options: ImageOptions,
    components: Components | None,
    rng: np.random.Generator | None,
) -> Shown:
    """Return a picture, in training in light that ``rng`` draws, with the boxes it shows."""
    view, pixels, shift = picture
    if rng and (options.augment_photo or options.augment_color):
        assert components, "prepare_training comes first"
        strengths = options.augment_photo, options.augment_color
        pixels = change_colours(pixels, *strengths, rng, components)
    boxes, classes = photo.boxes_px, photo.box_class
    if len(boxes):
        boxes = network_boxes(boxes, view, *options.crop)
        kept = seen(boxes, options.check_onscreen, options.check_center)
        boxes, classes = boxes[kept], classes[kept]
    return Shown(pixels, boxes, classes, shift)
