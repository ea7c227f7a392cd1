"""What metrics.csv and the log tell of each cost of a detector, and of the coverage."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from PIL import Image
from training.tiny import tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset import open_dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.loader import Loader
from denet.errors import DataError, UsageError
from denet.graph.plan import Plan
from denet.graph.recompute import Saving
from denet.layer.options import LayerOptions
from denet.model.format.mdl import Attachment, write
from denet.model.model import Model
from denet.report.metrics import read_metrics
from denet.training import tester
from denet.training.learner import Learner, cost_columns
from denet.training.settings import TrainSettings
from denet.training.state import read_state
from denet.training.trainer import Trainer

NETWORK = "C.B[8,3,2] BNA DNC[6,2] DNS[3,8] C.B[8] BNA DND[0.5,1,1,0.5]"
COSTS = ["cost_corner", "cost_class", "cost_box", "cost_fitness"]
SETTINGS = TrainSettings(epochs=2, batch_size=2, learn_rate=0.02, cost_factors=(2.0, 0.5))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write five images of noise; the third shows nothing, the others one or two objects."""
    many = [object_xml(box=(1, 1, 12, 8)), object_xml("dog", (9, 3, 20, 10))]
    shown = [many, many[:1], [], many[1:], many]
    write_voc(tmp_path / "voc", {f"{n}": voc_xml(*objects) for n, objects in enumerate(shown)})
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (10, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"voc/JPEGImages/{number}.jpg")
    return tmp_path / "voc"


def opened(data: Path) -> DetectionDataset:
    dataset = open_dataset(str(data), "voc,train,crop=16", class_labels=["cat", "dog"])
    assert isinstance(dataset, DetectionDataset)
    return dataset


def lenient(data: Path) -> DetectionDataset:
    """Open the set to train on without what is damaged."""
    labels = ["cat", "dog"]
    words = "voc,train,crop=16"
    dataset = open_dataset(str(data), words, class_labels=labels, training=True, on_bad_data="skip")
    assert isinstance(dataset, DetectionDataset)
    return dataset


def detector(text: str = NETWORK) -> Model:
    return Model.create(text, (3, 16, 16), ["cat", "dog"], LayerOptions(border_mode="half"), 1)


def settings_of(directory: Path, **changes: object) -> TrainSettings:
    return replace(SETTINGS, output_prefix=str(directory / "m"), **changes)  # type: ignore[arg-type]


def begin(directory: Path, dataset: DetectionDataset, **changes: object) -> Trainer:
    settings = settings_of(directory, **changes)
    return Trainer(detector(), dataset, None, settings, NumpyBackend())


def resume(
    directory: Path, dataset: DetectionDataset, test_set: DetectionDataset | None = None
) -> Trainer:
    state = read_state(directory / "m.state")
    settings = settings_of(directory)
    return Trainer(state.model, dataset, test_set, settings, NumpyBackend(), "f32", state)


def test_each_cost_is_weighted_and_all_add_up_to_the_total(
    data: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Two batches of two images and one of one: against a plan whose weights stay as they are."""
    dataset = opened(data)
    with caplog.at_level(logging.INFO):
        (row,) = begin(tmp_path / "run", dataset, epochs=1, learn_rate=1e-30).run()
    model = detector()
    loader = Loader(dataset, 2, model.preprocessing, seed=SETTINGS.seed, training=True)
    sums, covered, boxes = dict.fromkeys(COSTS, 0.0), 0, 0
    for batch in loader.epoch(0):
        count = len(batch.data)
        plan = Plan(model.graph(count), NumpyBackend(), "train")
        plan.load(model.values())
        costs = plan.run({"data": batch.data, **batch.targets}, batch.sample_keys)
        for column, factor, cost in zip(COSTS, (2, 0.5, 0.5, 0.5), costs.values(), strict=True):
            sums[column] += factor * float(cost) * count
        covered += int(plan.ratios["sample_coverage"][0])
        boxes += int((batch.targets["box_class"] >= 0).sum())
    for column, total in sums.items():
        assert row[column] == pytest.approx(total / 5, rel=1e-9), column
    assert sum(row[column] for column in COSTS) == pytest.approx(row["cost"], rel=1e-12)
    assert 0 < covered < boxes and row["sample_coverage"] == pytest.approx(100 * covered / boxes)
    parts = ", ".join(f"{column[5:]} {row[column]:.4f}" for column in COSTS)
    line = f"epoch 1/1: cost {row['cost']:.4f} ({parts}), "
    line += f"samples cover {row['sample_coverage']:.2f}%, learn"
    assert line in caplog.text
    assert list(read_metrics(tmp_path / "run/m_metrics.csv"))[2:9] == [
        "cost",
        *COSTS,
        "corner_cells",
        "sample_coverage",
    ]


def test_share_of_the_cells_that_are_corners(data: Path, tmp_path: Path) -> None:
    """Each object has one of each corner on the map of 8x8; in 5 images are 6 objects."""
    whole = open_dataset(str(data), "voc,train,crop=16,scale_mode=warp")
    assert isinstance(whole, DetectionDataset)
    (row,) = begin(tmp_path / "run", whole, epochs=1).run()
    assert row["corner_cells"] == pytest.approx(100 * 6 / (5 * 64))


def test_factor_of_the_cost_of_corners(data: Path, tmp_path: Path) -> None:
    """That of DNC times that of --cost-factors."""
    text = NETWORK.replace("DNC[6,2]", "DNC[6,7]")
    settings = settings_of(tmp_path, cost_factors=(3.0, 0.5))
    kind = NumpyBackend(), "f32", Saving("none")
    learner = Learner(detector(text), 2, settings, *kind)
    assert learner.corner_factor == 21
    assert Learner(tiny_model(), 2, TrainSettings(), *kind).corner_factor == 0


def test_training_photos_are_tested_as_prediction_sees_them(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of a training set that varies them are the same photos as in a test set."""
    varied = open_dataset(
        str(data), "voc,train,crop=16,crop_mode=denet,area_min=0.1,augment_photo", training=True
    )
    settings = settings_of(tmp_path / "run", test_epochs=2, epochs=3)
    made = tester.Tester(detector(), opened(data), settings, NumpyBackend(), "f32", varied)
    assert made._training_photos
    for photos, test in zip(made._training_photos.epoch(0), made._loader.epoch(0), strict=True):
        assert np.array_equal(photos.data, test.data)
        assert np.array_equal(photos.targets["box"], test.targets["box"])
    with caplog.at_level(logging.INFO):
        rows = Trainer(detector(), varied, opened(data), settings, NumpyBackend()).run()
    assert math.isnan(rows[0]["train_error"])
    for row in rows[1:]:
        assert row["train_error"] == row["test_error"]
        error = f"{row['test_error']:.2f}%"
        assert f"test error {error} (training photos {error})" in caplog.text


def test_as_many_training_photos_as_the_test_has(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five photos: two, as the test has; three, where that is the least; all of five."""
    few = opened(data).part(np.array([0, 3]))

    def photos(seed: int) -> list[str]:
        settings = settings_of(tmp_path, seed=seed)
        made = tester.Tester(detector(), few, settings, NumpyBackend(), "f32", opened(data))
        assert made._training_photos
        return list(made._training_photos.dataset.names)

    assert len(set(photos(0))) == 5
    for least, count in ((1, 2), (3, 3)):
        monkeypatch.setattr(tester, "FEWEST_PHOTOS", least)
        drawn = [photos(seed) for seed in range(6)]
        assert {len(set(names)) for names in drawn} == {count}
        assert photos(3) == drawn[3] and len(set(map(tuple, drawn))) > 1


def test_a_damaged_photo_is_told_once(
    data: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Training and the test on training photos come upon the same one."""
    photo = data / "JPEGImages/3.jpg"
    photo.write_bytes(photo.read_bytes()[:-40])
    dataset, told = lenient(data), []
    dataset.on_bad = lambda: told.append(len(dataset.bad))
    settings = settings_of(tmp_path / "run", epochs=1)
    Trainer(detector(), dataset, opened(data).part(np.arange(3)), settings, NumpyBackend()).run()
    assert told == [1] and caplog.text.count("damaged image left out") == 1

    again = lenient(data)
    again.on_bad = lambda: told.append(len(again.bad))
    again.part(np.array([1, 3])).read(np.arange(2))
    assert told == [1, 1] and again.usable_images.tolist() == [True, True, True, False, True]


def test_one_class_is_enough_for_a_detector(
    data: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It tells that from nothing; a classifier would call everything that."""
    model = Model.create(NETWORK, (3, 16, 16), ["cat"], LayerOptions(border_mode="half"))
    dataset = opened(data)
    one = replace(dataset.boxes, box_class=np.zeros_like(dataset.boxes.box_class))
    cats = DetectionDataset(
        ["cat"], dataset.names, dataset.names, one, dataset.sizes, dataset.options
    )
    Trainer(model, cats, None, settings_of(tmp_path / "run"), NumpyBackend())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    settings = settings_of(tmp_path / "other", cost_factors=())
    Trainer(tiny_model(1), tiny_set(1), None, settings, NumpyBackend())
    assert "there is one class only" in caplog.text


def test_without_any_box_there_is_no_coverage(tmp_path: Path) -> None:
    root = tmp_path / "bare"
    write_voc(root, {"0": voc_xml(), "1": voc_xml()})
    (row,) = begin(tmp_path / "run", opened(root), epochs=1).run()
    assert (
        math.isnan(row["sample_coverage"]) and row["cost_box"] == 0 and math.isfinite(row["cost"])
    )


def test_a_network_of_one_cost_has_the_total_alone(tmp_path: Path) -> None:
    settings = TrainSettings(output_prefix=str(tmp_path / "run/m"), epochs=1)
    (row,) = Trainer(tiny_model(), tiny_set(), None, settings, NumpyBackend()).run()
    assert [name for name in row if name.startswith("cost") or name == "sample_coverage"] == [
        "cost"
    ]


def test_images_that_are_known_to_be_damaged_are_not_counted(
    data: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """One by its beginning, when the set is opened; one by its pixels, when statistics are made."""
    photos = [data / f"JPEGImages/{number}.jpg" for number in (1, 3)]
    photos[0].write_bytes(b"text")
    photos[1].write_bytes(photos[1].read_bytes()[:-200])
    with caplog.at_level(logging.INFO):
        dataset = open_dataset(str(data), "voc,train,crop=16", on_bad_data="skip")
        assert isinstance(dataset, DetectionDataset)
        dataset.channel_statistics()
        begin(tmp_path / "run", dataset)
    assert f"{data}: 1 of 5 images left out: {photos[0]}" in caplog.text
    assert f"damaged image left out: {photos[1]}" in caplog.text
    assert "parameters on 3 images (1 damaged left out) with numpy" in caplog.text


def test_training_photos_are_part_of_the_time_of_a_test(data: Path, tmp_path: Path) -> None:
    """Three batches of the test set, two of the three training photos that are as many."""
    photos = opened(data).part(np.arange(3))
    settings = settings_of(tmp_path)
    made = tester.Tester(detector(), opened(data), settings, NumpyBackend(), "f32", photos)
    assert [part.batch_num for part in made.parts] == [3, 2]
    alone = tester.Tester(detector(), opened(data), settings, NumpyBackend())
    assert [part.batch_num for part in alone.parts] == [3]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_resumed_run_tells_the_same(data: Path, tmp_path: Path) -> None:
    class Stopping(DetectionDataset):
        left = 0

        def load(self, *arguments):  # type: ignore[no-untyped-def]
            Stopping.left -= 1
            if Stopping.left == 0:
                os.kill(os.getpid(), signal.SIGINT)
            return super().load(*arguments)

    def columns(directory: Path) -> str:
        found = read_metrics(directory / "m_metrics.csv")
        told = ["cost", *COSTS, "corner_cells", "sample_coverage"]
        return json.dumps({name: found[name] for name in told})

    begin(tmp_path / "straight", opened(data)).run()
    for at in range(2, 5):
        directory, dataset = tmp_path / f"stopped{at}", opened(data)
        dataset.__class__, Stopping.left = Stopping, at
        with pytest.raises(KeyboardInterrupt):
            begin(directory, dataset).run()
        position = read_state(directory / "m.state").position
        assert set(position.columns) == {*COSTS, "sample_coverage", "corner_cells"}
        resume(directory, opened(data)).run()
        assert columns(directory) == columns(tmp_path / "straight"), at


def rewrite(path: Path, position: dict[str, object], data: dict[str, object]) -> None:
    """Write a state again with another position and data record."""
    state = read_state(path)
    record = {
        "iteration": state.iteration,
        "position": position,
        "history": list(state.history),
        "settings": state.settings.record(),
        "data": data,
    }
    write(state.model, path, Attachment(state.averages, record))


def test_a_state_of_before_there_were_such_columns_goes_on(data: Path, tmp_path: Path) -> None:
    begin(tmp_path, opened(data), epochs=1).run()
    state = read_state(tmp_path / "m.state")
    names = ("epoch", "step", "cost", "samples", "train_seconds", "wait_seconds", "learn_rate")
    old = {name: getattr(state.position, name) for name in names}
    rewrite(tmp_path / "m.state", old, {n: state.data[n] for n in ("samples", "checksum")})
    first, second = resume(tmp_path, opened(data)).run()
    assert first["cost"] == pytest.approx(old["cost"] / 5)
    assert all(math.isnan(first[column]) for column in [*COSTS, "sample_coverage"])
    assert sum(second[column] for column in COSTS) == pytest.approx(second["cost"])


@pytest.mark.parametrize("value", [[1], [1, 2, 3], 1, ["a", 2], {}])
def test_damaged_columns_are_told(value: object, data: Path, tmp_path: Path) -> None:
    begin(tmp_path, opened(data), epochs=1).run()
    state = read_state(tmp_path / "m.state")
    position = vars(state.position) | {"columns": {"cost_box": value}}
    rewrite(tmp_path / "m.state", position, dict(state.data))
    with pytest.raises(DataError, match="'cost_box' is not"):
        read_state(tmp_path / "m.state")


@pytest.mark.parametrize("change", ["corner", "class", "image", "file"])
def test_other_boxes_and_files_are_another_training_set(
    change: str, data: Path, tmp_path: Path
) -> None:
    begin(tmp_path, opened(data), epochs=1).run()
    file = data / "Annotations/1.xml"
    if change == "image":
        file.rename(data / "Annotations/kept.xml")
        (data / "Annotations/2.xml").rename(file)
        (data / "Annotations/kept.xml").rename(data / "Annotations/2.xml")
    elif change == "file":
        with (data / "JPEGImages/1.jpg").open("ab") as photo:
            photo.write(b"\0")  # behind the end of the image
    else:
        old, new = {"corner": ("<xmax>12<", "<xmax>13<"), "class": (">cat<", ">dog<")}[change]
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
    what = "sizes of the files" if change == "file" else "boxes"
    with pytest.raises(DataError, match=rf"the training set has changed: .* with other {what}:"):
        resume(tmp_path, opened(data))


@pytest.mark.parametrize("damage", ["gone", "header", "end"])
def test_what_was_good_and_is_damaged_now_keeps_its_place(
    damage: str, data: Path, tmp_path: Path
) -> None:
    """Image 0 was damaged from the start; so is now image 3, which may come back as it was."""
    (data / "JPEGImages/0.jpg").write_bytes(b"x")
    photo = data / "JPEGImages/3.jpg"
    whole = photo.read_bytes()
    begin(tmp_path, lenient(data), epochs=1).run()
    if damage == "gone":
        photo.unlink()
    else:
        photo.write_bytes(b"x" if damage == "header" else whole[: len(whole) // 2])
    dataset = lenient(data)
    _, row = resume(tmp_path, dataset).run()
    assert row["epoch"] == 2 and len(dataset) == 5
    assert dataset.usable_images.tolist() == [False, True, True, False, True]
    pixels = 3 * 20 * 10  # of the images that are left, 3 bytes each, and a third more if smaller
    assert 3 * pixels <= dataset.kept_bytes <= 4 * pixels
    photo.write_bytes(whole)
    resume(tmp_path, lenient(data))._lock.release()
    with (data / "JPEGImages/1.jpg").open("ab") as other:
        other.write(b"\0")
    photo.unlink()
    with pytest.raises(DataError, match="the training set has changed: 5 images, 5 when"):
        resume(tmp_path, lenient(data))


def test_an_annotation_that_is_damaged_leaves_its_photo_out(data: Path, tmp_path: Path) -> None:
    """Its photo can be read, but nobody knows what it shows."""
    (data / "Annotations/1.xml").write_text("x")
    dataset = lenient(data)
    batches = [*Loader(dataset, 2, detector().preprocessing, training=True).epoch(0)]
    assert len(dataset) == 5
    assert 1 not in np.concatenate([batch.indices for batch in batches]).tolist()


def test_other_numbers_of_images_say_it_all(data: Path, tmp_path: Path) -> None:
    begin(tmp_path, opened(data), epochs=1).run()
    (data / "ImageSets/Main/train.txt").write_text("0\n1\n2\n")
    with pytest.raises(DataError, match="has changed: 3 images, 5 when the run began: bring"):
        resume(tmp_path, opened(data))


def test_label_smoothing_needs_the_layer_that_does_it(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"label-smoothing: 0\.1: only layer R .*leave it out"):
        begin(tmp_path / "run", opened(data), label_smoothing=0.1)
    assert not (tmp_path / "run").exists()


COLUMNS = [
    (["5.regression.softmaxcrossentropy"], {}),
    (["3.denet-corner.corner", "9.r.x"], {"3.denet-corner.corner": "corner", "9.r.x": "x"}),
    (["3.a.x", "4.b.x", "5.c.y"], {"3.a.x": "3.a.x", "4.b.x": "4.b.x", "5.c.y": "y"}),
]


@pytest.mark.parametrize(("paths", "expected"), COLUMNS)
def test_columns_are_short_and_never_the_same(paths: list[str], expected: dict[str, str]) -> None:
    assert cost_columns(paths) == {path: f"cost_{name}" for path, name in expected.items()}
