"""From corners to samples: the search for boxes, their clusters, random boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.request import Request, Unserved
from denet.graph.kernel import Call, Kernel, in_order
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
        self._prior = _on_device(request, op.prior)
        self._places = op.places
        cells = self._height * self._width
        if cells > MOST_CELLS:
            raise Unserved(f"a map of more than {MOST_CELLS} cells")
        if request.training and self._places > MOST_CHOSEN_FROM:
            raise Unserved(f"a random choice of more than {MOST_CHOSEN_FROM} boxes")
        self._local_max, self._nms_threshold = op.distinct(request.training)
        self._clustered = self._nms_threshold < 1
        self._most = op.looked_at(request.training)
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
        return in_order(steps)

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
        least = np.float32(op.least_log_odds)
        corners = logits, array["corners"], array["corner_count"]
        ranks, count = array["ranks"], array["rank_count"]
        best = array["boxes"], array["found"], array.get("parent")
        limits = self._local_max, op.corner_max
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
        tiles, threshold = blocks(most, WIDE), np.float32(self._nms_threshold)
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
            *(kept, self._height, self._width, np.float64(op.jitter)),
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


def _on_device(request: Request, host: np.ndarray) -> Any:
    memory = request.device.allocate(host.nbytes).view(host.dtype).reshape(host.shape)
    request.device.write(host, memory)
    return memory


def _room(dtype: type, count: int) -> int:
    nbytes = np.dtype(dtype).itemsize * count
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
