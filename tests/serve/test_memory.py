"""A service that has too little memory for a batch says so, and goes on."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.requests import Request

from denet.errors import OutOfMemoryError
from denet.serve.app import Limits, Service
from denet.serve.body import Refused


class Short:
    """What answers pictures, and fails."""

    batch_size = 1

    def __init__(self, error: Exception):
        self._error = error

    def sample(self, picture: bytes, name: str, max_image_pixels: int) -> bytes:
        return picture

    def answers(self, samples: list[bytes]) -> list[Any]:
        raise self._error


def post(body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b""}
    return Request({**scope, "headers": []}, receive)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("batch of 8: too large"),
        RuntimeError("cudaErrorMemoryAllocation: out of memory"),  # of CuPy
    ],
)
def test_memory_that_is_missing_is_told_as_busy(error: Exception) -> None:
    limits = Limits(queue=1, body_bytes=100, image_pixels=100)
    with ThreadPoolExecutor(1) as computing:
        short: Any = Short(error)
        service = Service(
            short, ["a"], {"tells": "classes"}, limits, computing, thread_num=1, wait_seconds=0
        )
        with pytest.raises(Refused) as refused:
            asyncio.run(service.predict(post(b"picture")))
        service.close()
    assert refused.value.status == 503
    assert service.health()["waiting"] == 0
