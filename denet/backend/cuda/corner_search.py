"""From corners to samples: the search for boxes, their clusters, random boxes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from denet.backend.cuda.request import THREADS, Request, Unserved, blocks
from denet.detect.corner import probability
from denet.detect.prior import JITTER, prior_boxes
from denet.detect.sample import CLUSTERED
from denet.graph.kernel import Call, Kernel
from denet.graph.op.corner_search import CornerSearch

WIDE = 1024  # threads of a block that searches
MOST_CELLS = 1 << 16  # two cells make a number of 32 bits
MOST_CHOSEN_FROM = 10000  # in training: beyond it NumPy chooses by another algorithm
ALIGNMENT = 64


class CornerSearchKernel(Kernel):
    """Corners are sorted, pairs of them selected by radix, boxes sorted and thinned out: all counts
    stay on the device."""

    name = "cuda corner search"

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, CornerSearch)
        self._request, self._op = request, op
        self._n, self._height, self._width, self._types = request.type().shape
        self._prior = _on_device(request, prior_boxes(op.prior_levels))
        self._places = op.sample_num**2 - len(self._prior)
        cells = self._height * self._width
        if cells > MOST_CELLS:
            raise Unserved(f"a map of more than {MOST_CELLS} cells")
        if request.training and self._places > MOST_CHOSEN_FROM:
            raise Unserved(f"a random choice of more than {MOST_CHOSEN_FROM} boxes")
        self._distinct = not (request.training and op.distinct_in_prediction)
        self._clustered = self._distinct and op.nms_threshold < 1
        self._most = self._places * (CLUSTERED if self._clustered else 1)  # boxes looked at
        self._kinds = 6 if self._types > 4 else 2  # of pairs of corners
        boxes = self._n * self._most
        self._arrays = {
            "corners": (np.uint64, self._n * self._types * cells),
            "corner_count": (np.int32, self._n * self._types),
            "ranks": (np.uint64, boxes * self._kinds),
            "rank_count": (np.int32, self._n),
            "boxes": (np.uint64, boxes),
            "found": (np.int32, self._n),
        }
        if self._clustered:
            self._arrays |= dict.fromkeys(("parent", "first", "last"), (np.int32, boxes))
        self.forward_scratch = sum(_room(*array) for array in self._arrays.values())

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        assert scratch is not None
        array = self._carve(scratch)
        steps = self._search(inputs[0], array)
        if self._clustered:
            steps += self._thin(array)
        steps.append(self._fill(array, outputs))

        def call() -> None:
            for step in steps:
                step()

        return call

    def _carve(self, scratch: np.ndarray) -> dict[str, Any]:
        arrays, start = {}, 0
        for name, (dtype, count) in self._arrays.items():
            nbytes = np.dtype(dtype).itemsize * count
            arrays[name] = scratch[start : start + nbytes].view(dtype)
            start += _room(dtype, count)
        return arrays

    def _search(self, logits: Any, array: dict[str, Any]) -> list[Call]:
        file, op, n, most = "corner_search.cu", self._op, self._n, self._most
        shape = self._height, self._width, self._types
        local_max = op.local_max if self._distinct else 0
        least = np.float32(least_log_odds(op.corner_threshold))
        corners = logits, array["corners"], array["corner_count"]
        ranks, count = array["ranks"], array["rank_count"]
        best = array["boxes"], array["found"], array.get("parent")
        limits = local_max, op.corner_max
        return [
            self._launch(
                file, "find_corners", (self._types, n, 1), *corners, count, least, *shape, *limits
            ),
            self._launch(
                file, "find_pairs", (self._kinds, n, 1), *corners, ranks, count, *shape, most
            ),
            self._launch(
                file, "take_best", (n, 1, 1), logits, ranks, count, *best, *shape, self._kinds, most
            ),
        ]

    def _thin(self, array: dict[str, Any]) -> list[Call]:
        file, n, most = "corner_cluster.cu", self._n, self._most
        tiles, threshold = blocks(most, WIDE), np.float32(self._op.nms_threshold)
        boxes = array["boxes"], array["found"], array["parent"]
        room = array["ranks"], array["first"], array["last"]
        sizes = self._kinds, most, self._places
        return [
            self._launch(file, "link", (tiles, tiles, n), *boxes, most, threshold),
            self._launch(file, "thin", (n, 1, 1), *boxes, *room, *sizes),
        ]

    def _fill(self, array: dict[str, Any], outputs: list[Any]) -> Call:
        op = self._op
        keys = self._request.run.sample_keys if self._request.training else None
        kept = self._places - int(op.random_sample * self._places)
        return self._launch(
            "corner_sample.cu",
            "fill",
            (self._n, 1, 1),
            *(self._prior, array["boxes"], array["found"]),
            *(keys, np.uint64(op.salt), *outputs, len(self._prior), self._places, self._most),
            *(kept, self._height, self._width, np.float64(JITTER)),
            threads=THREADS,
            MOST_CHOSEN_FROM=MOST_CHOSEN_FROM,
        )

    def _launch(
        self,
        file: str,
        name: str,
        grid: tuple[int, int, int],
        *arguments: Any,
        threads: int = WIDE,
        **defines: int,
    ) -> Call:
        typed = [np.int32(each) if isinstance(each, int) else each for each in arguments]
        return self._request.launch(
            file, name, grid, typed, threads=threads, real="float", **defines
        )


@cache
def least_log_odds(threshold: float) -> float:
    """Return the least float32 log odds whose probability is above ``threshold``; NaN for none.

    It is found by the reference's own formula, so that the device counts the same corners. (For
    thresholds of 0.49 to 0.51 the last bits of that formula waver within 1e-6 of the result.)
    """
    low, high = -0x7F800000, 0x7F800000  # -inf and inf, as steps from 0
    if not _is_corner(high, threshold):
        return float("nan")
    while low + 1 < high:
        middle = (low + high) // 2
        if _is_corner(middle, threshold):
            high = middle
        else:
            low = middle
    return float(_float_at(high))


def _is_corner(steps: int, threshold: float) -> bool:
    return bool(probability(np.array([_float_at(steps)]))[0] > threshold)


def _float_at(steps: int) -> np.float32:
    """Return the float32 number that lies so many numbers above 0."""
    size = np.array(abs(steps), np.uint32).view(np.float32)[()]
    return np.float32(-size if steps < 0 else size)


def _on_device(request: Request, host: np.ndarray) -> Any:
    memory = request.device.allocate(host.nbytes).view(host.dtype).reshape(host.shape)
    request.device.write(host, memory)
    return memory


def _room(dtype: type, count: int) -> int:
    nbytes = np.dtype(dtype).itemsize * count
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
