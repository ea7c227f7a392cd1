"""How large an array may be for oneDNN."""

from __future__ import annotations

import math

from denet.errors import DescriptionError
from denet.graph.graph import Node
from denet.memory import bytes_text

LARGEST = 1 << 31  # bytes in f32: from here on distances within an image overflow in 3.2


def check_sizes(node: Node) -> None:
    """Raise DescriptionError where an array is too large for oneDNN: an image's map, a parameter.

    It would crash. How many images a batch has does not matter.
    """
    for tensor in [*node.inputs, *node.outputs]:
        counted = tensor.shape if tensor.kind == "parameter" else tensor.shape[1:]
        nbytes = 4 * math.prod(counted)
        if nbytes >= LARGEST:
            what = "a parameter" if tensor.kind == "parameter" else "a map of one image"
            size = "x".join(map(str, counted))
            raise DescriptionError(
                f"{node.name}: {what}, {size} numbers, takes {bytes_text(nbytes)}, and oneDNN "
                f"works with less than {bytes_text(LARGEST)}: use smaller images or fewer "
                "channels, or --backend numpy"
            )
