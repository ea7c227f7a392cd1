"""What image files are, whether they can be read, and how large they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from denet.dataset.base import MAX_IMAGE_PIXELS
from denet.dataset.image.decode import (
    check_file,
    decode_pixels,
    file_bytes,
    open_bytes,
    open_stream,
    quiet_pillow,
    reason,
)
from denet.dataset.image.orientation import orientation_of, upright_size


class Finding(NamedTuple):
    """What one image file is: upright size, mode, EXIF orientation, its hash.

    ``flat`` tells that all pixels have one colour once it is read. ``fault`` says why it cannot be
    read, "" if it can; the size is 0 where not even that is known.
    """

    width: int
    height: int
    mode: str
    orientation: int
    digest: str
    flat: bool
    fault: str


class Header(NamedTuple):
    """What the beginning of an image file tells: upright size, 0 where a ``fault`` hides it."""

    width: int
    height: int
    orientation: int
    fault: str


def inspect_image(path: str, max_image_pixels: int = MAX_IMAGE_PIXELS) -> Finding:
    """Return what an image file is; it is decoded too, so that damage is found."""
    size, mode, lies, digest = (0, 0), "", 1, ""
    try:
        data = file_bytes(path, max_image_pixels)
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        image = open_bytes(data, path, max_image_pixels)
        mode, lies, size = image.mode, orientation_of(image), upright_size(image)
        upright = decode_pixels(image)
    except Exception as error:  # a damaged file can make a decoder raise anything
        return Finding(*size, mode, lies, digest, False, reason(error))
    flat = len(upright.getcolors(1) or ()) == 1
    return Finding(*size, mode, lies, digest, flat, "")


def inspect_files(
    paths: Sequence[str], out: None = None, max_image_pixels: int = MAX_IMAGE_PIXELS
) -> list[Finding]:
    """Return what each image file is."""
    with quiet_pillow():
        return [inspect_image(path, max_image_pixels) for path in paths]


def read_header(path: str, max_image_pixels: int = MAX_IMAGE_PIXELS) -> Header:
    """Return the size of an image file; no more of it is read than that takes."""
    try:
        check_file(path, max_image_pixels)
        with open(path, "rb") as file:
            image = open_stream(file, path, max_image_pixels)
            return Header(*upright_size(image), orientation_of(image), "")
    except Exception as error:  # a damaged file can make a decoder raise anything
        return Header(0, 0, 1, reason(error))


def read_headers(
    paths: Sequence[str], out: None = None, max_image_pixels: int = MAX_IMAGE_PIXELS
) -> list[Header]:
    """Return the size of each image file."""
    with quiet_pillow():
        return [read_header(path, max_image_pixels) for path in paths]
