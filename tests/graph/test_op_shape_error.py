"""Sizes that cannot be built are told in one line with the shapes in it."""

import pytest

from denet.errors import DescriptionError
from denet.graph.op.add import Add
from denet.graph.op.concat import Concat
from denet.graph.op.conv import Conv
from denet.graph.op.crop import Crop
from denet.graph.op.crop_mirror import CropMirror
from denet.graph.op.deconv import Deconv
from denet.graph.op.pool import Pool
from denet.graph.tensor_type import TensorType

SMALL = (8, 3, 3, 16)
FIVE = (4, 16, 5, 5)


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (
            Conv(),
            [SMALL, FIVE],
            r"Conv: a 5x5 window does not fit into the padded 3x3 map \(x \(8, 3, 3, 16\)\)",
        ),
        (Conv(padding=((1, 0), (1, 1))), [SMALL, FIVE], "a 5x5 window .* padded 4x5 map"),
        (Deconv(padding=((3, 3), (0, 0))), [SMALL, (4, 16, 2, 2)], "Deconv: .* 2x2 window"),
        (Pool("max", (4, 2), (1, 1)), [SMALL], "Pool: a 4x2 window does not fit .* 3x3 map"),
        (Pool("max", (2, 2), (1, 1), 2), [SMALL], "nothing but padding .*padding 2"),
        (Pool("max", (2, 2), (1, 1), 1, True), [SMALL], "nothing but padding"),
        (Crop(0, 1, 3, 3), [SMALL], r"Crop: a 3x3 crop at \(0, 1\) reaches beyond the 3x3 map"),
        (CropMirror(4, 2, 0, 0, 0), [SMALL], "CropMirror: a 4x2 crop .* beyond the 3x3 map"),
        (Add(), [SMALL, (8, 3, 2, 16)], r"Add: .* \(8, 3, 3, 16\) and \(8, 3, 2, 16\)"),
        (Concat(), [SMALL, (8, 4, 3, 1)], r"Concat: .* \(8, 3, 3, 16\), \(8, 4, 3, 1\)"),
    ],
    ids=lambda value: str(value) if hasattr(value, "infer") else "",
)
def test_message(op, shapes, message):
    with pytest.raises(DescriptionError, match=message) as caught:
        op.infer(*(TensorType(s, "real" if i == 0 else _dtype(op)) for i, s in enumerate(shapes)))
    assert "\n" not in str(caught.value)


def _dtype(op):
    return "float32" if isinstance(op, Conv | Deconv) else "real"
