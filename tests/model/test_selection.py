"""Layers chosen by words."""

import pytest

from denet.errors import UsageError
from denet.model.model import Model
from denet.model.selection import layer_numbers

# 1 conv, 2 batchnorm, 3 activation, 4 conv, 5 resnet, 6 pool, 7 class-conv, 8 regression
MODEL = Model.create("C[4,3] BN A C[4] RSN[4,3] P.A R", (3, 8, 8), ["a", "b"])

CHOSEN = [
    ([], set()),
    (["3"], {3}),
    (["1-4"], {1, 2, 3, 4}),
    (["8-8", "08"], {8}),
    (["5.resnet"], {5}),
    (["conv"], {1, 4}),
    (["class-conv"], {7}),
    (["conv", "1", "2-3", "6.pool"], {1, 2, 3, 4, 6}),
]


@pytest.mark.parametrize("words, numbers", CHOSEN)
def test_words_name_layers(words, numbers):
    assert layer_numbers(MODEL.layers, words) == numbers


WRONG = [
    ("conb", r"'conb' names no layer \(did you mean 'conv'\?\)"),
    ("5.resnt", r"\(did you mean '5\.resnet'\?\)"),
    ("2.conv", "'2.conv' names no layer"),
    ("deconv", "types: conv, batchnorm, activation, resnet, pool, class-conv, regression$"),
    ("0", "numbers from 1 to 8"),
    ("9", "numbers from 1 to 8, ranges such as 1-8, paths such as 1.conv,"),
    ("3-9", "'3-9' names no layer"),
    ("4-2", "'4-2' names no layer"),
    ("-1", "'-1' names no layer"),
    ("²", "'²' names no layer"),
    ("1-", "'1-' names no layer"),
    ("9" * 5000, "names no layer"),
    ("", "'' names no layer"),
]


@pytest.mark.parametrize("word, message", WRONG, ids=[word[:9] for word, _ in WRONG])
def test_a_word_that_names_no_layer_is_told(word, message):
    with pytest.raises(UsageError, match=f"^skip-layer-updates: .*{message}"):
        layer_numbers(MODEL.layers, ["1", word])


def test_the_option_is_named():
    with pytest.raises(UsageError, match="^freeze: 'x'"):
        layer_numbers(MODEL.layers, ["x"], "freeze")
