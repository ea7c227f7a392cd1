"""Classifying files, directories, lists and datasets."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training.tiny import tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset.image.decode import fit_image
from denet.errors import DataError, UsageError
from denet.evaluate.classifier import Classifier
from denet.model.model import Model
from denet.predict.classify import (
    classify_images,
    unlabelled,
)
from denet.predict.image_files import CoveringFiles, find_images, find_loose
from denet.predict.loose import Files


@pytest.fixture
def images(tmp_path):
    """Files of the images of ``tiny_set``, in their order."""
    paths = [str(tmp_path / f"{row}.png") for row in range(8)]
    for path, pixels in zip(paths, tiny_set().images_read, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def answers_for(files, batch_size=3, model=None, thread_num=1):
    """Return the answers for ``CoveringFiles``."""
    return list(classify_images(classifier(batch_size, model), files, thread_num=thread_num))


def files_of(paths, **settings):
    return CoveringFiles(Files(paths, **settings), ["a", "b"], (3, 6, 6))


def classifier(batch_size=3, model=None):
    return Classifier(model or tiny_model(), batch_size, NumpyBackend())


def test_files_and_dataset_agree(images):
    files = files_of(images)
    from_files = answers_for(files, thread_num=2)
    from_dataset = list(classify_images(classifier(5), tiny_set()))
    assert [a.name for a in from_files] == images
    assert [a.name for a in from_dataset] == [f"row {row}" for row in range(8)]
    assert [a.label for a in from_dataset] == ["a", "b"] * 4
    assert [a.label for a in from_files] == [None] * 8
    for one, other in zip(from_files, from_dataset, strict=True):
        assert [name for name, _ in one.classes] == [name for name, _ in other.classes]
        probabilities = [[p for _, p in answer.classes] for answer in (one, other)]
        np.testing.assert_allclose(*probabilities, rtol=1e-5)
        assert sum(probabilities[0]) == pytest.approx(1)
        assert probabilities[0] == sorted(probabilities[0], reverse=True)
    assert files.bad == []


def test_top_limits_the_classes():
    model = tiny_model(4)
    answers = list(classify_images(classifier(model=model), tiny_set(4), top=2))
    assert {len(answer.classes) for answer in answers} == {2}


def test_bad_files_are_collected_and_the_others_answered(images, tmp_path):
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "4.png").write_text("no image")
    os.remove(tmp_path / "7.png")
    files = files_of(images)
    answers = answers_for(files)
    bad = files.bad
    assert [os.path.basename(a.name)[0] for a in answers] == list("01234567")
    assert [os.path.basename(a.name)[0] for a in answers if a.classes] == list("02356")
    assert [os.path.basename(b.name)[0] for b in bad] == list("147")
    assert bad[1].reason == "not an image"
    assert bad[2].reason == "no such file or directory"


def test_only_bad_files_give_no_answers(tmp_path):
    files = files_of([str(tmp_path / "x.png")] * 4)
    assert not any(answer.classes for answer in answers_for(files))
    assert len(files.bad) == 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_mode_and_size(mode, channels, tmp_path):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (9, 13)).save(path)
    model = Model.create("C[4,3] A P.A R", (channels, 6, 6), ["a", "b"], seed=0)
    files = CoveringFiles(Files([str(path)]), ["a", "b"], (channels, 6, 6))
    assert len(answers_for(files, 1, model)) == 1, files.bad


def test_images_of_too_many_pixels_are_bad(images):
    files = files_of(images, max_image_pixels=35)  # they have 36
    assert not any(answer.classes for answer in answers_for(files)) and len(files.bad) == 8
    assert "--max-image-pixels 35" in files.bad[0].reason


def test_every_batch_is_shown_with_its_probabilities():
    rows, sums = [], []

    def each(probabilities, batch):
        rows.extend(batch.indices.tolist())
        sums.extend(probabilities.sum(axis=1).tolist())

    answers = list(classify_images(classifier(5), tiny_set(), each=each))
    assert rows == list(range(len(answers)))
    np.testing.assert_allclose(sums, 1, rtol=1e-6)


def test_answers_that_are_no_numbers_are_told(images):
    model = tiny_model()
    model.parameters[0]["weight"][:] = np.nan
    with pytest.raises(DataError, match=r"not a number: row 0: the weights are damaged"):
        list(classify_images(classifier(model=model), tiny_set()))
    with pytest.raises(DataError, match=r"not a number: .*0\.png"):
        answers_for(files_of(images), model=model)


# class directories, classes of the model, words that say why nothing is known of true classes
LABELLED = [
    (["cat", "dog"], ["cat", "dog"], None),
    (["dog"], ["cat", "dog"], None),
    (["cat", "cow", "owl"], ["cat", "dog"], "only here: cow, owl; only in the model: dog"),
    ([], ["cat", "dog"], "no class directories"),
    ([".cat"], ["cat", "dog"], "no class directories"),
]


@pytest.mark.parametrize("directories, class_labels, words", LABELLED)
def test_true_classes_are_known_by_the_directories(directories, class_labels, words, tmp_path):
    for name in directories:
        (tmp_path / name).mkdir()
    why = unlabelled(str(tmp_path), "png", class_labels)
    assert why is None if words is None else words in why
    for kind in ("npy", "imagenet,crop=64"):
        assert unlabelled(str(tmp_path / "x"), kind, class_labels) is None


def test_image_files_have_one_or_three_channels(images):
    with pytest.raises(UsageError, match="images of 2 channels"):
        CoveringFiles(Files(images), ["a", "b"], (2, 6, 6))


# image width and height, network width and height, the part that remains (left, top, right, bottom)
PARTS = [
    ((6, 6), (6, 6), (0, 0, 6, 6)),
    ((10, 6), (6, 6), (2, 0, 8, 6)),
    ((6, 20), (6, 6), (0, 7, 6, 13)),
    ((24, 12), (6, 6), (6, 0, 18, 12)),
    ((12, 12), (12, 6), (0, 3, 12, 9)),
    ((3, 3), (6, 6), (0, 0, 3, 3)),
]


@pytest.mark.parametrize("size, wanted, part", PARTS)
def test_the_centre_is_cut_and_scaled(size, wanted, part):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    fitted = fit_image(image, *wanted)
    assert fitted.size == wanted
    expected = image.crop(part).resize(wanted, Image.Resampling.BICUBIC)
    # the same filter over the same pixels; at the edge of the cut it may look beyond it
    inner = np.s_[1:-1, 1:-1]
    difference = np.asarray(fitted)[inner].astype(int) - np.asarray(expected)[inner]
    assert abs(difference).max() <= 2


def test_find_images(images, tmp_path):
    (tmp_path / "notes.md").write_text("")
    (tmp_path / "sub").mkdir()
    os.rename(images[0], tmp_path / "sub" / "0.PNG")
    found = find_images(tmp_path)
    assert found == [*images[1:], str(tmp_path / "sub" / "0.PNG")]
    (tmp_path / "list.txt").write_text("3.png\n\nsub/0.PNG\n")
    assert find_images(tmp_path / "list.txt") == [images[3], str(tmp_path / "sub" / "0.PNG")]
    assert find_images(images[2]) == [images[2]]


def test_a_list_on_standard_input(monkeypatch):
    def found(content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return list(find_loose(["-"]).names)

    # one path per line, whatever characters a path may hold
    text = "\ufeffphotos/1.png\r\n\n  b\u2028c.png\n/d e.jpg"
    assert found(text.encode()) == ["photos/1.png", "b\u2028c.png", "/d e.jpg"]
    with pytest.raises(DataError, match="not text in UTF-8: standard input"):
        found(b"\xff\n")
    with pytest.raises(DataError, match="more than 2000000 lines: standard input"):
        found(b"a\n" * 2_000_001)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="standard input is closed"):
        find_loose(["-"])


def test_an_image_on_standard_input(images, monkeypatch):
    content = Path(images[0]).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    piped = find_loose(["-", images[1]])
    assert list(piped.names) == ["stdin", images[1]]
    assert piped.image(0).tobytes() == Files(images).image(0).tobytes()
    assert piped.image(1).tobytes() == Files(images).image(1).tobytes()
    with pytest.raises(DataError, match="no images are listed on standard input"):
        find_loose(["-"])  # nothing is left of it


def test_patterns(images, tmp_path):
    (tmp_path / "sub").mkdir()
    os.rename(images[0], tmp_path / "sub" / "0.PNG")
    (tmp_path / "notes.txt").write_text("no list")
    inner = str(tmp_path / "sub" / "0.PNG")
    assert find_images(tmp_path / "[12].png") == images[1:3]
    assert find_images(tmp_path / "*") == [*images[1:], inner]
    assert find_images(f"{tmp_path}/**/*.PNG") == [inner]
    assert sorted(find_images(f"{tmp_path}/**")) == sorted([*images[1:], inner])
    with pytest.raises(DataError, match=r"no images match .*\*\.jpg"):
        find_images(tmp_path / "*.jpg")
    # a file of such a name is that file
    os.rename(images[1], tmp_path / "a[1].png")
    assert find_images(tmp_path / "a[1].png") == [str(tmp_path / "a[1].png")]


def test_a_list_that_is_too_long(tmp_path):
    path = tmp_path / "list.txt"
    path.touch()
    os.truncate(path, 1 << 40)  # sparse
    with pytest.raises(DataError, match="the list: 1099512 MB are too many: .*list.txt"):
        find_images(path)


def test_links_to_a_directory_above_are_passed_over(images, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    assert find_images(tmp_path) == images


@pytest.mark.parametrize("name, message", [("none", "no such file"), ("empty", "no images")])
def test_no_input_is_told(name, message, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        find_images(tmp_path / name)
