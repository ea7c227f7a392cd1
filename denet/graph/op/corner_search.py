"""From the map of corners to the sampled boxes of each image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from denet.detect.corner import least_log_odds
from denet.detect.prior import JITTER, jittered, prior_boxes
from denet.detect.sample import find_samples, looked_at, with_random
from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class CornerSearch(Op):
    """Input: corner logits h (n, height, width, k) float32, k = 4 or 5, P(corner) = sigmoid(-2h).

    Outputs: sample (n, N, 4) float32, N = ``sample_num`` squared, and count (n,) int32. The K
    ``prior_boxes`` of ``prior_levels`` come first. Prediction takes the N - K best boxes that
    corners span, from the best down; where there are fewer, only the first ``count`` places of an
    image are boxes, and the others hold 0. Training moves the prior boxes a little, takes a random
    share of the others and fills up with random boxes, functions of the sample's key and ``salt``:
    count is N. With ``distinct_in_prediction`` it leaves ``local_max`` and ``nms_threshold`` out:
    boxes beside the best are examples too. No gradient: the boxes are constants.
    """

    sample_num: int
    corner_threshold: float = 0.01
    local_max: int = 0
    nms_threshold: float = 1.0
    random_sample: float = 0.0
    salt: int = 0
    prior_levels: int = 0
    distinct_in_prediction: bool = False
    corner_max: int = field(kw_only=True)

    gradient_inputs = ()
    jitter: ClassVar[float] = JITTER

    @property
    def prior(self) -> np.ndarray:
        """The prior boxes (K, 4) float32."""
        return prior_boxes(self.prior_levels)

    @property
    def places(self) -> int:
        """How many samples are no prior boxes."""
        return self.sample_num**2 - len(self.prior)

    @property
    def least_log_odds(self) -> float:
        """The least log odds of a corner in float32."""
        return least_log_odds(self.corner_threshold)

    def distinct(self, training: bool) -> tuple[int, float]:
        """Return the local_max and the nms_threshold that hold."""
        if training and self.distinct_in_prediction:
            return 0, 1.0
        return self.local_max, self.nms_threshold

    def looked_at(self, training: bool) -> int:
        """Return how many boxes the search looks at."""
        return looked_at(self.places, self.distinct(training)[1])

    def infer(self, *inputs: TensorType) -> Types:
        n, _, _, corner_num = image(inputs[0])
        assert corner_num in (4, 5) and inputs[0].dtype == "float32", inputs
        sample = TensorType((n, self.sample_num**2, 4), "float32")
        return sample, TensorType((n,), "int32")

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        log_odds = -2 * inputs[0]
        prior, places, distinct = self.prior, self.places, self.distinct(run.training)
        sample = np.zeros((len(log_odds), self.sample_num**2, 4), log_odds.dtype)
        count = np.zeros(len(log_odds), np.int32)
        generators = run.generators(self.salt) if run.training else []
        for index, each in enumerate(log_odds):
            boxes = prior
            found = find_samples(
                each, places, self.corner_threshold, *distinct, corner_max=self.corner_max
            )
            if run.training:
                boxes = jittered(prior, generators[index])
                found = with_random(found, places, self.random_sample, generators[index])
            boxes = np.concatenate([boxes, found])
            sample[index, : len(boxes)] = boxes
            count[index] = len(boxes)
        return (sample, count), ()
