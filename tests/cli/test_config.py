"""--config and --print-config: the same options in YAML."""

from pathlib import Path

import pytest
import yaml
from cli.commands import COMMANDS, ROWS, example_parser, parser

from denet.cli.options import GENERAL
from denet.errors import UsageError


@pytest.fixture
def config(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


# YAML text, attribute, value
VALUES = [
    ("epochs: 7", "epochs", 7),
    ("learn-rate: 1e-3", "learn_rate", 1e-3),
    ("learn_rate: .5", "learn_rate", 0.5),
    ("stages: [3, 5]", "stages", [3, 5]),
    ("stages:\n- 3\n- 5", "stages", [3, 5]),
    ("stages: []", "stages", []),
    ("stages: 4", "stages", [4]),
    ("mirror: true", "mirror", True),
    ("mirror: no", "mirror", False),
    ("limit: null", "limit", None),
    ("limit:", "limit", None),
    ("model-desc: C[8,3] BN A R", "model_desc", "C[8,3] BN A R"),
    ("model-desc: ['C[8,3]', BN, R]", "model_desc", "C[8,3] BN R"),
    ("border-mode: 3", "border_mode", "3"),
    ("weight-init: [he-forward, 0.01]", "weight_init", ["he-forward", "0.01"]),
    ("# only a comment", "epochs", 30),
    ("activation: tanh # smooth", "activation", "tanh"),
]


@pytest.mark.parametrize(("text", "key", "value"), VALUES)
def test_config_value(text: str, key: str, value: object, config) -> None:
    values = example_parser().parse(["--config", config(text)])
    assert getattr(values, key) == value


def test_typed_options_win(config) -> None:
    path = config("epochs: 7\nmirror: true\nstages: [1]\nlearn-rate: 0.5\n")
    words = ["--epochs", "9", "--no-mirror", "--stages", "--config", path]
    values = example_parser().parse(words)
    assert (values.epochs, values.mirror, values.stages, values.learn_rate) == (9, False, [], 0.5)


# YAML text, the error without the path of the file
FAULTS = [
    ("seed: 1\nepocs: 3", "unknown key 'epocs': FILE line 2: did you mean 'epochs'?"),
    ("qqq: 3", "unknown key 'qqq': FILE line 1"),
    ("learn: 3", "unknown key 'learn': FILE line 1: did you mean 'learn-rate'?"),
    ("config: x.yaml", "unknown key 'config': FILE line 1"),
    ("epochs: 3\nepochs: 4", "key 'epochs' stands twice: FILE line 2: remove one"),
    ("\nepochs: many", "--epochs: must be a whole number from 1 to 100; got 'many': FILE line 2"),
    ("epochs: [1, 2]", "--epochs: must be a whole number from 1 to 100; got '1 2': FILE line 1"),
    ("epochs: {a: 1}", "epochs: FILE line 1: must be a value or a list of values"),
    ("mirror: 2", "--mirror must be true or false (or 1 or 0); got '2': FILE line 1"),
    ("model-desc: []", "--model-desc: expected at least one argument: FILE line 1"),
    ("- epochs", "not a list of 'option: value' lines: FILE: see --print-config"),
    ("epochs: 'x", "not YAML: FILE line 1: found unexpected end of stream"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_config_fault(text: str, message: str, config) -> None:
    path = config(text)
    with pytest.raises(UsageError) as caught:
        example_parser().parse(["--config", path])
    assert str(caught.value) == message.replace("FILE", path)


def test_config_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match=r"cannot read the configuration: .*: No such file"):
        example_parser().parse(["--config", path])


def test_print_config_is_yaml_of_all_recorded_options() -> None:
    built = example_parser()
    text = built.config_text(built.parse(["--stages", "2", "--weight-init", "xavier-forward"]))
    told = yaml.safe_load(text)
    recorded = [option.name for option in (*ROWS, *GENERAL) if option.recorded]
    assert list(told) == recorded
    assert told["stages"] == [2] and told["limit"] is None and told["mirror"] is False


def test_text_that_would_act_in_a_terminal_comes_back(config) -> None:
    text = 'a"\\ \n\t\x1b\x7f\x85\u2028\u202e\U000e0041\u6f22\udcff'
    printed = example_parser().config_text(example_parser().parse([f"--border-mode={text}"]))
    assert "\u6f22" in printed and all(each.isprintable() for each in printed.splitlines())
    assert example_parser().parse(["--config", config(printed)]).border_mode == text


@pytest.mark.parametrize("name", COMMANDS)
def test_print_config_round_trip(name: str, command, tmp_path: Path) -> None:
    first = command(name, "--print-config", "--seed", 7, "--log-level", "debug")
    assert (first.returncode, first.stderr) == (0, "")
    (tmp_path / "printed.yaml").write_text(first.stdout, encoding="utf-8")
    second = command(name, "--config", "printed.yaml", "--print-config")
    assert second.stdout == first.stdout
    assert parser(name).parse(["--config", str(tmp_path / "printed.yaml")]).seed == 7
