"""Colours in other light, and their principal components, against hand-worked numbers."""

from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from PIL import Image

from denet.dataset import BadDataError, open_dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.augment import generator
from denet.dataset.image.colours import IMAGENET_COMPONENTS, ColourSums, change_colours
from denet.dataset.loader import Loader
from denet.dataset.mean_image import mean_image
from denet.errors import UsageError
from denet.model.preprocessing import Preprocessing

OWN = "augment_color=0.5,color_components=data"


def by_steps(x, key, photo, colour):
    """Return the pixels changed as the formulas say, one after the other, in float64."""
    rng, x = generator(key), x / 255
    grey = np.array([0.299, 0.587, 0.114])
    for change in rng.permutation(3) if photo else ():
        alpha = rng.uniform(1 - photo, 1 + photo)
        if change == 0:
            x = alpha * x + (1 - alpha) * (x @ grey).mean()
        elif change == 1:
            x = alpha * x
        else:
            x = alpha * x + (1 - alpha) * (x @ grey)[..., None]
    if colour:
        weights = rng.normal(0, colour, 3) * [0.2175, 0.0188, 0.0045]
        for column, weight in enumerate(weights):
            x = x + weight * IMAGENET_COMPONENTS.vectors[:, column]
    return x


@pytest.mark.parametrize("photo, colour", [(0.4, 0), (0, 0.1), (0.4, 0.1), (0.2, 0.01)])
def test_colours_change_by_the_formulas(photo, colour):
    pixels = np.random.default_rng(3).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    results = []
    for key in range(20):
        found = change_colours(pixels, photo, colour, generator(key))
        np.testing.assert_allclose(found, by_steps(pixels, key, photo, colour), atol=1e-5)
        assert found.dtype == np.float32
        results.append(found)
    if photo == 0.4:  # nothing is clipped
        assert max(each.max() for each in results) > 1
    assert len({each.tobytes() for each in results}) == 20


def test_principal_components():
    """The published vectors are orthogonal and of length 1; the first is the brightness."""
    np.testing.assert_allclose(
        IMAGENET_COMPONENTS.vectors.T @ IMAGENET_COMPONENTS.vectors, np.eye(3), atol=2e-4
    )
    assert np.sign(IMAGENET_COMPONENTS.vectors[:, 0]).tolist() == [-1, -1, -1]
    assert IMAGENET_COMPONENTS.values.tolist() == sorted(IMAGENET_COMPONENTS.values, reverse=True)


def sums(*images):
    found = ColourSums()
    for image in images:
        found.add(np.array(image))
    return found


def test_components_by_hand():
    """Red is 0 or 1, green 0.2 or 0.4, whatever red is; blue never changes."""
    corners = [[(0, 51, 7), (255, 51, 7)], [(0, 102, 7), (255, 102, 7)]]
    found = sums(corners)
    np.testing.assert_allclose(found.mean(), [0.5, 0.3, 7 / 255], rtol=1e-15)
    np.testing.assert_allclose(found.covariance(), np.diag([0.25, 0.01, 0]), rtol=1e-14, atol=0)
    np.testing.assert_allclose(found.components().values, [0.25, 0.01, 0], rtol=1e-14, atol=0)
    np.testing.assert_allclose(np.abs(found.components().vectors), np.eye(3), atol=1e-15)


def test_the_gain_of_ccv():
    """N(0, 0.001) times eigenvalues of pixels from 0 to 255 is 0.255 times those from 0 to 1.

    Half of the pixels black, half white: 3 * 127.5^2 along (1, 1, 1) / sqrt(3), nothing across.
    """
    found = sums([(0, 0, 0), (255, 255, 255)]).components()
    assert 255**2 * found.values[0] == pytest.approx(48768.75)
    black = np.zeros((2, 2, 3), np.uint8)
    for key in range(5):
        alpha = generator(key).normal(0, 0.001, 3)[0]
        levels = 255 * change_colours(black, 0, 0.255, generator(key), found)
        sign = np.sign(found.vectors[0, 0])
        np.testing.assert_allclose(levels, sign * alpha * 48768.75 / np.sqrt(3), rtol=1e-5)


def test_sums_are_exact_in_any_order_and_share():
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (3000, 3), np.uint8)
    whole, parts = sums(pixels), sums(*np.split(pixels[rng.permutation(3000)], [11, 999]))
    assert whole.covariance().tobytes() == parts.covariance().tobytes()
    expected = np.cov(pixels.T / 255, bias=True)
    np.testing.assert_allclose(whole.covariance(), expected, rtol=1e-12, atol=1e-15)
    values, vectors = whole.components()
    np.testing.assert_allclose(vectors * values @ vectors.T, expected, atol=1e-15)
    assert values.tolist() == sorted(values, reverse=True)


def test_a_channel_that_hardly_varies_loses_nothing():
    """One of 2^22 white pixels is a level darker: in float64 its variance would be rounding."""
    pixels = np.full((1 << 22, 3), 255, np.uint8)
    assert not sums(pixels).covariance().any()
    pixels[0, 1] = 254
    share = 2.0**-22
    expected = share * (1 - share) / 255**2
    assert sums(pixels).covariance()[1, 1] == pytest.approx(expected, rel=1e-14)


@pytest.fixture
def photos(tmp_path):
    """Lay out 6 pictures of 12x12, in two classes, whose colours vary along a slanted line."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(6):
        along = rng.integers(-40, 41, (12, 12, 1)) * np.array([2, 1, -1])
        pixels = (120 + along + rng.integers(0, 9, (12, 12, 3))).astype(np.uint8)
        path = tmp_path / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        found.append(pixels)
    return np.array(found)


def opened(tmp_path, options=OWN, size="scale=12,crop=8", **settings):
    path = tmp_path / "train"
    return open_dataset(path, f"imagenet,{size},{options}", progress=False, **settings)


def with_boxes(tmp_path, photos, options=OWN):
    """Open the pictures in the layout of VOC, which no published constants are used for."""
    xml = voc_xml(object_xml(box=(1, 1, 9, 9)), size=(12, 12))
    write_voc(tmp_path / "voc", {f"{number}": xml for number in range(len(photos))})
    for number, pixels in enumerate(photos):
        file = tmp_path / f"voc/JPEGImages/{number}.jpg"
        file.unlink()
        Image.fromarray(pixels).save(file.with_suffix(".png"))
    extension = f"voc,train,scale=12,crop=8,{options}"
    return open_dataset(tmp_path / "voc", extension, progress=False)


def covariance(components):
    return components.vectors * components.values @ components.vectors.T


def test_components_of_a_training_set_in_the_pass_of_its_normalisation(
    tmp_path, photos, monkeypatch
):
    """A crop of 8 is what mean and deviation are of; the mean image is of 12, and so are they."""
    reads, load = [], DetectionDataset.load

    def counted(self, indices, *given, **named):
        reads.extend(indices)
        return load(self, indices, *given, **named)

    monkeypatch.setattr(DetectionDataset, "load", counted)
    inner, whole = ((p.reshape(-1, 3) / 255) for p in (photos[:, 2:10, 2:10], photos))
    dataset = with_boxes(tmp_path, photos)
    mean, std = dataset.channel_statistics()
    np.testing.assert_allclose((mean, std), (inner.mean(axis=0), inner.std(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(covariance(dataset.components), np.cov(inner.T, bias=True))
    for threads in (1, 3):
        imaged = opened(tmp_path)
        mean_image(imaged, True, threads, False)
        np.testing.assert_allclose(covariance(imaged.components), np.cov(whole.T, bias=True))
        Loader(imaged, 2, Preprocessing(), training=True)
    assert sorted(reads) == sorted(3 * [*range(6)])
    unknown = with_boxes(tmp_path, photos)
    Loader(unknown, 2, Preprocessing(), training=True)
    assert unknown.components.vectors.tobytes() == dataset.components.vectors.tobytes()
    plain = with_boxes(tmp_path, photos, "augment_color")
    np.testing.assert_allclose(plain.channel_statistics(), (mean, std), rtol=1e-12)
    assert plain.components is None


def test_training_shifts_along_them(tmp_path, photos):
    """What is left of a sample less its crop is one shift: vectors (alpha values)."""
    dataset = opened(tmp_path, size="crop=12")
    batches = Loader(dataset, 6, Preprocessing(), seed=3, thread_num=2, training=True).epoch(0)
    components, seen = dataset.components, []
    for batch in batches:
        for index, image, (_, _, mirrored) in zip(
            batch.indices, batch.data, batch.targets["shift"], strict=True
        ):
            photo = photos[int(Path(dataset.names[index]).stem)]
            crop = photo[:, ::-1] if mirrored else photo
            shifts = (image - crop / 255).reshape(-1, 3)
            np.testing.assert_allclose(shifts, np.tile(shifts[0], (144, 1)), atol=1e-6)
            seen.append(components.vectors.T @ shifts[0] / components.values)
    assert len(seen) == 6 and 0.1 < np.std(seen) < 1  # 18 numbers from N(0, 0.5)


def test_grey_and_black_pictures(tmp_path, photos):
    for number in range(6):
        Image.fromarray(photos[number, ..., 0]).save(
            tmp_path / "train" / "ab"[number % 2] / f"{number}.png"
        )
    dataset = opened(tmp_path)
    dataset.prepare_training()
    values, vectors = dataset.components
    np.testing.assert_allclose(np.abs(vectors[:, 0]), 3**-0.5)
    assert (values[1:] < 1e-15).all() and (values >= 0).all()
    black = sums(np.zeros((4, 3))).components()
    assert not change_colours(np.zeros((2, 2, 3), np.uint8), 0, 0.9, generator(1), black).any()


def test_damaged_photos_do_not_count(tmp_path, photos):
    file = tmp_path / "train" / "a" / "0.png"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadDataError, match="0.png"):
        Loader(opened(tmp_path), 2, Preprocessing(), training=True)
    dataset = opened(tmp_path, size="crop=12", on_bad_data="skip")
    Loader(dataset, 2, Preprocessing(), training=True)
    expected = np.cov(photos[1:].reshape(-1, 3).T / 255, bias=True)
    np.testing.assert_allclose(covariance(dataset.components), expected)


def test_whose_components(tmp_path, photos):
    with pytest.raises(UsageError, match="color_components=mine: --extension: give one of image"):
        opened(tmp_path, "augment_color,color_components=mine")
