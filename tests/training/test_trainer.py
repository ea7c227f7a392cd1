"""The training loop on a handful of images, on the NumPy backend."""

import json
import logging
import math
import os
from dataclasses import replace

import numpy as np
import pytest
from training.tiny import NETWORK, tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import DataError, DivergedError, UsageError
from denet.model.format import load_model
from denet.report.metrics import read_metrics
from denet.training.settings import TrainSettings
from denet.training.trainer import Trainer

SETTINGS = TrainSettings(epochs=3, batch_size=3, learn_rate=0.05, learn_momentum=(0.9,))


def trainer(tmp_path, model=None, train_set=None, test_set=None, **changes):
    settings = replace(SETTINGS, output_prefix=str(tmp_path / "run" / "model"), **changes)
    return Trainer(
        model or tiny_model(), train_set or tiny_set(), test_set, settings, NumpyBackend()
    )


def trained(tmp_path, name, **changes):
    """Return all weights after training, as bytes."""
    model = tiny_model(text="CM[5,0.5] C.B[12,3] A D[0.2] P.A R")
    trainer(tmp_path / name, model=model, **changes).run()
    return b"".join(value.tobytes() for value in model.values().values())


@pytest.mark.parametrize("text", [NETWORK, "C[12,3] BN A P.A R"])
def test_learns_eight_images_by_heart(text, tmp_path):
    images = tiny_set(4)
    rows = trainer(
        tmp_path,
        model=tiny_model(4, text),
        train_set=images,
        test_set=images,
        epochs=150,
        batch_size=8,
        learn_rate=0.1,
        test_epochs=150,
        disable_intermediate=True,
    ).run()
    assert rows[-1]["test_error"] == 0
    assert rows[-1]["cost"] < 0.1 < rows[0]["cost"]


def test_cost_of_the_first_epoch_is_the_cross_entropy_of_chance(tmp_path):
    model = tiny_model(4)
    for name, value in model.parameters[-2].items():  # the convolution of R
        model.parameters[-2][name] = np.zeros_like(value)
    rows = trainer(tmp_path, model, tiny_set(4), epochs=1, batch_size=8, cost_factors=[2.0]).run()
    assert rows[0]["cost"] == pytest.approx(2 * math.log(4))


def test_same_seed_same_weights_for_any_number_of_threads(tmp_path):
    same = trained(tmp_path, "a", distort_mode=("o2", "m50"))
    assert trained(tmp_path, "b", distort_mode=("o2", "m50")) == same
    assert trained(tmp_path, "c", distort_mode=("o2", "m50"), thread_num=3) == same
    assert trained(tmp_path, "d", distort_mode=("o2", "m50"), seed=1) != same
    assert trained(tmp_path, "e") != same  # the distortions are more than words


def test_the_same_training_gives_the_same_file(tmp_path):
    for name, threads in (("a", 1), ("b", 3)):
        trainer(tmp_path / name, test_set=tiny_set(), thread_num=threads).run()
    one, other = (tmp_path / name / "run" / "model_epoch003_final.mdl" for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_files_of_a_run(tmp_path):
    trainer(tmp_path, test_set=tiny_set(seed=1), test_epochs=2, epochs=3).run()
    names = {name for name in os.listdir(tmp_path / "run") if name != "model_curves.png"}
    assert names == {
        "model.state",
        "model_best.mdl",
        "model_epoch001.mdl",
        "model_epoch002.mdl",
        "model_epoch002.test",
        "model_epoch003.mdl",
        "model_epoch003.test",
        "model_epoch003_final.mdl",
        "model_metrics.csv",
    }
    metrics = read_metrics(tmp_path / "run" / "model_metrics.csv")
    assert metrics["epoch"] == [1, 2, 3]
    assert [math.isnan(error) for error in metrics["test_error"]] == [True, False, False]
    text = (tmp_path / "run" / "model_epoch003.test").read_text()
    assert text.splitlines()[0] == f"Overall Error={metrics['test_error'][2]:.2f}%"
    assert text.splitlines()[1].endswith("% (4 samples)")


def test_without_intermediate_models(tmp_path):
    trainer(tmp_path, disable_intermediate=True, model_suffix=".mdl.gz").run()
    found = [name for name in os.listdir(tmp_path / "run") if ".mdl" in name]
    assert found == ["model_epoch003_final.mdl.gz"]


def test_final_model_is_the_trained_one_and_tells_how(tmp_path):
    model = tiny_model()
    trainer(tmp_path, model).run()
    final = load_model(tmp_path / "run" / "model_epoch003_final.mdl")
    for name, value in model.values().items():
        np.testing.assert_array_equal(final.values()[name], value)
    assert final.summary["epoch"] == 3
    assert final.summary["settings"]["learn_momentum"] == [0.9]
    json.dumps(final.summary)


def test_best_model_is_the_first_with_the_lowest_error(tmp_path):
    rows = trainer(
        tmp_path, tiny_model(4), tiny_set(4), tiny_set(4), epochs=12, learn_rate=0.2
    ).run()
    errors = [row["test_error"] for row in rows]
    assert errors.index(min(errors)) < len(rows) - 1  # else any rule would find it
    best = load_model(tmp_path / "run" / "model_best.mdl").summary["epoch"]
    assert best == 1 + errors.index(min(errors))
    saved = [tmp_path / "run" / f"model_{name}.mdl" for name in ("best", f"epoch{best:03d}")]
    assert saved[0].read_bytes() == saved[1].read_bytes()


@pytest.mark.parametrize("words", [("1", "2"), ("1-2",), ("conv", "2.batchnorm")])
def test_skipped_layers_stay_as_they_are(words, tmp_path):
    model = tiny_model(text="C.B[6,3] BN A P.A R")
    before = {name: value.copy() for name, value in model.values().items()}
    trainer(tmp_path, model, skip_layer_updates=words).run()
    for name, value in model.values().items():
        frozen = name.split(".")[0] in ("1", "2")
        assert np.array_equal(value, before[name]) == frozen, name


RATES, DECAYS = ("1-2=0.5", "class-conv=3"), ("conv=0", "batchnorm=7", "class-conv=2")


@pytest.mark.parametrize("decay_all", [False, True])
def test_factors_of_layers_by_one_step(decay_all, tmp_path):
    """Without momentum: w - factor of rate * rate * (gradient + factor of decay * decay * w)."""

    def moved(name, **settings):
        model = tiny_model(text="C[6,3,1,1,0.5] BN A P.A R.TB")
        before = {path: value.copy() for path, value in model.values().items()}
        once = {"epochs": 1, "batch_size": 8, "solver": "sgd", "learn_momentum": (0.0,)}
        trainer(tmp_path / name, model, **once, learn_rate=0.25, **settings).run()
        after = model.values()
        return before, {path: after[path] - value for path, value in before.items()}

    before, plain = moved("plain")
    factors = {"layer_rates": RATES, "layer_decays": DECAYS}
    _, found = moved("factors", learn_decay=0.1, learn_decay_all=decay_all, **factors)
    rates, decays = {"1": 0.5, "2": 0.5, "5": 3.0}, {"1": 0.0, "2": 7.0, "5": 2.0}
    for path in sorted(set(plain) - {"2.batchnorm.mean", "2.batchnorm.variance"}):
        number, _, name = path.split(".")
        decay = 0.1 * decays[number] if name == "weight" or decay_all else 0.0
        expected = rates[number] * (plain[path] - 0.25 * decay * before[path])
        np.testing.assert_allclose(found[path], expected, rtol=1e-3, atol=1e-7, err_msg=path)


def test_momenta_of_layers_by_two_steps(tmp_path):
    """Classical momentum: the second step of a layer is v2 = own v1 - rate g2.

    g2 is that of a training without momentum, whose first step is the same.
    """

    def moves(name, epochs, **settings):
        model = tiny_model(text="C[6,3] A P.A R.TB")
        before = {path: value.copy() for path, value in model.values().items()}
        same = {"batch_size": 8, "solver": "momentum", "learn_rate": 0.25, "epochs": epochs}
        trainer(tmp_path / name, model, **same, **settings).run()
        after = model.values()
        return {path: after[path] - value for path, value in before.items()}

    first, plain = (moves(f"{epochs}", epochs, learn_momentum=(0.0,)) for epochs in (1, 2))
    momenta = {"layer_momenta": ("1-3=0.5", "class-conv=0.75")}
    found = moves("own", 2, learn_momentum=(0.9,), **momenta)
    for path, own in (("1.conv", 0.5), ("4.class-conv", 0.75)):
        for name in ("weight", "bias"):
            expected = plain[f"{path}.{name}"] + own * first[f"{path}.{name}"]
            np.testing.assert_allclose(found[f"{path}.{name}"], expected, rtol=1e-4, atol=1e-7)


def test_divergence_is_told_with_place_rate_and_costs(tmp_path):
    place = (
        r"epoch \d/3, iteration \d/8, learn rate 1e\+30, costs: 5\.regression\.\w+ \S+, "
        r"first not finite: the \w+ of layer \d \"[CRAP].*\", batch of 1 image \(row \d, all in "
    )
    with pytest.raises(DivergedError, match=place) as caught:
        trainer(tmp_path, learn_rate=1e30, batch_size=1).run()
    assert caught.value.exit_code == 4
    lines = (tmp_path / "run" / "model_diverged.txt").read_text().splitlines()
    assert lines[2] == "images of the batch:" and lines[3].startswith("row ") and len(lines) == 4


def test_a_layer_whose_weights_are_no_numbers_is_found(tmp_path):
    model = tiny_model(text="C.B[6,3] BN A C[4,3] A P.A R")
    model.parameters[3]["weight"][0, 0, 0, 0] = math.inf
    with pytest.raises(DivergedError, match=r'the parameters of layer 4 "C\[4,3\]"'):
        trainer(tmp_path, model).run()


def test_training_goes_on_without_what_is_a_report_only(tmp_path, caplog):
    pytest.importorskip("tensorboardX")
    run = trainer(tmp_path, test_set=tiny_set(), epochs=2, tensorboard=True)
    names = ["model_metrics.csv", "model_curves.png", "model_epoch001.test"]
    for name in names:
        (tmp_path / "run" / name).mkdir()
    (tmp_path / "run" / "model_tensorboard").touch()
    assert len(run.run()) == 2
    for name in [*names, "model_tensorboard"]:
        assert f"no {name}: " in caplog.text, name
    load_model(tmp_path / "run" / "model_epoch002_final.mdl")


def test_divergence_is_told_also_where_its_batch_cannot_be_written(tmp_path, caplog):
    run = trainer(tmp_path, learn_rate=1e30, batch_size=1)
    (tmp_path / "run" / "model_diverged.txt").mkdir()
    with pytest.raises(DivergedError, match="training diverged: "):
        run.run()
    assert "no model_diverged.txt: cannot write" in caplog.text


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    with pytest.raises(DivergedError, match=r"iteration 1/1, .* of layer \d .*, batch of 8 images"):
        trainer(tmp_path, epochs=1, batch_size=8, learn_rate=1e38, learn_decay=10.0).run()
    assert os.listdir(tmp_path / "run") == ["model_diverged.txt"]


def test_weights_are_not_updated_by_a_cost_that_is_no_number(tmp_path):
    model = tiny_model()
    model.parameters[0]["weight"][0, 0, 0, 0] = math.nan
    run = trainer(tmp_path, model)
    before = run._learner.plan.weights.copy()
    with pytest.raises(DivergedError):
        run.run()
    np.testing.assert_array_equal(run._learner.plan.weights, before)


def test_batches_add_up_to_the_gradient_of_one_large_batch(tmp_path):
    weights = []
    for name, size, factor in (("large", 6, 1), ("parts", 3, 2), ("single", 1, 6)):
        model = tiny_model(text="C.B[12,3] A P.A R")
        trainer(tmp_path / name, model, batch_size=size, batch_size_factor=factor).run()
        weights.append(model.values())
    start = tiny_model(text="C.B[12,3] A P.A R").values()
    for path, large in weights[0].items():
        moved = np.abs(large - start[path]).max()
        assert moved > 1e-3
        for parts in weights[1:]:
            np.testing.assert_allclose(parts[path], large, atol=1e-4 * moved)


BAD = [
    (
        {"cost_factors": (1.0, 2.0)},
        UsageError,
        r"cost-factors: 2 given: the network has 1 .*\(5\.reg",
    ),
    (
        {"skip_layer_updates": ("9",)},
        UsageError,
        "skip-layer-updates: '9' names no layer: give numbers from 1 to 5",
    ),
    ({"layer_rates": ("3=2",)}, UsageError, "layer-rates: 3=2: nothing of these layers is trained"),
    (
        {"layer_rates": ("1=2",), "skip_layer_updates": ("1",)},
        UsageError,
        "nothing of these layers is trained",
    ),
    ({"layer_decays": ("2-3=2",)}, UsageError, "layer-decays: 2-3=2: nothing of these"),
    ({"layer_momenta": ("3=0.5",)}, UsageError, "layer-momenta: 3=0.5: nothing of these layers is"),
    ({"solver": "adm"}, UsageError, "did you mean 'adam'"),
    ({"local_steps": -1}, UsageError, "local-steps: -1: give 0 or a positive number"),
    ({"local_steps": 2, "wire": "bf16"}, UsageError, "wire: together with --local-steps"),
    ({"local_steps": 2, "sync_bn": True}, UsageError, "sync-bn: together with --local-steps"),
    ({"local_steps": 2, "outer_solver": "nestrov"}, UsageError, "did you mean 'nesterov'"),
    ({"local_steps": 2, "outer_solver": "nesterov"}, UsageError, "without --outer-momentum"),
    ({"local_steps": 2, "outer_momentum": 1.0}, UsageError, "outer-momentum: 1.0: give 0 to"),
    ({"local_steps": 2, "outer_rate": math.nan}, UsageError, "outer-rate: nan: give a positive"),
    ({"outer_momentum": 0.9}, UsageError, "outer-momentum: without --local-steps"),
    ({"outer_rate": 0.7}, UsageError, "outer-rate: without --local-steps"),
    ({"distort_mode": ("z4",)}, UsageError, "z4"),
    (
        {"train_set": tiny_set(3)},
        DataError,
        "3 where the model has 2; only in the dataset: c: model-train --init-partial",
    ),
    ({"test_set": tiny_set(3)}, DataError, "only in the dataset: c"),
]


@pytest.mark.parametrize("change, error, message", BAD)
def test_what_does_not_fit_is_told_before_anything_is_written(change, error, message, tmp_path):
    with pytest.raises(error, match=message):
        trainer(tmp_path, **change)
    assert not (tmp_path / "run").exists()


SETTING_ERRORS = [
    ({"epochs": 0}, "epochs: 0"),
    ({"batch_size": 0}, "batch-size: 0"),
    ({"test_epochs": 0}, "test-epochs: 0"),
    ({"label_smoothing": 1.0}, "label-smoothing: 1.0"),
    ({"learn_rate": -1.0}, "learn-rate: -1.0"),
    ({"learn_cosine": True, "learn_anneal": 0.1}, "choose one"),
    ({"learn_cosine": True, "learn_anneal_epochs": (1,)}, "choose one"),
    ({"learn_anneal_epochs": (1,)}, "set --learn-anneal too"),
]


@pytest.mark.parametrize("change, message", SETTING_ERRORS)
def test_wrong_settings_are_told(change, message):
    with pytest.raises(UsageError, match=message):
        replace(SETTINGS, **change)


def test_log_has_a_line_per_epoch_and_no_control_characters(tmp_path, caplog, capfd):
    with caplog.at_level(logging.INFO):
        trainer(tmp_path, test_set=tiny_set()).run()
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("epoch ")]
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "to the end" in lines[0] and "to the end" not in lines[2]
    assert capfd.readouterr().err == ""
