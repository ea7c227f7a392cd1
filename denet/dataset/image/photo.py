"""One photo as a network sees it: opened, cropped, in other light, with the boxes that it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from denet.dataset.image.augment import Sources, centre_shift, centre_view, random_view, ten_views
from denet.dataset.image.boxes import View, network_boxes, seen
from denet.dataset.image.colours import Components, change_colours
from denet.dataset.image.decode import decode_upright, open_image, quiet_pillow
from denet.dataset.image.mosaic import Shown
from denet.dataset.image.options import ImageOptions
from denet.dataset.image.orientation import upright_size
from denet.dataset.image.render import Decode, render

Perform = Callable[[str, Sequence[str], np.ndarray | None, dict[str, Any]], list[Any]]


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
    decode: Decode = decode_upright,
) -> Picture:
    """Return what a file shows, in training in a view that ``rng`` draws.

    ``decode`` does what ``decode_upright`` does. A damaged file can raise anything.
    """
    image, resample = open_image(photo.name, max_image_pixels), "LANCZOS"
    size = upright_size(image)  # a JPEG may be decoded as a smaller one
    if rng:
        view, resample = random_view(options, size, photo.boxes_px, rng)
        if options.mosaic:  # with so many views, LANCZOS would take most of the time
            resample = "BILINEAR"
    elif options.multicrop:
        view = ten_views(options, size)[photo.view_index]
    else:
        view = centre_view(options, size)
    pixels = render(image, view, options.crop, resample, decode)
    return Picture(view, pixels, centre_shift(options, size, view))


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


class Answer(NamedTuple):
    """What ``show_files`` tells of a photo that it has made, in lists, as JSON holds them."""

    slot: int
    view: Sequence[float]
    shift: Sequence[int]
    box: Sequence[Sequence[float]]
    box_class: Sequence[int]


def show_files(
    paths: Sequence[str],
    out: np.ndarray,
    view_indices: Sequence[int],
    boxes_px: Sequence[Sequence[Sequence[float]]],
    box_class: Sequence[Sequence[int]],
    keys: Sequence[int] | None,
    options: dict[str, Any],
    components: Sequence[Any] | None,
    max_image_pixels: int,
) -> list[Answer]:
    """Write photos into ``out`` (k, h, w, 3); return what there is to tell of all but damaged ones.

    All else is as JSON holds it: for each file the fields of its Photo and, in training, its key;
    for all the fields of ImageOptions and Components.
    """
    sizes = {name: tuple(options[name]) for name in ("crop", "scale")}
    how = ImageOptions(**{**options, **sizes})
    colours = Components(*map(np.array, components)) if components else None
    sources, answers = Sources(), []
    with quiet_pillow():
        for slot, path in enumerate(paths):
            boxes = np.array(boxes_px[slot], np.float32).reshape(-1, 4)
            photo = Photo(path, view_indices[slot], boxes, np.array(box_class[slot], np.int32))
            rng = sources.of(keys[slot]) if keys else None
            try:
                picture = take(photo, how, max_image_pixels, rng)
            except Exception:  # whoever asked looks at it again, and tells why
                continue
            shown = finish(photo, picture, how, colours, rng)
            out[slot] = shown.pixels
            answer = picture.view, shown.shift, shown.box.tolist(), shown.box_class.tolist()
            answers.append(Answer(slot, *answer))
    return answers


def shown_by(
    perform: Perform,
    photos: Sequence[Photo],
    out: np.ndarray,
    keys: Sequence[int] | None,
    options: ImageOptions,
    components: Components | None,
    max_image_pixels: int,
) -> dict[int, tuple[View, Shown]]:
    """Have ``perform``, see Decoder, make photos in ``out``; return by slot all but damaged ones.

    ``keys`` are the sources of what is random in training, None in prediction.
    """
    settings = {
        "view_indices": [photo.view_index for photo in photos],
        "boxes_px": [photo.boxes_px.tolist() for photo in photos],
        "box_class": [photo.box_class.tolist() for photo in photos],
        "keys": keys,
        "options": asdict(options),
        "components": components and [each.tolist() for each in components],
        "max_image_pixels": max_image_pixels,
    }
    made = {}
    for answer in perform("show", [photo.name for photo in photos], out, settings):
        slot, view, (right, down, mirrored), box, box_class = answer
        boxes, classes = np.array(box, np.float64).reshape(-1, 4), np.array(box_class, np.int32)
        made[slot] = View(*view), Shown(out[slot], boxes, classes, (right, down, mirrored))
    return made
