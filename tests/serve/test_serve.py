"""model-serve answers as model-predict does, refuses what it must, and stops when asked."""

import http.client
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run_command
from PIL import Image
from serve.service import Running, reply, serving
from small_models import save_classifier, save_detector, save_photos

from denet.cli.serve import parser
from denet.model.format import load_model, save_model
from denet.serve.server import listen

pytest.importorskip("starlette", reason="pip install starlette uvicorn")
pytest.importorskip("uvicorn", reason="pip install starlette uvicorn")

NAMES = ("a.png", "b.jpg", "c.png", "d.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with both models, and photos."""
    directory = tmp_path_factory.mktemp("place")
    save_classifier(directory / "classes.mdl")
    save_detector(directory / "objects.mdl")
    save_photos(directory)
    (directory / "list.txt").write_text("\n".join(NAMES))
    return directory


@pytest.fixture(scope="module")
def classes(place: Path) -> Iterator[Running]:
    options = ["--max-body", "200kB", "--max-image-pixels", 100_000]
    with serving(place / "classes.mdl", *options) as running:
        yield running


@pytest.fixture(scope="module")
def objects(place: Path) -> Iterator[Running]:
    with serving(place / "objects.mdl") as running:
        yield running


def told(place: Path, *words: str) -> list[dict]:
    """Return what model-predict tells of the photos."""
    model = ["--backend", "numpy", "--format", "jsonl", "--input", "list.txt", *words]
    done = run_command(place, "model-predict", *model)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_classes_are_those_of_model_predict(place: Path, classes: Running) -> None:
    for name, wanted in zip(NAMES, told(place, "--model", "classes.mdl"), strict=True):
        found = classes.post((place / name).read_bytes())
        assert found.status == 200 and found.headers["content-type"] == "application/json"
        assert found.json == {"classes": wanted["classes"]}
        ccv = [{"word": e["class"], "confidence": e["probability"]} for e in wanted["classes"]]
        assert classes.post((place / name).read_bytes(), "?format=ccv").json == ccv


def test_objects_are_those_of_model_predict(place: Path, objects: Running) -> None:
    wanted = told(place, "--model", "objects.mdl", "--predict-mode", "detect")
    sizes = [(48, 32), (40, 60), (10, 100), (300, 200)]  # upright
    for name, line, (width, height) in zip(NAMES, wanted, sizes, strict=True):
        found = objects.post((place / name).read_bytes()).json
        assert found == {"width": width, "height": height, "detections": line["detections"]}
        assert len(found["detections"]) == 2
    assert objects.post(b"x", "?format=ccv").status == 400


def test_many_at_a_time_each_get_their_own(place: Path, classes: Running) -> None:
    pictures = [(place / name).read_bytes() for name in NAMES]
    alone = [classes.post(each).json["classes"] for each in pictures]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: classes.post(pictures[n % 4]).json["classes"], range(96)))
    for number, each in enumerate(found):
        wanted = alone[number % 4]
        assert [row["class"] for row in each] == [row["class"] for row in wanted]
        # other batches, other kernels: the last bits may differ
        shares = [row["probability"] for row in each]
        assert shares == pytest.approx([row["probability"] for row in wanted], rel=1e-4)


def test_a_form(place: Path, classes: Running) -> None:
    picture = (place / "b.jpg").read_bytes()
    head = b'--X\r\nContent-Disposition: form-data; name="image"; filename="b.jpg"\r\n\r\n'
    kind = "multipart/form-data; boundary=X"
    found = classes.post(head + picture + b"\r\n--X--\r\n", Content_Type=kind)
    assert found.json == classes.post(picture).json
    assert classes.post(picture, Content_Type=kind).status == 400


def test_health_and_the_page(classes: Running) -> None:
    health = classes.ask("GET", "/health")
    assert health.status == 200
    size = {"width": 24, "height": 24, "channels": 3}
    known = {
        "status": "ok",
        "model": "classes.mdl",
        "tells": "classes",
        "classes": 3,
        "input": size,
    }
    assert known.items() <= health.json.items() and health.json["waiting"] == 0
    page = classes.ask("GET", "/")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text = page.body.decode()
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}  # a name
    assert not re.search(r"<(link|iframe|base)|src=|@import|url\(", text)
    assert '"health"' in text and '"predict"' in text  # relative: it may lie below any path
    head = classes.ask("HEAD", "/")
    size = head.headers["content-length"]
    assert (head.status, size, head.body) == (200, str(len(page.body)), b"")


def test_requests_of_one_connection(place: Path, classes: Running) -> None:
    """Sent without waiting they are answered in order; no reply waits for the client's word."""
    picture = (place / "b.jpg").read_bytes()
    wanted = [classes.post(each).body for each in (picture, b"nothing", picture)]
    start = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    with socket.create_connection(("127.0.0.1", classes.port)) as raw:
        for each in (picture, b"nothing"):
            raw.sendall(start + b"Content-Length: %d\r\n\r\n" % len(each) + each)
        length = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(picture)
        raw.sendall(start + length + picture)
        told = raw.makefile("rb").read()
    replies = told.split(b"HTTP/1.1 ")[1:]
    assert [each[:3] for each in replies] == [b"200", b"400", b"200"]
    assert [each.partition(b"\r\n\r\n")[2] for each in replies] == wanted
    with listen("127.0.0.1", 0) as opened, socket.create_connection(opened.getsockname()):
        accepted, _ = opened.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def bomb() -> bytes:
    """Return a PNG of 60,000 x 60,000 pixels in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    end = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end


def cut_short() -> bytes:
    """Return a JPEG file that ends in the middle of its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()[: len(file.getvalue()) // 2]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/predict", b"", 400, "no picture: send the bytes of an image file as the body"),
        ("POST", "/predict", b"nothing", 400, "not an image"),
        ("POST", "/predict", cut_short(), 400, "cannot read the image: the body: "),
        ("POST", "/predict", b"%!PS-Adobe-3.0 EPSF-3.0\n", 400, "not an image"),
        ("POST", "/predict?format=xml", b"x", 400, "format 'xml': give one of json, ccv"),
        ("POST", "/predict?top=3", b"x", 400, "parameter 'top': there is format, of json, ccv"),
        ("POST", "/predict", bytes(200_001), 413, "more than 200,000 bytes"),
        ("POST", "/predict", iter([bytes(100_000)] * 3), 413, "more than 200,000 bytes"),
        ("POST", "/predict", bomb(), 413, "more pixels than --max-image-pixels 100000"),
        ("GET", "/predict", None, 405, "GET /predict: there is GET /, GET /health, POST /predict"),
        ("PUT", "/predict", b"x", 405, "PUT /predict"),
        ("POST", "/", b"x", 405, "POST /"),
        ("DELETE", "/health", None, 405, "DELETE /health"),
        ("GET", "/predict/", None, 404, "Not Found: GET /predict/"),
        ("GET", "/../../etc/passwd", None, 404, "Not Found"),
        ("GET", "/%00%ff", None, 404, "Not Found"),
        ("BREW", "/predict", b"x", 405, "BREW /predict"),
    ],
)
def test_what_is_refused(classes: Running, method, path, body, status, text) -> None:
    found = classes.ask(method, path, body)
    assert found.status == status
    assert list(found.json) == ["error"] and text in found.json["error"]
    assert status != 405 or found.headers["allow"]


def test_what_is_not_http(classes: Running) -> None:
    for noise in (b"\x16\x03\x01\x02\x00\x01", b"GET /\r\n\r\n", b"POST /predict HTTP/9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", classes.port)) as raw:
            raw.sendall(noise)
            raw.shutdown(socket.SHUT_WR)
            assert raw.makefile("rb").read().startswith(b"HTTP/1.1 400")
    with socket.create_connection(("127.0.0.1", classes.port)) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert classes.ask("GET", "/health").status == 200


def test_a_token(place: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    picture = (place / "a.png").read_bytes()
    for options, variables in (
        (["--token-file", tmp_path / "token"], {}),
        ([], {"DENET_TOKEN": "s3cret"}),
    ):
        with serving(place / "classes.mdl", *options, **variables) as running:
            for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
                found = running.post(picture, **given)
                assert found.status == 401 and found.headers["www-authenticate"] == "Bearer"
                assert "s3cret" not in found.body.decode()
            odd = {"Authorization": "Bearer s3cret\xe9"}
            assert running.post(picture, **odd).status == 401
            assert running.post(picture, Authorization="Bearer s3cret").status == 200
            assert running.ask("GET", "/health").status == 200


def begin(running: Running, picture: bytes) -> http.client.HTTPConnection:
    """Send the first bytes of a picture; return the connection once they have arrived."""
    slow = running.connect()
    slow.putrequest("POST", "/predict")
    slow.putheader("Content-Length", str(len(picture)))
    slow.endheaders(picture[:10])
    while running.ask("GET", "/health").json["waiting"] == 0:
        pass
    return slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_full_queue_and_a_stop_that_finishes_what_is_in_work(place: Path, number: int) -> None:
    picture = (place / "b.jpg").read_bytes()
    with serving(place / "classes.mdl", "--queue", 1) as running:
        slow = begin(running, picture)
        found = running.post(picture)
        assert found.status == 503 and found.headers["retry-after"] == "1"
        assert found.json["error"] == "1 requests are waiting: come again"
        running.process.send_signal(number)
        slow.send(picture[10:])
        assert len(reply(slow).json["classes"]) == 3
        _, told = running.process.communicate(timeout=60)
        assert running.process.returncode == 0
        assert told == "stopped: 1 picture answered\n"


def test_ctrl_c_is_a_clean_end_too(place: Path, tmp_path: Path) -> None:
    picture = (place / "b.jpg").read_bytes()
    model = Path(shutil.copy(place / "classes.mdl", tmp_path))
    with serving(model) as running:
        before = running.post(picture)
        os.truncate(model, 0)  # it is no longer needed
        assert before.status == 200 and running.post(picture).body == before.body
        assert running.stop(signal.SIGINT) == (0, "stopped: 2 pictures answered\n")


def test_ctrl_c_twice_does_not_wait(place: Path) -> None:
    with serving(place / "classes.mdl") as running:
        slow = begin(running, b"not all of it")
        running.process.send_signal(signal.SIGINT)
        with suppress(ConnectionError):
            while True:  # until it has heard the first
                socket.create_connection(("127.0.0.1", running.port)).close()
        code, told = running.stop(signal.SIGINT)
        found = reply(slow)
        assert found.status == 503 and found.headers["retry-after"] == "1"
        assert found.json == {"error": "the service is stopped: come again later"}
        assert (code, told) == (0, "stopped: 0 pictures answered\n")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "--model is missing"),
        (["--model", "none.mdl"], 3, "none.mdl"),
        (["--model", "classes.mdl", "--host", "no.such.host.invalid"], 2, "no such address"),
        (["--model", "classes.mdl", "--host", "192.0.2.1"], 2, "no address of this machine: give"),
        (["--model", "classes.mdl", "--port", "65536"], 2, "--port: must be a whole number"),
        (["--model", "classes.mdl", "--params", "nmsThreshold=1"], 2, "detects no objects"),
        (["--model", "classes.mdl", "--token-file", "list.txt"], 2, "it holds no token: give"),
        (["--model", "classes.mdl", "--token-file", "none"], 2, "--token-file: none: No such"),
        (["--model", "classes.mdl", "--token-file", "fifo"], 2, "fifo: a device or pipe"),
        (["--model", "broken.mdl"], 3, "its answer is not a number"),
        (["--model", "grey2.mdl"], 2, "images of 2 channels"),
    ],
)
def test_what_ends_it_before_it_serves(words, code, text: str, place: Path) -> None:
    model = load_model(place / "classes.mdl")
    model.parameters[0]["weight"][:] = 3e38
    save_model(model, place / "broken.mdl")
    two = type(model).create("C[8,3] P.A R", (2, 24, 24), ["a", "b"])
    save_model(two, place / "grey2.mdl")
    (place / "two words").write_text("a b")
    if not (place / "fifo").exists():
        os.mkfifo(place / "fifo")
    words = ["two words" if word == "list.txt" else word for word in words]
    done = run_command(place, "model-serve", "--port", 0, *words)
    assert done.returncode == code and text in done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout


def test_a_port_that_is_taken(place: Path, classes: Running) -> None:
    done = run_command(place, "model-serve", "--model", "classes.mdl", "--port", classes.port)
    text = f"error: --port: {classes.port} is taken on 127.0.0.1: give another\n"
    assert (done.returncode, done.stderr) == (2, text)


def test_without_the_libraries(place: Path) -> None:
    program = (
        "import sys; sys.modules['uvicorn'] = None; from denet.cli.serve import main; "
        "sys.exit(main(['--model', 'classes.mdl']))"
    )
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True)
    text = "error: model-serve: uvicorn is not installed: pip install starlette uvicorn\n"
    assert (done.returncode, done.stderr) == (2, text)


def test_the_commands_of_the_page_about_it(place: Path, classes: Running, tmp_path: Path) -> None:
    """Each curl of docs/service.md gives what stands there, but for names and numbers."""
    if not shutil.which("curl"):
        pytest.skip("no curl: apt-get install curl")
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    (tmp_path / "photo.jpg").write_bytes((place / "b.jpg").read_bytes())
    found = re.findall(r"^    \$ (curl .*)\n    ([{\[].*)$", text, re.MULTILINE)
    assert len(found) == 4
    for command, wanted in found:
        words = shlex.split(command.replace("http://127.0.0.1:8000/", classes.url))
        told = subprocess.check_output([*words, "--silent"], cwd=tmp_path)
        assert shape(json.loads(told)) == shape(json.loads(wanted))
    options = set(re.findall(r"`(--[a-z-]+)", text)) - {"--format"}
    assert options <= {f"--{option.name}" for option in parser().options}


def shape(value: object) -> object:
    """Return a JSON value with the first of each list alone and kinds in the place of values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(value[0])] if isinstance(value, list) else type(value).__name__
