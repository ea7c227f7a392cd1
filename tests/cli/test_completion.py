"""The scripts of model-info --completion, in the shells themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cli.commands import COMMANDS

from denet.cli.completion import completion

ASK = """
eval "$(cat script)"
COMP_WORDS=({words}) COMP_CWORD={last}
_shtab_{name}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["model-train", "--precis"], {"--precision"}),
        (["model-train", "--precision", ""], {"auto", "f32", "bf16"}),
        (["model-predict", "--model", "run/a"], {"run/a_best.mdl"}),
        (["model-train-multi", "--sync"], {"--sync-bn"}),
    ],
)
def test_bash_knows_options_words_and_files(
    words: list[str], answers: set[str], tmp_path: Path
) -> None:
    (tmp_path / "script").write_text(completion("bash"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a_best.mdl").touch()
    name, last = words[0].replace("-", "_"), len(words) - 1
    typed = " ".join(f"'{word}'" for word in words)
    script = ASK.format(words=typed, last=last, name=name)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert {*done.stdout.split()} == answers, done.stderr


def test_all_commands_are_completed() -> None:
    lines = completion("bash").splitlines()
    completed = {line.split()[-1] for line in lines if line.startswith("complete -")}
    assert completed == {*COMMANDS}


def test_zsh_takes_its_script(tmp_path: Path) -> None:
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed here")
    script = (
        'autoload -Uz compinit; compinit -u -d dump; eval "$(cat script)"; '
        "echo $_comps[model-train]"
    )
    (tmp_path / "script").write_text(completion("zsh"))
    done = subprocess.run(
        ["zsh", "-fc", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "_shtab_model_train", done.stderr
