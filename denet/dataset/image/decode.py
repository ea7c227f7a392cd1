"""Image files to pixels with Pillow."""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS
from denet.dataset.image.orientation import orientation_of, turned, upright_size
from denet.dataset.image.shrink import shrunk
from denet.memory import available_bytes, bytes_text

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_GREY_MODES = frozenset({"1", "L", "LA"})
_PIXEL_BYTES = 8  # of the largest usual mode, four channels of 16 bits
_FILE_BYTES = 1 << 26  # that any image file may have, for what is not pixels
_MAX_SCANS = 100  # of a progressive JPEG, as libtiff has it; encoders write about ten
_SCAN = b"\xff\xda"  # in coded data a 0xFF is followed by a zero or a restart (ITU T.81, F.1.2.3)
# bytes per pixel that decoding holds at once, what the decoder keeps and conversions included
_DECODER_BYTES = {"JPEG": 9, "MPO": 9, "PNG": 9, "GIF": 9}
_ANY_DECODER_BYTES = 25
_LARGE_BYTES = 1 << 29  # less is not worth a look at the memory that is free


class Fault(NamedTuple):
    """Why a file has no pixels: ``kind`` unreadable | pixels | size | colour, ``text`` in words."""

    position: int
    kind: str
    text: str


def image_suffixes() -> dict[str, str]:
    """Return suffix (".png") -> Pillow format ("PNG") of every format that can be read."""
    from PIL import Image

    suffixes, formats = Image.registered_extensions(), _formats()
    return {suffix: name for suffix, name in suffixes.items() if name in formats}


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that are read.

    Not EPS, a program, nor FITS, which can inflate a lot, nor BLP and IPTC, in which whole files of
    other formats hide.
    """
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.OPEN if name not in ("BLP", "EPS", "FITS", "IPTC"))


class _FaultyImage(Exception):
    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


class _Quiet:
    """Counts who wants quiet: filters of warnings, and a limit, belong to all threads together."""

    def __init__(self) -> None:
        self._lock, self._depth = threading.Lock(), 0

    def __enter__(self) -> None:
        from PIL import Image

        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
                self._most_pixels = Image.MAX_IMAGE_PIXELS

    def __exit__(self, *error: object) -> None:
        from PIL import Image

        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._filters.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = self._most_pixels


_quiet = _Quiet()


class _Room:
    """Memory for large images: they are decoded one at a time, and only where they fit."""

    def __init__(self) -> None:
        self.processes = 1  # that decode at the same time
        self._lock = threading.Lock()

    @contextmanager
    def decoding(self, image: PillowImage) -> Iterator[None]:
        """Hold the memory to decode an opened image; raise _FaultyImage if there is too little."""
        pixel_bytes = _DECODER_BYTES.get(image.format or "", _ANY_DECODER_BYTES)
        needed = image.width * image.height * pixel_bytes
        if needed < _LARGE_BYTES:
            yield
            return
        with self._lock:
            available = available_bytes()
            if available is not None and needed * self.processes > available:
                raise _FaultyImage(
                    "unreadable",
                    f"decoding {size_text(image.size)} pixels takes up to {bytes_text(needed)} of "
                    f"memory, {bytes_text(available // self.processes)} are free",
                )
            yield


_room = _Room()


def share_memory(processes: int) -> None:
    """Leave room for other processes: so many decode images at the same time, with this one."""
    _room.processes = processes


def quiet_pillow() -> _Quiet:
    """Silence Pillow's advice about odd but readable files; any threads may do so at a time.

    Behind it Pillow has the limit of pixels again that it had before images were opened.
    """
    return _quiet


def decode_image(
    path: str,
    size: tuple[int, int] | None = None,
    *,
    crop: tuple[int, int] | None = None,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> PillowImage:
    """Return one upright image in mode L or RGB, of several frames or pages the first.

    Grey modes become L (16 bits keep the high byte), all others RGB; transparency is ignored.

    size  (width, height) that the image must have
    crop  (width, height) that it is brought to, see ``fit_image``

    Raises whatever Pillow raises, OSError if there is no such file.
    """
    return decode_opened(open_image(path, max_image_pixels), size, crop)


def decode_opened(
    image: PillowImage,
    size: tuple[int, int] | None = None,
    crop: tuple[int, int] | None = None,
) -> PillowImage:
    """Return what ``decode_image`` does of an image whose header was read."""
    if size and upright_size(image) != size:  # before decoding what may be huge
        raise _FaultyImage("size", size_text(upright_size(image)))
    upright, _ = decode_upright(image, *crop) if crop else (decode_pixels(image), 1)
    if size and upright.size != size:  # some formats tell only then
        raise _FaultyImage("size", size_text(upright.size))
    return fit_image(upright, *crop) if crop else upright


def fit_image(image: PillowImage, width: int, height: int) -> PillowImage:
    """Return the image at this size: scaled until it just covers it, then cropped to the centre.

    For a square that is: the shorter side scaled to it, then the middle of the longer one. Where
    nothing is to be scaled whole pixels are taken.
    """
    from PIL import Image, ImageOps

    spare = image.width - width, image.height - height
    if min(spare) == 0:
        left, top = (-(-each // 2) for each in spare)
        return image.crop((left, top, left + width, top + height))
    return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)


def open_image(path: str, max_image_pixels: int = MAX_IMAGE_PIXELS) -> PillowImage:
    """Return an image as it is stored, its header read; nothing is decoded yet.

    Raises whatever Pillow raises, OSError if there is no such file.
    """
    return open_bytes(file_bytes(path, max_image_pixels), path, max_image_pixels)


def upright_header(
    path: str, max_image_pixels: int = MAX_IMAGE_PIXELS
) -> tuple[tuple[int, int], bool]:
    """Return the size of an image file as ``decode_image`` gives it, and whether it is turned.

    Nothing is decoded. Raises what ``open_image`` does.
    """
    image = open_image(path, max_image_pixels)
    return upright_size(image), orientation_of(image) > 1


def open_bytes(data: bytes, path: str, max_image_pixels: int) -> PillowImage:
    """Return what ``open_image`` does, of the bytes of a file of this name."""
    image = open_stream(io.BytesIO(data), path, max_image_pixels)
    if "progressive" in image.info and (scans := data.count(_SCAN)) > _MAX_SCANS:
        raise _FaultyImage("unreadable", f"{scans} scans, at most {_MAX_SCANS} are decoded")
    return image


def most_bytes(max_image_pixels: int) -> int:
    """Return how many bytes the file of an image of so many pixels may have."""
    return _FILE_BYTES + _PIXEL_BYTES * max_image_pixels


def check_file(path: str, max_image_pixels: int) -> None:
    """Raise for what is no image file, or larger than one of so many pixels can be."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise _FaultyImage("unreadable", "not a file")
    if not status.st_size:
        raise _FaultyImage("unreadable", "an empty file")
    if status.st_size > most_bytes(max_image_pixels):
        raise _too_large(max_image_pixels)


def file_bytes(path: str, max_image_pixels: int) -> bytes:
    """Return what is in an image file; raises what ``check_file`` does."""
    check_file(path, max_image_pixels)
    with open(path, "rb", buffering=0) as file:
        return file.read()


def open_stream(stream: IO[bytes], path: str, max_image_pixels: int) -> PillowImage:
    """Return the image with its header read; nothing is decoded yet."""
    from PIL import Image

    with quiet_pillow():
        Image.MAX_IMAGE_PIXELS = max_image_pixels  # Pillow checks images within images by it too
        try:
            image = _open(stream, path)
        except Image.DecompressionBombError:
            raise _too_large(max_image_pixels) from None
    if image.width * image.height > max_image_pixels:
        raise _too_large(max_image_pixels)
    return image


def _open(stream: IO[bytes], path: str) -> PillowImage:
    from PIL import Image, UnidentifiedImageError

    formats = _formats()
    usual = Image.EXTENSION.get(os.path.splitext(path)[1].lower())
    try:
        return Image.open(stream, formats=(usual,) if usual in formats else formats)
    except UnidentifiedImageError:
        stream.seek(0)
        return Image.open(stream, formats=formats)


def _too_large(max_image_pixels: int) -> _FaultyImage:
    return _FaultyImage("pixels", f"more pixels than --max-image-pixels {max_image_pixels}")


def size_text(size: Sequence[int]) -> str:
    """Return WIDTHxHEIGHT."""
    return f"{size[0]}x{size[1]}"


def decode_pixels(image: PillowImage) -> PillowImage:
    """Decode an opened image; return it upright, in mode L or RGB."""
    lies = orientation_of(image)
    with _room.decoding(image):
        image.load()
        upright = turned(image, lies)
        return upright if upright.mode in ("L", "RGB") else _convert(upright)


def decode_upright(image: PillowImage, width: float, height: float) -> tuple[PillowImage, float]:
    """Decode an opened image; return it upright, in mode L or RGB.

    A JPEG that is to be scaled to this size, in pixels, is decoded at 1/2, 1/4 or 1/8 of its own
    where that keeps it sharp; the second value is by how much its sides have shrunk.
    """
    shrink = shrunk(image, width, height)
    return decode_pixels(image), shrink


def _convert(image: PillowImage) -> PillowImage:
    from PIL import Image

    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise _FaultyImage("unreadable", "32-bit values: save it with 8 or 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise _FaultyImage("unreadable", "floating-point values: save it with 8 bits, or use npy")
    if image.mode in ("P", "PA"):  # a palette may hold transparency, which RGB alone cannot take
        image = image.convert("RGBA")
    return image.convert("L" if image.mode in _GREY_MODES else "RGB")


def decode_files(
    paths: Sequence[str],
    out: np.ndarray,
    crop: bool = False,
    convert: bool = False,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> list[Fault]:
    """Write the images into ``out`` (k, h, w, c) uint8; return the faults, their slots undefined.

    With c = 3 grey images are repeated; with c = 1 a colour image is a fault, unless ``convert``
    makes it grey. Unless ``crop`` is set, an image of another size is a fault too.
    """
    _, height, width, channels = out.shape
    size = {"crop" if crop else "size": (width, height)}
    faults = []
    with quiet_pillow():
        for position, path in enumerate(paths):
            try:
                image = decode_image(path, **size, max_image_pixels=max_image_pixels)
                if channels == 1 and image.mode != "L":
                    if not convert:
                        raise _FaultyImage("colour", "a colour image")
                    image = image.convert("L")
                pixels = np.asarray(image)
                out[position] = pixels[:, :, None] if image.mode == "L" else pixels
            except Exception as error:  # a damaged file can make a decoder raise anything
                faults.append(Fault(position, getattr(error, "kind", "unreadable"), reason(error)))
    return faults


def reason(error: Exception) -> str:
    """Return in a few words why a file could not be decoded."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "an image within it has more pixels than --max-image-pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__
