"""Ten views of each image, where width and height differ."""

import numpy as np
from train.tiny import TinySet

from denet.predict.ten_views import TenViews, scaled


def test_images_are_scaled_as_256_to_224_along_both_sides():
    assert scaled(224, 448) == (256, 512)
    assert scaled(32, 7) == (37, 8)


def test_views_are_centre_corners_and_mirrored():
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 40, 3), np.uint8)
    views = TenViews(TinySet(images, [0, 1], 2), (3, 12, 16))
    assert views.labels.tolist() == [0] * 10 + [1] * 10
    for index, image in enumerate(images):
        places = [(4, 12), (0, 0), (0, 24), (8, 0), (8, 24)]  # upper row, left column
        cut = [image[y : y + 12, x : x + 16] for y, x in places]
        expected = np.array(cut + [each[:, ::-1] for each in cut])
        assert (views.read(np.arange(10) + 10 * index) == expected).all()
