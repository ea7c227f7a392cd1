"""Classes at each position: counted, laid over images, and refused where a model has none."""

import numpy as np
import pytest
from training.tiny import tiny_model

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import DataError, UsageError
from denet.evaluate.segmentation import NO_CLASS, PositionCounts, Segmenter, over_image
from denet.model.model import Model


def test_rates_of_a_worked_example():
    """Ten positions of 2 classes and a third that never occurs; two more are not counted.

    true      0 0 0 0 0 0 1 1 1 1 - 0
    predicted 0 0 0 0 1 2 1 1 1 0 0 -
    class 0: found 4 of 6, taken for it 1 of 4, right about 4 + 3; class 1: 3 of 4, 1 of 6, 3 + 5;
    class 2: taken for it 1 of 10.
    """
    counts = PositionCounts(3)
    counts.add(np.uint8([0, 0, 0, 0, 0]), np.uint8([0, 0, 0, 0, 1]))
    counts.add(
        np.uint8([[0, 1, 1], [1, 1, NO_CLASS], [0, 255, 255]]),
        np.uint8([[2, 1, 1], [1, 0, 0], [NO_CLASS, 255, 255]]),
    )
    assert counts.pairs.tolist() == [[4, 1, 1], [1, 3, 0], [0, 0, 0]]
    assert counts.overall_accuracy == pytest.approx(7 / 10)
    np.testing.assert_allclose(counts.accuracy, [7 / 10, 8 / 10, 9 / 10])
    np.testing.assert_allclose(counts.true_positive_rate, [4 / 6, 3 / 4, np.nan])
    np.testing.assert_allclose(counts.false_positive_rate, [1 / 4, 1 / 6, 1 / 10])
    assert counts.report(["a", "b", "c d"]).splitlines() == [
        "accuracy / TPR / FPR of each class against the others:",
        "a 70.00% / 66.67% / 25.00% (6 positions)",
        "b 80.00% / 75.00% / 16.67% (4 positions)",
        "c d 90.00% / - / 10.00% (0 positions)",
        "overall accuracy 70.00%",
    ]


def test_nothing_and_one_class_only():
    counts = PositionCounts(2)
    assert counts.report("ab").splitlines()[1:] == [
        *("a - / - / - (0 positions)", "b - / - / - (0 positions)", "overall accuracy -")
    ]
    counts.add(np.uint8([0, 0]), np.uint8([0, 1]))
    assert counts.report("ab").splitlines()[1] == "a 50.00% / 50.00% / - (2 positions)"


def test_the_last_of_255_classes_is_counted():
    counts = PositionCounts(255)
    counts.add(np.uint8([254, 254, 0]), np.uint8([254, 0, 254]))
    assert counts.pairs[254, 254] == counts.pairs[254, 0] == counts.pairs[0, 254] == 1
    assert counts.pairs.sum() == 3


# map, image (height, width), network input (height, width), what each pixel of the image gets
MAP = np.uint8([[1, 2], [3, 4]])
PLACES = [
    (MAP, (2, 2), (8, 8), "12 34"),
    (MAP, (4, 4), (2, 2), "1122 1122 3344 3344"),
    (MAP, (1, 1), (8, 8), "4"),
    (MAP, (3, 3), (8, 8), "122 344 344"),  # the centre belongs to the position behind it
    (MAP, (2, 6), (4, 4), "..12.. ..34.."),  # the network sees the middle
    (MAP, (4, 2), (8, 8), ".. 12 34 .."),
    (MAP, (2, 4), (4, 8), "1122 3344"),
    (np.uint8([[1, 2, 3]]), (2, 6), (5, 15), "112233 112233"),
    (MAP, (2, 3), (8, 8), "12. 34."),  # half of the first and last pixel are seen: the first is in
]


@pytest.mark.parametrize("class_ids, shape, seen, expected", PLACES)
def test_a_map_lies_over_its_image(class_ids, shape, seen, expected):
    rows = [[NO_CLASS if c == "." else int(c) for c in row] for row in expected.split()]
    found = over_image(class_ids, shape, seen)
    assert found.dtype == np.uint8
    assert found.tolist() == rows


def test_the_likeliest_class_at_each_position():
    model = tiny_model(3, "R[1]")
    model.parameters[0]["weight"][:] = np.eye(3).reshape(3, 3, 1, 1)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    for precision in ("f32", "bf16"):
        segmenter = Segmenter(model, 4, NumpyBackend(), precision)
        found = segmenter.class_ids(data, ["a", "b"])
        exact = precision == "f32"
        assert (found == data.argmax(axis=3)).mean() >= (1 if exact else 0.95)
    data[1, 2, 3] = np.nan
    with pytest.raises(DataError, match="not a number: b: the weights are damaged"):
        segmenter.class_ids(data, ["a", "b"])


@pytest.mark.parametrize("text", ["P.A R", "R", "R.C[1]", "C[9,6] R[1]"])
def test_one_position_is_not_enough(text):
    with pytest.raises(
        UsageError, match=r"one class of the whole image.*end its network in R\[1\]"
    ):
        Segmenter(tiny_model(2, text), 1, NumpyBackend())


def test_more_classes_than_a_picture_holds():
    model = Model.create("R[1]", (3, 2, 2), [str(k) for k in range(256)])
    with pytest.raises(UsageError, match="256 classes: segment takes up to 255"):
        Segmenter(model, 1, NumpyBackend())
