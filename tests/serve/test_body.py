"""A picture in a form: RFC 7578."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denet.serve import body as body_module
from denet.serve.body import Refused, form_file, read_picture

KIND = "multipart/form-data; boundary=X"
FILE = b'--X\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n'
TEXT = b'--X\r\nContent-Disposition: form-data; name="b"\r\n\r\nwords\r\n'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (FILE + b"\r\nBYTES\r\n--X--\r\n", KIND),
        (FILE + b"Content-Type: image/png\r\n\r\nBYTES\r\n--X--", KIND),
        (TEXT + FILE + b"\r\nBYTES\r\n" + TEXT + b"--X--\r\n", KIND),
        (b"a preamble\r\n" + FILE + b"\r\nBYTES\r\n--X--\r\nan epilogue", KIND),
        (FILE.lower() + b"\r\nBYTES\r\n--x--", 'Multipart/Form-Data; BOUNDARY="x"'),
    ],
)
def test_the_file_of_a_form(body: bytes, kind: str) -> None:
    assert form_file(body, kind) == b"BYTES"


@given(st.binary(max_size=300).filter(lambda each: b"\r\n--X" not in b"\r\n" + each))
def test_any_bytes_are_kept(data: bytes) -> None:
    assert form_file(FILE + b"\r\n" + data + b"\r\n--X--", KIND) == data


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"", KIND, "without a file"),
        (TEXT + b"--X--", KIND, "without a file"),
        (FILE + b"\r\nBYTES", KIND, "without a file"),
        (FILE + b"no blank line--X--", KIND, "without a file"),
        (b"--X--" + FILE + b"\r\nBYTES\r\n--X--", KIND, "without a file"),
        (FILE + b"A: " + b"b" * 9000 + b"\r\n\r\nBYTES\r\n--X--", KIND, "without a file"),
        (FILE + b"\r\nBYTES\r\n--X--", "multipart/form-data", "without a boundary"),
        (FILE + b"\r\nBYTES\r\n--X--", "multipart/form-data; boundary=" + "X" * 71, "without"),
    ],
)
def test_a_form_without_a_file(body: bytes, kind: str, text: str) -> None:
    with pytest.raises(Refused, match=text) as refused:
        form_file(body, kind)
    assert refused.value.status == 400


@given(st.binary(max_size=400), st.sampled_from([b"", FILE, TEXT, b"\r\n--X"]))
def test_no_other_error(noise: bytes, start: bytes) -> None:
    try:
        form_file(start + noise, KIND)
    except Refused as refused:
        assert refused.status == 400


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = pytest.importorskip("starlette.requests", reason="pip install starlette uvicorn")
    monkeypatch.setattr(body_module, "SECONDS", 0.01)

    async def receive():
        await asyncio.sleep(60)

    request = requests.Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(Refused, match="the body took longer than 0.01 seconds") as refused:
        asyncio.run(read_picture(request, 100))
    assert refused.value.status == 408
    assert refused.value.headers == {"Connection": "close"}  # RFC 9110, 15.5.9
