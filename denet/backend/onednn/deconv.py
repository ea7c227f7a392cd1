"""Transposed convolution: the same calls as convolution under another name."""

from __future__ import annotations

from denet.backend.onednn.conv import ConvKernel


class DeconvKernel(ConvKernel):
    """Inputs x, weight (o, c, kh, kw), bias where set; o are the channels of y."""

    primitive = "deconvolution"
    algorithm = 10  # dnnl_deconvolution_direct
