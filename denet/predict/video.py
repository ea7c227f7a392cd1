"""The frames of a video file as images."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from denet.dataset.base import MAX_IMAGE_PIXELS, Names
from denet.dataset.image.options import Size
from denet.errors import DataError, UsageError
from denet.predict.loose import Loose

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

SUFFIXES = (
    *(".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"),
)
MISSING = "videos: av is not installed: pip install av"


def is_video(path: str | os.PathLike[str]) -> bool:
    """Say whether a path is named as videos are."""
    return os.fspath(path).lower().endswith(SUFFIXES)


class Frames(Loose):
    """Every ``step``-th frame of a video, upright: VIDEO/000000, VIDEO/000010, ...

    Each thread decodes the video for itself, from the first frame on where it goes back. Raises
    UsageError where no library reads videos, DataError for a file that is none.
    """

    def __init__(self, path: str, step: int = 1, max_image_pixels: int = MAX_IMAGE_PIXELS):
        self._path, self._step, self._limit = path, step, max_image_pixels
        self._own = threading.local()
        self._size: Size | None = None
        count = _Reader(path, max_image_pixels).count()
        if not count:
            raise DataError(f"input: no frames in the video: {os.path.abspath(path)}")
        self.names = Names(lambda frame: f"{path}/{frame:06d}", range(0, count, step))

    def image(self, index: int) -> PillowImage:
        frame, reader = index * self._step, getattr(self._own, "reader", None)
        if reader is None or reader.place > frame:
            reader = self._own.reader = _Reader(self._path, self._limit)
        return reader.at(frame)

    def size(self, index: int) -> Size:
        if self._size is None:  # all frames have that of the first
            self._size = _Reader(self._path, self._limit).at(0).size
        return self._size


class _Reader:
    """Goes through a video from its first frame on."""

    def __init__(self, path: str, max_image_pixels: int):
        av = _require_av()
        self._limit, self._error = max_image_pixels, av.error.FFmpegError
        self.place = -1  # of the frame that was decoded last
        self._frame: Any = None
        try:
            # what a playlist in disguise names is not fetched
            self._container = av.open(path, options={"protocol_whitelist": "file"})
            self._stream = self._container.streams.best("video")
        except (self._error, OSError) as error:
            raise DataError(
                f"input: cannot read the video: {os.path.abspath(path)}: {_reason(error)}"
            ) from None
        if not self._stream:
            raise DataError(f"input: no pictures in the video: {os.path.abspath(path)}")
        context = self._stream.codec_context
        context.options = {"max_pixels": str(max_image_pixels)}
        context.thread_type = "AUTO"
        self._frames = self._container.decode(self._stream)

    def count(self) -> int:
        """Return how many frames there should be, without decoding them; nothing is left then.

        What is decoded for later frames alone is none: that before the start of a video cut short.
        """
        packets = self._container.demux(self._stream)
        try:
            return sum(packet.size > 0 and not packet.is_discard for packet in packets)
        except self._error:  # it ends where it is damaged
            return self._stream.frames

    def at(self, place: int) -> PillowImage:
        """Return the frame of this number, which no later one has been asked for before."""
        while self.place < place:
            try:
                self._frame = next(self._frames, None)
            except self._error as error:
                raise ValueError(_reason(error)) from None
            if self._frame is None:
                raise ValueError("the video ends before this frame")
            self.place += 1
        if self._frame.width * self._frame.height > self._limit:
            raise ValueError(f"more pixels than --max-image-pixels {self._limit}")
        return _upright(self._frame)


def _upright(frame: Any) -> PillowImage:
    """Return a frame as people see it: telephones film lying and say so."""
    from PIL import Image

    turns: dict[int, Image.Transpose] = {
        90: Image.Transpose.ROTATE_90,
        180: Image.Transpose.ROTATE_180,
        270: Image.Transpose.ROTATE_270,
    }
    image: PillowImage = frame.to_image()
    turn = turns.get(round(getattr(frame, "rotation", 0)) % 360)  # which older versions lack
    return image if turn is None else image.transpose(turn)


def _require_av() -> Any:
    try:
        import av
    except ImportError:
        raise UsageError(MISSING) from None
    return av


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
