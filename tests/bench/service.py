"""Load model-serve over the loopback: requests per second beside bare prediction, and bad requests.

    python tests/bench/service.py photos
    python tests/bench/service.py photos --bad 10000

Without --model it serves a ResNet-34 of 224x224 with random weights. Rounds of bare prediction (the
same files decoded by as many threads and computed in as large batches, in one process without HTTP)
and of requests alternate; medians, that of the ratio too, are printed as one JSON object. With
--bad so many requests follow that are wrong in some way (bad_requests.py), to a service of its own:
exit code 1 where one is answered otherwise than its kind wants, or the service grows.
"""

from __future__ import annotations

import argparse
import atexit
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bad_requests
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

NETWORK = (
    "C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] "
    "nRSN.O[3,512,3,2] P.A R"
)
SECONDS = 60  # that a reply may take
TENTHS = 10  # of the bad requests; growth counts behind the first
GROWTH = 2  # MB that bad requests may add, however many: tables of the libraries
# blocks that glibc would keep for later are no leak: it gives them back at once with this
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072"}
SMALL = bad_requests.png(40, 30, 30)


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

    def __init__(self, model: str, *words: object, **variables: str):
        program = [sys.executable, ROOT / "bin" / "model-serve", "--model", model, "--port", 0]
        self._process = subprocess.Popen(
            list(map(str, [*program, "--queue", 256, *words])),
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.kill)  # whatever ends this program
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

    def stop(self) -> int:
        """Stop it and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(SECONDS)


def serve_bad(model: str, count: int, pictures: Sequence[bytes], clients: int) -> dict:
    """Send so many bad requests; return the answers to each kind, and memory after each tenth."""
    variables = {"DENET_TOKEN": bad_requests.TOKEN, **GIVE_BACK}
    service = Service(model, "--max-body", bad_requests.MOST, **variables)
    answers: dict[str, Counter] = {name: Counter() for name in bad_requests.KINDS}
    resident = []

    def client(seed: int) -> list[tuple[str, str]]:
        return list(bad_requests.ask(service.port, part, seed, pictures))

    part = -(-count // (TENTHS * clients))
    with ThreadPoolExecutor(clients) as pool:
        for tenth in range(TENTHS):
            for found in pool.map(client, range(tenth * clients, (tenth + 1) * clients)):
                for name, answer in found:
                    answers[name][answer] += 1
            resident.append(service.resident())
    code = service.stop()
    wrong = {
        name: dict(found)
        for name, found in answers.items()
        if not set(found) <= set(bad_requests.KINDS[name].answers.split())
    }
    total = sum(answers.values(), Counter())
    return {
        "bad": dict(sorted(total.items())),
        "bad_wrongly_answered": wrong,
        "bad_growth_MB": round((resident[-1] - resident[0]) / 1e6, 2),
        "bad_resident_MB": [round(each / 1e6, 1) for each in resident],
        "bad_exit_code": code,
    }


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
        service = Service(model, "--batch-size", how[0], "--thread-num", how[1])
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
        told["exit_code"] = service.stop()
        if options.bad:
            told |= serve_bad(model, options.bad, [min(bodies, key=len), SMALL], options.clients)
        print(json.dumps(told))
    wrong = told.get("bad_wrongly_answered") or told.get("bad_growth_MB", 0) > GROWTH
    return int(bool(wrong or told["exit_code"] or told.get("bad_exit_code")))


if __name__ == "__main__":
    sys.exit(main())
