"""Weights taken over into another model."""

import numpy as np
import pytest

from denet.model.model import Model
from denet.model.transfer import transfer

TEXT = "C[4,3] BN A RSN[6,3] P.A R"
LABELS = ["a", "b", "c"]


def model_of(text=TEXT, labels=LABELS, shape=(3, 8, 8), seed=1):
    """Return a model whose arrays hold different numbers, statistics too."""
    model = Model.create(text, shape, labels, seed=seed)
    rng = np.random.default_rng(seed)
    model.set_values({path: rng.random(each.shape) for path, each in model.values().items()})
    return model


def copies(model):
    return {path: value.copy() for path, value in model.values().items()}


def test_everything_that_fits_is_copied_statistics_too():
    model, source = model_of(seed=1), model_of(seed=2)
    result = transfer(model, source)
    assert result.loaded == list(model.values()) and not result.skipped
    assert not result.new and not result.unused
    assert result.text() == f"{len(model.values())} of {len(model.values())} arrays loaded"
    for path, value in model.values().items():
        np.testing.assert_array_equal(value, source.values()[path])
    assert {"2.batchnorm.mean", "2.batchnorm.variance"} <= set(result.loaded)


def test_the_two_models_share_nothing_afterwards():
    model, source = model_of(seed=1), model_of(seed=2)
    transfer(model, source)
    before = copies(source)
    for value in model.values().values():
        value += 1
    for path, value in source.values().items():
        np.testing.assert_array_equal(value, before[path])


def test_other_classes_keep_all_but_the_classifier():
    model, source = model_of(labels=list("abcdefg"), seed=1), model_of(seed=2)
    before = copies(model)
    result = transfer(model, source)
    count = len(before)
    assert list(result.skipped) == ["6.class-conv.weight"]
    assert result.text() == (
        f"{count - 1} of {count} arrays loaded; skipped (shape differs): "
        "6.class-conv.weight 7x6x1x1 here, 3x6x1x1 in the file"
    )
    for path, value in model.values().items():
        expected = before[path] if path in result.skipped else source.values()[path]
        np.testing.assert_array_equal(value, expected)


TEXTS = [
    (
        "C[4,3] BN A P.A R",
        "C[5,3] BN A P.A R",
        "0 of 7 arrays loaded; skipped (shape differs): 1.conv.weight 4x3x3x3 here, 5x3x3x3 in the "
        "file (and 1 more of its layer), 2.batchnorm.gamma 4 here, 5 in the file (and 3 more of "
        "its layer), 5.class-conv.weight 3x4x1x1 here, 3x5x1x1 in the file",
    ),
    (
        "C[4,3] A C.B[4] C[3] P.A R",
        "C[4,3] P.A R",
        "2 of 6 arrays loaded; new: 3.conv.weight, 4.conv (2 arrays), 6.class-conv.weight; "
        "in the file only: 3.class-conv.weight",
    ),
]


@pytest.mark.parametrize("text, source, words", TEXTS)
def test_the_words(text, source, words):
    assert transfer(model_of(text), model_of(source)).text() == words


def test_of_a_deep_network_a_few_layers_are_named():
    deep = " ".join(["C.B[4,1]"] * 200)
    words = transfer(model_of(f"{deep} P.A R"), model_of("C.B[4,1] P.A R")).text()
    assert words.startswith("1 of 201 arrays loaded; new: 2.conv.weight, 3.conv.weight, ")
    assert "6.conv.weight and 195 more layers; in the file only" in words
