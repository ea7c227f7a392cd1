"""Boxes between an image and the network input."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from denet.dataset.image.boxes import View, image_boxes, network_boxes

SCALES, OFFSETS = st.floats(0.125, 8), st.floats(-500, 500)
VIEWS = st.builds(View, SCALES, SCALES, OFFSETS, OFFSETS, st.booleans())


def test_image_boxes_by_hand():
    """(coordinate * size + offset) / scale; the second is mirrored first."""
    boxes = np.array([[0.4, 0.25, 0.9, 0.875], [0.1, 0.25, 0.6, 0.875]], np.float32)
    views = np.array([View(0.5, 0.25, 10, 5), View(0.5, 0.25, 10, 5, True)], np.float32)
    expected = [[100, 100, 200, 300]] * 2
    np.testing.assert_allclose(image_boxes(boxes, views, 100, 80), expected, rtol=1e-6)


@given(st.lists(VIEWS, max_size=4), st.integers(1, 999), st.integers(1, 999))
def test_boxes_come_back_from_the_network_input(views, width, height):
    boxes = np.random.default_rng(0).uniform(-100, 900, (len(views), 4))
    shown = [
        network_boxes(box[None], view, width, height)
        for box, view in zip(boxes, views, strict=True)
    ]
    stacked = np.array(views, np.float64).reshape(-1, 5)
    back = image_boxes(np.concatenate([np.zeros((0, 4)), *shown]), stacked, width, height)
    np.testing.assert_allclose(back, boxes, rtol=1e-9, atol=1e-6)
