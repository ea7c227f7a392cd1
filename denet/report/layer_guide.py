"""What a network text can hold, made from the declarations of the layers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from textwrap import wrap

from denet.errors import UsageError
from denet.layer.base import Layer, declarations
from denet.layer.registry import layer_types
from denet.layer.text import tags, usage

INDENT = 4
NARROWEST = 40  # columns
FORM = (
    "Layers stand in forward order, separated by blanks: SYMBOL.TAGS[ARGUMENTS]. Tags are single "
    "letters; arguments have defaults from the right."
)

_wrap = partial(wrap, break_on_hyphens=False)  # options have hyphens


def guide_text(width: int) -> str:
    """Return the guide for a terminal with so many columns. Raises UsageError."""
    width = max(width, NARROWEST)
    parts = ["\n".join(_wrap(FORM, width))]
    for layer_type in layer_types().values():
        rows = list(_rows(layer_type))
        column = INDENT + max((len(name) for name, _ in rows), default=0) + 2
        margin = " " * INDENT
        lines = _wrap(usage(layer_type), width, subsequent_indent=2 * margin)
        lines += _wrap(_meaning(layer_type), width, initial_indent=margin, subsequent_indent=margin)
        for name, text in rows:
            start = f"{margin}{name}".ljust(column)
            lines += _wrap(text, width, initial_indent=start, subsequent_indent=" " * column)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def guide_markdown() -> str:
    """Return the guide as Markdown, a section for each layer. Raises UsageError."""
    parts = ["# The layers", FORM.replace("SYMBOL.TAGS[ARGUMENTS]", "`SYMBOL.TAGS[ARGUMENTS]`")]
    for layer_type in layer_types().values():
        parts += [f"## `{usage(layer_type)}`", _meaning(layer_type)]
        if rows := [f"- `{name}` {text}" for name, text in _rows(layer_type)]:
            parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _meaning(layer_type: type[Layer]) -> str:
    if sys.flags.optimize > 1:
        raise UsageError("layers: python -OO (PYTHONOPTIMIZE=2) leaves out the texts: run without")
    return (layer_type.__doc__ or "").partition("\n")[0]


def _rows(layer_type: type[Layer]) -> Iterator[tuple[str, str]]:
    """Yield (what can be written, what it does): arguments, then tags, then options."""
    declared = declarations(layer_type).items()
    for name, declaration in declared:
        if declaration.role == "argument":
            yield name, f"{declaration.help}: {declaration.kind.rule}"
    for letter, text in sorted(tags(layer_type).items()):
        yield f"{layer_type.symbol}.{letter}", text
    for name, declaration in declared:
        if declaration.role == "option":
            yield f"--{name.replace('_', '-')}", declaration.help
