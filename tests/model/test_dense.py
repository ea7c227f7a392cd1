"""Fully convolutional classifiers, against the same network on windows cut by hand."""

import numpy as np
import pytest

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import DescriptionError
from denet.evaluate.classifier import Classifier
from denet.model.dense import fully_convolutional
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

SIDE = 14


def probabilities(model: Model, images: np.ndarray) -> np.ndarray:
    return Classifier(model, len(images), NumpyBackend()).probabilities(images).copy()


# networks without borders, and how many pixels their positions are apart
NETWORKS = {
    "C[4,3] A P[2] C[6,3] A F[8] A F[5] A R.B": 2,
    "C[4,3,1] BN A P.A R.T": 1,
    "C[4,2,2] LRN A R.BCT": 2,
    "C[4,3] A P[2] F.B[6] A R.T[1]": 2,
}


@pytest.mark.parametrize("text", NETWORKS)
def test_its_answer_is_the_mean_over_all_windows(text: str) -> None:
    model = Model.create(text, (3, SIDE, SIDE), ["a", "b", "c"])
    rng = np.random.default_rng(1)
    for arrays in model.parameters:
        for name, value in arrays.items():
            drawn = rng.normal(0, 0.3, value.shape).astype(np.float32)
            arrays[name] = np.abs(drawn) if name == "variance" else drawn
    image = rng.normal(0, 3, (1, SIDE + 6, SIDE + 4, 3)).astype(np.float32)
    dense = fully_convolutional(model, SIDE + 4, SIDE + 6)
    step = NETWORKS[text]
    windows = np.concatenate(
        [image[:, y : y + SIDE, x : x + SIDE] for y in range(0, 7, step) for x in range(0, 5, step)]
    )
    expected = probabilities(model, windows)
    assert np.ptp(expected, axis=0).max() > 1e-3, "all windows look the same"
    np.testing.assert_allclose(
        probabilities(dense, image)[0], expected.mean(axis=0), rtol=1e-4, atol=1e-6
    )


def test_the_size_of_its_own_changes_nothing() -> None:
    model = Model.create("C[4,3] A F[8] A R.T", (3, SIDE, SIDE), ["a", "b"])
    images = np.random.default_rng(2).normal(0, 1, (3, SIDE, SIDE, 3)).astype(np.float32)
    dense = fully_convolutional(model, SIDE, SIDE)
    np.testing.assert_allclose(probabilities(dense, images), probabilities(model, images), 1e-6)


def test_a_mean_image_covers_the_larger_input() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 8, dtype=np.float32)[:, None, None], (8, 8, 3))
    model = Model.create("R", (3, 6, 6), ["a"], preprocessing=Preprocessing((), (), ramp))
    assert fully_convolutional(model, 8, 8).preprocessing == model.preprocessing
    larger = fully_convolutional(model, 7, 16).preprocessing.mean_image
    assert larger is not None and larger.shape == (16, 8, 3)
    assert larger[0, 0, 0] < 0.1 and larger[-1, 0, 0] > 0.9


def test_images_that_are_too_small() -> None:
    model = Model.create("C[4,3] A R", (3, SIDE, SIDE), ["a"])
    with pytest.raises(DescriptionError, match="layer 3"):
        fully_convolutional(model, SIDE - 1, SIDE)
