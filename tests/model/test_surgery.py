"""Changes to finished models: what they change, what they keep, and what they refuse."""

import logging

import numpy as np
import pytest
from model.format_networks import every_layer_model, same

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import DescriptionError, UsageError
from denet.graph.plan import Plan
from denet.layer.options import LayerOptions
from denet.model import surgery
from denet.model.model import Model

HALF = LayerOptions(border_mode="half")


def create(text, shape=(3, 8, 8), labels=("a", "b"), seed=3):
    """Return a model whose arrays all differ from their start."""
    model = Model.create(text, shape, labels, HALF, seed)
    rng = np.random.default_rng(seed)
    for arrays in model.parameters:
        for name, old in arrays.items():
            arrays[name] = rng.uniform(0.1, 1, old.shape).astype(np.float32)
    return model


def probabilities(model):
    channels, height, width = model.input_shape
    data = np.random.default_rng(0).random((2, height, width, channels), np.float32)
    plan = Plan(model.graph(2), NumpyBackend(), "predict")
    plan.load(model.values())
    return plan.run({"data": data}, np.zeros(2, np.uint64))["class_probability"].copy()


def kept(changed, original, pairs):
    """Assert that layers of the two models, numbered from 1, have equal arrays."""
    for ours, theirs in pairs:
        one, other = changed.parameters[ours - 1], original.parameters[theirs - 1]
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_inserts_count_earlier_inserts():
    model = create("C[4,3] BN A R")
    changed = surgery.insert(model, 1, "B[2]")
    assert changed.text() == "B[2] C[4,3] BN A R"
    changed = surgery.insert(changed, 4, "SKIPSRC A SKIP")
    assert changed.text() == "B[2] C[4,3] BN SKIPSRC A SKIP A R"
    changed = surgery.append(surgery.remove(changed, 2), "D[0.3] R.B")
    assert changed.text() == "B[2] C[4,3] BN SKIPSRC A SKIP A D[0.3] R.B"
    kept(changed, model, [(2, 1), (3, 2)])
    assert model.text() == "C[4,3] BN A R"


def test_new_layers_start_by_their_own_rules_from_the_seed():
    model = create("C[4,3] A R")
    options = LayerOptions("elu", "same", ["0", "uniform,0.5"])
    text = "BN C[4,3] A C[4,1]"
    changed = surgery.insert(model, 3, text, options, seed=7)
    norm, first, activation, second = changed.layers[2:6]
    assert first.border_mode == "same" and activation.activation == "elu"
    assert (first.weight_init, second.weight_init) == ("uniform,0.5", "uniform,0.5")
    assert np.abs(changed.parameters[3]["weight"]).max() <= 0.5
    assert (changed.parameters[2]["gamma"] == 1).all()
    same(changed, surgery.insert(model, 3, text, options, seed=7))
    other = surgery.insert(model, 3, text, options, seed=8)
    assert (other.parameters[3]["weight"] != changed.parameters[3]["weight"]).any()
    kept(changed, model, [(1, 1), (7, 3)])
    kept(other, model, [(1, 1), (7, 3)])


def test_an_insert_that_spoils_weights_behind_it_is_refused():
    model = create("C[4,3] A C[5,3] R")
    message = r"layer 4 \(conv\) no longer fits: weight was \[5, 4, 3, 3\].*needs \[5, 6, 3, 3\]"
    with pytest.raises(UsageError, match=message):
        surgery.insert(model, 2, "C[6]", HALF)


@pytest.mark.parametrize("number", [0, -1, 6])
def test_a_place_outside_the_network_is_refused(number):
    with pytest.raises(UsageError, match="from 1 to 5"):
        surgery.insert(create("C[4,3] A R"), number, "A")


def test_a_network_text_is_checked_before_anything_changes():
    with pytest.raises(DescriptionError, match="unknown layer 'Q'"):
        surgery.append(create("C[4,3] A R"), "Q")
    with pytest.raises(DescriptionError, match="nothing may follow"):
        surgery.append(create("C[4,3] A R"), "A")
    with pytest.raises(DescriptionError, match="no SKIPSRC"):
        surgery.insert(create("C[4,3] A R"), 2, "SKIP[1]")


@pytest.mark.parametrize("count", [-1, 4, 5])
def test_removing_too_much_is_refused(count):
    with pytest.raises(UsageError, match="from 0 to 3"):
        surgery.remove(create("C[4,3] A R"), count)


def test_remove_counts_r_as_two():
    model = create("C[4,3] A P.A R")
    assert surgery.remove(model, 3).text() == "C[4,3] A"
    same(surgery.remove(model, 0), model)


def test_a_new_number_of_classes_starts_only_the_class_convolution_anew(caplog):
    model = create("C[4,3] A R.B", labels=["cat", "dog"])
    with caplog.at_level(logging.WARNING):
        changed = surgery.set_class_num(model, 4)
    assert changed.class_labels == ["class 1", "class 2", "class 3", "class 4"]
    assert not changed.parameters[2]["weight"].any() and not changed.parameters[2]["bias"].any()
    assert changed.parameters[2]["weight"].shape == (4, 4, 8, 8)
    assert "layer 3 (class-conv) starts anew" in caplog.text
    kept(changed, model, [(1, 1)])
    same_number = surgery.set_class_num(model, 2)
    assert same_number.class_labels == ["class 1", "class 2"]
    kept(same_number, model, [(1, 1), (3, 3)])


def test_new_labels_of_the_same_number_keep_the_weights():
    model = create("C[4,3] A R", labels=["cat", "dog"])
    changed = surgery.set_class_num(model, ["owl", "cow"])
    assert changed.class_labels == ["owl", "cow"] and model.class_labels == ["cat", "dog"]
    kept(changed, model, [(1, 1), (3, 3)])


@pytest.mark.parametrize("classes", [0, -3, [], ["a", "a"]])
def test_impossible_classes_are_refused(classes):
    with pytest.raises(UsageError, match="class labels"):
        surgery.set_class_num(create("C[4,3] A R"), classes)


def test_image_size_keeps_convolutions_and_starts_the_whole_map_kernel_anew():
    model = create("C[4,3,2] A R")
    changed = surgery.set_image_size(model, 20, 12)
    assert changed.input_shape == (3, 12, 20)
    assert changed.parameters[2]["weight"].shape == (2, 4, 6, 10)
    assert not changed.parameters[2]["weight"].any()
    kept(changed, model, [(1, 1)])
    fixed = create("C[4,3,2] A R[1]")
    kept(surgery.set_image_size(fixed, 20, 12), fixed, [(1, 1), (3, 3)])


def test_an_image_too_small_is_refused():
    with pytest.raises(DescriptionError, match="layer 2"):
        surgery.set_image_size(create("C[4,3] P[4] R"), 3, 9)
    with pytest.raises(UsageError, match="0 by 9"):
        surgery.set_image_size(create("C[4,3] R"), 0, 9)


def test_activation_changes_everywhere_when_asked_and_nowhere_else():
    model = create("C[4,3] A RSN.O[4,3] RSN[4,3] A R")
    changed = surgery.set_activation(model, "elu")
    assert [changed.layers[i].activation for i in (1, 2, 3, 4)] == ["elu"] * 4
    again = surgery.set_image_size(surgery.merge(changed), 9, 9)  # once reset it to relu
    assert [again.layers[i].activation for i in (1, 2, 3, 4)] == ["elu"] * 4
    with pytest.raises(UsageError, match="did you mean 'relu'"):
        surgery.set_activation(model, "rellu")


def test_dense_blocks_change_with_the_others():
    model = create("C[4,3] nDL[2,3] TR R")
    assert [each.activation for each in surgery.set_activation(model, "elu").layers[1:4]] == (
        ["elu"] * 3
    )
    changed = surgery.modify_bn(model, True, 0.75, 1e-3)
    assert {update.momentum for update in changed.graph(1).updates} == {0.75}
    assert not any("bn" in name for name in surgery.modify_bn(model, False, 0.9, 1e-5).values())


def test_merge_leaves_no_cut():
    model = create("C[4,3] SPLIT A SKIPSRC.X SPLIT SKIP R")
    changed = surgery.merge(model)
    assert {node.segment for node in model.graph(1).nodes} == {0, 1, 3}
    assert {node.segment for node in changed.graph(1).nodes} == {0}
    np.testing.assert_array_equal(probabilities(changed), probabilities(model))


def test_cudnn_pools():
    model = create("C[4,3] P.B[3,2] P[2] P.AB R")
    changed = surgery.use_cudnn_pool(model)
    assert changed.text() == "C[4,3] P[3,2,1] P[2] P.AB R"
    # an even map keeps its size: ceil(8 / 2) == floor((8 + 2 - 3) / 2) + 1
    kept(changed, model, [(1, 1), (5, 5)])


@pytest.mark.parametrize("enabled", [False, 0, "0", "False", "false"])
def test_batch_normalisation_can_be_switched_off(enabled):
    model = create("C[4,3] BN A BNA RSN.O[4,3] RSN[4,3] R")
    changed = surgery.modify_bn(model, enabled, 0.9, 1e-5)
    assert not any("gamma" in name for name in changed.values())
    kept(changed, model, [(1, 1), (7, 7)])
    assert (changed.parameters[4].keys(), changed.parameters[5].keys()) == (
        {"conv1.weight", "conv2.weight"},
        {"conv1.weight", "conv2.weight"},
    )


@pytest.mark.parametrize("enabled", [True, 1, "1", "True"])
def test_batch_normalisation_settings_reach_every_kind(enabled):
    model = create("C[4,3] BN A BNA RSN.O[4,3] RSN[4,3] R")
    changed = surgery.modify_bn(model, enabled, 0.75, 1e-3)
    updates = changed.graph(1).updates
    assert len(updates) == 2 * 6 and {update.momentum for update in updates} == {0.75}
    norms = [node.op for node in changed.graph(1).nodes if hasattr(node.op, "eps")]
    assert len(norms) == 6 and {op.eps for op in norms} == {1e-3}
    kept(changed, model, [(number, number) for number in range(1, 9)])


@pytest.mark.parametrize("values", [("maybe", 0.9, 1e-5), (1, 2, 1e-5), (1, 0.9, 0)])
def test_wrong_batch_normalisation_settings_are_refused(values):
    with pytest.raises(UsageError, match="batchnorm: (enabled|momentum|eps) must be"):
        surgery.modify_bn(create("BN R"), *values)


def test_bn_and_relu_become_one_and_compute_the_same():
    model = create("C[4,3] BN[0.8,0.01] A RSN[4,3] BN A BN R.C[3]")
    changed = surgery.convert_bn_relu(model)
    assert changed.text() == "C[4,3] BNA[0.8,0.01] RSN[4,3] BNA BN R.C[3]"
    kept(changed, model, [(1, 1), (2, 2), (3, 4), (4, 5), (5, 7), (6, 8)])
    np.testing.assert_allclose(probabilities(changed), probabilities(model), rtol=1e-5)


@pytest.mark.parametrize("activation", ["elu", "relu-safe", "none"])
def test_only_relu_is_joined(activation):
    model = surgery.set_activation(create("C[4,3] BN A R"), activation)
    assert surgery.convert_bn_relu(model).layers == model.layers


def test_resnet34_of_the_paper_counts_its_layers_as_then():
    """1 conv, 2 bnrelu, 3 pool, 4-6, 7-10, 11-16, 17-19 blocks, then the skips."""
    text = (
        "C.B[4,7,2] BN A P.B[3,2] nRSN.O[3,4,3] nRSN.O[4,8,3,2] nRSN.O[6,8,3,2] "
        "nRSN.O[3,8,3,2] P.A[7] R.TB"
    )
    model = create(text, (3, 224, 224))
    changed = surgery.set_image_size(surgery.set_class_num(model, 20), 512, 512)
    changed = surgery.modify_bn(surgery.convert_bn_relu(changed), "1", 0.9, 1e-5)
    changed = surgery.remove(surgery.use_cudnn_pool(changed), 3)
    assert len(changed.layers) == 19
    for place, layer in ((11, "SKIPSRC.X"), (18, "SKIPSRC.X[1]")):
        changed = surgery.insert(changed, place, layer)
    changed = surgery.append(changed, "PI[2] C.B[4,3] SKIP[1] BNA PI[2] C.B[4,3] SKIP[0] BNA", HALF)
    assert changed.text() == (
        "C.B[4,7,2] BNA P[3,2,1] nRSN.O[3,4,3] nRSN.O[4,8,3,2] SKIPSRC.X nRSN.O[6,8,3,2] "
        "SKIPSRC.X[1] nRSN.O[3,8,3,2] PI C.B[4,3] SKIP[1] BNA PI C.B[4,3] SKIP BNA"
    )
    kept(changed, model, [(1, 1), (2, 2), (4, 5), (12, 12), (20, 19), (21, 20)])


def test_modify_layer_changes_the_first_of_its_type_only():
    model = create("C[4,3] D[0.5] C[4,3] D[0.5] R")
    changed = surgery.modify_layer(model, "dropout", {"rate": "0.25"})
    assert changed.text() == "C[4,3] D[0.25] C[4,3] D R"
    changed = surgery.modify_layer(changed, "conv", {"bias": "false", "border_mode": "same"})
    assert changed.text() == "C.B[4,3] D[0.25] C[4,3] D R"
    assert changed.layers[0].border_mode == "same"
    assert changed.parameters[0].keys() == {"weight"}
    kept(changed, model, [(3, 3), (5, 5)])


@pytest.mark.parametrize(
    ("type_name", "settings", "message"),
    [
        ("dropuot", {"rate": "1"}, "did you mean 'dropout'.*it has class-conv, conv, dropout"),
        ("dropout", {"rat": "0.1"}, r"unknown field 'rat' \(known: rate\) \(did you mean 'rate'"),
        ("dropout", {"rate": "2"}, "rate must be a number"),
        ("dropout", {"layer": "2"}, "unknown field 'layer'"),
        ("conv", {"filters": "5"}, "layer 1 .*no longer fits: weight was"),
        ("conv", {"size": "9999"}, "size must be"),
    ],
)
def test_a_modification_that_cannot_be_is_refused(type_name, settings, message):
    with pytest.raises(UsageError, match=message):
        surgery.modify_layer(create("C[4,3] D[0.5] C[4,3] R"), type_name, settings)


CHANGES = {
    "insert": lambda model: surgery.insert(model, 2, "C[3,3]", HALF),
    "remove": lambda model: surgery.remove(model, 2),
    "class number": lambda model: surgery.set_class_num(model, 9),
    "image size": lambda model: surgery.set_image_size(model, 110, 70),
    "activation": lambda model: surgery.set_activation(model, "tanh"),
    "merge": surgery.merge,
    "batch normalisation": lambda model: surgery.modify_bn(model, 0, 0.5, 1e-4),
    "bn relu": surgery.convert_bn_relu,
    "layer": lambda model: surgery.modify_layer(model, "dropout", {"rate": "0"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_given_model_stays_and_the_rest_goes_with_it(name):
    model = every_layer_model()
    changed = CHANGES[name](model)
    same(model, every_layer_model())
    assert changed.preprocessing == model.preprocessing and changed.summary == model.summary
    shapes = [{key: value.shape for key, value in own.items()} for own in changed.parameters]
    assert shapes == [
        {key: tensor.shape for key, tensor in own.items()} for own in changed.tensors()
    ]
