"""Transposed convolution: the products of convolution, each in the place of the other."""

from __future__ import annotations

from denet.backend.cuda.conv import ConvKernel
from denet.backend.cuda.weight import DECONV


class DeconvKernel(ConvKernel):
    """Inputs x, weight (o, c, kh, kw), bias where set; o are the channels of y."""

    maps = ("small", "large")
    products = ("adjoint", "correlate")
    axes = DECONV
