"""The picture in a request: read no further than it may be long, bare or in a form."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from denet.memory import bytes_text

if TYPE_CHECKING:
    from starlette.requests import Request

SECONDS = 30.0  # that a body may take to arrive
FORM = "multipart/form-data"
# 1 to 70 characters (RFC 2046, 5.1.1)
_BOUNDARY = re.compile(r";\s*boundary=(?:\"([^\"]{1,70})\"|([^\s;\"]{1,70}))", re.IGNORECASE)
_FILE = re.compile(rb"^content-disposition:.*;\s*filename", re.IGNORECASE | re.MULTILINE)
_HEAD = 8192  # bytes of the headers of a part
_PARTS = 100  # of a form that are looked at


class Refused(Exception):
    """What a client is told instead of an answer."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None):
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


async def read_picture(request: Request, most: int) -> bytes:
    """Return the bytes of the picture in a request; raise Refused where there is none."""
    from starlette.requests import ClientDisconnect

    kind = request.headers.get("content-type", "")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise _too_long(most)
    try:
        body = await asyncio.wait_for(_read(request.stream(), most), SECONDS)
    except asyncio.TimeoutError:
        close = {"Connection": "close"}  # the rest is not waited for
        raise Refused(408, f"the body took longer than {SECONDS:g} seconds", close) from None
    except ClientDisconnect:
        raise Refused(400, "the body ends early") from None
    picture = form_file(body, kind) if kind.lower().startswith(FORM) else body
    if not picture:
        raise Refused(400, "no picture: send the bytes of an image file as the body")
    return picture


async def _read(stream: AsyncIterator[bytes], most: int) -> bytes:
    body = bytearray()
    async for chunk in stream:
        body += chunk
        if len(body) > most:
            raise _too_long(most)
    return bytes(body)


def _too_long(most: int) -> Refused:
    return Refused(413, f"more than {bytes_text(most)}: send a smaller picture")


def form_file(body: bytes, kind: str) -> bytes:
    """Return the first file of a multipart/form-data body (RFC 7578); raise Refused without one."""
    found = _BOUNDARY.search(kind)
    if not found:
        raise Refused(400, f"{FORM} without a boundary")
    boundary = b"\r\n--" + (found[1] or found[2]).encode("latin-1", "replace")
    rest = b"\r\n" + body
    start = rest.find(boundary)
    for _ in range(_PARTS):
        start += len(boundary)
        end = rest.find(boundary, start)
        if end < 0 or rest[start : start + 2] == b"--":
            break
        blank = rest.find(b"\r\n\r\n", start, min(end, start + _HEAD))
        if blank >= 0 and _FILE.search(rest[start:blank].replace(b"\r\n", b"\n")):
            return rest[blank + 4 : end]
        start = end
    raise Refused(400, f"{FORM} without a file: give the picture as one")
