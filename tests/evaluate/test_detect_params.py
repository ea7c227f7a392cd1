"""The params of detection reach a model of the detector's own."""

import numpy as np
import pytest

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import DescriptionError, UsageError
from denet.evaluate.detect_params import DetectParams, with_corner_search
from denet.evaluate.detector import Detector
from denet.layer.denet_sparse import DenetSparse
from denet.layer.options import LayerOptions
from denet.model.model import Model

TEXT = "C[4,3] A DNC[5] DNS[2,3,0.02] DND[0.5,1,1]"


def model(text: str = TEXT) -> Model:
    return Model.create(text, (3, 8, 8), ["a", "b"], LayerOptions(border_mode="half"))


def search(model: Model) -> DenetSparse:
    (layer,) = (layer for layer in model.layers if isinstance(layer, DenetSparse))
    return layer


def test_the_model_of_the_caller_stays_as_it_is() -> None:
    own = model()
    params = DetectParams(corner_threshold=0.25, corner_max=3)
    detector = Detector(own, 1, NumpyBackend(), params=params)
    assert (search(own).corner_threshold, search(own).corner_max) == (0.02, 1024)
    found = search(detector.model)
    assert (found.corner_threshold, found.corner_max, found.sample_num) == (0.25, 3, 3)
    for name, value in own.values().items():
        np.testing.assert_array_equal(detector.model.values()[name], value)


def test_what_is_not_told_stays() -> None:
    changed = search(with_corner_search(model(), DetectParams(corner_max=3)))
    assert (changed.corner_threshold, changed.corner_max) == (0.02, 3)
    assert search(with_corner_search(model(), DetectParams())) == search(model())


@pytest.mark.parametrize("params", [{"corner_threshold": 1.5}, {"corner_max": 0}])
def test_values_are_checked_as_those_of_the_layer(params: dict[str, float]) -> None:
    with pytest.raises(DescriptionError, match=f"denet-sparse: {next(iter(params))} "):
        with_corner_search(model(), DetectParams(**params))  # type: ignore[arg-type]


def test_a_model_without_a_search_is_told() -> None:
    with pytest.raises(UsageError, match="searches no corners"):
        with_corner_search(model("C[4,3] R"), DetectParams(corner_max=3))
