"""Statistics of batch normalisation taken anew."""

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from PIL import Image
from training.tiny import tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset import open_dataset
from denet.dataset.loader import Loader
from denet.errors import DataError, DivergedError, UsageError
from denet.evaluate.classifier import Classifier
from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.training.settings import TrainSettings
from denet.training.trainer import Trainer
from denet.training.update_bn import update_bn

STATISTICS = ("mean", "variance")


def with_values(model: Model, seed: int = 3) -> Model:
    """Draw all arrays of the model anew, statistics too."""
    rng = np.random.default_rng(seed)
    model.set_values({path: rng.normal(size=each.shape) for path, each in model.values().items()})
    return model


def statistics_of(model: Model) -> dict[str, np.ndarray]:
    return {path: value for path, value in model.values().items() if path.endswith(STATISTICS)}


def normalised(x, values, path, found, share):
    """Normalise x (n, h, w, c) by its own statistics; add those to ``found`` with a weight."""
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    count = x.size // x.shape[3]
    for name, value in (("mean", mean), ("variance", variance * count / (count - 1))):
        found[f"{path}{name}"] = found.get(f"{path}{name}", 0) + share * value
    scale = values[f"{path}gamma"] / np.sqrt(variance + 1e-5)
    return (x - mean) * scale + values[f"{path}beta"]


def by_hand(model, batches, image_num):
    """Return the statistics of C.B[4] BN A D RSN.O[5,1] P.A R, whose convolutions are 1x1."""
    values = {path: value.astype(np.float64) for path, value in model.values().items()}
    found = {}

    def conv(x, path):
        return x @ values[f"{path}.weight"][:, :, 0, 0].T

    for batch in batches:
        share = len(batch.data) / image_num
        x = conv(batch.data.astype(np.float64), "1.conv")
        x = np.maximum(normalised(x, values, "2.batchnorm.", found, share), 0)
        y = normalised(conv(x, "5.resnet.conv1"), values, "5.resnet.bn1.", found, share)
        y = conv(np.maximum(y, 0), "5.resnet.conv2")
        normalised(y, values, "5.resnet.bn2.", found, share)
        shortcut = conv(x, "5.resnet.shortcut")
        normalised(shortcut, values, "5.resnet.shortcut_bn.", found, share)
    return found


@pytest.mark.parametrize("batch_size", [4, 3, 99], ids=["equal", "a short one", "one batch"])
def test_the_statistics_are_those_computed_by_hand(batch_size):
    model = with_values(tiny_model(text="C.B[4] BN A D[0.5] RSN.O[5,1] P.A R"))
    before = {path: value.copy() for path, value in model.values().items()}
    images = tiny_set()
    loader = Loader(images, min(batch_size, 8), model.preprocessing, seed=7, training=True)
    expected = by_hand(model, loader.epoch(0), len(images))
    assert update_bn(model, images, NumpyBackend(), batch_size=batch_size, seed=7) == 4
    found = statistics_of(model)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(found[path], value, rtol=2e-5, atol=2e-5, err_msg=path)
    for path, value in model.values().items():
        if path not in found:
            np.testing.assert_array_equal(value, before[path], err_msg=path)


def error_of(model, images) -> float:
    batches = Loader(images, 8, model.preprocessing, training=False).epoch(0)
    return Classifier(model, 8, NumpyBackend()).errors(images, batches).top1_error


def test_spoilt_statistics_are_mended(tmp_path):
    model, images = tiny_model(4, "C.B[12,3] BN A RSN.O[12,3] P.A R"), tiny_set(4)
    settings = TrainSettings(
        output_prefix=str(tmp_path / "run" / "a"), epochs=25, batch_size=8, learn_rate=0.1
    )
    Trainer(model, images, None, settings, NumpyBackend()).run()
    trained = error_of(model, images)
    for values in model.parameters:
        for name in (name for name in values if name.endswith(STATISTICS)):
            values[name] = np.linspace(1, 9, values[name].size, dtype=np.float32)
    assert error_of(model, images) > trained
    update_bn(model, images, NumpyBackend(), batch_size=8)
    assert error_of(model, images) <= trained < 30


def test_a_detector_too(tmp_path):
    """Behind DNS as well; the first statistics are those of the pixels that are seen."""
    annotation = voc_xml(object_xml(box=(2, 2, 9, 9)))
    write_voc(tmp_path, {f"{number}": annotation for number in range(3)})
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (10, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"JPEGImages/{number}.jpg")
    data = open_dataset(str(tmp_path), "voc,train,crop=16")
    text = "BN C.B[8,3,2] BNA SPLIT DNC[6,2] DNS[3,2] C.B[8] BN DND[0.5,1,1]"
    model = Model.create(text, data.shape, data.class_labels, LayerOptions(border_mode="half"))
    before = statistics_of(model)
    assert update_bn(model, data, NumpyBackend(), batch_size=3, seed=5) == 3
    (batch,) = Loader(data, 3, model.preprocessing, seed=5, training=True).epoch(0)
    found = statistics_of(model)
    np.testing.assert_allclose(found["1.batchnorm.mean"], batch.data.mean((0, 1, 2)), 1e-4)
    assert all((found[path] != before[path]).any() for path in found)


@pytest.mark.parametrize(
    ("model", "images", "error", "words"),
    [
        (tiny_model(), tiny_set(), UsageError, "no batch normalisation"),
        (tiny_model(3, "BN P.A R"), tiny_set(2), DataError, "class"),
        (tiny_model(text="C[2] BN P.A R"), tiny_set(), DivergedError, "2.batchnorm.mean is not"),
    ],
    ids=["no BN", "other classes", "not finite"],
)
def test_what_cannot_be_done_changes_nothing(model, images, error, words):
    if error is DivergedError:
        model.parameters[0]["weight"][...] = np.inf
    before = {path: value.copy() for path, value in model.values().items()}
    with pytest.raises(error, match=words), np.errstate(all="ignore"):
        update_bn(model, images, NumpyBackend())
    for path, value in model.values().items():
        np.testing.assert_array_equal(value, before[path])
