"""Network texts from strangers: built, or refused with a caret under the place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer.layer_strategies import any_layer
from untrusted.damage import damaged, outcome

from denet.errors import DescriptionError
from denet.layer.text import write_layer
from denet.model.desc import (
    MAX_LAYERS,
    SHOWN_WIDTH,
    build_layers,
    desc_text,
    layers_text,
    parse_desc,
)
from denet.model.model import Model

VALID = (
    "B[1] C.X[4,3,5,1,2] BN[0.8,0.001] A P[2] BNA SKIPSRC.X D[0.2] nRSN.O[3,6,3,2] PI SKIP SPLIT "
    "C.B[4,1] RSN[8,3,2,3] DC[5,3,2] CM[10,0.5] P.AB[3,2,1] R.BC[1]"
)


def build(text: str) -> Any:
    """Read a text and build its graph, which takes no memory; what is read comes back as text."""

    def use() -> Model:
        descs = parse_desc(text)
        assert parse_desc(desc_text(descs)) == descs
        layers = build_layers(descs)
        assert build_layers(parse_desc(layers_text(layers))) == layers
        model = Model(layers, (3, 65536, 65536), ["a", "b"])
        model.graph(1)
        return model

    return outcome(use, lines=3)


@given(
    st.text(max_size=60)
    | st.text("CBPRSNDAXKIT.[],0123456789-e \n\0\x1b٣\u2028\u202e\udcff", max_size=60)
)
def test_any_text(text: str) -> None:
    build(text)


@given(damaged(VALID.encode()))
def test_a_damaged_text(text: bytes) -> None:
    build(text.decode("utf-8", "surrogateescape"))


@given(st.lists(any_layer(in_text_only=True).map(write_layer), min_size=1, max_size=12))
def test_any_layers(tokens: list[str]) -> None:
    build(" ".join(tokens))


LONG = 2_000_000  # characters
HUGE = {
    "symbol": "C" * LONG,
    "tags": "C." + "B" * LONG,
    "digits": f"C[{'1' * LONG}]",
    "number": f"D[{'1' * LONG}]",
    "arguments": "C[" + "1," * LONG,
    "open brackets": "[" * LONG,
    "bracket pairs": "[]" * LONG,
    "closing brackets": "C" + "]" * LONG,
    "white space": " " * LONG + "C[0]",
    "control characters": "\x1b[2J" * 100_000,
    "layers": "A " * LONG,
    "residual blocks": "nRSN[1000,65536,1023] " * LONG,
}


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_text(name: str) -> None:
    error = build(HUGE[name])
    assert isinstance(error, DescriptionError)
    assert all(len(line) < 10 + 2 * SHOWN_WIDTH for line in str(error).split("\n")[1:])


def test_as_many_layers_as_can_be() -> None:
    assert isinstance(build("A " * MAX_LAYERS), Model)
    error = build("A " * (MAX_LAYERS + 1))
    assert f'layer {MAX_LAYERS + 1} "A": the network has more than {MAX_LAYERS} layers' in str(
        error
    )


def test_a_terminal_is_not_obeyed() -> None:
    error = str(build("C[3] \x1b]0;owned\x07 \x00 \x85"))
    assert "\x1b" not in error and "\x07" not in error and "\x85" not in error
