"""Imports run one way, and each outside library has one home."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "denet").rglob("*.py"))

EVERYWHERE = {
    *("bfloat16", "cores", "errors", "files", "kind", "memory", "printable", "retired"),
    *("tolerance", "version"),
}
# part: the parts it imports besides itself and EVERYWHERE
MAY_IMPORT = {
    "cli": {
        *("training", "predict", "dataset", "evaluate", "report", "model", "layer"),
        *("graph", "backend", "multi", "serve"),
    },
    "interface": {"cli", "training", "predict", "dataset", "evaluate", "model"},
    "multi": {"training", "dataset", "model", "graph"},
    "serve": {"predict", "dataset"},
    "training": {"dataset", "evaluate", "report", "model", "layer", "graph"},
    "predict": {"dataset", "evaluate", "report", "model", "graph", "detect"},
    "dataset": {"detect"},
    "evaluate": {"dataset", "model", "layer", "graph", "detect"},
    "report": {"dataset", "evaluate", "model", "layer", "graph", "detect"},
    "model": {"layer", "graph", "detect"},
    "layer": {"graph", "detect"},
    "graph": {"detect"},
    "detect": set(),
    "backend": {"graph"},
    "bfloat16": set(),
    "cores": set(),
    "errors": set(),
    "files": set(),
    "kind": set(),
    "memory": set(),
    "printable": set(),
    "retired": set(),
    "tolerance": set(),
    "version": set(),
}
# outside library: the only folders or files that import it
HOMES = {
    "av": ("predict/video.py",),
    "ctypes": ("backend/onednn", "backend/cuda"),
    "cupy": ("backend/cuda",),
    "h11": ("serve/server.py",),
    "hotcoco": ("evaluate/coco.py",),
    "matplotlib": ("report",),
    "mpi4py": ("multi",),
    "onnx": ("model/format/onnx",),
    "onnxruntime": ("model/format/onnx",),
    "safetensors": ("model/format/mdl.py",),
    "shtab": ("cli/completion.py",),
    "starlette": ("serve",),
    "tensorboardX": ("report/tensorboard.py",),
    "uvicorn": ("serve/server.py",),
    "yaml": ("cli/config.py", "dataset/boxes/yolo.py"),
}


@cache
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


@pytest.mark.parametrize("own", MAY_IMPORT)
def test_imports_run_one_way(own: str) -> None:
    """The table holds what is imported and nothing else."""
    used: dict[str, str] = {}
    for path in FILES:
        if part(path) == own:
            names = (name.split(".") for name in imported(path))
            used |= {rest[0]: str(path) for first, *rest in names if first == "denet" and rest}
    others = {name: path for name, path in used.items() if name in MAY_IMPORT and name != own}
    forbidden = {name: others[name] for name in others.keys() - MAY_IMPORT[own] - EVERYWHERE}
    assert not forbidden, f"{own} may not import {forbidden}"
    assert MAY_IMPORT[own] <= others.keys(), f"{own} may import what it does not"


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_in_their_homes(library: str) -> None:
    users = {
        path.relative_to(ROOT / "denet")
        for path in FILES
        if library in {name.split(".")[0] for name in imported(path)}
    }
    for home in HOMES[library]:
        inside = {user for user in users if user.is_relative_to(home)}
        assert inside, f"nobody in {home} imports {library}"
        users -= inside
    assert not users, f"{users} import {library}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_backends_plug_in_from_outside(path: Path) -> None:
    if part(path) not in ("backend", "cli"):
        backends = {name for name in imported(path) if name.startswith("denet.backend")}
        assert all(name.startswith("denet.backend.select") for name in backends), backends


def test_the_rule_covers_every_part() -> None:
    assert {part(path) for path in FILES} - {"__init__"} == set(MAY_IMPORT)


def test_no_modules_import_each_other() -> None:
    """There is no circle of modules, not even of late imports or those for types."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}

    def module(name: str) -> str:
        """Return the module that an import of a full name reads: itself, or the one it is in."""
        return name if name in modules else name.rpartition(".")[0]

    graph = {name: {module(each) for each in imported(path)} for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle
