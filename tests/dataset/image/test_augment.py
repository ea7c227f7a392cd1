"""Crops against hand-worked numbers, and boxes against the pixels they surround."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from denet.dataset.image.augment import (
    MODES,
    centre_view,
    generator,
    random_view,
    scaled_size,
    ten_views,
)
from denet.dataset.image.boxes import View, fill_targets, network_boxes, seen
from denet.dataset.image.options import ImageOptions
from denet.dataset.image.render import render
from denet.detect.box import BOX_CAPACITY, iou


def options(crop=224, scale=None, **values):
    crop = crop if isinstance(crop, tuple) else (crop, crop)
    scale = crop if scale is None else (scale, scale)
    return ImageOptions(crop=crop, scale=scale, **values)


@pytest.mark.parametrize(
    "size, scale, mode, expected",
    [
        ((500, 375), (256, 256), "small", (342, 256)),  # 341.33 rounded up
        ((375, 500), (256, 256), "small", (256, 342)),
        ((500, 375), (256, 256), "large", (256, 192)),
        ((375, 500), (256, 256), "large", (192, 256)),
        ((500, 375), (256, 256), "warp", (256, 256)),
        ((10, 10), (7, 7), "small", (7, 7)),
        ((640, 480), (512, 512), "large", (512, 384)),
        ((100, 1), (10, 10), "large", (10, 1)),
        ((100, 100), (60, 30), "small", (60, 60)),  # covers a crop that is no square
        ((100, 100), (60, 30), "large", (30, 30)),
    ],
)
def test_scaled_size(size, scale, mode, expected):
    assert scaled_size(size, scale, mode) == expected


@pytest.mark.parametrize(
    "size, settings_, expected",
    [
        ((500, 375), options(224, 256), View(342 / 500, 256 / 375, 59, 16)),
        # fits into the crop: the border above is 64 wide
        ((640, 480), options(512, scale_mode="large"), View(0.8, 0.8, 0, -64)),
        # 5 of 8 columns: offset ceil(-3 / 2) = -1
        ((5, 8), options(8, scale_mode="large"), View(1, 1, -1, 0)),
        ((8, 13), options(8), View(1, 1, 0, 3)),  # ceil(5 / 2)
        ((10, 20), options(40, scale_mode="warp"), View(4, 2, 0, 0)),
    ],
)
def test_centre_view(size, settings_, expected):
    assert centre_view(settings_, size) == expected
    rng = generator(1)
    centre = ImageOptions(**{**vars(settings_), "crop_mode": "center"})
    view, _ = random_view(centre, size, np.zeros((0, 4)), rng)
    assert view._replace(mirrored=False) == expected


def test_ten_views():
    """Centre, top left, top right, bottom left, bottom right; then the same mirrored."""
    views = ten_views(options(10), (30, 20))
    scale = 15 / 30, 10 / 20
    offsets = [(3, 0), (0, 0), (5, 0), (0, 0), (5, 0)]  # ceil(5 / 2) = 3; nothing to spare in y
    assert [view[:4] for view in views] == [(*scale, *offset) for offset in offsets] * 2
    assert [view.mirrored for view in views] == [False] * 5 + [True] * 5
    tall = ten_views(options(10, 14), (28, 28))
    assert [view[2:4] for view in tall[:5]] == [(2, 2), (0, 0), (4, 0), (0, 4), (4, 4)]
    padded = ten_views(options(10, scale_mode="large"), (20, 10))
    assert {view[2:4] for view in padded} == {(0, -2)}  # ceil(-5 / 2): borders stay centred


@pytest.mark.parametrize(
    "view, expected",
    [
        (View(0.5, 0.5, 10, 5), (0.4, 0.25, 0.9, 0.875)),
        (View(0.5, 0.5, 10, 5, True), (0.1, 0.25, 0.6, 0.875)),
        (View(1, 0.5, 150, -15), (-0.5, 0.5, 0.5, 1.125)),
        (View(1, 0.5, 150, -15, True), (0.5, 0.5, 1.5, 1.125)),
    ],
)
def test_network_boxes(view, expected):
    """(coordinate * scale - offset) / crop by hand: x of 100, y of 80 pixels."""
    boxes = network_boxes(np.array([[100, 50, 200, 150]], np.float32), view, 100, 80)
    np.testing.assert_allclose(boxes, [expected], rtol=0, atol=1e-12)


def test_which_boxes_are_seen():
    boxes = np.array(
        [
            [-0.5, 0.0, 0.5, 0.5],  # half inside: the limit counts
            [-0.51, 0.0, 0.49, 0.5],
            [-0.5, -0.5, 0.5, 0.5],  # a quarter inside, its centre on the corner
            [0.2, 0.2, 0.4, 0.4],
            [1.0, 0.0, 1.5, 0.5],  # touches
            [0.875, 0.0, 1.125, 0.125],  # centre on the far border, which is outside
        ]
    )
    assert seen(boxes, 0.5, False).tolist() == [True, False, False, True, False, True]
    assert seen(boxes, 0.25, False).tolist() == [True, True, True, True, False, True]
    assert seen(boxes, 0.6, True).tolist() == [True, False, True, True, False, False]
    assert seen(np.zeros((0, 4)), 0.5, True).tolist() == []


def test_targets_are_clipped_and_filled_up():
    box, box_class = np.ones((BOX_CAPACITY, 4), np.float32), np.zeros(BOX_CAPACITY, np.int32)
    fill_targets(np.array([[-0.5, 0.25, 0.5, 1.5]]), np.array([7], np.int32), box, box_class)
    assert box[0].tolist() == [0, 0.25, 0.5, 1] and not box[1:].any()
    assert box_class[0] == 7 and (box_class[1:] == -1).all()


def test_the_largest_of_too_many_boxes_are_targets():
    side = np.linspace(0.01, 0.9, BOX_CAPACITY + 3)[np.random.default_rng(0).permutation(131)]
    boxes = np.stack([side * 0, side * 0, side, side], axis=1)
    box, box_class = np.empty((BOX_CAPACITY, 4), np.float32), np.empty(BOX_CAPACITY, np.int32)
    fill_targets(boxes, np.arange(131, dtype=np.int32), box, box_class)
    kept = np.flatnonzero(side > np.sort(side)[2])  # all but the three smallest, in their order
    assert box_class.tolist() == kept.tolist()
    np.testing.assert_allclose(box[:, 2], side[kept], rtol=1e-6)


def views(settings_, size, boxes=(), count=300):
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return [random_view(settings_, size, boxes, generator(key))[0] for key in range(count)]


def shown(view, crop):
    """Return the part of the image that a view shows, in its pixels."""
    x0, y0 = view.offset_x / view.scale_x, view.offset_y / view.scale_y
    return x0, y0, x0 + crop[0] / view.scale_x, y0 + crop[1] / view.scale_y


@pytest.mark.parametrize("mode", MODES)
def test_half_of_all_views_are_mirrored(mode):
    found = views(options(32, crop_mode=mode), (60, 40), [(10, 10, 30, 30)])
    assert 110 < sum(view.mirrored for view in found) < 190


def test_default_crops_anywhere():
    found = views(options(20, 30), (90, 60))
    assert {view[:2] for view in found} == {(0.5, 0.5)}
    assert {view.offset_x for view in found} == set(range(26))
    assert {view.offset_y for view in found} == set(range(11))
    wide = views(options(40, scale_mode="large"), (80, 41))
    assert {view[2:4] for view in wide} == {(0, -9)}  # 21 rows of 40: ceil(-19 / 2)


def test_lenet_area_and_aspect():
    size, crop = (400, 300), (50, 40)
    found = views(options(crop, crop_mode="lenet", area_min=0.25, aspect_factor=0.5), size)
    parts = np.array([shown(view, crop) for view in found])
    width, height = parts[:, 2] - parts[:, 0], parts[:, 3] - parts[:, 1]
    assert (parts[:, :2] > -1e-9).all() and (parts[:, 2:] < np.add(size, 1e-9)).all()
    share, aspect = width * height / (400 * 300), width / height
    assert share.min() > 0.24 and share.max() <= 1 and share.max() - share.min() > 0.5
    assert aspect.min() > 0.49 and aspect.max() < 2.03 and aspect.min() < 0.7 < 1.6 < aspect.max()


def test_lenet_gives_up_with_the_centre():
    """No part of so wide an image has the whole area and an aspect near 1."""
    settings_ = options(8, crop_mode="lenet", area_min=1.0)
    found = {view._replace(mirrored=False) for view in views(settings_, (400, 10))}
    assert found == {centre_view(settings_, (400, 10))}


def test_resnet_scales_the_shorter_side():
    """In 2017 this mode could not run. Shorter side 256 to 480 for a crop of 224."""
    found = views(options(224, crop_mode="resnet"), (300, 600), count=2000)
    sides = {round(view.scale_x * 300) for view in found}
    assert min(sides) == 256 and max(sides) == 480 and len(sides) == 225
    for view in found:
        x0, y0, x1, y1 = shown(view, (224, 224))
        assert x0 >= 0 and y0 >= 0 and x1 <= 300 + 1e-9 and y1 <= 600 + 1e-9


def test_denet_shows_half_of_some_box():
    size, box = (200, 100), np.array([[20, 30, 60, 90]])
    found = views(options(50, crop_mode="denet", area_min=0.08), size, box, 1000)
    parts = np.array([shown(view, (50, 50)) for view in found])
    width, height = np.minimum(parts[:, 2:], box[:, 2:]).T - np.maximum(parts[:, :2], box[:, :2]).T
    assert (np.maximum(width, 0) * np.maximum(height, 0) >= 0.5 * 40 * 60 - 1e-6).all()
    assert parts[:, 1].min() < -25 and parts[:, 3].max() > 125  # into the border of the square
    assert parts[:, 0].min() >= 0 and parts[:, 2].max() <= 200 + 1e-9
    area = (parts[:, 2:] - parts[:, :2]).prod(axis=1) / 200**2
    assert 0.08 <= area.min() < 0.15 and area.max() <= 1 + 1e-9


def test_denet_without_boxes_shows_everything():
    for view in views(options(50, crop_mode="denet"), (200, 100)):
        np.testing.assert_allclose(shown(view, (50, 50)), (0, -50, 200, 150), atol=1e-9)


def test_ssd_crops_into_the_border():
    """Squares of 0.3 to 1 of the padded square; in 2017 none reached into the border."""
    size, box = (200, 100), np.array([[80.0, 10, 120, 60]])
    found = views(options(60, crop_mode="ssd"), size, box, 1000)
    parts = np.array([shown(view, (60, 60)) for view in found])
    side = parts[:, 2] - parts[:, 0]
    np.testing.assert_allclose(side, parts[:, 3] - parts[:, 1])
    assert 60 <= side.min() < 70 and side.max() == pytest.approx(200)
    assert (iou(parts, box) > 0).all()
    assert parts[:, 1].min() < -40 and parts[:, 3].max() > 140
    assert parts[:, 0].min() >= 0 and parts[:, 2].max() <= 200 + 1e-9
    whole = (np.abs(parts - (0, -50, 200, 150)) < 1e-6).all(axis=1).mean()
    assert 1 / 7 - 0.04 < whole < 1 / 2  # one candidate of up to seven
    filters = {
        random_view(options(60, crop_mode="ssd"), size, box, generator(key))[1]
        for key in range(100)
    }
    assert filters == {"NEAREST", "BOX", "BILINEAR", "BICUBIC", "LANCZOS"}


def test_ssd_without_boxes_shows_everything():
    for view in views(options(50, crop_mode="ssd"), (100, 200)):
        np.testing.assert_allclose(shown(view, (50, 50)), (-50, 0, 150, 200), atol=1e-9)


@pytest.mark.parametrize("mode", ["denet", "ssd"])
def test_parts_have_the_shape_of_the_crop(mode):
    """A crop of 4:3 shows a photo of 4:3 without borders, and never stretched."""
    settings_ = options((40, 30), crop_mode=mode, aspect_factor=1.0, area_min=0.25)
    found = views(settings_, (640, 480), np.array([[100.0, 100, 500, 400]]), 300)
    for view in found:
        assert view.scale_x == pytest.approx(view.scale_y)
        x0, y0, x1, y1 = shown(view, (40, 30))
        assert min(x0, y0) > -1e-6 and x1 < 640 + 1e-6 and y1 < 480 + 1e-6
    # a wide crop of a square image pads left and right only
    wide = views(options((60, 30), crop_mode=mode), (100, 100), np.zeros((0, 4)))
    for view in wide:
        np.testing.assert_allclose(shown(view, (60, 30)), (-50, 0, 150, 100), atol=1e-9)


def test_neighbouring_keys_are_independent():
    """Keys of 64 bits must not pass through float64, which has 53."""
    draws = {generator(key).random() for key in range(2**64 - 100, 2**64)}
    assert len(draws) == 100


@pytest.mark.parametrize("mode", MODES)
def test_views_are_functions_of_the_key(mode):
    first, second = (views(options(32, crop_mode=mode), (60, 40), [(5, 5, 30, 30)]) for _ in "12")
    assert first == second and len(set(first)) > 1


@st.composite
def scenes(draw):
    """An image of a red box on blue, and how it is cropped."""
    width, height = draw(st.integers(40, 400)), draw(st.integers(40, 400))
    x0, y0 = draw(st.integers(0, width - 12)), draw(st.integers(0, height - 12))
    box = x0, y0, draw(st.integers(x0 + 12, width)), draw(st.integers(y0 + 12, height))
    crop = draw(st.integers(24, 96)), draw(st.integers(24, 96))
    settings_ = ImageOptions(
        crop=crop,
        scale=draw(st.sampled_from([crop, (120, 120)])),
        scale_mode=draw(st.sampled_from(["small", "large", "warp"])),
        crop_mode=draw(st.sampled_from(sorted(MODES))),
        area_min=0.2,
    )
    return (width, height), box, settings_, draw(st.integers(0, 2**64 - 1))


@settings(max_examples=300)
@given(scenes())
def test_a_box_surrounds_its_pixels_after_any_crop(scene):
    """All four edges lie within a pixel and a half of where red turns into blue."""
    size, box, settings_, key = scene
    image = Image.new("RGB", size, (0, 0, 255))
    image.paste((255, 0, 0), box)
    boxes = np.array([box], np.float64)
    view, resample = random_view(settings_, size, boxes, generator(key))
    pixels = render(image, view, settings_.crop, resample).astype(int)
    red, lit = pixels[..., 0] > 127, pixels.sum(axis=-1) > 200
    x0, y0, x1, y1 = np.clip(network_boxes(boxes, view, *settings_.crop)[0], 0, 1)
    edges = np.array([x0, y0, x1, y1]) * np.array(settings_.crop * 2)
    if not red.any():
        assert min(edges[2] - edges[0], edges[3] - edges[1]) < 2
        return
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    found = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    np.testing.assert_allclose(edges, found, rtol=0, atol=1.5)
    assert lit.any()


def test_pixels_of_a_view():
    """A crop at full scale is a slice; what the image does not cover is black."""
    values = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    image = Image.fromarray(values)
    whole = render(image, View(1, 1, 4, 6), (10, 8), "LANCZOS")
    np.testing.assert_array_equal(whole, values[6:14, 4:14])
    mirrored = render(image, View(1, 1, 4, 6, True), (10, 8), "LANCZOS")
    np.testing.assert_array_equal(mirrored, values[6:14, 4:14][:, ::-1])
    bordered = render(image, View(1, 1, -3, 15), (40, 8), "LANCZOS")
    expected = np.zeros((8, 40, 3), np.uint8)
    expected[:5, 3:33] = values[15:]
    np.testing.assert_array_equal(bordered, expected)
    assert not render(image, View(1, 1, 100, 0), (5, 5), "LANCZOS").any()
    halved = render(image, View(0.5, 0.5, 0, 0), (15, 10), "BOX")
    mean = values.reshape(10, 2, 15, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(halved, mean, rtol=0, atol=1.01)  # rounded twice
