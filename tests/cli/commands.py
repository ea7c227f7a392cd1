"""The parsers of all commands, and one made for tests."""

import importlib
from pathlib import Path

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
    module = importlib.import_module(f"denet.cli.{name.removeprefix('model-').replace('-', '_')}")
    built = module.parser()
    assert isinstance(built, Parser)
    return built
