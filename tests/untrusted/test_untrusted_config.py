"""Configurations from strangers: options, or one line that tells what is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cli.commands import example_parser
from hypothesis import given
from hypothesis import strategies as st
from untrusted.damage import damaged, outcome

from denet.cli.config import MAX_CHARACTERS
from denet.errors import UsageError

VALID = """# a comment
epochs: 7
learn-rate: &rate 1e-3
stages: [3, 5]
weight-init:
  - he-forward
  - "0.01"
mirror: true
limit: null
model-desc: |
  C[8,3] BN A
  P[2] R
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "run.yaml"


def read(path: Path, content: bytes) -> Any:
    path.write_bytes(content)
    return outcome(lambda: example_parser().parse(["--config", str(path)]), str(path))


@given(st.text(max_size=60) | st.text("ab: -[]{}&*!|>'\"\\#?%@`,\n\t~<0", max_size=60))
def test_any_text(path: Path, text: str) -> None:
    read(path, text.encode("utf-8", "surrogatepass"))


@given(damaged(VALID.encode()))
def test_a_damaged_file(path: Path, content: bytes) -> None:
    read(path, content)


# content of a file: words of the error, or None if it reads
STRANGE: dict[str, tuple[bytes, str | None]] = {
    "byte order mark": (b"\xef\xbb\xbfepochs: 3", None),
    "Windows lines": (b"epochs: 3\r\nlimit: 4\r\n", None),
    "foreign tag": (b"epochs: !!python/object/apply:os.abort []", "--epochs"),
    "foreign tag of a key": (b"!!python/name:os.abort x: 1", "unknown key 'x'"),
    "UTF-16": ("epochs: 3".encode("utf-16"), "not UTF-8 text"),
    "NUL": (b"epochs: 3\0", "special characters are not allowed"),
    "NUL in a name": (rb'border-mode: "a\0b"', r"cannot take 'a\x00b'"),
    "surrogate in a name": (rb'border-mode: "\ud800"', r"cannot take '\ud800'"),
    "tabs": (b"\tepochs: 3", "not YAML"),
    "two documents": (b"epochs: 3\n---\nepochs: 4", "not YAML"),
    "list as a key": (b"? [a, b]\n: c", "not a list of 'option: value' lines"),
    "merge": (b"<<: {epochs: 3}", "unknown key '<<'"),
    "value in itself": (b"stages: &a [*a]", "must be a value or a list of values"),
    "mapping of itself": (b"&a\n? *a\n: 1", "not a list of 'option: value' lines"),
    "absent alias": (b"stages: *a", "undefined alias"),
    "an option in a list": (b"stages: [3, --version]", "takes no options; got '--version'"),
    "help in a list": (b"model-desc: [A, -h]", "takes no options; got '-h'"),
    "deep list": (b"stages: " + b"[" * 100_000, "too deeply nested"),
    "deep mapping": (b"{a: " * 50_000, "too deeply nested"),
    "deep dashes": (b"- " * 100_000, "too deeply nested"),
    "long key": (b"k" * 200_000 + b": 3", "not YAML"),
    "quoted key": (b'? "' + b"k" * 200_000 + b'"\n: 3', "unknown key 'kkk"),
    "long value": (b"epochs: " + b"9" * 200_000, "--epochs"),
    "long list": (b"stages: [" + b"3, " * 60_000 + b"]", None),
    "many keys": (b"a: 1\n" * 20_000, "unknown key 'a'"),
    "too long": (b"#" * (MAX_CHARACTERS + 1), f"more than {MAX_CHARACTERS} characters"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_file(path: Path, name: str) -> None:
    content, words = STRANGE[name]
    found = read(path, content)
    if words is None:
        assert not isinstance(found, UsageError), found
    else:
        assert isinstance(found, UsageError) and words in str(found), found


def test_aliases_do_not_multiply(path: Path) -> None:
    """A billion laughs: each anchor holds the one before it nine times."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "unknown key 'a0'" in str(read(path, "\n".join(lines).encode()))
    keys = [f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    laughs = f"? [&a0 [x], {', '.join(keys)}]\n: 1"
    assert "not a list of" in str(read(path, laughs.encode()))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in [
        (tmp_path / "pipe", "a device or pipe"),
        ("/dev/zero", "a device or pipe"),
        (tmp_path, "Is a directory"),
    ]:
        error = outcome(lambda name=name: example_parser().parse(["--config", str(name)]))
        assert isinstance(error, UsageError) and words in str(error), error
