"""Classifying batches of any size, and refusing what does not fit the model."""

import numpy as np
import pytest
from train.tiny import tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset.loader import Loader
from denet.errors import DataError, UsageError
from denet.evaluate.classifier import Classifier, check_fit


def batches(dataset, batch_size, model):
    return Loader(dataset, batch_size, model.preprocessing, shuffle=False).epoch(0)


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
    assert parts.errors(batches(dataset, batch_size, model)).count.tolist() == [3, 3, 2]


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


def test_a_dataset_that_does_not_fit_is_told():
    model, dataset = tiny_model(2), tiny_set(2)
    check_fit(model, dataset)
    dataset.class_labels = ["a", "z"]
    with pytest.raises(DataError, match="class 1 is 'z' here and 'b' there"):
        check_fit(model, dataset)
    dataset.class_labels, dataset.shape = ["a", "b"], (3, 9, 6)
    with pytest.raises(DataError, match="images of 3x9x6 .*the model takes 3x6x6"):
        check_fit(model, dataset)
