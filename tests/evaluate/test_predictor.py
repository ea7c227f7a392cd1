"""What classifiers, segmenters and detectors share: the output they need, and their batches."""

import numpy as np
import pytest
from training.tiny import tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import UsageError
from denet.evaluate.classifier import Classifier
from denet.evaluate.detector import Detector
from denet.evaluate.segmentation import Segmenter
from denet.model.preprocessing import Preprocessing


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Classifier, "model: it gives no class probabilities: end its network with R"),
        (Segmenter, "model: it says one class of the whole image, segment needs one at each"),
        (Detector, "model: it detects no objects: end its network with DND"),
    ],
)
def test_a_model_that_lacks_the_output_is_told(kind, message):
    model = tiny_model()
    model.layers, model.parameters = model.layers[:3], model.parameters[:3]
    with pytest.raises(UsageError, match=message):
        kind(model, 1, NumpyBackend())


def test_the_loader_gives_every_sample_in_order_as_the_model_takes_it():
    model, dataset = tiny_model(), tiny_set()
    model.preprocessing = Preprocessing((0.5, 0.25, 0), (0.25, 0.5, 1))
    classifier = Classifier(model, 3, NumpyBackend())
    batches = list(classifier.loader(dataset, 2).epoch(0))
    indices = np.arange(len(dataset))
    assert [each.indices.tolist() for each in batches] == [
        indices[start : start + 3].tolist() for start in range(0, len(dataset), 3)
    ]
    expected = (dataset.images(indices) / 255 - [0.5, 0.25, 0]) / [0.25, 0.5, 1]
    np.testing.assert_allclose(np.concatenate([b.data for b in batches]), expected, atol=1e-5)
