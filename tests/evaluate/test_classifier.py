"""Classifying batches of any size, and refusing what does not fit the model."""

import numpy as np
import pytest
from training.tiny import tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset.loader import Loader
from denet.errors import DataError, UsageError
from denet.evaluate.classifier import Classifier, check_fit


def batches(dataset, batch_size, model):
    return Loader(dataset, batch_size, model.preprocessing, training=False).epoch(0)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_short_batches_give_what_full_ones_give(batch_size):
    model, dataset = tiny_model(3), tiny_set(3)
    whole = Classifier(model, 8, NumpyBackend())
    parts = Classifier(model, batch_size, NumpyBackend())
    data = next(batches(dataset, 8, model)).data
    expected = whole.probabilities(data).copy()
    found = [parts.probabilities(b.data).copy() for b in batches(dataset, batch_size, model)]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-5)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
    assert parts.errors(dataset, batches(dataset, batch_size, model)).count.tolist() == [3, 3, 2]


def test_load_takes_other_weights():
    model = tiny_model()
    classifier = Classifier(model, 2, NumpyBackend())
    data = np.ones((2, 6, 6, 3), np.float32)
    classifier.load({name: np.zeros_like(value) for name, value in model.values().items()})
    np.testing.assert_allclose(classifier.probabilities(data), 0.5)


def test_a_network_without_probabilities_is_told():
    model = tiny_model()
    model.layers, model.parameters = model.layers[:3], model.parameters[:3]
    with pytest.raises(UsageError, match="end its network with R"):
        Classifier(model, 1, NumpyBackend())


def test_images_of_another_shape_are_told():
    model, dataset = tiny_model(2), tiny_set(2)
    check_fit(model, dataset)
    dataset.shape = (3, 9, 6)
    with pytest.raises(DataError, match="images of 3x9x6 .*the model takes 3x6x6"):
        check_fit(model, dataset)


# classes of the dataset, of the model, how they differ
DIFFERENCES = [
    ("ac", "ab", "2 where the model has 2; only in the dataset: c; only in the model: b"),
    ("abc", "ab", "3 where the model has 2; only in the dataset: c"),
    ("b", "abc", "1 where the model has 3; only in the model: a, c"),
    ("a", "abcdefghij", "1 where the model has 10; only in the model: b, c, d, e, f and 4 more"),
    (
        "acb",
        "abc",
        "the same 3 names in another order (class 2 is c in the dataset, b in the model)",
    ),
    (["a", "\n"], "a", r"2 where the model has 1; only in the dataset: \n"),
]


@pytest.mark.parametrize("here, there, difference", DIFFERENCES)
def test_other_classes_are_told_and_how_to_go_on(here, there, difference):
    model, dataset = tiny_model(len(there)), tiny_set(2)
    model.class_labels, dataset.class_labels = list(there), list(here)
    with pytest.raises(DataError) as caught:
        check_fit(model, dataset)
    assert str(caught.value) == (
        f"dataset: its classes are not the model's: {difference}: model-train --init-partial keeps "
        f"the weights that fit, as does model-modify --class-num {len(here)} first"
    )
