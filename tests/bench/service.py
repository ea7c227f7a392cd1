"""Load model-serve over the loopback: requests per second beside bare prediction, and bad requests.

    python tests/bench/service.py photos
    python tests/bench/service.py photos --bad 10000

Without --model it serves a ResNet-34 of 224x224 with random weights. Rounds of bare prediction (the
same files decoded by as many threads and computed in as large batches, in one process without HTTP)
and of requests alternate; medians, that of the ratio too, are printed as one JSON object. With
--bad so many requests follow that are wrong in some way: exit code 1 where one is answered with
500, or the service grows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

NETWORK = (
    "C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] "
    "nRSN.O[3,512,3,2] P.A R"
)
PORT_SECONDS, SECONDS = 120, 60  # that the start and a reply may take
GROWTH = 30e6  # bytes that bad requests may add: buffers and tables of the libraries
FORM = "Content-Type: multipart/form-data; boundary=X\r\n"
WARM = 0.1  # of the bad requests, behind which growth counts


def bare(model: str, pictures: Sequence[Path], batch_size: int, thread_num: int) -> float:
    """Return images per second without HTTP; the next batch is decoded while one is computed."""
    from denet.backend.select import choose_backend
    from denet.dataset.loader import yield_to_kernels
    from denet.model.format import load_model
    from denet.predict.answerer import answerer

    backend = choose_backend("auto")
    ready = answerer(load_model(model), batch_size, backend, backend.auto_precision())
    batches = [pictures[at : at + batch_size] for at in range(0, len(pictures), batch_size)]
    with ThreadPoolExecutor(thread_num, initializer=yield_to_kernels) as pool:

        def decode(batch):
            return [pool.submit(ready.sample, path.read_bytes(), path.name) for path in batch]

        first = [each.result() for each in decode(batches[0])]
        ready.answers(first)
        ready.answers(first[: len(batches[-1])])
        begin = time.perf_counter()
        ahead = [decode(batches[0])]
        for number in range(len(batches)):
            samples = [each.result() for each in ahead.pop()]
            if number + 1 < len(batches):
                ahead.append(decode(batches[number + 1]))
            ready.answers(samples)
        return len(pictures) / (time.perf_counter() - begin)


class Service:
    """model-serve in a process of its own."""

    def __init__(self, model: str, batch_size: int, thread_num: int):
        words = ["--model", model, "--port", 0, "--batch-size", batch_size, "--queue", 256]
        program = [sys.executable, ROOT / "bin" / "model-serve", *words, "--thread-num", thread_num]
        self._process = subprocess.Popen(list(map(str, program)), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        url = self._process.stdout.readline().strip()
        assert url, "it did not start"
        self.port = int(url.rstrip("/").rsplit(":", 1)[1])

    def round(self, bodies: Sequence[bytes], clients: int) -> tuple[float, list[float]]:
        """Return requests per second, and the seconds that each took."""

        def client(own: Sequence[bytes]) -> list[float]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
            taken = []
            for body in own:
                begin = time.perf_counter()
                connection.request("POST", "/predict", body)
                reply = connection.getresponse()
                reply.read()
                assert reply.status == 200, reply.status
                taken.append(time.perf_counter() - begin)
            connection.close()
            return taken

        begin = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            parts = list(pool.map(client, [bodies[n::clients] for n in range(clients)]))
        return len(bodies) / (time.perf_counter() - begin), [
            each for part in parts for each in part
        ]

    def resident(self) -> int:
        """Return the bytes of memory that it holds."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(text.split("VmRSS:")[1].split()[0])

    def bad(self, count: int, picture: bytes) -> tuple[Counter, int]:
        """Send so many bad requests; return how often each status came, and the growth in bytes."""
        found: Counter = Counter()
        draw, before = random.Random(1), 0
        for number in range(count):
            if number == int(WARM * count):
                before = self.resident()
            data, whole = bad_request(draw, picture)
            with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as raw:
                raw.sendall(data)
                if not whole:  # it would be waited for
                    found["left"] += 1
                    continue
                reply = b"".join(iter(lambda raw=raw: raw.recv(65536), b""))
            found[reply[9:12].decode() or "closed"] += 1
        return found, self.resident() - before

    def stop(self) -> int:
        """Stop it and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(SECONDS)


def bad_request(draw: random.Random, picture: bytes) -> tuple[bytes, bool]:
    """Return a request that is wrong in one of several ways, and whether all of it is there."""
    damaged = bytearray(picture)
    for _ in range(draw.randrange(1, 30)):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    body, head, length = draw.choice(
        [
            (picture[: draw.randrange(len(picture))], "", None),
            (bytes(damaged[: len(damaged) // 2]), "", None),
            (draw.randbytes(draw.randrange(2000)), "", None),
            (b"", "", None),
            (picture, FORM, None),
            (draw.randbytes(300) + b"\r\n--X" * 50, FORM, None),
            (b"x", "", 10**12),
            (b"x", "", 1000),
            (b"x", "", -1),
            (b"zz\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n", ""),
        ]
    )  # fmt: skip
    method = draw.choice(["POST"] * 8 + ["GET", "BREW"])
    path = draw.choice(["/predict"] * 8 + ["/predict?format=%00", "/..//x"])
    if draw.random() < 0.05:
        return draw.randbytes(100) + b"\r\n\r\n", True
    length = len(body) if length is None else length
    size = f"Content-Length: {length}\r\n" if length != "" else ""
    start = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}{size}\r\n"
    return start.encode() + body, length != 1000


def make_model(directory: str) -> str:
    """Save a ResNet-34 with random weights and return its path."""
    from denet.layer.options import LayerOptions
    from denet.model.format import save_model
    from denet.model.model import Model, nameless

    options = LayerOptions(border_mode="half")
    path = os.path.join(directory, "r34.mdl")
    save_model(Model.create(NETWORK, (3, 224, 224), nameless(1000), options), path)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path, help="directory of image files")
    parser.add_argument("--model", help="model file")
    parser.add_argument("--requests", type=int, default=200, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--thread-num", type=int, default=2, help="that decode")
    parser.add_argument("--bad", type=int, default=0, help="bad requests that follow")
    options = parser.parse_args()
    suffixes = (".jpg", ".jpeg", ".png")
    files = sorted(each for each in options.photos.rglob("*") if each.suffix.lower() in suffixes)
    pictures = [files[number % len(files)] for number in range(options.requests)]
    bodies = [path.read_bytes() for path in pictures]
    with tempfile.TemporaryDirectory() as directory:
        model = options.model or make_model(directory)
        how = options.batch_size, options.thread_num
        service = Service(model, *how)
        service.round(bodies[:64], options.clients)
        alone, served, seconds = [], [], []
        for _ in range(options.rounds):
            alone.append(bare(model, pictures, *how))
            speed, taken = service.round(bodies, options.clients)
            served.append(speed)
            seconds += taken
        ratios = [there / here for there, here in zip(served, alone, strict=True)]
        speeds = {"bare": alone, "served": served}
        told = {name: round(statistics.median(each), 1) for name, each in speeds.items()}
        told["ratio"] = round(statistics.median(ratios), 3)
        for share in (50, 99):
            told[f"p{share}_ms"] = round(1000 * float(np.percentile(seconds, share)), 1)
        wrong = False
        if options.bad:
            found, growth = service.bad(options.bad, min(bodies, key=len))
            told |= {"bad": dict(sorted(found.items())), "growth_MB": round(growth / 1e6, 1)}
            wrong = found["500"] > 0 or growth > GROWTH
        told["exit_code"] = service.stop()
        print(json.dumps(told))
    return int(wrong or told["exit_code"] != 0)


if __name__ == "__main__":
    sys.exit(main())
