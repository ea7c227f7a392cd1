"""Layers chosen by words."""

import pytest

from denet.errors import UsageError
from denet.model.model import Model
from denet.model.selection import layer_factors, layer_numbers

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
    with pytest.raises(UsageError, match=f"^--skip-layer-updates: .*{message}"):
        layer_numbers(MODEL.layers, ["1", word])


def test_the_option_is_named():
    with pytest.raises(UsageError, match="^--freeze: 'x'"):
        layer_numbers(MODEL.layers, ["x"], "freeze")


FACTORS = [
    ([], {}),
    (["3=10"], {3: 10.0}),
    (["1-3=0.5", "2.batchnorm=2,P=0"], {1: 0.5, 2: 2.0, 3: 0.5, 6: 0.0}),
    (["1=2", "conv=3"], {1: 3.0, 4: 3.0}),  # the later word wins
]


@pytest.mark.parametrize("words, factors", FACTORS)
def test_factors_of_layers(words, factors):
    assert layer_factors(MODEL.layers, words, "layer-rates") == factors


def test_momenta_of_layers():
    found = layer_factors(MODEL.layers, ["conv=0.9,2=0", "1=0.25"], "layer-momenta")
    assert found == {1: 0.25, 2: 0.0, 4: 0.9}


@pytest.mark.parametrize(
    "word, message",
    [
        ("conv", "'conv': give LAYER=MOMENTUM, such as 1-4=0.1 or F=0.5$"),
        ("1=1", "the momentum of 1 must be a number at least 0 and below 1; got"),
        ("1=-0.1", "the momentum of 1 must be"),
        ("1=nan", "the momentum of 1 must be"),
    ],
)
def test_a_word_that_gives_no_momentum_is_told(word, message):
    with pytest.raises(UsageError, match=f"^--layer-momenta: .*{message}"):
        layer_factors(MODEL.layers, [word], "layer-momenta")


WRONG_FACTORS = [
    ("conv", "'conv': give LAYER=FACTOR, such as 1-4=0.1 or F=2$"),
    ("0.5", "give LAYER=FACTOR"),
    ("", "give LAYER=FACTOR"),
    ("x" * 5000, "'x{40,60}: give"),
    ("=2", "'' names no layer"),
    ("conb=2", r"did you mean 'conv'"),
    ("9=2", "numbers from 1 to 8"),
    ("1,conv=2", "'1': give LAYER=FACTOR"),
    *(
        (f"1={text}", "the factor of 1 must be a number at least 0 and at most 1e.06; got")
        for text in ("", "-1", "nan", "inf", "1e7", "half", "2=3", "1_0")
    ),
]


@pytest.mark.parametrize(
    "word, message", WRONG_FACTORS, ids=[word[:9] for word, _ in WRONG_FACTORS]
)
def test_a_word_that_gives_no_factor_is_told(word, message):
    with pytest.raises(UsageError, match=f"^--layer-rates: .*{message}"):
        layer_factors(MODEL.layers, ["1=1", word], "layer-rates")
