"""Scripts by which a shell completes the options of all commands, their words and files."""

from __future__ import annotations

import importlib

from denet.cli.command import Parser
from denet.kind import Choice

SHELLS = ("bash", "zsh")
COMMANDS = (
    *("bench", "info", "modify", "predict", "report", "serve", "train", "train_multi"),
    "update_bn",
)
PATHS = ("FILE", "DIR", "PATH", "PREFIX", "NAME.html")  # metavars of files begin so


def completion(shell: str) -> str:
    """Return a script for ``eval``."""
    import shtab

    parsers = [importlib.import_module(f"denet.cli.{name}").parser() for name in COMMANDS]
    for parser in parsers:
        _tell_words(parser, shtab.FILE)
    return "\n".join(shtab.complete(parser, shell) for parser in parsers)


def _tell_words(parser: Parser, files: object) -> None:
    """Say of each option which words may stand behind it."""
    options = {option.key: option for option in parser.options}
    for action in parser._actions:
        option = options.get(action.dest)
        if option and isinstance(option.kind, Choice) and action.nargs != 0:
            action.choices = option.kind.words
        elif str(action.metavar).startswith(PATHS):
            action.complete = files  # type: ignore[attr-defined]
