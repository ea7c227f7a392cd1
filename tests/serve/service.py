"""model-serve as a real process, and clients that talk to it."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from conftest import CHOICES, ROOT

SECONDS = 60  # that anything may take


class Reply(NamedTuple):
    """What a client is told."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A service at ``url``."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process
        assert process.stdout
        self.url = process.stdout.readline().strip()
        if not self.url:
            _, told = process.communicate(timeout=SECONDS)
            raise AssertionError(told)
        self.port = urlsplit(self.url).port

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Return the reply to one request."""
        connection = self.connect()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        return reply(connection)

    def post(self, body: bytes, query: str = "", **headers: str) -> Reply:
        """Return the reply to a picture."""
        return self.ask("POST", f"/predict{query}", body, **headers)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code and what was said on stderr."""
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, told


def reply(connection: http.client.HTTPConnection) -> Reply:
    """Return the reply on a connection, and close it."""
    response = connection.getresponse()
    found = Reply(
        response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    )
    connection.close()
    return found


@contextmanager
def serving(model: Path, *options: object, **variables: str) -> Iterator[Running]:
    """Run a service of a model on a free port; at the end it is stopped if it still runs."""
    kept = {name: value for name, value in os.environ.items() if name not in CHOICES}
    words = ["--model", model, "--port", 0, "--backend", "numpy", *options]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "bin" / "model-serve"), *map(str, words)],
        env={**kept, "OMP_NUM_THREADS": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
