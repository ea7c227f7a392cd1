"""The cost of moving a sampled box onto the object that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.detect.box import centre, decode_centre, encode
from denet.detect.target import box_target
from denet.graph.op.base import Arrays, GradientSaving, Run, Types
from denet.graph.op.truth import check_detection
from denet.graph.tensor_type import TensorType

EPS = 1e-3  # of the bounded IoU, as part of the image


@dataclass(frozen=True)
class BoxRegression(GradientSaving):
    """cost = factor / (n S^2) * sum over the samples with an object of four smooth L1(e).

    Inputs: regression (n, S, S, 4) float32 (dx, dy, dw, dh), sample (n, S S, 4), box (n, M, 4),
    box class (n, M) int32, -1 for no box. A sample has an object if some IoU is above
    ``overlap``; t is the object of the largest. smooth L1(e) = e^2 / 2 below 1, else |e| - 1/2;
    its derivative is e clipped to -1 and 1.

    Standard: e = regression - encode(t, sample) (Girshick 2015, arXiv 1504.08083).

    ``bounded`` (Tychsen-Smith and Petersson 2018, arXiv 1711.00164): e = 1 - the largest IoU with
    t that is possible with this x, y, w or h. With the regressed box p, eps = 0.001 and
    dx = tx - px: e_x = 2 |dx| / (tw + |dx| + eps), e_w = 1 - min(tw / (pw + eps),
    pw / (tw + eps)), y and h alike. The paper has 4 |dx| / (tw + 2 |dx|) for e_x; a box moved by
    dx shares tw - |dx| of tw + |dx| with its object, so that the form of the code of 2017, used
    here, is the tight one.

    The factor counts once (in 2017 twice, as its square).
    """

    factor: float
    overlap: float
    bounded: bool

    def infer(self, *inputs: TensorType) -> Types:
        check_detection(*inputs)
        assert inputs[0].shape[3] == 4, inputs
        return super().infer(*inputs)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        regression, samples, boxes, classes = inputs
        scale = self.factor / regression[..., 0].size
        errors = bounded_errors if self.bounded else standard_errors
        gradient = np.zeros(samples.shape, regression.dtype)
        cost = 0.0
        for r, g, sample, box, box_class in zip(
            regression.reshape(samples.shape), gradient, samples, boxes, classes, strict=True
        ):
            row, target = box_target(sample, box, box_class, self.overlap)
            e, slope = errors(r[row], target, sample[row])
            clipped = np.clip(e, -1, 1)
            cost += (clipped * (e - clipped / 2)).sum(dtype=np.float64)
            g[row] = clipped * slope * scale
        total = np.asarray(cost * scale, regression.dtype)
        return (total,), (gradient.reshape(regression.shape),)


Errors = tuple[np.ndarray, np.ndarray]  # e (k, 4), and its derivative by the regression


def standard_errors(regression: np.ndarray, target: np.ndarray, sample: np.ndarray) -> Errors:
    """Return the errors of regressions (k, 4) from samples to targets (k, 4)."""
    e = regression - encode(target, sample)
    return e, np.ones_like(e)


def bounded_errors(regression: np.ndarray, target: np.ndarray, sample: np.ndarray) -> Errors:
    """Return 1 - the bound of the IoU by each of x, y, w, h."""
    p, t, s = decode_centre(regression, sample), centre(target), centre(sample)
    pw, tw = p[:, 2:], t[:, 2:]
    shift = p[:, :2] - t[:, :2]
    reach = tw + np.abs(shift) + EPS
    e_shift = 2 * np.abs(shift) / reach
    shift_slope = 2 * np.sign(shift) * s[:, 2:] * (tw + EPS) / reach / reach
    larger = pw > tw
    e_side = 1 - np.where(larger, tw / (pw + EPS), pw / (tw + EPS))
    side_slope = np.where(larger, tw * pw / (pw + EPS) ** 2, -pw / (tw + EPS))
    return np.hstack([e_shift, e_side]), np.hstack([shift_slope, side_slope])
