"""Images of many sizes, one behind the other, against a network made for each."""

import numpy as np
import pytest

from denet.backend.select import choose_backend
from denet.evaluate.classifier import Classifier
from denet.model.dense import fully_convolutional
from denet.model.model import Model
from denet.model.sliding import slide


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_every_size_has_its_own_answer(precision: str) -> None:
    """Larger ones take more memory, smaller ones share it, and those of long ago are made anew."""
    model = Model.create("C[8,3] BN A P[2] C[16,3] A P.A R.T", (3, 12, 12), ["a", "b", "c"])
    backend, rng = choose_backend(), np.random.default_rng(0)
    sliding = slide(model, windows=False)
    classifier = Classifier(sliding.at(14, 14), 2, backend, precision, sliding.at)
    sizes = [(12, 12), (60, 40), (40, 60), *((12 + 2 * n, 60) for n in range(30)), (90, 90)]
    for width, height in [*sizes, *sizes[::-1], (14, 14)]:
        data = rng.normal(0, 2, (2, height, width, 3)).astype(np.float32)
        own = Classifier(fully_convolutional(model, width, height), 2, backend, precision)
        expected = own.probabilities(data)
        tolerance = 1e-5 if precision == "f32" else 1e-2
        np.testing.assert_allclose(classifier.probabilities(data), expected, rtol=tolerance)
