"""Models for the tests of formats and surgery."""

import numpy as np

from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

EVERY_LAYER = (
    "B[1] C.X[4,3,5,1,2] BN[0.8,0.001] A P[2] BNA SKIPSRC.X D[0.2] RSN.O[6,3,2] RSN[6,3] PI "
    "SKIP SPLIT C.B[4,1] RSN.O[8,3,2,4] RSN[8,3,2,3] DC[5,3,2] CM[10,0.5] P.AB[3,2,1] R.BC[1]"
)
DETECTOR = (
    "C.B[6,3,2] BNA DNC.C[5,100,0.1] DNS.G[2,4,0.02,0.2,1,0.7] C.B[7] BNA "
    "DND.BX[0.6,0.4,1,0.125,0.1]"
)

SINCE_2017 = "C[6,3,1,3,0.5] LRN[3,1,0.001,0.5,2] nDL[2,4,2,0.1] TR[0.5,0.1] F.B[5] R"


def every_layer_model(text: str = EVERY_LAYER) -> Model:
    """Return a model of many layer types, every array different from its start.

    EVERY_LAYER has all types but those of a detector, which DETECTOR has, and those that the
    format of 2017 does not know, which SINCE_2017 has.
    """
    model = Model.create(
        text,
        (3, 54, 94),
        ["b", "ä", "a"],
        LayerOptions("elu", "half", ["he-backward", "uniform,0.05"]),
        preprocessing=Preprocessing((0.1, 0.2, 0.3), (1 / 3, 0.4, 0.5)),
    )
    rng = np.random.default_rng(5)
    for arrays in model.parameters:
        for name, old in arrays.items():
            arrays[name] = rng.uniform(1e-3, 2, old.shape).astype(np.float32)
    model.summary = {"epoch": 7, "error": 0.1, "labels": ["x"]}
    return model


def same(one: Model, other: Model) -> None:
    """Assert that two models are equal to the last bit."""
    assert one.layers == other.layers
    assert one.input_shape == other.input_shape
    assert one.class_labels == other.class_labels
    assert one.preprocessing == other.preprocessing
    assert one.summary == other.summary
    ours, theirs = one.values(), other.values()
    assert list(ours) == list(theirs)
    for name, value in ours.items():
        assert value.dtype == np.float32
        assert value.shape == theirs[name].shape
        assert value.tobytes() == theirs[name].tobytes(), name
