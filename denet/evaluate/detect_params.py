"""The parameters of detection, as ``--params`` of model-predict names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from denet.detect.nms import active
from denet.errors import UsageError, nearest_hint
from denet.kind import Flag, Integer, Kind, Real
from denet.layer.denet_sparse import DenetSparse
from denet.model.model import Model


@dataclass(frozen=True)
class DetectParams:
    """What ``--params`` of model-predict sets."""

    pr_threshold: float = 0.01  # least probability of a class to be told
    nms_threshold: float = 0.5  # IoU above which the lower score goes; off unless 0 < it < 1
    use_soft_nms: bool = False  # lower such scores instead, see ``soft_nms``
    corner_threshold: float | None = None  # of the corner search; None: as the model has it
    corner_max: int | None = None  # corners of a type that are combined; None: likewise
    match_iou: float = 0.5  # IoU from which a detection counts as right in the evaluation

    def named(self) -> dict[str, Any]:
        """Return the values by the names of PARAMS, None left out."""
        values = {name: getattr(self, key) for name, (key, _) in PARAMS.items()}
        return {name: value for name, value in values.items() if value is not None}


PARAMS: dict[str, tuple[str, Kind]] = {
    "prThreshold": ("pr_threshold", Real(0, 1)),
    "nmsThreshold": ("nms_threshold", Real(-1e9, 1e9)),
    "useSoftNMS": ("use_soft_nms", Flag()),
    "cornerThreshold": ("corner_threshold", Real(0, 1)),
    "cornerMax": ("corner_max", Integer(1, 65536)),
    "matchIOU": ("match_iou", Real(0, 1, above=True)),
}
assert [key for key, _ in PARAMS.values()] == [each.name for each in fields(DetectParams)]


def parse_params(words: Iterable[str]) -> DetectParams:
    """Read ``name=value`` words, several of them in one where commas part them.

    Raises UsageError for an unknown name, a value that it cannot have, and one without effect.
    """
    values = {}
    for word in ",".join(words).split(","):
        name, sign, text = word.strip().partition("=")
        if not name and not sign:
            continue
        if name not in PARAMS:
            known = ", ".join(PARAMS)
            raise UsageError(
                f"--params: unknown name {name!r}{nearest_hint(name, list(PARAMS))}: give {known}"
            )
        key, kind = PARAMS[name]
        try:
            values[key] = kind.read(text)
        except ValueError as error:
            raise UsageError(f"--params: {name}={text}: {error}") from None
    params = replace(DetectParams(), **values)
    if params.use_soft_nms and not active(params.nms_threshold):
        raise UsageError(
            f"--params: useSoftNMS: nmsThreshold={params.nms_threshold:g} switches it off: leave "
            "one of them out"
        )
    return params


def with_corner_search(model: Model, params: DetectParams) -> Model:
    """Return the model with layers that search corners as the params say, of the same weights.

    Raises UsageError where it searches none. (DeNet of 2017 ignored these two.)
    """
    told = {"corner_threshold": params.corner_threshold, "corner_max": params.corner_max}
    wanted: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    if wanted and not any(isinstance(layer, DenetSparse) for layer in model.layers):
        raise UsageError(
            "--params: cornerThreshold, cornerMax: the model searches no corners: leave them out"
        )
    layers = [
        replace(layer, **wanted) if isinstance(layer, DenetSparse) else layer
        for layer in model.layers
    ]
    return replace(model, layers=layers)
