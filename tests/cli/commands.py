"""The parsers of all commands, and one made for tests; commands run in this process."""

import importlib
import logging
from pathlib import Path
from typing import Any

from denet.cli.command import Parser
from denet.cli.options import LAYER_OPTIONS, MODEL_DESC, Option
from denet.kind import Flag, Integer, Real

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir())

ROWS = (
    MODEL_DESC,
    *LAYER_OPTIONS,
    Option("epochs", "epochs", Integer(1, 100), 30),
    Option("learn-rate", "rate", Real(0, 10), 0.1),
    Option("stages", "epochs", Integer(1, 100), [], "*"),
    Option("mirror", "mirror", Flag(), False),
    Option("limit", "limit", Integer(1, 100)),
)


def example_parser(words: str | None = None) -> Parser:
    example = "model-example --epochs 1"
    return Parser("model-example", "An example.", example, {"all": ROWS}, words)


def parser(name: str) -> Parser:
    built = module(name).parser()
    assert isinstance(built, Parser)
    return built


def module(name: str) -> Any:
    return importlib.import_module(f"denet.cli.{name.removeprefix('model-').replace('-', '_')}")


def run_here(name: str, *words: str) -> int:
    """Run a command in this process; give the log back as it was."""
    log = logging.getLogger("denet")
    handlers, level = log.handlers[:], log.level
    try:
        code: int = module(name).main(words)
        return code
    finally:
        for handler in log.handlers:
            handler.close()
        log.handlers[:] = handlers
        log.setLevel(level)
