"""Image files to pixels with Pillow, in this process or in decoder processes.

A small JPEG spends most of its time in Python code that holds the interpreter lock, so two threads
decode no faster than one. Decoder processes do: each gets file names through its standard input and
answers with pixels, which the caller's thread reads straight into their place in the set.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from denet.errors import WorkerError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_GREY_MODES = frozenset({"1", "L", "LA"})
_ORIENTATION_SOURCES = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")


class Fault(NamedTuple):
    """Why a file has no pixels: ``kind`` unreadable | size | colour, ``text`` in words."""

    position: int
    kind: str
    text: str


def image_suffixes() -> dict[str, str]:
    """Return suffix (".png") -> Pillow format ("PNG") of every format Pillow can read."""
    from PIL import Image

    suffixes = Image.registered_extensions()
    return {suffix: name for suffix, name in suffixes.items() if name in Image.OPEN}


class _FaultyImage(Exception):
    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


@contextmanager
def bombs_only() -> Iterator[None]:
    """Silence Pillow's advice about odd but readable files; images of absurd size are errors."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode_image(path: str, size: tuple[int, int] | None = None) -> PillowImage:
    """Return one upright image in mode L or RGB; its size must be (width, height) ``size``.

    Grey modes become L (16 bits keep the high byte), all others RGB; transparency is ignored.
    Raises whatever Pillow raises, OSError if there is no such file.
    """
    from PIL import Image, UnidentifiedImageError

    with open(path, "rb", buffering=0) as file:
        stream = io.BytesIO(file.read())
    usual = Image.EXTENSION.get(os.path.splitext(path)[1].lower())
    try:
        image = Image.open(stream, formats=(usual,) if usual in Image.OPEN else None)
    except UnidentifiedImageError:
        stream.seek(0)
        image = Image.open(stream)
    if size and sorted(image.size) != sorted(size):  # before decoding what may be huge
        raise _FaultyImage("size", f"{image.width}x{image.height}")
    image.load()
    upright: PillowImage = image
    if hasattr(image, "tag_v2") or any(key in image.info for key in _ORIENTATION_SOURCES):
        from PIL import ImageOps

        upright = ImageOps.exif_transpose(image)
    if size and upright.size != size:
        raise _FaultyImage("size", f"{upright.width}x{upright.height}")
    return upright if upright.mode in ("L", "RGB") else _convert(upright)


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


def decode_files(paths: Sequence[str], out: np.ndarray) -> list[Fault]:
    """Write the images into ``out`` (k, h, w, c) uint8; return the faults, their slots undefined.

    With c = 3 grey images are repeated; with c = 1 a colour image is a fault.
    """
    from PIL import Image

    Image.init()
    _, height, width, channels = out.shape
    faults = []
    with bombs_only():
        for position, path in enumerate(paths):
            try:
                image = decode_image(path, (width, height))
                if channels == 1 and image.mode != "L":
                    raise _FaultyImage("colour", "a colour image")
                pixels = np.asarray(image)
                out[position] = pixels[:, :, None] if image.mode == "L" else pixels
            except Exception as error:  # a damaged file can make a decoder raise anything
                faults.append(Fault(position, getattr(error, "kind", "unreadable"), reason(error)))
    return faults


def reason(error: Exception) -> str:
    """Return in a few words why a file could not be decoded."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__


class Decoder:
    """A decoder process; its owner talks to it from one thread at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from denet.dataset.decode import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the owner, who decides when to stop
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def decode(self, paths: Sequence[str], out: np.ndarray) -> list[Fault]:
        """Do what ``decode_files`` does, for a contiguous ``out``; WorkerError if it died."""
        request = json.dumps([list(paths), out.shape]).encode()
        try:
            self._send(len(request).to_bytes(8, "little") + request)
            answer = bytearray(int.from_bytes(self._receive(bytearray(8)), "little"))
            faults = json.loads(self._receive(answer))
            self._receive(out.data.cast("B"))
        except (OSError, EOFError):
            status = self._process.wait()
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            raise WorkerError(
                f"image decoder ended {how}: while reading {paths[0]} and the "
                f"{len(paths) - 1} files after it: look for a damaged file or too little memory"
            ) from None
        return [Fault(*fault) for fault in faults]

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
        self._process.wait()

    def _send(self, message: bytes) -> None:
        assert self._process.stdin
        view = memoryview(message)
        while view:
            view = view[self._process.stdin.write(view) or 0 :]

    def _receive(self, buffer: Any) -> Any:
        assert self._process.stdout
        view = memoryview(buffer)
        while view:
            count = self._process.stdout.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            view = view[count:]
        return buffer


def serve() -> None:
    """Answer decode requests until standard input ends: the body of a decoder process."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not land among the pixels
    while header := requests.read(8):
        paths, shape = json.loads(requests.read(int.from_bytes(header, "little")))
        out = np.zeros(shape, np.uint8)
        faults = json.dumps(decode_files(paths, out)).encode()
        answers.write(len(faults).to_bytes(8, "little") + faults)
        answers.write(out.data.cast("B"))
        answers.flush()
