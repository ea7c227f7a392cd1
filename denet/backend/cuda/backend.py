"""The CUDA backend: kernels of our own for every op, on one device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import ClassVar

from denet.backend.cuda.activation import activation_kernel
from denet.backend.cuda.add import AddKernel
from denet.backend.cuda.batch_norm import BatchNormKernel
from denet.backend.cuda.cast import CastKernel
from denet.backend.cuda.class_probability import ClassProbabilityKernel
from denet.backend.cuda.concat import ConcatKernel
from denet.backend.cuda.conv import ConvKernel
from denet.backend.cuda.corner_search import CornerSearchKernel
from denet.backend.cuda.corner_target import CornerCellsKernel, CornerTargetKernel
from denet.backend.cuda.cost import (
    BoxRegressionKernel,
    CornerCrossEntropyKernel,
    DetectionCrossEntropyKernel,
    SoftmaxCrossEntropyKernel,
)
from denet.backend.cuda.crop_mirror import crop_mirror_kernel
from denet.backend.cuda.deconv import DeconvKernel
from denet.backend.cuda.detection import (
    CoverageKernel,
    DecodeBoxKernel,
    DetectionProbabilityKernel,
)
from denet.backend.cuda.device import Device
from denet.backend.cuda.dropout import DropoutKernel
from denet.backend.cuda.host_kernel import HostCall, HostKernel
from denet.backend.cuda.inject_ground_truth import InjectGroundTruthKernel
from denet.backend.cuda.local_response import LocalResponseKernel
from denet.backend.cuda.memory import DeviceMemory
from denet.backend.cuda.move import (
    PadChannelsKernel,
    crop_kernel,
    first_channels_kernel,
    pad_kernel,
)
from denet.backend.cuda.nvrtc import capability_text
from denet.backend.cuda.pool import PoolKernel
from denet.backend.cuda.pool_inverse import PoolInverseKernel
from denet.backend.cuda.request import Request, Unserved
from denet.backend.cuda.sparse_sample import SparseSampleKernel
from denet.backend.cuda.tuning import Tuning
from denet.errors import UsageError
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Call, Kernel, Layout, Memory, in_order
from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.base import Op, Run
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.box_regression import BoxRegression
from denet.graph.op.cast import Cast
from denet.graph.op.class_probability import ClassProbability
from denet.graph.op.concat import Concat
from denet.graph.op.conv import Conv
from denet.graph.op.corner_cells import CornerCells
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.corner_target import CornerTarget
from denet.graph.op.coverage import Coverage
from denet.graph.op.crop import Crop
from denet.graph.op.crop_mirror import CropMirror
from denet.graph.op.decode_box import DecodeBox
from denet.graph.op.deconv import Deconv
from denet.graph.op.detection_cross_entropy import DetectionCrossEntropy
from denet.graph.op.detection_probability import DetectionProbability
from denet.graph.op.dropout import Dropout
from denet.graph.op.first_channels import FirstChannels
from denet.graph.op.fitness_cross_entropy import FitnessCrossEntropy
from denet.graph.op.inject_ground_truth import InjectGroundTruth
from denet.graph.op.local_response import LocalResponse
from denet.graph.op.pad import Pad
from denet.graph.op.pad_channels import PadChannels
from denet.graph.op.pool import Pool
from denet.graph.op.pool_inverse import PoolInverse
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy
from denet.graph.op.sparse_sample import SparseSample

log = logging.getLogger(__name__)

BF16_CAPABILITY = 80  # from which on tensor cores multiply it

KERNELS: dict[type[Op], Callable[[Request], Kernel]] = {
    Activation: activation_kernel,
    Add: AddKernel,
    BatchNorm: BatchNormKernel,
    BoxRegression: BoxRegressionKernel,
    Cast: CastKernel,
    ClassProbability: ClassProbabilityKernel,
    Concat: ConcatKernel,
    Conv: ConvKernel,
    CornerCells: CornerCellsKernel,
    CornerCrossEntropy: CornerCrossEntropyKernel,
    CornerSearch: CornerSearchKernel,
    CornerTarget: CornerTargetKernel,
    Coverage: CoverageKernel,
    Crop: crop_kernel,
    CropMirror: crop_mirror_kernel,
    DecodeBox: DecodeBoxKernel,
    Deconv: DeconvKernel,
    DetectionCrossEntropy: DetectionCrossEntropyKernel,
    DetectionProbability: DetectionProbabilityKernel,
    Dropout: DropoutKernel,
    FirstChannels: first_channels_kernel,
    FitnessCrossEntropy: DetectionCrossEntropyKernel,
    InjectGroundTruth: InjectGroundTruthKernel,
    LocalResponse: LocalResponseKernel,
    Pad: pad_kernel,
    PadChannels: PadChannelsKernel,
    Pool: PoolKernel,
    PoolInverse: PoolInverseKernel,
    SoftmaxCrossEntropy: SoftmaxCrossEntropyKernel,
    SparseSample: SparseSampleKernel,
}


class CudaBackend:
    """Runs on a device; what has no kernel runs on the processor, by the NumPy reference."""

    name: ClassVar[str] = "cuda"
    working_share: ClassVar[float] = 0.0
    shares_statistics: ClassVar[bool] = True

    def __init__(self, device: Device, tuning: Tuning | None = None):
        self.device = device
        self._tuning = tuning or Tuning(device)
        self.memory: Memory = DeviceMemory(device)
        self._told: set[str] = set()

    def kernel(
        self,
        node: Node,
        training: bool,
        precision: str,
        run: Run,
        layouts: Mapping[Tensor, Layout],
        wanted: tuple[int, ...],
    ) -> Kernel:
        """Return the kernel of ``node``: one for the device, or the reference on the processor.

        Raises UsageError where the device has no bf16.
        """
        if precision == "bf16" and self.device.capability < BF16_CAPABILITY:
            own, least = map(capability_text, (self.device.capability, BF16_CAPABILITY))
            raise UsageError(
                f"precision: bf16 needs a GPU of compute capability {least}, this one has {own}: "
                "use --precision f32"
            )
        make = KERNELS.get(type(node.op))
        why = "no kernel"
        if make:
            try:
                asked = node, training, precision, run, layouts, wanted
                return make(Request(self.device, self._tuning, *asked))
            except Unserved as reason:
                why = str(reason)
        self._tell(f"{type(node.op).__name__}: {why}: runs on the processor by the reference")
        return HostKernel(self.device, node, training, precision, run, wanted, layouts)

    def sequence(self, calls: Sequence[Call]) -> Call:
        """Return a call that makes these: one launch for those between two on the processor."""
        parts: list[Call] = []
        for on_host, group in groupby(calls, lambda call: isinstance(call, HostCall)):
            together = [*group]
            parts += together if on_host else [self.device.capture(together)]
        return in_order(parts)

    def auto_precision(self) -> str:
        """Return bf16 where the device multiplies it on tensor cores."""
        return "bf16" if self.device.capability >= BF16_CAPABILITY else "f32"

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            log.info("%s", message)
