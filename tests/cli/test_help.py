"""--help, --version and what they must not cost."""

import subprocess
import sys

import pytest
from cli.commands import COMMANDS, ROOT, parser

import denet
from denet.kind import Flag

HEAVY = ("numpy", "PIL", "matplotlib", "scipy", "yaml", "safetensors", "tqdm")


def test_every_command_has_a_file_and_an_entry_point() -> None:
    files = {
        f"model-{path.stem.replace('_', '-')}"
        for path in (ROOT / "denet" / "cli").glob("*.py")
        if "def main(" in path.read_text(encoding="utf-8")
    }
    assert set(COMMANDS) == files
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in COMMANDS:
        module = name.removeprefix("model-").replace("-", "_")
        assert f'{name} = "denet.cli.{module}:main"' in project


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_every_option_its_default_and_an_example(name: str) -> None:
    built = parser(name)
    text = " ".join(built.format_help().split())
    for option in built.options:
        assert f"--{option.name}" in text
        assert " ".join(option.full_help.split()) in text
        has_default = option.default is not None and not isinstance(option.kind, Flag)
        assert ("(default: " in option.full_help) == has_default
    assert "example:" in text and f"{name} --" in text.split("example:")[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_example_parses(name: str) -> None:
    built = parser(name)
    example = (built.epilog or "").split("example:\n")[1].replace("\\\n", " ")
    words = example.split()
    assert words[0] == name
    built.parse(words[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_parser_loads_no_heavy_library(name: str) -> None:
    module = name.removeprefix("model-").replace("-", "_")
    program = (
        f"import sys; from denet.cli.{module} import parser; parser().format_help(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_version(name: str, command) -> None:
    done = command(name, "--version")
    assert (done.returncode, done.stdout) == (0, f"denet {denet.__version__}\n")
