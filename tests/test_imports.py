"""Imports run one way, and each outside library has one home."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "denet").rglob("*.py"))

EVERYWHERE = {"errors", "files", "memory"}
LIBRARY = {"dataset", "evaluate", "report", "model", "layer", "graph", "detect"}
# part: the parts it may import besides itself and EVERYWHERE
MAY_IMPORT = {
    "cli": LIBRARY | {"train", "predict", "backend"},
    "train": LIBRARY | {"backend"},
    "predict": LIBRARY | {"backend"},
    "dataset": {"graph", "detect"},
    "evaluate": {"dataset", "model", "layer", "graph", "detect"},
    "report": {"dataset", "evaluate", "model", "layer", "graph", "detect"},
    "model": {"layer", "graph", "detect"},
    "layer": {"graph", "detect"},
    "graph": {"detect"},
    "detect": set(),
    "backend": {"graph"},
    "errors": set(),
    "files": set(),
    "memory": set(),
}


def imported(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, late imports too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports by full name only"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def part(path: Path) -> str:
    """Return the first name below denet of a file: cli, layer, errors, ..."""
    return path.relative_to(ROOT / "denet").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    own = part(path)
    if own == "__init__":
        return
    for name in imported(path):
        first, *rest = name.split(".")
        if first == "denet" and rest and rest[0] in MAY_IMPORT:
            assert rest[0] in MAY_IMPORT[own] | {own} | EVERYWHERE, f"{own} may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_backends_plug_in_from_outside(path: Path) -> None:
    home = path.relative_to(ROOT / "denet").parts[:2]
    names = imported(path)
    if home[0] not in ("backend", "cli"):
        backends = {name for name in names if name.startswith("denet.backend")}
        assert all(name.startswith("denet.backend.select") for name in backends), backends
    if home != ("backend", "onednn"):
        assert "ctypes" not in {name.split(".")[0] for name in names}


def test_the_rule_covers_every_part() -> None:
    assert {part(path) for path in FILES} - {"__init__"} == set(MAY_IMPORT)
