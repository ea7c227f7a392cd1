"""The two maps that meet in a (transposed) convolution, as kernels/conv.cuh names them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from denet.backend.cuda.request import Unserved
from denet.backend.cuda.tuning import MOST_LAYERS
from denet.backend.cuda.weight import filled
from denet.graph.graph import Node
from denet.graph.op.deconv import Deconv

LARGEST = (1 << 31) - (1 << 16)  # what the kernels count in an int, a tile beyond the end included


@dataclass(frozen=True)
class Geometry:
    """Windows slide over the large map; each is one pixel of the small one. In this order for C.

    A convolution takes the large map to the small one, a transposed one the small to the large.
    Channels are those of one group.
    """

    images: int
    large_height: int
    large_width: int
    large_channels: int
    small_height: int
    small_width: int
    small_channels: int
    window_height: int
    window_width: int
    stride_height: int
    stride_width: int
    padding_top: int
    padding_left: int
    groups: int

    @classmethod
    def of(cls, node: Node) -> Geometry:
        """Return the geometry of a node. Raises Unserved where an int cannot count its pixels."""
        op: Any = node.op
        maps = [node.inputs[0].shape, node.outputs[0].shape]
        large, small = maps[::-1] if isinstance(op, Deconv) else maps
        groups = getattr(op, "groups", 1)
        (n, height, width, channels), (_, rows, columns, filters) = large, small
        (top, _), (left, _) = op.padding
        sizes = [n, height, width, channels // groups, rows, columns, filters // groups]
        window = [*node.inputs[1].shape[2:], *op.stride, top, left]
        geometry = cls(*[*sizes, *window, groups])
        pixels = max(math.prod(each[:3]) for each in maps)
        lines = geometry.weights // geometry.large_channels
        if max(pixels, lines * filled(geometry.large_channels)) > LARGEST:
            raise Unserved("more than 2^31 pixels or weights")
        if geometry.target(True)[0] * groups > MOST_LAYERS:
            raise Unserved("more phases and groups than a grid has layers")
        return geometry

    @property
    def arguments(self) -> list[np.int32]:
        """The parameters of a kernel that GEOMETRY_PARAMETERS declares."""
        return [np.int32(getattr(self, field.name)) for field in fields(self)]

    @property
    def text(self) -> str:
        """All of it, to read: images, the large map, the small one, how windows slide."""
        large = f"{self.large_height}x{self.large_width}x{self.large_channels}"
        small = f"{self.small_height}x{self.small_width}x{self.small_channels}"
        window = f"{self.window_height}x{self.window_width}"
        stride = f"{self.stride_height}x{self.stride_width}"
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        place = f"{self.padding_top},{self.padding_left}"
        return (
            f"{self.images} of {large} and {small}{groups}, window {window} by {stride} "
            f"from {place}"
        )

    @property
    def window(self) -> int:
        """Cells of the window."""
        return self.window_height * self.window_width

    @property
    def weights(self) -> int:
        """Elements of the weights."""
        return self.groups * self.small_channels * self.window * self.large_channels

    @property
    def large_pixels(self) -> int:
        """Pixels of the large map in all images."""
        return self.images * self.large_height * self.large_width

    @property
    def small_pixels(self) -> int:
        """Pixels of the small map in all images."""
        return self.images * self.small_height * self.small_width

    def target(self, adjoint: bool) -> tuple[int, int, int]:
        """Return what a gathering product computes: phases, pixels of the largest, channels."""
        phases, rows, columns = self.cells(adjoint)
        return phases, self.images * rows * columns, self.target_channels(adjoint)

    def cells(self, adjoint: bool) -> tuple[int, int, int]:
        """Return phases that a gathering product computes, rows and columns of the largest."""
        if not adjoint:
            return 1, self.small_height, self.small_width
        rows = -(-self.large_height // self.stride_height)
        columns = -(-self.large_width // self.stride_width)
        return self.stride_height * self.stride_width, rows, columns

    def elements(self, adjoint: bool) -> int:
        """Return how many elements the map has that a gathering product computes."""
        pixels = self.large_pixels if adjoint else self.small_pixels
        return pixels * self.target_channels(adjoint) * self.groups

    def target_channels(self, adjoint: bool) -> int:
        """Return the channels that a gathering product computes."""
        return self.large_channels if adjoint else self.small_channels

    def source_channels(self, adjoint: bool) -> int:
        """Return the channels that a gathering product reads."""
        return self.small_channels if adjoint else self.large_channels

    def taps(self, adjoint: bool) -> int:
        """Return how many cells of the window reach a result, in its largest phase."""
        if not adjoint:
            return self.window
        rows = -(-self.window_height // self.stride_height)
        return rows * -(-self.window_width // self.stride_width)
