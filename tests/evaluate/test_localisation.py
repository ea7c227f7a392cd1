"""The localisation error of ImageNet, worked by hand."""

import numpy as np
import pytest
from evaluate.boxed import detections, known

from denet.evaluate.localisation import localisation_error

BOX, HALF, LESS = (0, 0, 10, 10), (0, 0, 10, 5), (0, 0, 10, 4)


def guesses(*rows):
    """Return five detections of image 0, then worse ones."""
    return detections([(0, *row) for row in rows])


OTHERS = [(9, 0.9 - k / 100, BOX) for k in range(4)]  # better, of another class


@pytest.mark.parametrize(
    "found, error",
    [
        ([(3, 0.9, BOX)], 0),
        ([(2, 0.9, BOX)], 100),  # the place alone
        ([(3, 0.9, LESS)], 100),  # the class alone
        ([(3, 0.9, LESS), (2, 0.8, BOX)], 100),  # both, but not in one guess
        ([(3, 0.9, HALF)], 0),
        ([*OTHERS, (3, 0.5, BOX)], 0),  # the fifth
        ([*OTHERS, (9, 0.6, BOX), (3, 0.5, BOX)], 100),  # the sixth
        # the five worst, which 2017 took, hold nothing right
        ([(3, 0.95, BOX), *OTHERS, (9, 0.1, BOX)], 0),
        ([], 100),
    ],
)
def test_one_image(found, error):
    assert localisation_error(guesses(*found), known(1, [(0, 3, BOX)])) == error


def test_any_object_of_the_class_will_do():
    objects = [(0, 3, (50, 50, 60, 60)), (0, 3, BOX), (0, 4, (80, 80, 90, 90))]
    assert localisation_error(guesses((3, 0.9, BOX)), known(1, objects)) == 0


def test_share_of_the_images_that_have_objects():
    truth = known(4, [(0, 0, BOX), (1, 0, BOX), (3, 1, BOX)])
    found = detections([(3, 1, 0.2, BOX), (0, 0, 0.9, BOX), (1, 1, 0.9, BOX), (2, 0, 0.9, BOX)])
    assert localisation_error(found, truth) == pytest.approx(100 / 3)
    assert localisation_error(found, truth, top=1, match_iou=1.0) == pytest.approx(100 / 3)
    assert np.isnan(localisation_error(found, known(4, [])))
