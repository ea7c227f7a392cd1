"""The layer table against a published network."""

import pytest

from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.report.layers import layer_rows, layers_report

RESNET_34 = (
    "C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] "
    "nRSN.O[3,512,3,2] P.A[7] R.B"
)


def test_resnet_34_has_its_published_size() -> None:
    """21,797,672 parameters and 3.66 G multiply-adds: the table of torchvision's models."""
    labels = [str(number) for number in range(1000)]
    model = Model.create(RESNET_34, (3, 224, 224), labels, LayerOptions(border_mode="half"))
    rows = layer_rows(model, batch_size=2)
    assert sum(row.parameters for row in rows) == 21_797_672
    assert sum(row.flops for row in rows) / 2 == pytest.approx(3.66e9, rel=5e-3)
    shapes = [row.shape for row in rows]
    assert shapes[0] == (64, 112, 112) and shapes[3] == (64, 56, 56)
    assert shapes[-3:] == [(512, 1, 1), (1000, 1, 1), (1000, 1, 1)]
    assert rows[0].activation_bytes == 2 * 64 * 112 * 112 * 4
    text = layers_report(model, 2)
    assert len(text.splitlines()) == len(rows) + 3 and "21,797,672" in text.splitlines()[-1]


def test_layer_without_ops_keeps_the_shape() -> None:
    model = Model.create("C[4,3] SPLIT P.A R", (3, 9, 7), ["a", "b"])
    split = layer_rows(model, 1)[1]
    assert (split.type_name, split.shape, split.parameters) == ("split", (4, 7, 5), 0)
    assert split.flops == split.activation_bytes == 0


def test_layers_of_a_detector_tell_corners_boxes_and_classes() -> None:
    text = "C[4,3] DNC.C[8] DNS[2,5] DND.J[0.5,1,1]"
    model = Model.create(text, (3, 18, 14), ["a", "b", "c"], LayerOptions(border_mode="half"))
    assert [row.output for row in layer_rows(model, 2)] == [
        "4x18x14",
        "8x18x14, 5 corners",
        "34x5x5, 25 boxes",  # 8 features at 2x2 points of a box, its height and width
        "25 boxes x 3 classes, fitness",
    ]
    plain = Model.create("DNC DNS DND[0.5,1,0,0.1]", (3, 8, 8), ["a"])
    assert layer_rows(plain, 1)[0].output == "512x8x8, 4 corners"
    assert layer_rows(plain, 1)[2].output == "16 boxes x 1 class, fitness"


def test_a_token_of_several_layers_stands_once() -> None:
    model = Model.create("nRSN.O[3,4,3,2] RSN.O[5,3] P.A R.B", (3, 8, 8), ["a", "b"])
    texts = [row.text for row in layer_rows(model, 1)]
    assert texts == ["nRSN.O[3,4,3,2]", '"', '"', "RSN.O[5,3]", "P.A", "R.B", '"']
