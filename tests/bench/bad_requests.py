"""Requests that are wrong in some way, and what a service may answer to each kind."""

from __future__ import annotations

import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

TOKEN, MOST = "a-token", 200_000  # that the service wants, and bytes of a body that it takes
SECONDS = 60  # that a reply may take
PAUSE = 0.001  # seconds between the pieces of a request
FORM = "Content-Type: multipart/form-data; boundary=X\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
LEFT = "left"  # the client has gone before an answer


class Kind(NamedTuple):
    """Makes the pieces of a request, from what draws and the pictures of a client.

    ``answers`` are the status codes that are right, LEFT for one whose answer is not waited for.
    """

    answers: str
    make: Callable[[random.Random, Sequence[bytes]], Sequence[bytes]]


def request(
    body: bytes,
    headers: str = "",
    *,
    start: str = "POST /predict",
    length: int | None = None,
    token: str = TOKEN,
) -> bytes:
    """Return a request; its headers tell the length of its body, another one, or chunks."""
    if CHUNKED not in headers:
        headers += f"Content-Length: {len(body) if length is None else length}\r\n"
    access = f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
    return f"{start} HTTP/1.1\r\n{access}{headers}\r\n".encode("latin-1") + body


def cut(draw: random.Random, data: bytes) -> bytes:
    """Return the start of some bytes."""
    return data[: draw.randrange(len(data) // 8, len(data))]


def damaged(draw: random.Random, data: bytes) -> bytes:
    """Return some bytes with others among them."""
    found = bytearray(data)
    for _ in range(draw.randrange(1, 30)):
        found[draw.randrange(len(found))] = draw.randrange(256)
    return bytes(found)


def png(width: int, height: int, rows: int) -> bytes:
    """Return a PNG that says how large it is, and has so many black rows."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes((1 + 3 * width) * rows))
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def form(picture: bytes) -> bytes:
    """Return a picture as the file of a form."""
    head = b'--X\r\nContent-Disposition: form-data; name="a"; filename="a.jpg"\r\n\r\n'
    return head + picture + b"\r\n--X--\r\n"


def pieces(data: bytes, count: int) -> list[bytes]:
    """Return some bytes in about so many pieces."""
    size = max(1, len(data) // count)
    return [data[at : at + size] for at in range(0, len(data), size)]


def noise(draw: random.Random) -> bytes:
    """Return up to 2000 random bytes, one at least."""
    return draw.randbytes(draw.randrange(1, 2000))


# pictures may survive what is done to them; what is refused before all of it is read may be reset
# before its answer arrives
KINDS = {
    "cut short": Kind("200 400", lambda draw, own: [request(cut(draw, draw.choice(own)))]),
    "damaged": Kind("200 400 413", lambda draw, own: [request(damaged(draw, draw.choice(own)))]),
    "noise": Kind("400", lambda draw, own: [request(noise(draw))]),
    "empty": Kind("400", lambda draw, own: [request(b"")]),
    "bomb": Kind("413", lambda draw, own: [request(png(60_000, 60_000, 1))]),
    "few rows": Kind("200 400", lambda draw, own: [request(png(500, 500, draw.randrange(400)))]),
    "no form": Kind("400", lambda draw, own: [request(own[0], FORM)]),
    "form of noise": Kind("400", lambda draw, own: [request(noise(draw) + b"\r\n--X" * 50, FORM)]),
    "damaged form": Kind(
        "200 400 413", lambda draw, own: [request(damaged(draw, form(own[0])), FORM)]
    ),
    "another type": Kind(
        "400 reset", lambda draw, own: [request(b"{}", "Content-Type: text/json\r\n")]
    ),
    "says too long": Kind("413 reset", lambda draw, own: [request(b"x", length=10**12)]),
    "is too long": Kind(
        "413 reset",
        lambda draw, own: [
            request(b"%x\r\n%b\r\n0\r\n\r\n" % (MOST + 1, bytes(MOST + 1)), CHUNKED)
        ],
    ),
    "no length": Kind("400 reset", lambda draw, own: [request(b"x", length=-1)]),
    "no chunks": Kind(
        "400 reset", lambda draw, own: [request(b"zz\r\nhello\r\n0\r\n\r\n", CHUNKED)]
    ),
    "token": Kind("401 reset", lambda draw, own: [request(own[0], token=noise(draw).hex())]),
    "path": Kind("404 reset", lambda draw, own: [request(b"", start=f"GET /{noise(draw).hex()}")]),
    "method": Kind("405 reset", lambda draw, own: [request(own[0], start="BREW /predict")]),
    "query": Kind(
        "400 reset", lambda draw, own: [request(own[0], start="POST /predict?format=%00")]
    ),
    "no HTTP": Kind("400 reset", lambda draw, own: [b"\x16" + noise(draw) + b"\r\n\r\n"]),
    "long headers": Kind("400 reset", lambda draw, own: [request(b"", f"X: {'y' * 100_000}\r\n")]),
    "slow": Kind("200", lambda draw, own: pieces(request(own[0]), 5)),
    "half a body": Kind(LEFT, lambda draw, own: [request(cut(draw, own[0]), length=len(own[0]))]),
    "endless chunks": Kind(LEFT, lambda draw, own: [request(b"", CHUNKED), *[b"2\r\nxx\r\n"] * 5]),
    "half a header": Kind(LEFT, lambda draw, own: [request(b"")[: draw.randrange(1, 60)]]),
    "gone": Kind(LEFT, lambda draw, own: [request(own[0])]),
}


def send(port: int, parts: Sequence[bytes], waits: bool) -> str:
    """Send the pieces of a request; return the status of its answer, LEFT if it is not waited for.

    One that is not ends its connection by force.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b""
        try:
            for number, part in enumerate(parts):
                if number:
                    time.sleep(PAUSE)
                raw.sendall(part)
            if not waits:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return LEFT
            while data := raw.recv(65536):
                answer += data
        except ConnectionError:
            return answer[9:12].decode() or "reset"
        return answer[9:12].decode() or "closed"


def ask(port: int, count: int, seed: int, pictures: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    """Send so many bad requests; yield the kind of each and its answer."""
    draw = random.Random(seed)
    for _ in range(count):
        name, kind = draw.choice(list(KINDS.items()))
        yield name, send(port, kind.make(draw, pictures), kind.answers != LEFT)
