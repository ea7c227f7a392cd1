"""The mean image: against float64 sums over the decoded pictures, and where its windows lie."""

import numpy as np
import pytest
from annotated_files import save_image
from PIL import Image

from denet.dataset import BadDataError, open_dataset
from denet.dataset.loader import Loader, Normalise
from denet.dataset.mean_image import mean_image
from denet.errors import UsageError
from denet.model.preprocessing import Preprocessing


@pytest.fixture
def pictures(tmp_path):
    """Lay out 5 pictures of noise, 12 pixels high or wide and longer; return them."""
    rng = np.random.default_rng(2)
    found = []
    for number, (width, height) in enumerate([(12, 12), (20, 12), (12, 17), (13, 12), (31, 12)]):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        path = tmp_path / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        found.append(pixels)
    return found


def opened(tmp_path, options="imagenet,scale=12,crop=8", **settings):
    return open_dataset(tmp_path / "train", options, progress=False, **settings)


def centres(pictures, side=12):
    """Cut the middle square of each picture, scaled to 0 to 1."""
    cut = []
    for pixels in pictures:
        y, x = (-(-(length - side) // 2) for length in pixels.shape[:2])
        cut.append(pixels[y : y + side, x : x + side] / 255)
    return np.array(cut)


def test_mean_of_centre_crops_and_their_mirror_images(tmp_path, pictures):
    cut = centres(pictures)
    both = np.concatenate([cut, cut[:, :, ::-1]])
    found = [mean_image(opened(tmp_path), True, threads, False) for threads in (1, 3)]
    np.testing.assert_allclose(found[0].image, both.mean(axis=0), atol=1e-6)
    deviation = np.sqrt(((both - both.mean(axis=0)) ** 2).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(found[0].std, deviation, rtol=1e-5)
    assert found[0].image.tobytes() == found[1].image.tobytes()
    assert found[0].std == found[1].std
    plain = mean_image(opened(tmp_path), False, 1, False)
    np.testing.assert_allclose(plain.image, cut.mean(axis=0), atol=1e-6)


def test_it_is_never_smaller_than_the_crop(tmp_path, pictures):
    dataset = opened(tmp_path, "imagenet,scale=6,crop=8")
    assert mean_image(dataset, True, 1, False).image.shape == (8, 8, 3)


def test_arrays_and_constant_channels(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), np.uint8)
    data[:, 1] = 90
    np.save(tmp_path / "x_data.npy", data)
    np.save(tmp_path / "x_labels.npy", np.arange(7) % 2)
    dataset = open_dataset(tmp_path / "x", "npy", progress=False)
    found = mean_image(dataset, False, 2, False)
    np.testing.assert_allclose(found.image, data.mean(0).transpose(1, 2, 0) / 255, atol=1e-6)
    assert found.std[1] == 1 and found.std[0] < 0.5
    mirrored = open_dataset(tmp_path / "x", "npy", progress=False, mirror=True)
    image = mean_image(mirrored, False, 2, False).image
    np.testing.assert_allclose(image, (found.image + found.image[:, ::-1]) / 2, atol=1e-6)


def test_damaged_images_are_left_out(tmp_path, pictures):
    file = tmp_path / "train" / "a" / "0.png"
    file.write_bytes(file.read_bytes()[:100])
    found = mean_image(opened(tmp_path, on_bad_data="skip"), False, 1, False).image
    np.testing.assert_allclose(found, centres(pictures[1:]).mean(axis=0), atol=1e-6)
    with pytest.raises(BadDataError, match=r"0\.png"):
        mean_image(opened(tmp_path), False, 1, False)


def test_the_window_is_where_the_crop_lies():
    """Of a mean image of 4x7, an input of 2x3: its centre window begins in row 1, column 2."""
    ramp = np.arange(28, dtype=np.float32).reshape(4, 7, 1)
    normalise = Normalise((1, 2, 3), Preprocessing((), (), ramp))
    black = np.zeros((1, 2, 3, 1), np.uint8)
    expected = {
        None: [[9, 10, 11], [16, 17, 18]],
        (0, 0, 0): [[9, 10, 11], [16, 17, 18]],
        (-2, -1, 0): [[0, 1, 2], [7, 8, 9]],
        (2, 1, 1): [[20, 19, 18], [27, 26, 25]],
        (50, -50, 0): [[4, 5, 6], [11, 12, 13]],  # what lies outside: at the border
    }
    for shift, window in expected.items():
        shifts = None if shift is None else np.array([shift])
        assert (-normalise(black, shifts)[0, :, :, 0]).tolist() == window, shift


def test_an_image_less_itself_is_black_wherever_it_is_cropped(tmp_path):
    """Random crops, mirrored or not, take away the window of the mean at their own place."""
    pixels = np.random.default_rng(1).integers(0, 256, (12, 12, 3), np.uint8)
    for name in "ab":
        path = tmp_path / "train" / name / "x.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(path)
    dataset = opened(tmp_path)
    own = Preprocessing((), (), mean_image(dataset, False, 1, False).image)
    seen = set()
    for epoch in range(20):
        for batch in Loader(dataset, 2, own, training=True).epoch(epoch):
            np.testing.assert_allclose(batch.data, 0, atol=1e-6)
            seen |= set(map(tuple, batch.targets["shift"].tolist()))
    assert {mirrored for _, _, mirrored in seen} == {0, 1} and len(seen) > 10
    for batch in Loader(dataset, 2, own, training=False).epoch(0):
        np.testing.assert_allclose(batch.data, 0, atol=1e-6)
    ten = opened(tmp_path, "imagenet,scale=12,crop=8,multicrop")
    for batch in Loader(ten, 20, own, training=False).epoch(0):
        np.testing.assert_allclose(batch.data, 0, atol=1e-6)


def test_views_of_another_scale_take_the_centre(tmp_path):
    save_image(tmp_path / "train" / "a" / "x.png", (30, 20))
    dataset = opened(tmp_path, "imagenet,scale=12,crop=8,crop_mode=lenet")
    shift = dataset.load(np.arange(1), np.ones(1, np.uint64), True).targets["shift"]
    assert shift[0, :2].tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(8, 8), (7, 9, 3), (8, 8, 1)])
def test_a_mean_image_that_does_not_fit(shape):
    with pytest.raises(UsageError, match="mean image"):
        Preprocessing((), (), np.zeros(shape, np.float32)).check((3, 8, 8))
    with pytest.raises(UsageError, match="mean image"):
        Preprocessing((), (), np.full((8, 8, 3), np.nan, np.float32))


def test_it_grows_with_the_network():
    ramp = np.tile(np.arange(6, dtype=np.float32)[:, None], (4, 1, 6)).reshape(4, 6, 6)[..., :3]
    own = Preprocessing((), (), ramp)
    larger = own.resized((3, 4, 4), (3, 8, 4))
    assert larger.mean_image.shape == (8, 6, 3) and own.resized((3, 4, 4), (1, 4, 4)) is own
    assert larger.mean_image.mean() == pytest.approx(ramp.mean())
    assert own != larger and own != Preprocessing() and own == Preprocessing((), (), ramp.copy())
