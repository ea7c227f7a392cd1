"""Convolutions beyond the case table, at whose sizes fast kernels change their ways."""

from graph.cases import Case

from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
from denet.graph.tensor_type import TensorType

ONE, TWO, THREE = ((1, 1), (1, 1)), ((2, 2), (2, 2)), ((3, 3), (3, 3))


def convolution(x, filters, size, stride=1, padding=((0, 0), (0, 0)), op=Conv, bias=True):
    """Return a row; ``stride`` is a pair or one number for both directions."""
    n, h, w, c = x
    types = TensorType(x), TensorType((filters, c, *size), "float32")
    types += (TensorType((filters,), "float32"),) * bias
    strides = (stride, stride) if isinstance(stride, int) else stride
    name = f"{op.__name__} {x} to {filters} by {size} / {stride} with {padding}"
    return Case(name, op(strides, padding, bias), types)


# channels that fill no register, and the sizes at which oneDNN changes its implementation
WIDE = [
    *[convolution((2, 6, 7, c), o, (3, 3), 1, ONE) for c in (3, 5, 17, 48) for o in (3, 17, 64)],
    *[convolution((1, 9, 8, 17), 33, (k, k), s) for k in (1, 2, 5) for s in (1, 2)],
    convolution((3, 32, 32, 3), 64, (7, 7), 2, THREE, bias=False),
    convolution((2, 16, 16, 64), 128, (3, 3), 2, ONE, bias=False),
    convolution((2, 16, 16, 64), 128, (1, 1), 2, bias=False),
    convolution((4, 4, 4, 256), 256, (3, 3), 1, ONE, bias=False),
    convolution((5, 1, 1, 512), 1000, (1, 1)),
    convolution((2, 8, 8, 19), 24, (4, 4), 2, ((1, 2), (0, 1))),
    convolution((2, 5, 5, 19), 24, (4, 4), 2, ONE, op=Deconv),
    convolution((2, 5, 6, 64), 32, (5, 5), 3, TWO, op=Deconv),
]

# maps so small that in bf16 oneDNN's gradient of weights is a product of gathered patches
SMALL = [
    convolution((3, 4, 4, 24), 16, (3, 3), 1, ONE, bias=False),
    convolution((3, 8, 7, 24), 16, (3, 3), 2, ONE, bias=False),
    convolution((2, 7, 9, 5), 3, (5, 4), 3, ((2, 1), (0, 3)), bias=False),
    convolution((2, 3, 2, 6), 7, (3, 3), 1, ONE, bias=False),
    convolution((1, 2, 2, 4), 5, (4, 4), 1, ((3, 2), (2, 3)), bias=False),
    convolution((4, 1, 1, 8), 8, (3, 3), 1, ONE, bias=False),
    convolution((2, 12, 12, 4), 8, (2, 2), 4, bias=False),
]

# what oneDNN 3.2 gets wrong in bf16 unless it is kept from it: denet/backend/onednn/choice.py
TREACHEROUS = [
    convolution((2, 6, 5, 7), 3, (1, 1), bias=False),
    convolution((2, 6, 5, 7), 3, (1, 1), 2, bias=False),
    convolution((1, 19, 19, 24), 40, (1, 1), 2),
    convolution((3, 6, 7, 2), 24, (1, 1), (2, 1)),
    convolution((2, 5, 1, 2), 3, (1, 3), (3, 3), ((0, 0), (0, 2))),
    convolution((2, 5, 1, 4), 1, (2, 2), 2, op=Deconv),
    convolution((2, 14, 14, 16), 16, (7, 7), 7, THREE, bias=False),
    convolution((1, 3, 24, 8), 16, (4, 10), (6, 14), ((3, 1), (7, 4))),
    convolution((2, 2, 2, 8), 16, (2, 4), (5, 4), ((1, 2), (3, 0)), Deconv),
]
