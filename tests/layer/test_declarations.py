"""What follows from the declarations: round trips, refusals, metadata, help."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer.layer_strategies import any_layer

from denet.errors import DescriptionError, UsageError
from denet.layer.base import declarations
from denet.layer.options import LayerOptions
from denet.layer.registry import (
    all_layers,
    layer_from_fields,
    layer_types,
    type_names,
)
from denet.layer.text import TokenError, places, read_layer, tags, write_layer
from denet.model.desc import build_layers, desc_text, layers_text, parse_desc

TYPE_NAMES_OF_2017 = (
    "conv deconv pool pool-inv batchnorm batchnorm-relu activation dropout border crop-mirror "
    "resnet split skip-src skip regression"
)
SYMBOLS = "C F DC P PI LRN BN BNA A D B CM R RSN nRSN DL nDL TR SPLIT SKIPSRC SKIP"


def test_registry_is_complete():
    assert set(SYMBOLS.split()) <= set(layer_types())
    assert set(TYPE_NAMES_OF_2017.split()) <= set(type_names())
    assert all(each.symbol or each.type_name for each in all_layers())


@given(any_layer(in_text_only=True))
def test_layer_text_round_trip(layer):
    text = write_layer(layer)
    (desc,) = parse_desc(text)
    assert read_layer(type(layer), desc.tags, desc.arguments, LayerOptions()) == layer
    assert desc_text([desc]) == text


@given(st.lists(any_layer(in_text_only=True), min_size=1, max_size=6))
def test_network_text_round_trip(written):
    layers = [part for layer in written for part in layer.expand()]
    text = layers_text(layers)
    assert build_layers(parse_desc(text)) == layers


@given(any_layer())
def test_field_round_trip(layer):
    stored = json.loads(json.dumps(layer.fields()))
    assert type(layer).from_fields(stored) == layer
    if layer.type_name:
        assert layer_from_fields(layer.type_name, stored) == layer


PLACES = [
    (each, per_axis, position)
    for each in layer_types().values()
    for per_axis in ([False, True] if "X" in tags(each) else [False])
    for position in range(len(places(each, per_axis)))
]


@pytest.mark.parametrize(("layer_type", "per_axis", "position"), PLACES)
def test_every_place_refuses_wrong_words(layer_type, per_axis, position):
    expected = places(layer_type, per_axis)
    good = {"renorm_max_r": "1", "renorm_max_d": "0", "renorm_max_it": "0", "dropout": "0"}
    for word in expected[position].declaration.kind.refused():
        words = [good.get(place.label, "1") for place in expected[:position]] + [word]
        with pytest.raises(TokenError) as caught:
            read_layer(layer_type, "X" * per_axis, words, LayerOptions())
        assert caught.value.argument == position, word
        assert str(caught.value).startswith(f"{expected[position].label} must be ")
        assert len(str(caught.value)) < 250


FIELDS = [(each, name) for each in all_layers() for name in declarations(each)]


@pytest.mark.parametrize(("layer_type", "name"), FIELDS)
def test_every_field_refuses_wrong_values(layer_type, name):
    declaration = declarations(layer_type)[name]
    required = {name: 1 for name, each in declarations(layer_type).items() if each.required}
    layer = layer_type(**required)
    refused = declaration.kind.refused()
    assert len(refused) > 1
    for word in refused:
        with pytest.raises(DescriptionError, match=f"{name} must be "):
            layer.modified(name, word)
    for value in (None, [], "?", {}):
        if value is None and declaration.default is None:
            continue
        with pytest.raises(DescriptionError, match=f"{name} must "):
            layer_type(**required | {name: value})


def test_modified_reads_text_and_copies():
    (layer,) = build_layers(parse_desc("P[2]"))
    changed = layer.modified("size", "3,2").modified("mean", "True").modified("padding", "1")
    assert layers_text([changed]) == "P.AX[3,2,2,2,1]"
    assert layers_text([layer]) == "P[2]"
    assert (
        layers_text([build_layers(parse_desc("R[3]"))[0].modified("size", "none")]) == "class-conv"
    )
    for name, text, message in (
        ("sise", "3", "unknown field 'sise' .*did you mean 'size'"),
        ("size", "1,2,3", "must have 2 numbers"),
        ("mean", "maybe", "mean must be true or false"),
    ):
        with pytest.raises(DescriptionError, match=message):
            layer.modified(name, text)


def test_fields_from_metadata_are_checked():
    for type_name, fields, message in (
        ("convolution", {}, "unknown layer type 'convolution'"),
        ("conv", {}, "conv: the field 'filters' is missing"),
        ("conv", {"filters": 0}, "conv: filters must be a whole number"),
        ("conv", {"filters": True}, "conv: filters must be a whole number"),
        ("conv", {"filters": 2.5}, "conv: filters must be a whole number"),
        ("conv", {"filters": 4, "colour": 1}, "conv: unknown field 'colour'"),
        ("conv", {"filters": 4, "size": [3]}, "conv: size must have 2 numbers"),
        ("dropout", {"rate": "0.5"}, "dropout: rate must be a number"),
        ("batchnorm", {"renorm_max_r": 3}, "renormalisation is not applied"),
        ("pool", {"stride": 2}, "stride and padding need a size"),
        ("resnet", {"filters": 4, "size": 3, "bn_relu": True, "activation": "elu"}, "bn_relu"),
    ):
        with pytest.raises(DescriptionError, match=message):
            layer_from_fields(type_name, fields)


def test_every_layer_explains_itself():
    for each in all_layers():
        written_by_dataclass = f"{each.__name__}("
        assert not (each.__doc__ or written_by_dataclass).startswith(written_by_dataclass)
        assert all(declaration.help for declaration in declarations(each).values())


def test_options_are_checked():
    options = LayerOptions("elu", "3", ["0.01", "he-forward-uniform", 0])
    assert options.border_mode == 3
    assert options.weight_init == (0.01, "uniform,he-forward", 0.0)
    assert [options.value("weight_init", token) for token in (0, 1, 2, 9)] == [
        0.01,
        "uniform,he-forward",
        0.0,
        0.0,
    ]
    assert LayerOptions(weight_init="xavier-forward").weight_init == ("xavier-forward",)
    for wrong, message in (
        ({"activation": "rellu"}, "--activation must be one of .*did you mean 'relu'"),
        ({"border_mode": "halv"}, "--border-mode must be one of .*did you mean 'half'"),
        ({"border_mode": -1}, "--border-mode must be"),
        ({"weight_init": ["he-backwards"]}, "--weight-init must be .*did you mean 'he-backward'"),
        ({"weight_init": [float("nan")]}, "--weight-init must be"),
    ):
        with pytest.raises(UsageError, match=message):
            LayerOptions(**wrong)


def test_options_reach_the_layers_that_use_them():
    options = LayerOptions("elu", "same", ["he-forward", "0.5", "xavier-backward"])
    layers = build_layers(parse_desc("C[2] nRSN[2,4,3] DC[2] A R"), options)
    convolution, first, second, deconvolution, activation, *_ = layers
    assert (convolution.border_mode, convolution.weight_init) == ("same", "he-forward")
    assert deconvolution.weight_init == "xavier-backward"  # the third token, though fourth layer
    assert first.activation == second.activation == activation.activation == "elu"
