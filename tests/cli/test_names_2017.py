"""Names and defaults of DeNet (2017) still hold: commands written for it go on working."""

from dataclasses import fields

import pytest
from cli.commands import parser

from denet.cli import modify
from denet.cli.options import layer_options
from denet.cli.train import train_settings
from denet.cli.train_multi import RANKS
from denet.errors import DescriptionError, UsageError
from denet.layer.options import LayerOptions
from denet.layer.registry import layer_from_fields, type_names
from denet.model.format import load_model, save_model
from denet.model.model import Model
from denet.retired import OF_RANKS, RETIRED
from denet.training.settings import TrainSettings

DESC = "C[100,7] P[2] C[150,4] P[2] C[250,4] P[2] C[300,1] R"

# command: {attribute: default}
DEFAULTS = {
    "model-train": {
        "model": None,
        "cost_factors": [],
        "thread_num": 1,
        "test_epochs": 1,
        "border_mode": "valid",
        "output_prefix": "./model",
        "activation": "relu",
        "solver": "nesterov",
        "weight_init": ["he-backward"],
        "learn_rate": 0.1,
        "learn_momentum": [0.0, 0.0],
        "learn_anneal": 1,
        "learn_anneal_epochs": [],
        "learn_decay": 0,
        "epochs": 30,
        "max_samples": None,
        "batch_size": 32,
        "seed": 23455,
        "distort_mode": [],
        "disable_intermediate": False,
        "augment_mirror": False,
        "skip_train": False,
        "skip_layer_updates": [],
        "model_desc": DESC,
        "log_level": "verbose",
    },
    "model-train-multi": {
        "border_mode": "half",
        "model_save_dt": 30,
        "batch_size": 32,
        "batch_size_factor": 1,
        "gpus": None,
        "resume": False,
    },
    "model-predict": {
        "model": None,
        "input": None,
        "extension": None,  # any image, png as in 2017 among them
        "batch_size": 100,
        "predict_mode": None,  # single, but for a model that detects
        "thread_num": 1,
    },
    "model-modify": {
        "seed": 23455,
        "input": None,
        "output": None,
        "class_num": None,
        "image_size": None,
        "use_cudnn_pool": False,
        "convert_bn_relu": False,
        "merge": False,
        "modify_bn": None,
        "modify_layer": None,
        "layer_insert": None,
        "layer_remove": 0,
        "layer_append": None,
        "border_mode": "half",
        "weight_init": ["he-backward"],
    },
}

# command lines of its README and examples, options of one machine
LINES = [
    "model-train --border-mode half --activation relu --model-desc C[128,3] BN A P[2] P.A R "
    "--learn-rate 0.1 --solver sgd --epochs 30 --train TRAIN --test TEST --ext png",
    "model-train --seed 0 --distort-mode o4 --solver sgd --border-mode same --augment-mirror "
    "--epochs 90 --batch-size 32 --learn-rate 0.1 --learn-momentum 0.9 --learn-anneal 0.5 "
    "--learn-anneal-epochs 15 30 45 60 75 --learn-decay 5e-4 --extension png --train A --test B",
    "model-train-multi --gpus gpu0 gpu1 gpu2 gpu3 --solver nesterov --learn-rate 0.1 --train A "
    "--model-dims run/model-dims.json --batch-size 32 --batch-size-factor 2 --restart",
    "model-modify --input MODEL --output MODEL_X768 --image-size 768 768 "
    "--modify-layer denet-sparse sample_num=36",
    "model-modify --input A --output B --modify-bn 1 0.9 1e-5 --convert-bn-relu --use-cudnn-pool "
    "--class-num 80 --image-size 512 512 --layer-remove 3 "
    "--layer-insert 11:SKIPSRC.X[0] 18:SKIPSRC.X[1]",
]


CHANGES = {  # of model-modify to a file of 2017, and a part of the network text that comes of it
    "--class-num 5": "DND.J[0.5,1,1]",
    "--image-size 48 64": "C.B[4,3,2] BN",
    "--use-cudnn-pool": "P[3,2,1]",
    "--convert-bn-relu": "C.B[4,3,2] BNA",
    "--merge": "SKIPSRC P.B",
    "--modify-bn 1 0.8 1e-4": "BN[0.8,0.0001]",
    "--modify-layer denet-sparse sample_num=6 sample_gt=False local_max=1": "DNS.G[3,6,0.01,0.1,1]",
    "--modify-layer denet-detect use_jointfit=False indfit_factor=0.1": "DND[0.5,1,1,0.1]",
    "--modify-layer denet-detect use_bounded_iou=1 bbox_factor=2": "DND.JB[0.5,1,2]",
    "--modify-layer denet-corner sample_feat=4 cost_factor=3": "DNC[4,3]",
    "--modify-layer dropout dropout_rate=0.2": "D[0.2]",
    "--modify-layer crop-mirror mirror_pr=0.1 flip_pr=0.2": "CM[3,0.1,0.2]",
    "--modify-layer skip-src skip_index=2 has_split=False": "SKIPSRC[2]",
    "--layer-insert 2:SKIPSRC.X[3] 6:D[0.1]": "SKIPSRC.X[3] BN A SPLIT D[0.1] SKIPSRC.X",
    "--layer-remove 1": "C.B[4] BNA",
    "--layer-remove 1 --layer-append D[0.1] DND[0.5,1,1]": "D[0.1] DND[0.5,1,1]",
    "--seed 1 --log-level verbose --border-mode half --activation relu": "BN A SPLIT",
}


@pytest.mark.parametrize("line", CHANGES)
def test_every_change_of_2017_is_made_from_its_format_to_its_format(tmp_path, line: str) -> None:
    text = (
        "C.B[4,3,2] BN A SPLIT SKIPSRC.X P.B[3,2] RSN.O[4,3] D CM[3,0.5] DNC[4] DNS[3,4] C.B[4] "
        "BNA DND.J[0.5,1,1]"
    )
    half = LayerOptions(border_mode="half")
    save_model(Model.create(text, (3, 32, 32), ["a", "b"], half), tmp_path / "a.mdl.gz")
    model, options = load_model(tmp_path / "a.mdl.gz"), parser("model-modify").parse(line.split())
    for key, change in modify.changes(options):
        if getattr(options, key):
            model = change(model)
    save_model(model, tmp_path / "b.mdl.gz")
    assert CHANGES[line] in load_model(tmp_path / "b.mdl.gz").text()


# option or field of a layer that is gone: words of what the error tells instead
GONE = {
    "--gpus": "GPU=0 before the command",
    "--use-acc-mode": "--batch-size-factor",
    "--update-server": "need no server",
    "--model-dims": "without that file",
    "--restart": "--resume",
    "--initial-tune": "--learn-warmup",
    "--test-mode": "never had an effect",
    "pool ignore_border": "called partial and says the opposite",
    "skip combine_mode": "concatenate=1",
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name: str) -> None:
    values = vars(parser(name).parse([]))
    assert {key: values.get(key, "gone") for key in DEFAULTS[name]} == DEFAULTS[name]


@pytest.mark.parametrize("line", LINES)
def test_command_lines_parse(line: str) -> None:
    name, *words = line.split()
    parser(name).parse(words)


def test_numbers_are_numbers() -> None:
    """The 2017 program kept these as text, or took them and did nothing."""
    line = (
        "--border-mode 3 --weight-init 0.01 0 --cost-factors 0.5 2 --distort-mode o4 m50 "
        "--skip-layer-updates 1 2"
    )
    values = parser("model-train").parse(line.split())
    options, settings = layer_options(values), train_settings(values)
    assert (options.border_mode, options.weight_init) == (3, (0.01, 0.0))
    assert settings.cost_factors == [0.5, 2.0] and settings.skip_layer_updates == ["1", "2"]
    assert settings.distort_mode == ["o4", "m50"]


def test_options_and_settings_have_the_same_defaults() -> None:
    settings = train_settings(parser("model-train").parse([]))
    for field in fields(TrainSettings):
        value, default = getattr(settings, field.name), getattr(TrainSettings(), field.name)
        assert value == (list(default) if isinstance(default, tuple) else default), field.name


@pytest.mark.parametrize("name", [name for name in GONE if name.startswith("--")])
def test_options_that_are_gone_tell_what_to_do(name: str, tmp_path) -> None:
    """What replaces them, not an option that only looks alike; in YAML too."""
    config = tmp_path / "old.yaml"
    for key in (name[2:], name[2:].replace("-", "_")):
        config.write_text(f"{key}: 1\n")
        for words in ([name, "1"], [f"{name}=1"], ["--config", str(config)]):
            with pytest.raises(UsageError, match=GONE[name]) as caught:
                parser("model-train").parse(words)
            assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in GONE if not name.startswith("--")])
def test_fields_that_are_gone_tell_what_to_do(name: str) -> None:
    type_name, field = name.split()
    with pytest.raises(DescriptionError, match=GONE[name]) as caught:
        layer_from_fields(type_name, {field: 1})
    assert "did you mean" not in str(caught.value)


def test_nothing_that_is_gone_exists_and_nothing_else_is_advised() -> None:
    options = {
        option.name
        for name in ("model-train", "model-modify", "model-predict", "model-update-bn")
        for option in parser(name).options
    }
    of_ranks = {option.name for option in RANKS}
    assert {"gpus", "model-dims"} == RETIRED.keys() & of_ranks == of_ranks - {*OF_RANKS}
    declared = {field.replace("_", "-") for each in type_names().values() for field in names(each)}
    assert not RETIRED.keys() & (options | declared)
    for text in RETIRED.values():
        assert {word[2:] for word in text.split() if word.startswith("--")} <= options


def names(layer_type) -> list[str]:
    return [field.name for field in fields(layer_type)]


@pytest.mark.parametrize("name", OF_RANKS)
def test_options_of_ranks_name_the_command_that_has_them(name: str) -> None:
    with pytest.raises(UsageError, match=f"'--{name}': model-train-multi has it"):
        parser("model-train").parse([f"--{name}", "1"])
