"""Images of any size: their plans, which share parameters and memory, and their mean image."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from denet.dataset.loader import Normalise
from denet.evaluate.plan_set import PlanSet
from denet.graph.plan import Plan
from denet.memory import room
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

_KEPT = 64  # plans, if they were for images of the first size
_MEND = "scale images to a smaller size with crop=N of --extension, or take --views ccv30"


class SizePlans:
    """Plans for batches of images of any size, made when they are first asked for.

    They share the parameters of ``plans``, and the memory of the largest so far. ``at`` returns
    the model for a (width, height).
    """

    def __init__(self, plans: PlanSet, at: Callable[[int, int], Model]):
        self._plans, self._at = plans, at
        self._largest = plans.full
        self._most = _KEPT * plans.full.inputs["data"].size
        self._kept: dict[tuple[int, int, int], Plan] = {}

    def __getitem__(self, shape: tuple[int, int, int]) -> Plan:
        """Return the plan for a batch (n, h, w); OutOfMemoryError where it does not fit."""
        plan = self._kept.pop(shape, None) or self._prepared(*shape)
        self._kept[shape] = plan
        while len(self._kept) > 1 and self._kept_size() > self._most:
            del self._kept[next(iter(self._kept))]  # asked for the longest ago
        return plan

    def _kept_size(self) -> int:
        return sum(plan.inputs["data"].size for plan in self._kept.values())

    def _prepared(self, n: int, height: int, width: int) -> Plan:
        graph = self._at(width, height).graph(n)
        what = f"{width}x{height} pixels"
        given = (*graph.inputs.values(), *graph.outputs.values())
        with room(4 * sum(tensor.type.size for tensor in given), what, _MEND):
            plan = self._plans.make(graph, self._largest)
        if plan.arena_bytes <= self._largest.arena_bytes:
            plan.prepare()
            return plan
        self._kept.clear()  # and with them the memory they share
        with room(plan.arena_bytes + plan.working_bytes, what, _MEND):
            plan.prepare()
        self._largest = plan
        return plan


class NormaliseAnySize:
    """Normalise for images of any size: the mean image is stretched over all of each (ccv)."""

    def __init__(self, preprocessing: Preprocessing):
        self._preprocessing = preprocessing
        self._of = lru_cache(4)(self._make)

    def __call__(self, images: np.ndarray, shifts: np.ndarray | None = None) -> np.ndarray:
        return self._of(*images.shape[1:])(images, shifts)

    def _make(self, height: int, width: int, channels: int) -> Normalise:
        stretched = self._preprocessing.stretched(width, height)
        return Normalise((channels, height, width), stretched)
