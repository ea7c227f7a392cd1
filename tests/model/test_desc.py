"""The network language: what is read, what is refused, and where the caret stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denet.errors import DescriptionError
from denet.model.desc import build_layers, desc_text, layers_text, parse_desc

RESNET34 = (
    "C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] "
    "nRSN.O[3,512,3,2] P.A[7] R.BT"
)
SIMPLE_CIFAR10 = (
    "B[3] C[128,3] BN A C[96,2] BN A C[64] BN A P.A[2] D[0.2] C[256,3] BN A C[192,2] BN A C[128] "
    "BN A P.A[2] D[0.2] C[512,3] BN A C[384,2] BN A C[256] BN A D[0.2] R.C[6]"
)


def test_parts_of_a_token():
    first, second, third = parse_desc("C.BX[64, 7,\t3 ]\n nRSN.O[2,8,3]  P.A")
    assert (first.symbol, first.tags, first.arguments) == ("C", "BX", ("64", "7", "3"))
    assert (second.symbol, second.tags, second.arguments) == ("nRSN", "O", ("2", "8", "3"))
    assert (third.symbol, third.tags, third.arguments) == ("P", "A", ())
    assert [desc.number for desc in (first, second, third)] == [1, 2, 4]
    assert third.source[third.start : third.end] == "P.A"


def test_white_space_is_free_inside_brackets():
    assert parse_desc(" C.B[ 64 , 7, 2]\tBN\n") == parse_desc("C.B[64,7,2] BN")
    assert desc_text(parse_desc("C.B[ 64 , 7, 2]   BN")) == "C.B[64,7,2] BN"


@pytest.mark.parametrize("text", [RESNET34, SIMPLE_CIFAR10])
def test_published_networks_come_back_as_written(text):
    assert desc_text(parse_desc(text)) == text
    assert layers_text(build_layers(parse_desc(text))) == text


@pytest.mark.parametrize(
    ("written", "shortest"),
    [
        ("C[8,1,1]", "C[8]"),
        ("C.X[8,3,3,2,2]", "C[8,3,2]"),
        ("C.XB[8,3,1,1,1]", "C.BX[8,3,1]"),
        ("P[2,2,0]", "P[2]"),
        ("P[3,3,1]", "P[3,3,1]"),
        ("P.X[3,2,2]", "P.X[3,2,2]"),
        ("P.BA", "P.AB"),
        ("D[0.50]", "D"),
        ("D[2e-1]", "D[0.2]"),
        ("BN[0.9,1e-5,1,0,0]", "BN"),
        ("BN[0.9,0.001]", "BN[0.9,0.001]"),
        ("PI[2]", "PI"),
        ("B.X[1,1,1,1]", "B[1]"),
        ("SKIP[0]", "SKIP"),
        ("RSN[8,3] RSN[8,3]", "nRSN[2,8,3]"),
        ("RSN[8,3,2] RSN[8,3] RSN[8,3,2]", "nRSN[2,8,3,2] RSN[8,3,2]"),
        ("nRSN[1,8,3,2]", "RSN[8,3,2]"),
        ("C[+8]", "C[8]"),
    ],
)
def test_shortest_text(written, shortest):
    assert layers_text(build_layers(parse_desc(written))) == shortest


def test_shorthands_count_as_their_layers():
    types = [layer.type_name for layer in build_layers(parse_desc("nRSN[3,8,3,2] R.C"))]
    assert types == ["resnet"] * 3 + ["class-conv", "regression"]
    assert [layer.stride for layer in build_layers(parse_desc("nRSN[3,8,3,2]"))] == [2, 1, 1]


# text, what stands under the caret, part of the first line
BAD_TEXTS = [
    ("", "", "empty network"),
    (" \n ", "", "empty network"),
    ("BN c[3]", "c", "unknown layer 'c' (did you mean 'C'?)"),
    ("RSM[64,3]", "R", "unknown layer 'RSM' (did you mean 'RSN'?)"),
    ("BN; A", "B", "unknown layer 'BN;' (did you mean 'BN'?)"),
    ("[3]", "[", "unknown layer ''"),
    (".B[3]", ".", "unknown layer ''"),
    ("C(3)", "C", "unknown layer 'C(3)'"),
    ("C.Q[256,3]", "Q", "unknown tag 'Q' (known: B, X)"),
    ("C.b[3]", "b", "unknown tag 'b'"),
    ("A.B", "B", "unknown tag 'B' (known: none)"),
    ("C.BXB[3,3,3]", "B", "the tag 'B' is given twice"),
    ("C.B.X[3,3,3]", ".", "unknown tag '.'"),
    ("C.[3]", ".", "no tag behind '.'"),
    ("C[3,3", "[", "'[' without ']'"),
    ("C[3,3 BN A", "[", "'[' without ']'"),
    ("C3]", "]", "']' without '['"),
    ("C[[3]]", "[", "'[' inside brackets"),
    ("C[3,[3]]", "[", "'[' inside brackets"),
    ("C[3]BN", "B", "text behind ']'"),
    ("C[3]]", "]", "text behind ']'"),
    ("C[3][3]", "[", "text behind ']'"),
    ("C[]", "]", "empty brackets"),
    ("C[ ]", " ", "empty brackets"),
    ("C[3,,2]", ",", "argument 2 is empty"),
    ("C[,3]", ",", "argument 1 is empty"),
    ("C[3,]", "]", "argument 2 is empty"),
    ("C", "C", "filters is missing: C[filters, size=1, stride=1, groups=1, bias_start=0]"),
    ("RSN[64]", "R", "size is missing: RSN[filters, size, stride=1, bottleneck=0]"),
    (
        "C.X[3,3]",
        "C",
        "size_x is missing: C.X[filters, size_y, size_x, stride_y=1, stride_x=1, groups=1, ",
    ),
    ("B.X[1,2]", "B", "top is missing"),
    ("A[3]", "3", "takes no arguments; got 1"),
    ("C[3,3,1,1,0,7]", "7", "takes at most 5 arguments"),
    ("C[0]", "0", "filters must be a whole number from 1 to 65536; got '0'"),
    ("C[64, -3]", "-", "size must be a whole number from 1 to 1024; got '-3'"),
    ("C[64,3,0]", "0", "stride must be a whole number"),
    ("C[64,3.0]", "3", "size must be a whole number from 1 to 1024; got '3.0'"),
    ("C[6 4]", "6", "filters must be a whole number"),
    ("C[sixty]", "s", "filters must be a whole number"),
    ("C[99999999999999999999]", "9", "filters must be a whole number"),
    ("C[٣]", "٣", "filters must be a whole number"),
    ("P[2,2,2]", "P", "padding must be below the size"),
    ("P[2,1,-1]", "-", "padding must be a whole number"),
    ("D[1]", "1", "rate must be a number at least 0 and below 1; got '1'"),
    ("D[nan]", "n", "rate must be a number"),
    ("D[inf]", "i", "rate must be a number"),
    ("BN[0.9,0]", "0", "eps must be a number above 0"),
    ("BN[0.9,1e-5,3]", "3", "renorm_max_r must be 1 (batch renormalisation is not applied)"),
    ("CM[28,1.5]", "1", "mirror must be a number at least 0 and at most 1"),
    ("RSN[64,4]", "4", "size must be an odd whole number"),
    ("nRSN[0,64,3]", "0", "num must be a whole number"),
    ("SKIP[-1]", "-", "index must be a whole number"),
    ("SKIP[1,2]", "2", "takes at most 1 arguments"),
]


@pytest.mark.parametrize(("text", "under_caret", "message"), BAD_TEXTS)
def test_bad_text(text, under_caret, message):
    with pytest.raises(DescriptionError) as caught:
        parse_desc(text)
    first, *rest = str(caught.value).split("\n")
    assert message in first
    if under_caret:
        line, caret = rest
        assert line[caret.index("^")] == under_caret
        assert caret.strip() == "^"


def test_error_counts_layers_not_tokens():
    with pytest.raises(DescriptionError) as caught:
        parse_desc("C.B[64,7,2] BN nRSN[4,64,3] C.Q[256,3] R")
    assert str(caught.value) == (
        "layer 7 \"C.Q[256,3]\": unknown tag 'Q' (known: B, X)\n"
        "    C.B[64,7,2] BN nRSN[4,64,3] C.Q[256,3] R\n"
        "                                  ^"
    )


def test_error_shows_a_part_of_a_long_text():
    with pytest.raises(DescriptionError) as caught:
        parse_desc("BN " * 100 + "C[0]" + " BN" * 100)
    first, line, caret = str(caught.value).split("\n")
    assert first.startswith('layer 101 "C[0]"')
    assert line.startswith("    ...") and line.endswith("...") and len(line) < 110
    assert line[caret.index("^")] == "0"
    with pytest.raises(DescriptionError) as caught:
        parse_desc(f"C[{'7' * 9000}]")
    assert max(map(len, str(caught.value).split("\n"))) < 180


@given(st.text("CBPRSNDAX.[],0123456789-e \n", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        descs = parse_desc(text)
    except DescriptionError as error:
        assert len(str(error).split("\n")) in (1, 3)
    else:
        assert parse_desc(desc_text(descs)) == descs
