"""What a client may ask over HTTP, and what it is told."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from denet.dataset.loader import yield_to_kernels
from denet.errors import DataError, OutOfMemoryError
from denet.memory import is_out_of_memory
from denet.predict.answerer import Answerer, Sample, TooManyPixels
from denet.predict.classify import Answer
from denet.predict.detect import Found
from denet.predict.output import rounded
from denet.serve.batcher import Batcher
from denet.serve.body import Refused, read_picture

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

PAGE_RULES = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
BUSY = {"Retry-After": "1"}


@dataclass(frozen=True)
class Limits:
    """How much a service takes on."""

    queue: int  # requests that are read, decoded, waiting and computed at a time
    body_bytes: int
    image_pixels: int


class Service:
    """A model that answers requests; ``about`` is what /health tells of it.

    So many threads decode; the one that ``computing`` has is that which made the answerer, and
    computes. ``close`` lets them go when all is answered.
    """

    def __init__(
        self,
        answerer: Answerer,
        class_labels: list[str],
        about: dict[str, Any],
        limits: Limits,
        computing: Executor,
        *,
        thread_num: int,
        wait_seconds: float,
        token: str | None = None,
    ):
        self._answerer, self._labels, self._about = answerer, class_labels, about
        self._limits, self._token = limits, token
        self._pool = ThreadPoolExecutor(thread_num, "decoder", yield_to_kernels)
        self._batcher: Batcher[Sample, Answer | Found] = Batcher(
            answerer.answers, answerer.batch_size, wait_seconds, computing
        )
        self._busy = self._answered = 0

    def close(self) -> None:
        """Answer what waits, then let all threads go."""
        self._pool.shutdown()
        self._batcher.close()

    def health(self) -> dict[str, Any]:
        """Return what the model is, and how much there is to do."""
        load = {"answered": self._answered, "waiting": self._busy, "queue": self._limits.queue}
        return {"status": "ok", **self._about, **load}

    async def predict(self, request: Request) -> Any:
        """Return the answer to a request, as JSON values; raise Refused."""
        self._check_token(request)
        if unknown := [name for name in request.query_params if name != "format"]:
            known = f"there is format, of {', '.join(FORMS)}"
            raise Refused(400, f"unknown parameter {unknown[0][:40]!r}: {known}")
        form = request.query_params.get("format", "json")
        if form not in FORMS:
            raise Refused(400, f"format {form[:40]!r}: give one of {', '.join(FORMS)}")
        if form == "ccv" and self._about["tells"] == "objects":
            raise Refused(400, "format 'ccv': it is for the classes of whole images: leave it out")
        if self._busy >= self._limits.queue:
            raise Refused(503, f"{self._limits.queue} requests are waiting: come again", BUSY)
        self._busy += 1
        try:
            picture = await read_picture(request, self._limits.body_bytes)
            return FORMS[form](*await self._answer(picture), self._labels)
        except asyncio.CancelledError:
            raise Refused(503, "the service is stopped: come again later", BUSY) from None
        finally:
            self._busy -= 1

    async def _answer(self, picture: bytes) -> tuple[Answer | Found, Sample]:
        decode = partial(self._answerer.sample, max_image_pixels=self._limits.image_pixels)
        loop = asyncio.get_running_loop()
        try:
            with self._batcher.coming():
                sample = await loop.run_in_executor(self._pool, decode, picture, "the body")
                answer = self._batcher.ask(sample)
        except DataError as error:
            status = 413 if isinstance(error, TooManyPixels) else 400
            raise Refused(status, str(error)) from None
        except MemoryError:
            raise Refused(503, "too little memory for this picture: come again", BUSY) from None
        try:
            told = await asyncio.wrap_future(answer)
        except DataError as error:  # the weights are damaged, not the picture
            raise Refused(500, str(error)) from None
        except Exception as error:
            if isinstance(error, OutOfMemoryError) or is_out_of_memory(error):
                raise Refused(503, "too little memory: come again", BUSY) from None
            raise
        self._answered += 1
        return told, sample

    def _check_token(self, request: Request) -> None:
        if self._token is None:
            return
        word, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if word.lower() != "bearer" or not same:
            needed = {"WWW-Authenticate": "Bearer"}
            raise Refused(401, "the token is missing or wrong: Authorization: Bearer TOKEN", needed)


def as_json(answer: Answer | Found, sample: Sample, class_labels: list[str]) -> dict[str, Any]:
    """Return what model-predict --format jsonl tells, and of a detector the size of the picture."""
    if isinstance(answer, Answer):
        return {"classes": [{"class": c, "probability": rounded(p)} for c, p in answer.classes]}
    detections = [
        {"class": class_labels[index], "score": rounded(score), "box": [round(x, 1) for x in box]}
        for _, index, score, box in answer.objects.rows()
    ]
    width, height = sample.size
    return {"width": width, "height": height, "detections": detections}


def as_ccv(answer: Answer | Found, sample: Sample, class_labels: list[str]) -> list[dict[str, Any]]:
    """Return what the service of ccv tells of a picture."""
    assert isinstance(answer, Answer)
    return [{"word": word, "confidence": rounded(p)} for word, p in answer.classes]


FORMS: dict[str, Callable[[Answer | Found, Sample, list[str]], Any]] = {
    "json": as_json,
    "ccv": as_ccv,
}


def make_app(service: Service) -> Starlette:
    """Return the application: the page /, /health, and /predict, to which pictures are posted."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    page = files("denet.serve").joinpath("page.html").read_text(encoding="utf-8")

    async def show(request: Request) -> Response:
        return HTMLResponse(page, headers=PAGE_RULES)

    async def health(request: Request) -> Response:
        return JSONResponse(service.health())

    async def predict(request: Request) -> Response:
        return JSONResponse(await service.predict(request))

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return JSONResponse({"error": error.text}, error.status, error.headers)

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        known = ", ".join(f"{method} {path}" for method, path, _ in ROUTES)
        text = f"{error.detail}: {request.method} {request.url.path:.80}: there is {known}"
        return JSONResponse({"error": text}, error.status_code, error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        return JSONResponse({"error": "internal: see the log of the service"}, 500)

    ROUTES = (("GET", "/", show), ("GET", "/health", health), ("POST", "/predict", predict))
    app = Starlette(
        routes=[Route(path, call, methods=[method]) for method, path, call in ROUTES],
        exception_handlers={Refused: refused, HTTPException: unknown, Exception: failed},
    )
    app.router.redirect_slashes = False
    return app
