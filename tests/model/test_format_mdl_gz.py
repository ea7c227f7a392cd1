"""The .mdl.gz format against files made here by hand, as the 2017 program would write them."""

import base64
import gzip
import io
import json
import zlib

import numpy as np
import pytest
from model.files_of_2017 import array, conv, document, norm, plain, random, read, stored
from model.format_networks import same
from scipy.signal import convolve2d

from denet.errors import DataError
from denet.graph.op.base import Run
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
from denet.layer.activation import ActivationLayer
from denet.layer.batch_norm import BatchNormalisation
from denet.layer.batch_norm_relu import BatchNormalisationRelu
from denet.layer.border import Border
from denet.layer.class_convolution import ClassConvolution
from denet.layer.convolution import Convolution
from denet.layer.crop_mirror import CropAndMirror
from denet.layer.deconvolution import Deconvolution
from denet.layer.dropout import DropoutLayer
from denet.layer.pool import Pooling
from denet.layer.pool_inverse import InversePooling
from denet.layer.regression import Regression
from denet.layer.residual import Residual
from denet.layer.skip import Skip
from denet.layer.skip_source import SkipSource
from denet.layer.split import Split
from denet.model.format import load_model, mdl_gz, save_model, warn_of_loss
from denet.model.model import Model
from denet.model.surgery import modify_bn


def assert_norm(arrays, part, prefix=""):
    for ours, theirs in (("gamma", "gamma"), ("beta", "bias"), ("mean", "mean")):
        np.testing.assert_array_equal(arrays[prefix + ours], stored(part, theirs))
    truth = 1 / stored(part, "std").astype(np.float64) ** 2 - part["eps"]
    np.testing.assert_allclose(arrays[prefix + "variance"], truth, rtol=1e-6)


def rotated(weight):
    return np.rot90(weight, 2, axes=(2, 3))


def test_a_plain_network_is_read_tensor_by_tensor(tmp_path):
    weight, bias, last = random(4, 3, 3, 2), random(4), random(2, 4, 2, 2)
    layers = [
        plain("border", border=[1, 2, 3, 4]),
        conv(weight, bias, (2, 1), "half"),
        norm(4, eps=1e-3, momentum=0.8),
        plain("activation", activation="relu-safe"),
        plain("pool", mode="max", size=[3, 3], stride=[2, 2], pad=[1, 1], ignoreBorder=True),
        plain("dropout", dropoutRate=0.25),
        norm(4, "batchnorm-relu"),
        plain("pool-inv", size=2),
        plain("crop-mirror", crop=4, mirror=0.5, flip=0.0),
        plain("pool", mode="average_inc_pad", size=2, stride=2, pad=0, ignoreBorder=False),
        plain("split", enabled=False),
        conv(last),
        plain("regression", valid=[]),
    ]
    model = read(tmp_path, document(layers, (3, 9, 7), ["x", "y"]))
    assert model.layers == [
        Border(border=(1, 2, 3, 4)),
        Convolution(filters=4, size=(3, 2), stride=(2, 1), bias=True, border_mode="half"),
        BatchNormalisation(momentum=0.8, eps=1e-3),
        ActivationLayer(activation="relu-safe"),
        Pooling(size=(3, 3), stride=(2, 2), padding=1),
        DropoutLayer(rate=0.25),
        BatchNormalisationRelu(),
        InversePooling(size=2),
        CropAndMirror(crop=4, mirror=0.5),
        Pooling(size=(2, 2), stride=(2, 2), mean=True, partial=True),
        Split(enabled=False),
        ClassConvolution(size=(2, 2), bias=False),
        Regression(),
    ]
    assert model.input_shape == (3, 9, 7)
    assert model.class_labels == ["x", "y"]
    np.testing.assert_array_equal(model.parameters[1]["weight"], rotated(weight))
    np.testing.assert_array_equal(model.parameters[1]["bias"], bias)
    np.testing.assert_array_equal(model.parameters[11]["weight"], rotated(last))
    assert_norm(model.parameters[2], layers[2])
    assert_norm(model.parameters[6], layers[6])


@pytest.mark.parametrize(
    ("border", "mode"),
    [("valid", "valid"), ("half", "half"), ("full", "full"), ("same", "same"), (2, 2), (False, 0)],
)
def test_border_modes(tmp_path, border, mode):
    top = document([conv(random(4, 3, 3, 3), border=border)])
    assert read(tmp_path, top).layers[0].border_mode == mode


BLOCKS = {
    "original": (
        dict(version="original", stride=[2, 2]),
        "conv bn act conv bn conv bn",
        [(4, 3, 3), (4, 4, 3), (4, 3, 1)],
        dict(original=True, stride=2),
    ),
    "original bnrelu, same shape": (
        dict(version="original,bnrelu", stride=[1, 1]),
        "conv bnrelu conv bn",
        [(3, 3, 3), (3, 3, 3)],
        dict(original=True, bn_relu=True),
    ),
    "original bottleneck with identities": (
        dict(version="original", stride=[1, 1], bottleneck=2),
        "conv bn act conv bn act conv bn identity conv bn",
        [(2, 3, 1), (2, 2, 3), (4, 2, 1), (4, 3, 1)],
        dict(original=True, bottleneck=2),
    ),
    "pre-activation": (
        dict(version="pre-activation", stride=2, activation="elu"),
        "bn act conv bn act conv conv",
        [(4, 3, 3), (4, 4, 3), (4, 3, 1)],
        dict(stride=2, activation="elu"),
    ),
    "pre-activation bnrelu bottleneck": (
        dict(version="pre-activation,bnrelu", stride=[1, 1], bottleneck=2),
        "bnrelu conv bnrelu conv bnrelu conv identity",
        [(2, 3, 1), (2, 2, 3), (3, 2, 1)],
        dict(bottleneck=2, bn_relu=True),
    ),
    "no version, no normalisation": (
        dict(stride=[1, 1], enableBatchNorm=False, bnParam=None),
        "conv identity act conv",
        [(3, 3, 3), (3, 3, 3)],
        dict(original=True, bn_enabled=False),
    ),
}


def sublayers_of_2017(block, convolutions):
    """Return the types of the sublayers that its program expects, in this order."""
    before = "pre-activation" in block.get("version", "original")
    fused = "bnrelu" in block.get("version", "")
    norm = ["batchnorm-relu"] if fused else ["batchnorm", "activation"]
    inner = [norm, norm] if block["bottleneck"] else [norm]
    found = ["initial", *(norm if before else []), "conv"]
    found += [type_name for each in inner for type_name in (*each, "conv")]
    found += [] if before else ["batchnorm"]
    if convolutions > len(inner) + 1:
        found += ["conv"] if before else ["conv", "batchnorm"]
    return found


@pytest.mark.parametrize("name", BLOCKS)
def test_residual_blocks(tmp_path, name):
    more, order, kernels, fields = BLOCKS[name]
    kernels = [random(out, inputs, k, k) for out, inputs, k in kernels]
    channels = 3
    parts = [plain("initial")]
    convs, norms = [], []
    for word in order.split():
        if word == "conv":
            weight = kernels[len(convs)]
            parts.append(conv(weight, border="half", stride=(1, 1)))
            convs.append(weight)
            channels = weight.shape[0]
        elif word == "act":
            parts.append(plain("activation", activation=more.get("activation", "relu")))
        elif word == "identity":
            parts.append(plain("identity"))
        else:
            parts.append(norm(channels, {"bn": "batchnorm", "bnrelu": "batchnorm-relu"}[word]))
            norms.append(parts[-1])
    count = 3 if "bottleneck" in fields else 2
    block = {
        "type": "resnet",
        "shape": [kernels[count - 1].shape[0], 3, 3, 3],
        "bottleneck": 0,
        "bnParam": {"enabled": True, "momentum": 0.9, "eps": 1e-5},
        "activation": "relu",
        "layers": parts,
    } | more
    model = read(tmp_path, document([block]))
    filters = kernels[count - 1].shape[0]
    assert model.layers == [Residual(filters=filters, size=3, **fields)]
    arrays = model.parameters[0]
    for index, weight in enumerate(convs):
        local = f"conv{index + 1}" if index < count else "shortcut"
        np.testing.assert_array_equal(arrays[f"{local}.weight"], rotated(weight))
    for index, part in enumerate(norms):
        assert_norm(arrays, part, f"bn{index + 1}." if index < count else "shortcut_bn.")
    assert len(arrays) == len(convs) + 4 * len(norms)
    save_model(model, tmp_path / "b.mdl.gz")
    same(load_model(tmp_path / "b.mdl.gz"), model)
    with gzip.open(tmp_path / "b.mdl.gz") as file:
        (written,) = json.load(file)["layers"]
    assert [part["type"] for part in written["layers"]] == sublayers_of_2017(block, len(convs))
    assert written["shape"] == block["shape"]
    assert ("bnrelu" in written["version"]) == ("bnrelu" in block.get("version", ""))


@pytest.mark.parametrize("combine", ["proj-add", "concat", "add"])
def test_skips(tmp_path, combine):
    projection = random(4, 3, 1, 1)
    projected = combine == "proj-add"
    layers = [
        plain("skip-src", index=1, split=True),
        conv(random(4 if projected else 3, 3, 1, 1)),
        plain("skip", index=1, combineMode=combine),
    ]
    if projected:
        layers[2]["layers"] = [plain("initial"), conv(projection)]
    model = read(tmp_path, document(layers))
    assert model.layers[0] == SkipSource(index=1, split=True)
    assert model.layers[2] == Skip(index=1, concatenate=combine == "concat")
    if projected:
        np.testing.assert_array_equal(model.parameters[2]["conv.weight"], projection)
    else:
        assert model.parameters[2] == {}


def test_a_convolution_of_2017_computes_a_true_convolution(tmp_path):
    weight = random(2, 3, 3, 2)
    model = read(tmp_path, document([conv(weight)]))
    x = random(1, 5, 6, 3)
    (y,), _ = Conv().forward(Run(False), x, model.parameters[0]["weight"])
    for out in range(2):
        truth = sum(convolve2d(x[0, :, :, c], weight[out, c], "valid") for c in range(3))
        np.testing.assert_allclose(y[0, :, :, out], truth, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_deconvolution_of_2017_is_the_adjoint_of_a_true_convolution(tmp_path, stride):
    """Take the transpose of the matrix of the strided true convolution, pixel by pixel."""
    weight = random(2, 1, 3, 3)  # 2 output channels, 1 input channel
    layer = plain(
        "deconv",
        shape=[2, 1, 3, 3],
        stride=[stride, stride],
        border="half",
        useBias=False,
        bias=None,
        weight=array(weight),
    )
    model = read(tmp_path, document([layer], (1, 3, 4)))
    assert model.layers == [
        Deconvolution(
            filters=2, size=(3, 3), stride=(stride, stride), bias=False, border_mode="half"
        )
    ]
    x = random(1, 3, 4, 1)
    op = Deconv((stride, stride), ((1, 1), (1, 1)))
    (y,), _ = op.forward(Run(False), x, model.parameters[0]["weight"])
    height, width = 3 * stride, 4 * stride
    assert y.shape == (1, height, width, 2)
    for out in range(2):
        for row in range(height):
            for column in range(width):
                pixel = np.zeros((height, width), np.float32)
                pixel[row, column] = 1
                forward = convolve2d(pixel, weight[out, 0], "same")[::stride, ::stride]
                truth = (forward * x[0, :, :, 0]).sum()
                np.testing.assert_allclose(y[0, row, column, out], truth, rtol=1e-5, atol=1e-6)


def test_old_ways_to_give_shape_and_classes(tmp_path):
    top = document([conv(random(2, 1, 3, 3))], imageSize=[7, 5], imageMode="L", imageBorder=0)
    for key in ("dataShape", "classNum"):
        del top[key]
    model = read(tmp_path, top)
    assert model.input_shape == (1, 5, 7)
    assert model.class_labels == ["a", "b"]
    top |= {"imageMode": "RGB", "classNum": 4, "classLabels": {"b": 3, "a": 0}}
    top["layers"] = [conv(random(2, 3, 3, 3))]
    model = read(tmp_path, top)
    assert model.input_shape == (3, 5, 7)
    assert model.class_labels == ["a", "class 2", "class 3", "b"]


def test_the_centre_position(tmp_path):
    layers = [conv(random(2, 3, 3, 3)), plain("regression", valid=[[0, 3, 3]])]
    assert read(tmp_path, document(layers)).layers[1] == Regression(centre=True)


def test_vectors_may_have_axes_of_length_1(tmp_path):
    layer = norm(3)
    layer["mean"] = array(np.float64([1, 2, 3]).reshape(1, 3, 1, 1))
    model = read(tmp_path, document([layer]))
    np.testing.assert_array_equal(model.parameters[0]["mean"], [1, 2, 3])


def test_a_disabled_normalisation_does_nothing_in_either_format(tmp_path):
    model = read(tmp_path, document([norm(3, enabled=False), plain("identity"), norm(3)]))
    assert model.layers == [BatchNormalisation(enabled=False), BatchNormalisation()]
    assert model.parameters[0] == {}
    model = modify_bn(Model.create("BN BNA RSN[4,3] R", (3, 4, 4), ["a"]), False, 0.7, 1e-4)
    save_model(model, tmp_path / "b.mdl.gz")
    same(load_model(tmp_path / "b.mdl.gz"), model)
    with gzip.open(tmp_path / "b.mdl.gz") as file:
        types = [layer["type"] for layer in json.load(file)["layers"]]
    assert types == ["identity", "activation", "resnet", "conv", "regression"]


def test_what_is_written_is_a_file_of_2017(tmp_path):
    text = "C[4,3,2] BN A P.A R.C"
    model = Model.create(text, (3, 9, 9), ["a", "b", "ç"], seed=3)
    model.parameters[1]["variance"][:] = [1e-3, 0.5, 2, 1e4]
    save_model(model, tmp_path / "a.mdl.gz")
    with gzip.open(tmp_path / "a.mdl.gz") as file:
        top = json.load(file)
    assert top["classifierType"] == "CNN"
    assert top["classLabels"] == {"a": 0, "b": 1, "ç": 2}
    assert (top["classNum"], top["dataShape"], top["version"]) == (3, [3, 9, 9], 3)
    first, normalise, activation, pool, last, regression = top["layers"]
    assert {key: first[key] for key in ("type", "shape", "stride", "border", "useBias")} == {
        "type": "conv",
        "shape": [4, 3, 3, 3],
        "stride": [2, 2],
        "border": "valid",
        "useBias": True,
    }
    np.testing.assert_array_equal(stored(first, "weight"), rotated(model.parameters[0]["weight"]))
    truth = 1 / np.sqrt(np.float64([1e-3, 0.5, 2, 1e4]) + 1e-5)
    np.testing.assert_allclose(stored(normalise, "std"), truth, rtol=1e-6)
    assert normalise["enabled"] is True
    assert activation == {"type": "activation", "layers": [], "activation": "relu"}
    assert (pool["mode"], pool["size"], pool["ignoreBorder"]) == ("average_inc_pad", [4, 4], True)
    assert last["useBias"] is False and last["bias"] is None and last["shape"] == [3, 4, 1, 1]
    assert regression["valid"] == [[0, 0, 0]]
    del top["denet"]  # what a program of 2017 keeps
    again = read(tmp_path, top)
    np.testing.assert_allclose(
        again.parameters[1]["variance"], model.parameters[1]["variance"], rtol=1e-4
    )
    assert again.layers[3] == Pooling(size=(4, 4), mean=True)
    assert again.layers[5] == Regression(centre=True)


GOOD = [conv(random(2, 3, 3, 3)), norm(2), conv(random(2, 2, 6, 6)), plain("regression", valid=[])]
OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([{"a": 1}], object), allow_pickle=True)
PICKLED = {
    "__class__": "numpy.ndarray",
    "__value__": base64.b64encode(OBJECTS.getvalue()).decode(),
}


def with_layer(number, **changes):
    layers = list(GOOD)
    layers[number - 1] = layers[number - 1] | changes
    return document(layers)


DAMAGED = {
    "no version": (document(GOOD, version=None), "version 0"),
    "future version": (document(GOOD, version=4), "version 4"),
    "image border": (document(GOOD, imageBorder=2), "imageBorder"),
    "no shape": (document(GOOD, dataShape=None), "no 'imageSize'"),
    "huge class number": (document(GOOD, classNum=10**9), "classNum"),
    "class id twice": (document(GOOD, classLabels={"a": 0, "b": 0}), "class id 0"),
    "class id below 0": (document(GOOD, classLabels={"a": 0, "b": -1}), "class id -1"),
    "class id is text": (document(GOOD, classLabels={"a": "0"}), "'a'"),
    "layers are text": (document("conv"), "'layers'"),
    "layer of unknown type": (
        document([*GOOD[:2], plain("denet-corners"), plain("denet-sparsely")]),
        r"layer 3 \(denet-corners\).*'denet-corners', 'denet-sparsely'",
    ),
    "no weight": (with_layer(1, weight=None), r"layer 1 \(conv\): no 'weight'"),
    "shape beside weight": (with_layer(1, shape=[2, 3, 1, 1]), r"layer 1 \(conv\): 'weight'"),
    "wrong input channels": (
        with_layer(1, weight=array(random(2, 4, 3, 3)), shape=None),
        r"'1.conv.weight' has shape \[2, 4, 3, 3\], the network needs \[2, 3, 3, 3\]",
    ),
    "weight of three axes": (with_layer(1, weight=array(random(2, 3, 3))), "weight"),
    "pickled weight": (with_layer(1, weight=PICKLED), r"layer 1 \(conv\), weight: .*floats"),
    "missing bias": (with_layer(1, useBias=True), "no 'bias'"),
    "bias of wrong length": (
        with_layer(1, useBias=True, bias=array(random(3))),
        "'1.conv.bias' has shape",
    ),
    "wrong border": (with_layer(1, border="halve"), "did you mean 'half'"),
    "border of two": (with_layer(1, border=[1, 2]), "border_mode"),
    "disabled in words": (with_layer(1, enabled="no"), r"layer 1 \(conv\): 'enabled'"),
    "stride is text": (with_layer(1, stride="2"), "'stride'"),
    "matrix in place of mean": (with_layer(2, mean=array(random(2, 2))), "'mean'"),
    "std of 0": (with_layer(2, std=array(np.zeros(2, "f4"))), "'std'"),
    "std is not a number": (with_layer(2, std=array(np.float32([1, np.nan]))), "'std'"),
    "eps of 0": (with_layer(2, eps=0), "eps"),
    "wrong class number": (
        document(GOOD, classNum=3),
        r"'3.class-conv.weight' has shape \[2, 2, 6, 6\], the network needs \[3, 2, 6, 6\]",
    ),
    "layer behind the last": (document([*GOOD, plain("split")]), "nothing may follow"),
    "other positions": (
        document([conv(random(2, 3, 3, 3)), plain("regression", valid=[[0, 2, 3]])]),
        r"layer 2 \(regression\): 'valid'",
    ),
    "no layers": (document([]), "no layers"),
    "pool mode": (document([plain("pool", mode="sum", size=2)]), "'sum'"),
    "uneven padding": (document([plain("pool", size=2, pad=[0, 1])]), "'pad'"),
    "dropout of 1": (document([plain("dropout", dropoutRate=1.0)]), "rate"),
    "block without convolutions": (
        document([plain("resnet", stride=1, bottleneck=0)]),
        "0 convolutions",
    ),
    "preprocessing": (document(GOOD, denet={"preprocessing": {"std": [0, 1, 1]}}), "std"),
    "our layers do not match": (document(GOOD, denet={"layers": [{}]}), "1 layers beside 4"),
    "our fields do not match": (
        document(GOOD[:1], denet={"layers": [{"fields": {"type": "conv", "colour": 2}}]}),
        "colour",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_content_that_does_not_fit_is_told(tmp_path, name):
    top, message = DAMAGED[name]
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, top)
    assert str(tmp_path / "a.mdl.gz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_good_one_reads(tmp_path):
    assert len(read(tmp_path, document(GOOD)).layers) == 4


@pytest.mark.parametrize("part", [0, 1, 2, 9, 11, 100, 0.5, -9, -1])
def test_a_cut_file_is_told(tmp_path, part):
    path = tmp_path / "a.mdl.gz"
    content = gzip.compress(json.dumps(document(GOOD)).encode())
    path.write_bytes(content[: int(part * len(content)) if 0 < part < 1 else part])
    with pytest.raises(DataError, match=str(path)):
        load_model(path)


@pytest.mark.parametrize("place", [0.3, 0.6, -6])
def test_a_flipped_byte_is_told(tmp_path, place):
    path = tmp_path / "a.mdl.gz"
    content = bytearray(gzip.compress(json.dumps(document(GOOD)).encode()))
    content[int(place * len(content)) if 0 < place < 1 else place] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        load_model(path)


def test_a_bomb_is_stopped_early(tmp_path, monkeypatch):
    monkeypatch.setattr(mdl_gz, "MAX_TEXT_BYTES", 10 << 20)
    path = tmp_path / "a.mdl.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    path.write_bytes(b"".join(packer.compress(block) for _ in range(64)) + packer.flush())
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="more than 10485760 bytes"):
        load_model(path)


def test_a_model_that_would_not_be_read_back_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(mdl_gz, "MAX_TEXT_BYTES", 100_000)
    with pytest.raises(DataError, match=r"too large for \.mdl\.gz; use \.mdl"):
        save_model(Model.create("C[99,20] R", (3, 20, 20), ["a"]), tmp_path / "a.mdl.gz")
    assert list(tmp_path.iterdir()) == []


def test_absurd_shapes_reserve_nothing(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000, 99, 99), }\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    weight = {"__class__": "numpy.ndarray", "__value__": base64.b64encode(content).decode()}
    with pytest.raises(DataError, match="64 bytes follow"):
        read(tmp_path, with_layer(1, weight=weight))


def test_groups_and_starts_of_biases_come_back(tmp_path, caplog):
    model = Model.create("C[4,3] C[6,3,1,2,0.5] R", (3, 8, 8), ["a"])
    assert model.parameters[1]["bias"].tolist() == [0.5] * 6
    path = tmp_path / "a.mdl.gz"
    save_model(model, path)
    warn_of_loss(model, path)
    assert "knows no groups of C, and cannot open the file" in caplog.messages[-1]
    again = load_model(path)
    assert again.layers == model.layers
    for one, other in zip(again.parameters, model.parameters, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in other)


def test_blocks_that_2017_did_not_have_come_back(tmp_path, caplog):
    model = Model.create("C[4] RSN.OZ[8,3,2] nRSN.OS[2,8,3,2,4] R", (3, 8, 8), ["a"])
    path = tmp_path / "a.mdl.gz"
    save_model(model, path)
    warn_of_loss(model, path)
    assert "knows no shortcut of zeros (RSN.Z), and cannot open the file" in caplog.messages[0]
    assert "has the stride of RSN.S in the first convolution" in caplog.messages[1]
    assert load_model(path).layers == model.layers


def test_layers_that_2017_did_not_have_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a.mdl.gz: the format of 2017 has no DL: use .mdl"):
        save_model(Model.create("nDL[2,4] TR R", (3, 8, 8), ["a"]), tmp_path / "a.mdl.gz")


def test_what_2017_does_not_do_with_samples(tmp_path, caplog):
    model = Model.create("DNC[4] DNS.P[2,6,0.01,0.1,1,1,2] DND", (3, 8, 8), ["a"])
    path = tmp_path / "a.mdl.gz"
    save_model(model, path)
    warn_of_loss(model, path)
    assert "does not know the prior boxes of DNS" in caplog.messages[0]
    assert "takes local_max and nms_threshold of DNS in training too" in caplog.messages[1]
    assert load_model(path).layers == model.layers  # our part of the file keeps them
