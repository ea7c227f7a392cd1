"""Directories of images: exact pixels, order, modes, orientation, and every way to be wrong."""

import logging
import os
import re
import signal

import numpy as np
import pytest
from PIL import Image

from denet.dataset import open_dataset
from denet.dataset.classes import directory
from denet.dataset.image.decoder import Decoder
from denet.errors import DataError, UsageError, WorkerError

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3  # 6 wide, 4 high
GREY = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6) * 10


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)


def read(path, extension="png", **options):
    return open_dataset(path, extension, progress=False, **options)


def everything(dataset):
    return dataset.images(np.arange(len(dataset)))


def test_pixels_labels_and_order(tmp_path):
    """Classes and files come sorted, whatever order they were made in; nested files count."""
    for value, name in enumerate(["dog/b.png", "dog/a.PNG", "ant/x/deep.png", "cat/1.png"]):
        save(tmp_path / name, np.full((4, 6, 3), value, np.uint8))
    save(tmp_path / "cat/._1.png", RGB[:2])  # hidden, as macOS leaves them
    save(tmp_path / ".cache/1.png", RGB[:2])
    dataset = read(tmp_path)
    assert dataset.class_labels == ["ant", "cat", "dog"]
    assert dataset.labels.tolist() == [0, 1, 2, 2] and dataset.labels.dtype == np.int32
    names = [os.path.relpath(name, tmp_path) for name in dataset.names]
    assert names == ["ant/x/deep.png", "cat/1.png", "dog/a.PNG", "dog/b.png"]
    assert dataset.shape == (3, 4, 6) and len(dataset) == 4
    images = everything(dataset)
    assert images.dtype == np.uint8 and images.shape == (4, 4, 6, 3)
    assert images[:, 0, 0, 0].tolist() == [2, 3, 1, 0]


@pytest.mark.parametrize("suffix", ["png", "ppm", "bmp", "tif", "webp"])
def test_lossless_formats_are_exact(tmp_path, suffix):
    save(tmp_path / f"a/1.{suffix}", RGB, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(everything(read(tmp_path, suffix))[0], RGB)
    np.testing.assert_array_equal(everything(read(tmp_path, "image"))[0], RGB)


def test_jpg_and_jpeg_are_one_format(tmp_path):
    for name in ("a/1.jpg", "a/2.JPEG"):
        save(tmp_path / name, RGB, quality=95)
    dataset = read(tmp_path, "jpg")
    assert len(dataset) == 2 == len(read(tmp_path, "jpeg"))
    with Image.open(tmp_path / "a/1.jpg") as image:
        np.testing.assert_array_equal(everything(dataset)[0], np.asarray(image))


def test_content_counts_not_the_suffix(tmp_path):
    save(tmp_path / "a/1.jpg", RGB, format="PNG")
    np.testing.assert_array_equal(everything(read(tmp_path, "jpg"))[0], RGB)


ALPHA = np.full((4, 6, 1), 77, np.uint8)
MODES = {
    "L": (GREY, GREY[..., None]),
    "1": (Image.fromarray(GREY > 100), np.where(GREY > 100, 255, 0)[..., None]),
    "LA": (np.concatenate([GREY[..., None], ALPHA], 2), GREY[..., None]),
    "I;16": (GREY.astype(np.uint16) * 256 + 200, GREY[..., None]),
    "I": (Image.fromarray(GREY.astype(np.int32) * 256 + 200), GREY[..., None]),
    "RGBA": (np.concatenate([RGB, ALPHA], 2), RGB),
    "P": (Image.fromarray(RGB).quantize(24), RGB),
    "CMYK": (Image.fromarray(RGB).convert("CMYK"), RGB),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes(tmp_path, mode):
    """Each mode becomes the grey or colour pixels it stands for."""
    source, expected = MODES[mode]
    save(tmp_path / "a" / ("1.tif" if mode in ("I", "CMYK") else "1.png"), source)
    images = everything(read(tmp_path, "image"))
    assert images.shape == (1, *expected.shape)
    if mode == "P":  # the quantiser merges colours: what it stored is the truth
        expected = np.asarray(source.convert("RGB"))
    np.testing.assert_array_equal(images[0], expected)


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(RGB).quantize(24)
    save(tmp_path / "a/1.png", image, transparency=bytes(range(24)))
    np.testing.assert_array_equal(everything(read(tmp_path))[0], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("first, second", [(GREY, RGB), (RGB, GREY)])
def test_one_colour_image_makes_the_set_colour(tmp_path, first, second):
    save(tmp_path / "a/1.png", first)
    save(tmp_path / "a/2.png", second)
    images = everything(read(tmp_path))
    for image, source in zip(images, (first, second), strict=True):
        expected = source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=2)
        np.testing.assert_array_equal(image, expected)


UPRIGHT = {  # EXIF orientation: how the stored pixels become upright (TIFF 6.0, tag 274)
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, -1)[::-1],
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path, orientation, suffix):
    expected = UPRIGHT[orientation](RGB)
    exif = Image.Exif()
    exif[274] = orientation
    save(tmp_path / f"a/1.{suffix}", RGB, exif=exif)
    save(tmp_path / f"a/2.{suffix}", np.ascontiguousarray(expected))  # sizes must agree
    images = everything(read(tmp_path, suffix))
    np.testing.assert_array_equal(images[0], expected)
    np.testing.assert_array_equal(images[1], expected)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """2100 images in 3 classes whose first pixel is their number."""
    path = tmp_path_factory.mktemp("many")
    for number in range(2100):
        pixels = np.zeros((2, 2, 3), np.uint8)
        pixels[0, 0] = number // 256, number % 256, 7
        save(path / f"class {number % 3}" / f"{number:04}.ppm", pixels)
    return path


def test_decoder_processes_give_the_same(many):
    """Enough files to start processes: same pixels in the same places as without."""
    one, two = (read(many, "ppm", thread_num=threads) for threads in (1, 2))
    assert one.names == two.names
    np.testing.assert_array_equal(everything(one), everything(two))
    numbers = everything(two)[:, 0, 0].astype(int) @ [256, 1, 0]
    assert [f"{number:04}" for number in numbers] == [name[-8:-4] for name in two.names]


def test_decoder_processes_tell_faults(many, tmp_path):
    for name in ("0", "1", "2"):
        os.symlink(many / f"class {name}", tmp_path / f"class {name}")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/x.ppm").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"bad/x.ppm: not an image"):
        read(tmp_path, "ppm", thread_num=2)
    save(tmp_path / "bad/x.ppm", RGB)
    with pytest.raises(DataError, match=r"bad/x.ppm is 6x4 instead of 2x2 \(1 of 2101 images"):
        read(tmp_path, "ppm", thread_num=2)
    save(tmp_path / "bad/x.ppm", GREY[:2, :2])  # grey comes first: all is read again as colour
    assert read(tmp_path, "ppm", thread_num=2, shape=(3, 2, 2)).labels[0] == 0


def test_dead_decoder(many):
    decoder = Decoder()
    os.kill(decoder._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="by signal 9"):
        out = np.zeros((1, 2, 2, 3), np.uint8)
        decoder.perform("decode", [str(many / "class 0/0000.ppm")], out, {})
    decoder.close()


@pytest.mark.skipif(os.name == "nt", reason="sessions of POSIX")
def test_ctrl_c_does_not_reach_a_decoder():
    decoder = Decoder()
    assert os.getsid(decoder._process.pid) != os.getsid(0)
    decoder.close()


def test_subset(many):
    """A subset is drawn by seed over the whole set, keeps its order and all classes."""
    first, again, other = (read(many, "ppm", max_samples=60, seed=seed).names for seed in (1, 1, 2))
    assert first == again == sorted(first) and len(set(first)) == 60 and other != first
    assert min(name[-8:] for name in first) < "0500" and max(name[-8:] for name in first) > "1600"
    assert len(read(many, "ppm", max_samples=9999)) == 2100
    with pytest.raises(UsageError, match="max-samples: 0"):
        read(many, "ppm", max_samples=0)


def test_mirrored_copies(tmp_path):
    for value in range(2):
        save(tmp_path / f"{value}/1.png", RGB + value)
    dataset = read(tmp_path, mirror=True)
    assert len(dataset) == 4 and dataset.labels.tolist() == [0, 1, 0, 1]
    images = dataset.images(np.array([3, 0, 2, 1]))
    for image, expected in zip(
        images, [(RGB + 1)[:, ::-1], RGB, RGB[:, ::-1], RGB + 1], strict=True
    ):
        np.testing.assert_array_equal(image, expected)
    assert dataset._pixels.shape[0] == 2  # nothing is stored twice
    np.testing.assert_array_equal(dataset.images(np.array([0]))[0], RGB)


def test_channel_statistics(tmp_path):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    pixels[..., 2] = 51
    for number, image in enumerate(pixels):
        save(tmp_path / f"a/{number}.png", image)
    mean, std = read(tmp_path).channel_statistics()
    np.testing.assert_allclose(mean, (pixels / 255).mean(axis=(0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(std[:2], (pixels / 255).std(axis=(0, 1, 2))[:2], rtol=1e-13)
    assert std[2] == 1.0  # a constant channel must not be divided by zero
    assert all(type(value) is float for value in mean + std)


def test_given_classes(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / name / "1.png", RGB)
    dataset = read(tmp_path, class_labels=["dog", "emu", "cat"])  # a class without samples is fine
    assert dataset.class_labels == ["dog", "emu", "cat"] and dataset.labels.tolist() == [2, 0]
    with pytest.raises(DataError) as caught:
        read(tmp_path, class_labels=["cat", "dogs"])
    assert str(caught.value) == (
        f"class 'dog' is not one of the 2 known classes: {tmp_path}: only here: dog; only there: "
        "dogs: rename it (did you mean 'dogs'?) or remove it"
    )


def test_how_class_lists_differ(tmp_path):
    for name in "abcdefgh":
        save(tmp_path / name / "1.png", RGB)
    with pytest.raises(DataError) as caught:
        read(tmp_path, class_labels=["h", "y", "x"], class_owner="the model")
    assert str(caught.value) == (
        f"class 'a' is not one of the 3 classes of the model (nor are 6 more): {tmp_path}: "
        "only here: a, b, c, d, e and 2 more; only in the model: y, x: rename it or remove it"
    )


def test_empty_class_is_kept_and_told(tmp_path, caplog):
    save(tmp_path / "b/1.png", RGB)
    (tmp_path / "a").mkdir()
    with caplog.at_level(logging.INFO):
        dataset = read(tmp_path)
    assert dataset.class_labels == ["a", "b"] and dataset.labels.tolist() == [1]
    assert "class 'a' has no images" in caplog.text
    assert "1 image of 3x4x6 in 2 classes" in caplog.text
    assert read(tmp_path, class_labels=["b"]).class_labels == ["b"]


def test_nothing_on_the_terminal(tmp_path, capfd):
    save(tmp_path / "b/1.png", RGB)
    open_dataset(tmp_path, "png", progress=True)
    assert capfd.readouterr() == ("", "")


def truncated(path):
    save(path, RGB)
    path.write_bytes(path.read_bytes()[:-26])


def text(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("hello")


def damage_many(path):
    save(path / "a/0.png", RGB)
    for number in range(1, 8):
        text(path / f"a/{number}.png")


ERRORS = [  # what is in the directory, what the message must say
    (lambda p: p.rmdir(), r"no such directory: /.*set"),
    (lambda p: (p.rmdir(), p.write_text("")), r"not a directory: /.*set"),
    (lambda p: None, r"no class directories: /.*set: put the images into .*set/CLASS/"),
    (lambda p: save(p / "1.png", RGB), r"no class directories"),
    (lambda p: (p / "a").mkdir(), r"no .png images in 1 class directories.*empty"),
    (lambda p: save(p / "a/1.gif", RGB), r"no .png images.*found .gif \(1\).*--extension"),
    (lambda p: text(p / "a/1.png"), r"a/1.png: not an image"),
    (lambda p: truncated(p / "a/1.png"), r"a/1.png: .*truncated"),
    (lambda p: (save(p / "a/1.png", RGB), truncated(p / "a/2.png")), r"a/2.png: .*truncated"),
    (damage_many, r"cannot read 7 of 8 images: .*1.png \(not an image\).*5.png \(n[^6]*$"),
    (lambda p: os.symlink("/nowhere", (p / "a").mkdir() or p / "a/1.png"), r"1.png: no such file"),
    (
        lambda p: [save(p / f"a/{i}.png", RGB[:, : 6 - i // 2]) for i in range(4)],
        r"sizes differ: .*a/2.png is 5x4 instead of 6x4 \(2 of 4 .*png,crop=SIZE .*skip",
    ),
    (lambda p: save(p / "a/1.png", Image.new("F", (4, 4)), format="TIFF"), "floating-point"),
    (
        lambda p: save(p / "a/1.png", Image.new("I", (4, 4), 70000), format="TIFF"),
        "a/1.png: 32-bit values",
    ),
]


@pytest.mark.parametrize("make, message", ERRORS)
def test_errors(tmp_path, make, message):
    (tmp_path / "set").mkdir()
    make(tmp_path / "set")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "set")
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_size_that_a_model_takes_is_told(tmp_path):
    for name, width in (("a", 6), ("b", 5)):
        save(tmp_path / name / "1.png", RGB[:, :width])
    with pytest.raises(DataError, match="--extension png,crop=9x7 also does"):
        open_dataset(tmp_path, "png", shape=(3, 7, 9), progress=False)


def test_too_large_for_memory(tmp_path, monkeypatch):
    save(tmp_path / "a/1.png", RGB)

    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(directory.np, "empty", refuse)
    with pytest.raises(
        Exception, match="1 images of 6x4: .*: 72 bytes of memory needed, .*--max-samples"
    ) as caught:
        read(tmp_path)
    assert caught.value.exit_code == 5


def test_needed_shape(tmp_path):
    save(tmp_path / "a/1.png", GREY)
    assert read(tmp_path, shape=(1, 4, 6)).shape == (1, 4, 6)
    assert read(tmp_path, shape=(3, 4, 6)).shape == (3, 4, 6)  # grey is repeated
    with pytest.raises(DataError, match="images are 6x4 with 3 channels, but 6x5 with"):
        read(tmp_path, shape=(3, 5, 6))


def test_colour_becomes_grey_where_the_network_wants_it(tmp_path):
    save(tmp_path / "a/1.png", GREY)
    colour = np.zeros((4, 6, 3), np.uint8)
    colour[:, :, 1] = 200  # luma: 0.587 of green
    save(tmp_path / "b/1.png", colour)
    images = read(tmp_path, shape=(1, 4, 6)).images(np.arange(2))
    np.testing.assert_array_equal(images[0, :, :, 0], GREY)
    np.testing.assert_allclose(images[1], 0.587 * 200, atol=1)


def test_parts_of_a_dataset_are_not_classes(tmp_path):
    save(tmp_path / "train/a/1.png", GREY)
    save(tmp_path / "Val/a/1.png", GREY)
    with pytest.raises(DataError, match="no classes but parts of a dataset.*: Val, train: give"):
        read(tmp_path)
    save(tmp_path / "ship/1.png", GREY)
    assert read(tmp_path).class_labels == ["Val", "ship", "train"]


@pytest.mark.parametrize(
    "extension, message",
    [
        ("npyy", "unknown kind of dataset 'npyy' .did you mean 'npy'"),
        ("jpgg", "did you mean 'jpg'"),
        ("", "unknown kind of dataset ''"),
        ("pdf", "unknown kind"),  # Pillow writes it but cannot read it
        ("png,cop=224", "unknown option 'cop' .did you mean 'crop'.*: png takes crop"),
        ("png,crop=96x64,crop=1", "crop: twice in --extension png,crop=96x64,crop=1: leave one"),
        ("npy,crop=224", "unknown option 'crop': --extension npy,crop=224: npy takes none"),
        *[
            (f"png,crop{x}", "crop=")
            for x in ("", "=", "=0", "=1x", "=a", "=-1", "=65537", "=9x99999")
        ],
    ],
)
def test_extension_errors(tmp_path, extension, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, extension)


def test_negative_threads(tmp_path):
    save(tmp_path / "a/1.png", RGB)
    with pytest.raises(UsageError, match="thread-num: -1"):
        read(tmp_path, thread_num=-1)
    assert len(read(tmp_path, thread_num=0)) == 1
