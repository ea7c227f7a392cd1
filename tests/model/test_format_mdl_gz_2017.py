"""What the 2017 program did with its files: those it wrote mean the same here, it can open ours."""

import gzip
import json
import logging

import numpy as np
import pytest
from model.files_of_2017 import conv, document, norm, plain, random, read, stored

from denet.layer.crop_mirror import CropAndMirror
from denet.layer.options import LayerOptions
from denet.layer.pool_inverse import InversePooling
from denet.model.format import load_model, save_model, warn_of_loss
from denet.model.model import Model, nameless
from denet.model.preprocessing import Preprocessing


def written(model, path):
    """Return the JSON of the file of a model."""
    save_model(model, path)
    with gzip.open(path) as file:
        return json.load(file)


def test_sizes_are_pairs(tmp_path):
    """Its program takes the first and second of them; one number ended in a TypeError."""
    model = Model.create("PI[3] CM[9,0.5] P.A R", (3, 4, 4), ["a", "b"])
    first, second, *_ = written(model, tmp_path / "a.mdl.gz")["layers"]
    assert (first["size"], second["crop"]) == ([3, 3], [9, 9])
    assert load_model(tmp_path / "a.mdl.gz").layers[:2] == model.layers[:2]


@pytest.mark.parametrize("pair", [True, False])
def test_sizes_are_read_as_pairs_and_as_numbers(tmp_path, pair):
    layers = [
        plain("pool-inv", size=[3, 3] if pair else 3),
        plain("crop-mirror", crop=[9, 9] if pair else 9, mirror=0.5, flip=0.0),
    ]
    expected = [InversePooling(size=3), CropAndMirror(crop=9, mirror=0.5)]
    assert read(tmp_path, document(layers, (3, 4, 4))).layers == expected


def test_labels_of_another_network_are_left_out_and_told(tmp_path, caplog):
    """Its model-modify --class-num 2 on a network of three classes leaves all three labels."""
    layers = [conv(random(2, 3, 8, 8)), plain("regression", valid=[])]
    top = document(layers, labels=("tench", "goldfish", "shark")) | {"classNum": 2}
    assert read(tmp_path, top).class_labels == nameless(2)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(tmp_path / "a.mdl.gz") in record.message and "(3)" in record.message


def test_a_frozen_convolution_is_computed_and_told(tmp_path, caplog):
    """Only whether it is trained changes in 2017, and only outside of blocks."""
    first = random(3, 3, 3, 3)
    layers = [
        plain("identity"),
        conv(first, border="half", enabled=False),
        plain("skip-src", index=0, split=False),
        conv(random(4, 3, 1, 1)),
        plain("skip", index=0, combineMode="proj-add")
        | {"layers": [plain("initial"), conv(random(4, 3, 1, 1), enabled=False)]},
        conv(random(2, 4, 8, 8), enabled=False),
        plain("regression", valid=[]),
    ]
    model = read(tmp_path, document(layers))
    weight = model.parameters[0]["weight"]
    np.testing.assert_array_equal(weight, np.rot90(first, 2, axes=(2, 3)))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "--skip-layer-updates 1,5" in record.message


@pytest.mark.parametrize("momentum_eps", [(0.7, 1e-3), None])
def test_a_block_rules_over_what_its_sublayers_say(tmp_path, momentum_eps):
    """Its program builds them by bnParam, and takes only arrays from them."""
    parts = [plain("initial"), conv(random(3, 3, 3, 3), border="half"), norm(3, eps=1e-2)]
    parts += [plain("activation", activation="relu"), conv(random(3, 3, 3, 3), border="half")]
    parts += [norm(3, momentum=0.5, enabled=False)]
    rule = {"enabled": True}
    if momentum_eps:
        rule |= dict(zip(("momentum", "eps"), momentum_eps, strict=True))
    block = {"type": "resnet", "shape": [3, 3, 3, 3], "stride": [1, 1], "bottleneck": 0}
    block |= {"bnParam": rule, "activation": "relu", "version": "original", "layers": parts}
    model = read(tmp_path, document([block]))
    (layer,) = model.layers
    momentum, eps = momentum_eps or (0.9, 1e-5)  # those of its batch normalisation
    assert (layer.bn_enabled, layer.bn_momentum, layer.bn_eps) == (True, momentum, eps)
    for name, part in (("bn1", parts[2]), ("bn2", parts[5])):
        truth = 1 / stored(part, "std").astype(np.float64) ** 2 - eps
        np.testing.assert_allclose(model.parameters[0][f"{name}.variance"], truth, rtol=1e-6)


def test_a_block_without_normalisation_holds_none_whatever_its_sublayers_say(tmp_path):
    parts = [plain("initial"), conv(random(3, 3, 3, 3), border="half"), norm(3)]
    parts += [plain("activation", activation="relu"), conv(random(3, 3, 3, 3), border="half")]
    block = {"type": "resnet", "shape": [3, 3, 3, 3], "stride": [1, 1], "bottleneck": 0}
    block |= {"bnParam": {"enabled": False}, "activation": "relu", "layers": [*parts, norm(3)]}
    model = read(tmp_path, document([block | {"version": "original"}]))
    assert model.layers[0].bn_enabled is False
    assert set(model.parameters[0]) == {"conv1.weight", "conv2.weight"}


def test_equal_models_give_equal_files_on_every_day(tmp_path):
    model = Model.create("C[4,3] R", (3, 8, 8), ["a", "b"], seed=3)
    assert written(model, tmp_path / "a.mdl.gz")["date"] == "1970-01-01 00:00:00"
    save_model(model, tmp_path / "b.mdl.gz")
    assert (tmp_path / "a.mdl.gz").read_bytes() == (tmp_path / "b.mdl.gz").read_bytes()


def test_what_is_lost_is_told(tmp_path, caplog):
    model = Model.create("C[4,3] R", (3, 8, 8), ["a", "b"])
    warn_of_loss(model, tmp_path / "a.mdl.gz")
    model.preprocessing = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.2, 0.25))
    warn_of_loss(model, tmp_path / "a.mdl")
    assert caplog.messages == []
    warn_of_loss(model, tmp_path / "a.mdl.gz")
    (message,) = caplog.messages
    assert "a.mdl.gz" in message and "mean 0.5 0.4 0.3, deviation 0.2 0.2 0.25" in message


@pytest.mark.parametrize("border_mode", ["half", "valid"])
def test_its_deconvolution_knows_one_border(tmp_path, caplog, border_mode):
    options = LayerOptions(border_mode=border_mode)
    model = Model.create("DC.B[4,3] R", (3, 8, 8), ["a", "b"], options)
    warn_of_loss(model, tmp_path / "a.mdl.gz")
    assert len(caplog.messages) == (border_mode != "half")
