"""What acts in a terminal is escaped, what is read stays."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denet.errors import DataError, DescriptionError
from denet.files import atomic_text
from denet.printable import LAYOUT, printable

NORMAL = (
    "photos/ship 1.jpg",
    "caf\u00e9 cafe\u0301 na\u00efve \u00df \u0416 \u03a9",
    "\u6f22\u5b57\u3000\u306e\u5199\u771f",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a non-joiner
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family, joined
    "100\u00a0%, back\\slash, 'quotes\"",
)
ANY = st.text() | st.text("ab\n\r\t\x00\x07\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\udcff")


@pytest.mark.parametrize("text", NORMAL)
def test_what_is_read_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3.\x1b]0;x\x07", r"3.\x1b]0;x\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2066\u2028\u2029\ufeff\u00ad", r"\u2066\u2028\u2029\ufeff\xad"),
        ("\U000e0041", r"\U000e0041"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_acts_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY)
def test_any_text_is_one_line_of_text(text: str) -> None:
    shown = printable(text)
    shown.encode()  # no lone surrogates
    assert len(shown.splitlines()) == bool(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)
    directions = {unicodedata.bidirectional(each) for each in shown}
    assert not directions & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "B"}
    assert printable(shown) == shown


@given(ANY)
def test_lines_of_a_layout_stay(text: str) -> None:
    shown = printable(text, LAYOUT)
    assert shown.split("\n") == ["\t".join(map(printable, x.split("\t"))) for x in text.split("\n")]


def test_an_error_tells_names_in_one_line() -> None:
    assert str(DataError("no such file: a\n\x1b[2J\u202e")) == r"no such file: a\n\x1b[2J\u202e"
    assert str(DescriptionError("layer 1\n    C\x07\n    ^")) == "layer 1\n    C\\x07\n    ^"


def test_a_file_of_text_holds_what_can_be_shown(tmp_path) -> None:
    with atomic_text(tmp_path / "a.txt") as file:
        file.write("caf\u00e9\t\x1b[2J\u202e\udcff\r\n")
        file.writelines(["\x07\n", "end\n"])
    expected = "caf\u00e9\t\\x1b[2J\\u202e\\udcff\\r\n\\x07\nend\n"
    assert (tmp_path / "a.txt").read_bytes() == expected.encode()
