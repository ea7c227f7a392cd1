"""The network language: text to layer descriptions to layers, and back.

A network is a list of tokens between white space, ``SYMBOL.TAGS[ARGUMENTS]``: ``C.B[64,7,2]``.
Inside brackets white space is free.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from denet.errors import DescriptionError, nearest_hint
from denet.layer.base import Layer
from denet.layer.options import LayerOptions
from denet.layer.registry import layer_types
from denet.layer.text import TokenError, read_layer, write_layer
from denet.printable import printable

MAX_LAYERS = 4000  # of a network; some steps of building one take the square of it
SHOWN_WIDTH = 96  # columns of the line that an error repeats
SHOWN_LENGTH = 40  # characters of a wrong symbol that an error repeats

TOKEN = re.compile(
    r"(?P<symbol>[^.\[\]]*)(?P<dot>\.(?P<tags>[^\[\]]*))?(\[(?P<arguments>[^\[\]]*)\])?"
)
# pattern of a wrong token: what is wrong at the first character it captures
STRUCTURE_FAULTS = (
    (re.compile(r"[^\[]*(\])"), "']' without '['"),
    (re.compile(r"[^\[]*\[[^\]]*(\[)"), "'[' inside brackets"),
    (re.compile(r"[^\[]*(\[)[^\]]*$"), "'[' without ']'"),
    (re.compile(r"[^\[]*\[[^\]]*\](.)"), "text behind ']'; put white space between layers"),
)


@dataclass(frozen=True)
class LayerDesc:
    """One token of the network text: what it says, and where it stood."""

    symbol: str
    tags: str = ""
    arguments: tuple[str, ...] = ()
    number: int = field(default=1, compare=False)  # of the first layer it makes, from 1
    source: str = field(default="", compare=False)  # the whole text
    start: int = field(default=0, compare=False)  # of the token in source
    end: int = field(default=0, compare=False)

    def __str__(self) -> str:
        text = self.symbol
        if self.tags:
            text += f".{self.tags}"
        if self.arguments:
            text += f"[{','.join(self.arguments)}]"
        return text

    def error(self, message: str, place: int = 0) -> DescriptionError:
        """Return the error that points at the character ``place`` of the token."""
        return token_error(message, self.number, self.source, (self.start, self.end), place)


def parse_desc(text: str) -> list[LayerDesc]:
    """Return the tokens of a network text, each checked; raise DescriptionError with a caret."""
    descs: list[LayerDesc] = []
    number = 1
    for start, end in token_spans(text):
        desc = parse_token(text, start, end, number)
        number += len(read_desc(desc, LayerOptions()))
        if number > MAX_LAYERS + 1:
            raise desc.error(f"the network has more than {MAX_LAYERS} layers")
        descs.append(desc)
    if not descs:
        raise DescriptionError("empty network: nothing to build; give layers such as C[64,3] A R")
    return descs


def desc_text(descs: Sequence[LayerDesc]) -> str:
    """Return the network text of these tokens."""
    return " ".join(str(desc) for desc in descs)


def build_layers(descs: Sequence[LayerDesc], options: LayerOptions | None = None) -> list[Layer]:
    """Return the layers of these tokens, shorthands expanded, with the given options."""
    options = options or LayerOptions()
    return [layer for token, desc in enumerate(descs) for layer in read_desc(desc, options, token)]


def layers_text(layers: Sequence[Layer]) -> str:
    """Return the shortest network text of these layers, options apart."""
    return " ".join(text for text, _ in layer_tokens(layers))


def layer_tokens(layers: Sequence[Layer]) -> list[tuple[str, int]]:
    """Return (text, number of layers) of each token. A layer without a symbol shows its type."""
    tokens = []
    rest = list(layers)
    while rest:
        found = (each.collapse(rest) for each in layer_types().values())
        layer, count = next((match for match in found if match), (rest[0], 1))
        tokens.append((write_layer(layer) if layer.symbol else layer.type_name, count))
        del rest[:count]
    return tokens


def token_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the tokens: runs without white space outside brackets."""
    start, inside = None, False
    for position, character in enumerate(text):
        inside = character == "[" or (inside and character != "]")
        if not character.isspace() or inside:
            start = position if start is None else start
        elif start is not None:
            yield start, position
            start = None
    if start is not None:
        yield start, len(text.rstrip())


def parse_token(source: str, start: int, end: int, number: int) -> LayerDesc:
    """Return the description of the token at these characters of ``source``."""
    token = source[start:end]

    def error(message: str, place: int) -> DescriptionError:
        return token_error(message, number, source, (start, end), place)

    match = TOKEN.fullmatch(token)
    if match is None:
        for pattern, message in STRUCTURE_FAULTS:
            if fault := pattern.match(token):
                raise error(message, fault.start(1))
    assert match, token
    symbol, tags, arguments = match["symbol"], match["tags"] or "", match["arguments"]
    if symbol not in layer_types():
        raise error(unknown_layer(symbol), 0)
    if match["dot"] and not tags:
        raise error("no tag behind '.'", match.start("dot"))
    words = [] if arguments is None else [word.strip() for word in arguments.split(",")]
    if words == [""]:
        raise error("empty brackets: leave them out or give arguments", match.start("arguments"))
    if "" in words:
        before = words.index("")
        place = sum(len(word) + 1 for word in arguments.split(",")[:before])
        raise error(f"argument {before + 1} is empty", match.start("arguments") + place)
    return LayerDesc(symbol, tags, tuple(words), number, source, start, end)


def unknown_layer(symbol: str) -> str:
    """Return the message for a symbol that no layer has."""
    known = list(layer_types())
    symbol = symbol[:SHOWN_LENGTH]
    same_letters = [each for each in known if each.lower() == symbol.lower()]
    hint = f" (did you mean {same_letters[0]!r}?)" if same_letters else nearest_hint(symbol, known)
    return f"unknown layer {symbol!r}{hint}; known: {', '.join(known)}"


def read_desc(desc: LayerDesc, options: LayerOptions, token: int = 0) -> list[Layer]:
    """Return the layers that one token stands for."""
    layer_type = layer_types()[desc.symbol]
    try:
        layer = read_layer(layer_type, desc.tags, desc.arguments, options, token)
    except TokenError as error:
        raise desc.error(str(error), fault_place(desc, error)) from None
    except DescriptionError as error:
        raise desc.error(str(error)) from None
    return layer.expand()


def fault_place(desc: LayerDesc, error: TokenError) -> int:
    """Return the character of the token that the error is about."""
    if error.tag is not None:
        return len(desc.symbol) + 1 + error.tag
    if error.argument is None:
        return 0
    token = desc.source[desc.start : desc.end]
    place = token.index("[") + 1
    for word in token[place:].split(",")[: error.argument]:
        place += len(word) + 1
    return place + len(token[place:]) - len(token[place:].lstrip())


def token_error(
    message: str, number: int, source: str, span: tuple[int, int], place: int
) -> DescriptionError:
    """Return the error of a token with the line of text below it and a caret under ``place``."""
    start, end = span
    caret = start + place
    first = max(0, min(caret - SHOWN_WIDTH // 2, len(source) - SHOWN_WIDTH))
    shown = _spaced(source[first : first + SHOWN_WIDTH])
    before, after = "..." * (first > 0), "..." * (first + SHOWN_WIDTH < len(source))
    indent = " " * (4 + len(before) + caret - first)
    token = " ".join(_spaced(source[start:end]).split())
    if len(token) > SHOWN_WIDTH // 2:
        token = token[: SHOWN_WIDTH // 2] + "..."
    return DescriptionError(
        f'layer {number} "{token}": {message}\n    {before}{shown}{after}\n{indent}^'
    )


def _spaced(text: str) -> str:
    """Return the text with a space for each character that is blank or acts."""
    return "".join(" " if each.isspace() or printable(each) != each else each for each in text)
