"""The name under which pip knows the project is its own; that of the import is another's there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OWN = "denet-toolkit"
WRITTEN = {".md", ".py", ".sh", ".toml"}  # by people
OTHER = re.compile(r"""\bdenet\[[a-z]|pip install [^\n]*['" ]denet['"\s]""")


def test_no_text_sends_pip_to_the_other_project() -> None:
    """Texts name the extras of a clone, '.[plots]', or plain packages."""
    parts = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    files = [path for part in parts for path in (part, *part.rglob("*"))]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.suffix in WRITTEN}
    assert ROOT / "denet/report/plotting.py" in texts
    assert [path for path, text in texts.items() if OTHER.search(text)] == []


def test_the_project_calls_itself_by_its_own_name() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(rf'^name = "{OWN}"', project, re.MULTILINE)
    assert f'"{OWN}[coco,multi,onnx,plots,serve,tensorboard,video]"' in project


def test_the_distribution_holds_what_the_program_reads() -> None:
    """Every file of the packages that is not Python's is named as their data."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = project.split("[tool.setuptools.package-data]\n")[1].split("\n\n")[0]
    rows = re.findall(r'^"?([\w.]+)"? = \[(.*)\]$', table, re.MULTILINE)
    assert len(rows) == len(table.splitlines())
    named = {
        path
        for package, patterns in rows
        for pattern in re.findall('"(.*?)"', patterns)
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    files = {path for path in (ROOT / "denet").rglob("*") if path.is_file()}
    data = {path for path in files if path.suffix not in (".py", ".pyc")}
    assert ROOT / "denet/backend/cuda/kernels/port.cuh" in data
    assert named == data
