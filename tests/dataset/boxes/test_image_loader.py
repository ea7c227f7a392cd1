"""Batches of images with boxes: options, determinism, damage, and what is not allowed."""

import logging
import warnings
from zlib import crc32

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_voc
from PIL import Image

from denet.dataset import BadDataError, open_dataset
from denet.dataset.image.augment import MODES
from denet.dataset.image.boxes import BOX_CAPACITY
from denet.dataset.image.distort import parse_distortions
from denet.dataset.image.options import OPTION_NAMES, ImageOptions, parse_image_options
from denet.dataset.loader import Loader
from denet.errors import DataError, UsageError
from denet.model.preprocessing import Preprocessing


def opened(path, options="crop=32", **settings):
    return open_dataset(path, f"voc,train,{options}", progress=False, **settings)


def keys(count, start=0):
    return np.arange(start, start + count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


@pytest.fixture
def pictures(tmp_path):
    """Make 12 JPEG photos of noise, 90x60, each with two boxes."""
    rng = np.random.default_rng(5)
    for number in range(12):
        boxes = [(1 + number, 5, 40, 50), (50, 10, 80, 60)]
        objects = [object_xml(name, box) for name, box in zip(("a", "b"), boxes, strict=True)]
        write_voc(tmp_path, {f"{number:02}": voc_xml(*objects, size=(90, 60))})
        pixels = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((90, 60), Image.Resampling.BICUBIC)
        image.save(tmp_path / f"JPEGImages/{number:02}.jpg", quality=95)
    split = "".join(f"{number:02}\n" for number in range(12))
    (tmp_path / "ImageSets/Main/train.txt").write_text(split)
    return tmp_path


def test_options():
    """Defaults of 2017; scale follows crop."""
    assert parse_image_options({}) == ImageOptions()
    assert ImageOptions().crop == ImageOptions().scale == (224, 224)
    text = {
        **{"crop": "64x48", "scale": "80", "scale_mode": "large", "crop_mode": "ssd"},
        **{"max_trials": "3", "area_min": "0.5", "aspect_factor": "1", "check_onscreen": "0.25"},
        **{"images_per_subset": "128", "subset_num": "2", "augment_color": True},
        **{"check_center": "1", "augment_photo": "0"},
    }
    found = parse_image_options(text)
    assert (found.crop, found.scale) == ((64, 48), (80, 80))
    assert (found.scale_mode, found.crop_mode) == ("large", "ssd")
    assert (found.max_trials, found.area_min, found.aspect_factor) == (3, 0.5, 1)
    assert found.check_onscreen == 0.25 and found.most_images == 256
    assert found.check_center
    assert (found.augment_color, found.augment_photo) == (0.1, 0)
    strengths = {"augment_photo": "0.2", "augment_color": "1e-3"}
    found = parse_image_options(strengths)
    assert (found.augment_photo, found.augment_color) == (0.2, 0.001)
    for word in (True, "1", "yes"):
        assert parse_image_options(dict.fromkeys(strengths, word)).augment_photo == 0.4
    assert parse_image_options({"crop": "64x48"}).scale == (64, 48)
    assert set(OPTION_NAMES) == set(vars(ImageOptions())) - {"null"}


@pytest.mark.parametrize(
    "options, reason",
    [
        ("crop", "crop: --extension: give a value, crop=VALUE"),
        ("crop=0", "crop=0: --extension: give a size in pixels"),
        ("scale=9x", "scale=9x: --extension: give a size in pixels"),
        ("crop=70000", "from 1 to 65536"),
        ("scale_mode=huge", "one of small, large, warp"),
        ("crop_mode=dnet", r"one of default, .*ssd \(did you mean 'denet'\?\)"),
        ("area_min=0", "above 0 and at most 1"),
        ("area_min=nan", "above 0 and at most 1"),
        ("aspect_factor=2", "above 0 and at most 1"),
        ("check_onscreen=x", "above 0 and at most 1"),
        ("max_trials=0", "max_trials=0: --extension: give a whole number from 1 to"),
        ("subset_num=-1", "a whole number from 1 to"),
        ("augment_photo=maybe", "augment_photo=maybe: --extension: give true or false"),
        ("augment_photo=1.5", "or a strength of at least 0 and below 1"),
        ("augment_color=-0.1", "or a strength of at least 0 and below 1"),
        ("augment_color=nan", "or a strength of at least 0 and below 1"),
        ("null=1", "unknown option 'null'"),
        ("max_trails=3", "unknown option 'max_trails' .did you mean 'max_trials'"),
    ],
)
def test_wrong_options(pictures, options, reason):
    with pytest.raises(UsageError, match=reason):
        opened(pictures, options)


BATCHES = {  # of Pillow 13 and NumPy 2.4, by crop mode: these batches must stay as they are
    "default": 2774678147,
    "center": 2144151418,
    "lenet": 1641541513,
    "resnet": 1173384806,
    "denet": 2752677037,
    "ssd": 3965976390,
}


@pytest.mark.parametrize("mode", MODES)
def test_batches_stay_as_they_are(tmp_path, mode):
    """A run that is resumed by a later version goes on with the same batches."""
    rng = np.random.default_rng(2)
    for number, (width, height) in enumerate([(90, 60), (41, 70), (300, 200), (64, 48)]):
        boxes = [(1 + number, 5, 30, 40), (20, 10, 40, 45)][: number % 3]
        annotation = voc_xml(*(object_xml("a", box) for box in boxes), size=(width, height))
        write_voc(tmp_path, {f"{number}": annotation}, size=(width, height))
        (tmp_path / f"JPEGImages/{number}.jpg").unlink()
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"JPEGImages/{number}.png")
    (tmp_path / "ImageSets/Main/train.txt").write_text("0\n1\n2\n3\n")
    found = 0
    for options in ("", ",mosaic=0.5", ",scale_mode=large,check_center"):
        dataset = opened(tmp_path, f"crop=48x32,crop_mode={mode}{options}")
        samples = dataset.load(np.arange(4).repeat(4), keys(16), True)
        for array in (samples.images, *(samples.targets[name] for name in sorted(samples.targets))):
            found = crc32(array.tobytes(), found)
    assert found == BATCHES[mode]


@pytest.mark.parametrize("mode", MODES)
def test_same_batches_for_any_number_of_threads(pictures, mode):
    dataset = opened(pictures, f"crop=32,crop_mode={mode},augment_photo,augment_color")
    one, many, other = (
        list(
            Loader(dataset, 5, Preprocessing(), seed=seed, thread_num=threads, training=True).epoch(
                1
            )
        )
        for seed, threads in ((3, 1), (3, 4), (4, 1))
    )
    for first, second in zip(one, many, strict=True):
        np.testing.assert_array_equal(first.data, second.data)
        np.testing.assert_equal(first.targets, second.targets)
    assert not np.array_equal(one[0].data, other[0].data)


def test_a_sample_looks_the_same_in_any_batch(pictures):
    dataset = opened(pictures, "crop=32,crop_mode=denet")
    indices = np.array([3, 0, 7])
    together = dataset.load(indices, keys(3), True)
    for slot, index in enumerate(indices):
        alone = dataset.load(indices[slot : slot + 1], keys(3)[slot : slot + 1], True)
        np.testing.assert_array_equal(alone.images[0], together.images[slot])
        for name, values in together.targets.items():
            np.testing.assert_array_equal(alone.targets[name][0], values[slot], err_msg=str(index))


def test_prediction_is_not_random(pictures):
    dataset = opened(pictures, "crop=32,crop_mode=ssd,augment_photo,augment_color")
    first, second = (dataset.load(np.arange(12), keys(12, start), False) for start in (0, 100))
    np.testing.assert_array_equal(first.images, second.images)
    assert first.images.dtype == np.uint8 and not first.targets["view"][:, 4].any()
    np.testing.assert_array_equal(dataset.images(np.arange(12)), first.images)


def test_targets_of_the_centre(pictures):
    """90x60 scaled to 48x32, of which columns 8 to 40 are seen; boxes worked by hand.

    The first, (0, 4, 40, 50), lies at (0, 2.13, 21.3, 26.7), less 8 in x, of 32.
    """
    dataset = opened(pictures)
    _, targets, _ = dataset.load(np.arange(1), keys(1), False)
    scale = 32 / 60
    expected = [
        [0, 4 * scale / 32, (40 * scale - 8) / 32, 50 * scale / 32],
        [(49 * scale - 8) / 32, 9 * scale / 32, 1, 1],
    ]
    np.testing.assert_allclose(targets["box"][0, :2], expected, atol=1e-6)
    assert targets["box_class"][0].tolist() == [0, 1] + [-1] * (BOX_CAPACITY - 2)
    np.testing.assert_allclose(targets["view"], [[scale, scale, 8, 0, 0]], rtol=1e-6)
    assert targets["box"].dtype == targets["view"].dtype == np.float32
    assert targets["box"].shape == (1, BOX_CAPACITY, 4)


def test_a_view_leads_back_to_the_image(pictures):
    """Network pixel = image pixel * scale - offset, then mirrored: undone it gives the boxes."""
    dataset = opened(pictures, "crop=32,crop_mode=denet,check_onscreen=0.999")
    seen = 0
    for start in range(0, 1200, 12):
        _, targets, _ = dataset.load(np.arange(12), keys(12, start), True)
        for index in range(12):
            scale_x, scale_y, offset_x, offset_y, mirrored = targets["view"][index]
            count = (targets["box_class"][index] >= 0).sum()
            box = targets["box"][index, :count] * 32
            if mirrored:
                box[:, [0, 2]] = 32 - box[:, [2, 0]]
            box = (box + [offset_x, offset_y] * 2) / ([scale_x, scale_y] * 2)
            own = dataset.boxes_px[dataset.boxes.of(index)]
            for found in box:
                assert np.abs(own - found).max(axis=1).min() < 0.1
                seen += 1
    assert seen > 100


def test_multicrop(tmp_path):
    """Ten samples per image: corners of the image in the corners of the crops."""
    write_voc(tmp_path, {"a": voc_xml(object_xml(box=(1, 1, 5, 5)))}, size=(20, 16))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    (tmp_path / "JPEGImages/a.jpg").unlink()
    Image.fromarray(pixels).save(tmp_path / "JPEGImages/a.png")
    dataset = opened(tmp_path, "crop=8,scale=16,multicrop")
    assert len(dataset) == 10 == dataset.view_num and len(dataset.image_ids) == 1
    images, targets, _ = dataset.load(np.arange(10), keys(10), False)
    for view, (y, x) in enumerate([(4, 6), (0, 0), (0, 12), (8, 0), (8, 12)]):
        np.testing.assert_array_equal(images[view], pixels[y : y + 8, x : x + 8])
        np.testing.assert_array_equal(images[view + 5], images[view][:, ::-1])
    np.testing.assert_allclose(targets["box"][1, 0], [0, 0, 5 / 8, 5 / 8])
    np.testing.assert_allclose(targets["box"][6, 0], [3 / 8, 0, 1, 5 / 8])
    assert (targets["box_class"][[0, 2, 3, 4, 5, 7, 8, 9]] == -1).all()
    with pytest.raises(UsageError, match="multicrop: .* for prediction"):
        dataset.load(np.arange(1), keys(1), True)


def test_a_reduced_jpeg_shows_the_same_place(tmp_path):
    """A JPEG of 1203x905 for a crop of 32 is decoded at an eighth; edges stay where they were."""
    size, box = (1203, 905), (401, 203, 811, 612)
    write_voc(tmp_path, {"a": voc_xml(object_xml(box=box), size=size)}, size=size)
    image = Image.new("RGB", size, (0, 0, 255))
    image.paste((255, 0, 0), (400, 202, 811, 612))
    image.save(tmp_path / "JPEGImages/a.jpg", quality=95)
    dataset = opened(tmp_path, "crop=32,crop_mode=lenet,area_min=0.6,check_onscreen=0.01")
    for key in range(20):
        images, targets, _ = dataset.load(np.arange(1), keys(1, key), True)
        red = images[0, ..., 0] > 127
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        found = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        np.testing.assert_allclose(targets["box"][0, 0] * 32, found, rtol=0, atol=1)


def test_how_far_from_the_centre_a_reduced_jpeg_is_seen(tmp_path):
    """600x300 are scaled to 60x30 for a crop of 30x30: its left end is 15 left of the middle."""
    write_voc(tmp_path, {"a": voc_xml(object_xml(), size=(600, 300))}, size=(600, 300))
    dataset = opened(tmp_path, "crop=30,multicrop")
    shift = dataset.load(np.arange(10), keys(10), False).targets["shift"]
    assert shift[:5].tolist() == [[0, 0, 0], [-15, 0, 0], [15, 0, 0], [-15, 0, 0], [15, 0, 0]]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_modes(tmp_path, mode):
    write_voc(tmp_path, {"a": voc_xml(object_xml())})
    (tmp_path / "JPEGImages/a.jpg").unlink()
    image = Image.new("RGB", (20, 10), (200, 200, 200))
    if mode == "I;16":
        image = Image.new(mode, (20, 10), 200 << 8)
    else:
        image = image.quantize(4) if mode == "P" else image.convert(mode)
    image.save(tmp_path / f"JPEGImages/a.{'tif' if mode == 'CMYK' else 'png'}")
    pixels = opened(tmp_path, "crop=8").images(np.arange(1))
    assert pixels.shape == (1, 8, 8, 3)
    assert mode == "1" or np.abs(pixels.astype(int) - 200).max() <= 2


@pytest.fixture
def damaged(pictures):
    """Cut photo 3 short: its header is whole, so that it is found when it is decoded."""
    file = pictures / "JPEGImages/03.jpg"
    file.write_bytes(file.read_bytes()[:-600])
    return file


def test_damage_is_an_error(pictures, damaged):
    dataset = opened(pictures)
    with pytest.raises(BadDataError, match="cannot read the image: .*03.jpg: .*truncated.*skip"):
        dataset.load(np.arange(12), keys(12), True)
    assert [each.name for each in dataset.bad] == [str(damaged)]


def test_in_training_another_image_stands_in_for_a_damaged_one(pictures, damaged):
    """It is the one that the key is the number of, as it looks under this key."""
    dataset = opened(pictures, "crop=32,crop_mode=denet", on_bad_data="skip")
    chosen = np.array([7, 24, 3, 12 * 10**17 + 5], np.uint64)
    found = dataset.load(np.array([3, 1, 3, 3]), chosen, True)
    assert found.indices.tolist() == [7, 1, 4, 5]  # behind the damaged one comes the next
    expected = dataset.load(np.array([7, 1, 4, 5]), chosen, True)
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_equal(found.targets, expected.targets)
    assert found.images.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_with_damage_are_the_same_whenever_they_are_made(pictures, damaged, threads):
    def batches(dataset, start, thread_num):
        loader = Loader(dataset, 4, Preprocessing(), thread_num=thread_num, training=True)
        return list(loader.epoch(2, start))

    whole = batches(opened(pictures, on_bad_data="skip"), 0, 1)
    rest = batches(opened(pictures, on_bad_data="skip"), 1, threads)
    shown = np.concatenate([batch.indices for batch in whole])
    assert len(shown) == 12 and 3 not in shown
    for first, second in zip(whole[1:], rest, strict=True):
        np.testing.assert_array_equal(first.data, second.data)
        np.testing.assert_equal(first.targets, second.targets)
        np.testing.assert_array_equal(first.indices, second.indices)


def test_in_prediction_a_damaged_image_is_left_out(pictures, damaged, caplog):
    """What computes gets it black; it and its two boxes are no longer compared."""
    for threads in (1, 3):
        caplog.clear()
        dataset = opened(pictures, on_bad_data="skip")
        told = []
        dataset.on_bad = lambda dataset=dataset, told=told: told.append(list(dataset.bad))
        assert dataset.usable_images.all() and len(dataset.truth) == 24
        loader = Loader(dataset, 4, Preprocessing(), thread_num=threads, training=False)
        first, _ = (list(loader.epoch(0)) for _ in range(2))
        assert not first[0].data[3].any() and (first[0].targets["box_class"][3] == -1).all()
        assert first[0].data[2].any() and first[0].targets["box_class"][2, 0] == 0
        assert np.flatnonzero(~dataset.usable_images).tolist() == [3]
        assert np.flatnonzero(dataset.truth.counts != 2).tolist() == [3]
        assert len(dataset.truth) == 22 and len(dataset.boxes) == 24
        assert [each.name for each in dataset.bad] == [str(damaged)]
        assert told == [dataset.bad]
        assert caplog.text.count("damaged image left out: ") == 1


def test_statistics_leave_out_damaged_images(pictures, damaged):
    found = opened(pictures, on_bad_data="skip").channel_statistics()
    names = [f"{number:02}" for number in range(12) if number != 3]
    (pictures / "ImageSets/Main/train.txt").write_text("\n".join(names))
    expected = opened(pictures).channel_statistics()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_nothing_but_damage(pictures, damaged):
    (pictures / "ImageSets/Main/train.txt").write_text("03\n")
    dataset = opened(pictures, on_bad_data="skip")
    message = "none of the images can be read: .*03.jpg .image file is truncated"
    with pytest.raises(BadDataError, match=message):
        dataset.channel_statistics()
    with pytest.raises(BadDataError, match=message):
        dataset.load(np.arange(1), keys(1), True)


def test_threads_leave_warnings_as_they_were(pictures):
    """All threads share one list of filters: whoever saves it last must not restore it last."""
    before = list(warnings.filters)
    for epoch in range(5):
        dataset = opened(pictures, "crop=8")
        batches = Loader(dataset, 1, Preprocessing(), thread_num=6, training=True).epoch(epoch)
        assert len(list(batches)) == 12
    assert warnings.filters == before


def test_error_of_the_background_reaches_the_consumer(pictures):
    (pictures / "JPEGImages/03.jpg").write_bytes(b"")
    dataset = opened(pictures, on_bad_data="skip")
    (pictures / "JPEGImages/04.jpg").unlink()
    assert len(dataset) == 11
    dataset = opened(pictures, on_bad_data="skip")
    assert len(dataset) == 10
    (pictures / "JPEGImages/05.jpg").unlink()
    assert not dataset.images(np.array([3])).any()


def test_statistics(pictures):
    """Mean and std of the images as prediction sees them, or the constants of ImageNet."""
    dataset = opened(pictures, "crop=32,scale_mode=warp")
    pixels = dataset.images(np.arange(12)).reshape(-1, 3) / 255
    mean, std = dataset.channel_statistics()
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=0), rtol=1e-9)
    assert opened(pictures, "crop=32,subtract_mean").constants == (
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    )


@pytest.mark.parametrize(
    "settings, count",
    [({}, 12), ({"training": True}, 12), ({"training": True, "max_samples": 7}, 7)],
)
def test_larger_epochs_than_sets_are_told(pictures, caplog, settings, count):
    for most, told in ((count, 0), (count + 1, 1)):
        subsets = f"crop=8,images_per_subset={most},subset_num=1"
        assert opened(pictures, subsets, **settings).epoch_samples == count
        text = f"of --extension are {most} images, there are {count}: all of them are taken"
        assert caplog.text.count(text) == told


def test_at_most_so_many_images(pictures):
    assert len(opened(pictures, max_samples=5)) == 5
    few = opened(pictures, "crop=8,images_per_subset=3,subset_num=2")
    assert len(few) == 6 == len(few.boxes.counts) and len(few.boxes) == 12
    with pytest.raises(UsageError, match="images_per_subset: --extension: without subset_num"):
        opened(pictures, "crop=8,images_per_subset=3")
    assert len(opened(pictures, "crop=8,images_per_subset=3,subset_num=2", max_samples=4)) == 4
    trained = opened(pictures, "crop=8,images_per_subset=3,subset_num=2", training=True)
    assert len(trained) == 12 and trained.epoch_samples == 6 and few.epoch_samples == 6
    fewer = "crop=8,images_per_subset=3,subset_num=3"
    fewer = opened(pictures, fewer, training=True, max_samples=7)
    assert len(fewer) == 7 == fewer.epoch_samples
    other = opened(pictures, max_samples=5, seed=1).image_ids
    assert other != opened(pictures, max_samples=5, seed=2).image_ids
    whole = opened(pictures)
    for position, name in enumerate(few.image_ids):  # boxes stay with their images
        np.testing.assert_array_equal(
            few.boxes_px[few.boxes.of(position)], whole.boxes_px[whole.boxes.of(int(name))]
        )


def test_shape(pictures):
    assert opened(pictures, "crop=48x32", shape=(3, 32, 48)).shape == (3, 32, 48)
    assert opened(pictures, "scale=64", shape=(3, 32, 64)).shape == (3, 32, 64)  # the model's
    with pytest.raises(DataError, match="images are 48x32 .*voc,train,scale=64,crop=64x32,"):
        opened(pictures, "crop=48x32,scale=64", shape=(3, 32, 64))


def test_what_would_move_pixels_without_boxes(pictures):
    with pytest.raises(UsageError, match="augment-mirror: .* leave it out"):
        opened(pictures, mirror=True)
    with pytest.raises(UsageError, match="distort-mode: it would move the pixels but not the box"):
        Loader(
            opened(pictures),
            4,
            Preprocessing(),
            distortions=parse_distortions(["o2"]),
            training=True,
        )


def test_colours_are_not_clipped(pictures):
    dataset = opened(pictures, "crop=32,augment_photo")
    images = dataset.load(np.arange(12), keys(12), True).images
    assert images.dtype == np.float32 and images.max() > 1 and 0.1 < images.mean() < 0.9


def test_crowded_images(tmp_path, caplog):
    """More boxes than a network can be told of: all count in evaluation, the largest train."""
    objects = [object_xml(box=(1, 1, 2 + n % 90, 3 + n // 2)) for n in range(150)]
    write_voc(tmp_path, {"a": voc_xml(*objects, size=(100, 100))}, size=(100, 100))
    with caplog.at_level(logging.INFO):
        dataset = opened(tmp_path, "crop=100")
    assert len(dataset.boxes) == 150
    assert "1 images of more than 128 boxes, the largest are trained on" in caplog.text
    targets = dataset.load(np.arange(1), keys(1), False).targets
    sides = dataset.boxes_px[:, 2:].astype(np.float64)
    smallest = np.sort(sides.prod(axis=1))[22]
    kept = targets["box"][0, :, 2:].astype(np.float64).prod(axis=1) * 10000
    assert (targets["box_class"] == 0).all() and kept.min() >= smallest - 0.1


def test_pictures_of_any_size(tmp_path):
    """One pixel, and strips, give images in every mode."""
    for number, size in enumerate([(1, 1), (3000, 2), (1, 700), (9, 9)]):
        write_voc(tmp_path, {str(number): voc_xml(object_xml(box=(1, 1, 2, 2)), size=size)})
        save_image(tmp_path / f"JPEGImages/{number}.jpg", size)
    (tmp_path / "ImageSets/Main/train.txt").write_text("0\n1\n2\n3\n")
    for mode in MODES:
        for scale_mode in ("small", "large", "warp"):
            dataset = opened(tmp_path, f"crop=16,crop_mode={mode},scale_mode={scale_mode}")
            for training in (False, True):
                images, targets, _ = dataset.load(np.arange(4), keys(4), training)
                assert images.shape == (4, 16, 16, 3)
                assert np.isfinite(targets["box"]).all() and (targets["box"] <= 1).all()
