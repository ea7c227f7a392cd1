"""Files of ccv: made by plain SQL and read, written and looked at by plain SQL."""

import logging
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from model.files_of_ccv import (
    LAYERS,
    MEAN_SHAPE,
    SHAPES,
    TEXT,
    change,
    make_file,
    mean_activity,
    predicted,
    weights,
)

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset.loader import Normalise
from denet.errors import DataError, UsageError
from denet.evaluate.classifier import Classifier
from denet.layer.options import LayerOptions
from denet.model.format import load_model, save_model, warn_of_loss
from denet.model.model import Model, nameless
from denet.model.preprocessing import Preprocessing
from denet.model.surgery import insert, remove

WEIGHTED = (2, 6, 9, 11, 12)  # numbers of the layers of TEXT that the rows of SHAPES become


def answer(model, pixels):
    """Return the class probabilities (k,) for an image (h, w, c) of pixels from 0 to 255."""
    data = Normalise(model.input_shape, model.preprocessing)(pixels[None].astype(np.uint8))
    return Classifier(model, 1, NumpyBackend()).probabilities(data)[0].copy()


def image(seed=3, shape=(13, 11, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(float)


def select(path, table):
    """Return the rows of a table."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


@pytest.mark.parametrize("half", [False, True])
def test_every_layer_is_read(tmp_path, half):
    model = load_model(make_file(tmp_path / "a.sqlite3", half))
    assert model.text() == TEXT
    assert model.input_shape == (3, 13, 11) and model.class_labels == nameless(4)
    names = [layer.type_name for layer in model.layers]
    assert names[:4] == ["border", "conv", "activation", "local-response"]
    assert names[-4:] == ["activation", "full", "class-conv", "regression"]
    for number, (weight, bias) in zip(WEIGHTED, weights().values(), strict=True):
        arrays = model.parameters[number - 1]
        stored = weight.astype(np.float16 if half else np.float32).astype(np.float32)
        outputs, channels, height, width = arrays["weight"].shape
        truth = stored.reshape(outputs, height, width, channels)
        assert np.array_equal(arrays["weight"], np.moveaxis(truth, 3, 1))
        assert np.array_equal(arrays["bias"], bias.astype(stored.dtype if not half else np.float16))


@pytest.mark.parametrize("half", [False, True])
def test_answers_are_those_of_ccv(tmp_path, half):
    model = load_model(make_file(tmp_path / "a.sqlite3", half))
    mean = mean_activity()[2:15, 2:13]
    for seed in range(3):
        truth = predicted(image(seed), mean, half)
        assert truth.max() < 0.9  # all layers count
        np.testing.assert_allclose(answer(model, image(seed)), truth, rtol=1e-4)


@pytest.mark.parametrize("half", [False, True])
def test_what_is_read_is_written_as_it_was(tmp_path, half):
    first = make_file(tmp_path / "a.sqlite3", half)
    model = load_model(first)
    save_model(model, tmp_path / "a.mdl")
    save_model(load_model(tmp_path / "a.mdl"), tmp_path / "b.sqlite3", half)
    again = load_model(tmp_path / "b.sqlite3")
    assert again.text() == TEXT
    for path, value in model.values().items():
        assert value.tobytes() == again.values()[path].tobytes()
    assert select(first, "layer_data") == select(tmp_path / "b.sqlite3", "layer_data")
    for row, written in zip(LAYERS, select(tmp_path / "b.sqlite3", "layer_params"), strict=True):
        truth = [value for value in row if value is not None]
        found = [value for value in written[1:] if value is not None]
        assert found == pytest.approx(truth, rel=1e-6)
    ((number, height, width, mean),) = select(tmp_path / "b.sqlite3", "convnet_params")
    assert (number, height, width) == (0, *MEAN_SHAPE[:2])
    found = np.frombuffer(mean, "<f4").reshape(MEAN_SHAPE)
    np.testing.assert_allclose(found, mean_activity(), rtol=1e-6)


def network(text, shape=(3, 9, 9), border_mode="valid", class_num=2):
    """Return a network of random weights."""
    options = LayerOptions(border_mode=border_mode)
    model = Model.create(text, shape, nameless(class_num), options, seed=4)
    random = np.random.default_rng(4)
    for arrays in model.parameters:
        for value in arrays.values():
            value[...] = random.normal(0, 0.3, value.shape)
    return model


@pytest.mark.parametrize(
    ("text", "border_mode", "again"),
    [
        ("C[8,3] A R", "half", "B[1] C[8,3] A R.B"),
        ("B[1] C.B[8,3] D A D SPLIT P[3,2] R.TB", 1, "B[2] C[8,3] A P[3,2] R.B"),
        ("C[4,3,2] A P.A F.B[5] A D F[3] R[1]", "valid", "C[4,3,2] A P.A[4] F[5] A F[3] R.B"),
        ("C[8] A C[16,3,1,4] A R", "full", "C[8] A B[2] C[16,3,1,4] A R.B"),
    ],
)
def test_a_network_of_ours_predicts_the_same(tmp_path, text, border_mode, again):
    model = network(text, border_mode=border_mode)
    model.preprocessing = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    save_model(model, tmp_path / "a.sqlite3")
    back = load_model(tmp_path / "a.sqlite3")
    assert back.text() == again
    pixels = image(shape=(9, 9, 3))
    np.testing.assert_allclose(answer(back, pixels), answer(model, pixels), rtol=1e-4)


def test_deviations_reach_the_weights_of_each_group(tmp_path):
    model = network("C[8,3,1,2] A R", (4, 9, 9))
    model.preprocessing = Preprocessing((), (0.2, 0.25, 0.3, 0.5))
    save_model(model, tmp_path / "a.sqlite3")
    before, after = (
        each.parameters[0]["weight"] for each in (model, load_model(tmp_path / "a.sqlite3"))
    )
    np.testing.assert_allclose(after[:4, 1], before[:4, 1] / 255 / 0.25, rtol=1e-6)
    np.testing.assert_allclose(after[4:, 1], before[4:, 1] / 255 / 0.5, rtol=1e-6)


def test_weights_too_small_for_16_bits_are_told(tmp_path, caplog):
    """Half precision ends at 2 ** -24, about 6e-8: half of it becomes 0 (IEEE 754)."""
    model = network("C[8,3] A F[4] R")
    model.parameters[2]["weight"][0] = 1e-9  # beside others that are not: no loss
    save_model(model, tmp_path / "a.sqlite3", half=True)
    assert not caplog.records
    model.parameters[2]["weight"][:] = 1e-9
    save_model(model, tmp_path / "a.sqlite3")
    assert not caplog.records
    save_model(model, tmp_path / "a.sqlite3", half=True)
    assert not load_model(tmp_path / "a.sqlite3").parameters[2]["weight"].any()
    (record,) = caplog.records
    assert 'layer 3 "F[4]": 100% of its weights are lost' in record.getMessage()


def test_partitions_of_an_output_are_those_of_the_next_layer(tmp_path):
    """As in AlexNet of ccv: two groups are shown by one whole convolution to what follows."""
    text = "C[8] A LRN[5,2,0.0001,0.75,2] P[3,3] C[8,1,1,2] A C[8] A C[16,1,1,2] A R"
    save_model(network(text), tmp_path / "a.sqlite3")
    rows = select(tmp_path / "a.sqlite3", "layer_params")
    assert [(row[1], row[5], row[10]) for row in rows] == [
        *((1, 1, 2), (5, 2, None), (3, 2, None), (1, 2, 2), (1, 1, 2), (1, 2, 2), (2, 1, None)),
    ]


REFUSED = {
    "C[8,2] A R": 'layer 1 "C[8,2]": .*odd',
    "C[8,3] R": 'layer 1 "C[8,3]": .*ReLU behind each C',
    "C[8,3] P[7] A R": 'layer 1 "C[8,3]": .*ReLU behind each C',
    "C[8,3,4] A R": "9 . 2 . 0 - 3 is no multiple of 4",
    "C.X[8,3,3,2,1] A R": "same stride",
    "B.X[1,0,1,1] C[8,3] A R": "same border on all sides",
    "B[1] P[11] R": 'layer 2 "P.11.": .*no B but that of a C',
    "C[6,3] A R": "multiple of 4 filters",
    "C[8,3] BN A R": 'layer 1 "C[8,3]"',
    "C[8,3] A BN R": 'layer 3 "BN": ccv has no such layer',
    "nRSN.O[2,8,3] R": 'layer 1 "nRSN.O.2,8,3.": ccv has no such layer',
    "C[8,3] A P[7] A R": 'layer 4 "A": ccv has no such layer',
    "C[8,3] A F[4] C[4] A R": 'layer 4 "C.4.": ccv knows only F and R behind an F',
    "C[8,3] A F[4] LRN R": 'layer 4 "LRN": ccv knows only F and R behind an F',
    "C[8,3] A P.X[7,1] R": "square windows",
    "C[8,3] A P[4] R": "7 . 2 . 0 - 4 is no multiple of 4",
    "C[8,3] A P.B[2] R": "partial windows",
    "C[8,3] A P.A[3,2,1] R": "zeros around the map",
    "C[8,3] A R[3]": 'layer 3 "R.3.": .*whole map',
    "F[4] A R": "ccv needs a C",
    "P[3,3] C[8,3] A R": 'layer 1 "P.3.": .*deviation',
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_ccv_cannot_hold_is_refused(tmp_path, text):
    words = REFUSED[text].replace("[8", r"\[8").replace("3]", r"3\]").replace("2]", r"2\]")
    with pytest.raises(DataError, match=words) as caught:
        save_model(network(text), tmp_path / "a.sqlite3")
    assert str(caught.value).startswith(f"cannot write: {tmp_path / 'a.sqlite3'}: layer ")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_network_without_its_end_is_refused(tmp_path):
    model = network("C[8,3] A F[2] A R")
    for ending in (remove(model, 1), remove(model, 2), insert(model, 6, "F[2] A")):
        with pytest.raises(DataError, match="ccv needs a C, and R at the end"):
            save_model(ending, tmp_path / "a.sqlite3")


def test_other_activations_are_refused(tmp_path):
    model = Model.create("C[8,3] A R", (3, 9, 9), ["a", "b"], LayerOptions(activation="tanh"))
    with pytest.raises(DataError, match="ReLU behind each C"):
        save_model(model, tmp_path / "a.sqlite3")
    model = Model.create("C[8,3] R", (3, 9, 9), ["a", "b"])
    model.parameters[0]["weight"][0] = np.nan
    with pytest.raises(DataError, match="nan or inf"):
        save_model(model, tmp_path / "a.sqlite3")


def test_half_precision_has_bounds(tmp_path):
    model = network("C[4] A R")
    model.preprocessing = Preprocessing((), (1 / 255,) * 3)
    model.parameters[2]["bias" if "bias" in model.parameters[2] else "weight"][...] = 1e5
    with pytest.raises(DataError, match='layer 3 "R": numbers beyond 65504'):
        save_model(model, tmp_path / "a.sqlite3", half=True)
    with pytest.raises(UsageError, match=r"only \.sqlite3"):
        save_model(model, tmp_path / "a.mdl", half=True)
    assert not list(tmp_path.iterdir())


def test_names_of_classes_are_lost_and_that_is_told(tmp_path, caplog):
    warn_of_loss(network("C[4] A R"), tmp_path / "a.sqlite3")
    assert caplog.messages == []
    model = network("C[4] A R")
    model.class_labels = ["cat", "dog"]
    warn_of_loss(model, tmp_path / "a.sqlite3")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "names of classes" in record.message


# statements, and what is said then
FAULTS = {
    "table": (["DROP TABLE layer_data"], "no table 'layer_data'"),
    "column": (["ALTER TABLE layer_params DROP COLUMN output_relu"], "no column 'output_relu'"),
    "no layers": (["DELETE FROM layer_params"], "no layer 0"),
    "a layer": (["DELETE FROM layer_params WHERE layer = 3"], "no layer 3 in 'layer_params'"),
    "its data": (["DELETE FROM layer_data WHERE layer = 3"], "no layer 3 in 'layer_data'"),
    "no mean": (["DELETE FROM convnet_params"], "no row 0"),
    "null": (["UPDATE layer_params SET output_count = NULL WHERE layer = 0"], "no 'output_count'"),
    "null weights": (["UPDATE layer_data SET bias = NULL WHERE layer = 5"], "no 'bias'"),
    "type": (["UPDATE layer_params SET type = 6 WHERE layer = 4"], "layer 4: type 6"),
    "text": (["UPDATE layer_params SET output_count = 'x' WHERE layer = 3"], "not a whole number"),
    "text weights": (
        ["UPDATE layer_data SET weight = 'abc' WHERE layer = 3"],
        "layer 3: 'weight' is not a blob",
    ),
    "short": (
        ["UPDATE layer_data SET weight = substr(weight, 5) WHERE layer = 3"],
        "'weight' has 2300 bytes, the network needs 2304",
    ),
    "half": (["UPDATE layer_data SET half_precision = 1"], "'weight' has 1440 .* needs 720"),
    "long": (["UPDATE layer_data SET bias = zeroblob(1000) WHERE layer = 3"], "has 1000 bytes"),
    "nan": (
        ["UPDATE layer_data SET bias = x'0000c07f0000c07f0000c07f0000c07f' WHERE layer = 7"],
        "'12.class-conv.bias' holds nan",
    ),
    "huge": (["UPDATE layer_params SET output_count = 1 << 62 WHERE layer = 3"], "filters must be"),
    "negative": (["UPDATE layer_params SET output_border = -1 WHERE layer = 0"], "border must be"),
    "zero": (["UPDATE layer_params SET output_strides = 0 WHERE layer = 2"], "stride must be"),
    "map": (["UPDATE layer_params SET input_matrix_rows = 8 WHERE layer = 1"], "is 8, .* give 7"),
    "nodes": (["UPDATE layer_params SET input_node_count = 7 WHERE layer = 6"], "is 7, .* give 6"),
    "channels": (["UPDATE layer_params SET output_channels = 4 WHERE layer = 3"], "is 4, .* 8"),
    "groups": (
        ["UPDATE layer_params SET input_matrix_partition = 3 WHERE layer = 3"],
        "cannot both be parted into 3 groups",
    ),
    "window": (["UPDATE layer_params SET output_size = 99 WHERE layer = 4"], "99x99"),
    "mean of a border": (
        ["UPDATE layer_params SET output_border = 1 WHERE layer = 4"],
        "layer 4: an average pool with a border",
    ),
    "end": (["DELETE FROM layer_params WHERE layer > 4"], "layer 4: the last layer is not"),
    "relu": (["UPDATE layer_params SET output_relu = 1"], "layer 7: the last layer is not"),
    "order": (["UPDATE layer_params SET type = 3 WHERE layer = 6"], "behind a full connection"),
    "small mean": (
        [
            "UPDATE convnet_params SET input_height = 12, "
            "mean_activity = substr(mean_activity, 1, 12 * 15 * 12)"
        ],
        "3x12x15 .* input of 3x13x11",
    ),
    "mean": (["UPDATE convnet_params SET input_height = 18"], "has 3060 bytes, .* 3240"),
    "nan in the mean": (
        ["UPDATE convnet_params SET mean_activity = CAST(x'0000c07f' || zeroblob(3056) AS BLOB)"],
        "a mean image must be of numbers up to 1e\\+09; it holds nan",
    ),
    **{
        f"output partition {number}": (
            [f"UPDATE layer_params SET output_partition = {number} WHERE layer = 3"],
            f"layer 3: 'output_partition' is {number}, which does not part 16 filters",
        )
        for number in (0, 3, -2)
    },
    "classes": (["UPDATE layer_params SET output_count = 1 << 40 WHERE layer = 7"], "output_count"),
    "view": (
        ["ALTER TABLE layer_params RENAME TO a", "CREATE VIEW layer_params AS SELECT * FROM a"],
        "views, triggers or virtual tables",
    ),
    "recursion": (
        [
            "DROP TABLE layer_data",
            "CREATE VIEW layer_data AS WITH RECURSIVE a(layer) AS (SELECT 0 UNION ALL SELECT "
            "layer + 1 FROM a) SELECT layer, zeroblob(9e8) weight, 0 bias, 0 half_precision FROM a",
        ],
        "views, triggers or virtual tables",
    ),
    "trigger": (
        ["CREATE TRIGGER t AFTER INSERT ON layer_data BEGIN DELETE FROM layer_data; END"],
        "views, triggers or virtual tables",
    ),
    "computed": (
        [
            "DROP TABLE layer_data",
            "CREATE TABLE layer_data (layer INTEGER PRIMARY KEY, weight BLOB AS (zeroblob(9e8)), "
            "bias BLOB, half_precision INTEGER)",
        ],
        "column 'weight' of table 'layer_data' is computed",
    ),
    "many layers": (
        [
            "WITH RECURSIVE a(n) AS (SELECT 8 UNION ALL SELECT n + 1 FROM a LIMIT 5000) "
            "INSERT INTO layer_params(layer) SELECT n FROM a"
        ],
        "more than 4000 rows",
    ),
    "keys": (
        [
            "ALTER TABLE layer_data RENAME TO a",
            "CREATE TABLE layer_data AS SELECT 'x' || layer layer, weight, bias, half_precision "
            "FROM a",
        ],
        "'layer' of table 'layer_data' does not number its rows",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_file_is_told(tmp_path, name):
    statements, words = FAULTS[name]
    path = change(make_file(tmp_path / "a.sqlite3"), *statements)
    with pytest.raises(DataError, match=words) as caught:
        load_model(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_other_databases_and_names(tmp_path):
    path = tmp_path / "a ?#%.sqlite3"  # characters that mean something in a URI
    make_file(path)
    assert load_model(path).text() == TEXT
    path.rename(tmp_path / "a.mdl")
    with pytest.raises(DataError, match=r"its name must end in \.sqlite3"):
        load_model(tmp_path / "a.mdl")
    change(tmp_path / "b.sqlite3", "CREATE TABLE a (b)")
    with pytest.raises(DataError, match="no table 'layer_params': it is no model of ccv"):
        load_model(tmp_path / "b.sqlite3")
    (tmp_path / "c.sqlite3").write_bytes(b"")
    with pytest.raises(DataError, match="it is empty"):
        load_model(tmp_path / "c.sqlite3")


def test_reading_leaves_the_file_alone(tmp_path):
    """Also one whose last writer had a journal of its own."""
    path = change(make_file(tmp_path / "a.sqlite3"), "PRAGMA journal_mode = WAL")
    before = path.read_bytes()
    path.chmod(0o400)
    assert load_model(path).text() == TEXT
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == [path.name]


def test_facts_of_the_file(tmp_path):
    """The test itself: what ccv would store has these sizes."""
    path = make_file(tmp_path / "a.sqlite3", half=True)
    for (number, weight, bias, half), shape in zip(
        select(path, "layer_data"), SHAPES.values(), strict=True
    ):
        assert (len(weight), len(bias), half) == (2 * np.prod(shape), 2 * shape[0], 1), number
    assert len(select(path, "convnet_params")[0][3]) == 4 * np.prod(MEAN_SHAPE)
