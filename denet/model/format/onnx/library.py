"""ONNX Runtime: whether it is there, running a graph, and quantising one."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from denet.errors import UsageError

MISSING = "onnx and onnxruntime are needed: pip install onnx onnxruntime"
QUANTISED = ("Add", "AveragePool", "Concat", "Conv", "GlobalAveragePool", "MaxPool")


def require_onnx() -> None:
    """Raise UsageError where one of the two cannot be imported."""
    try:
        import onnx  # noqa: F401
        import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise UsageError(f"an .onnx file: {MISSING} ({error})") from error


def version() -> str:
    """Return the version of ONNX Runtime."""
    import onnxruntime

    return str(onnxruntime.__version__)


class Session:
    """An ONNX file, ready to run on the CPU.

    ``also`` names tensors inside its graph that are handed out too.
    """

    def __init__(self, path: str | os.PathLike[str], also: Sequence[str] = ()):
        import onnx
        import onnxruntime

        proto = onnx.load(os.fspath(path))
        there = {each.name for each in proto.graph.output}
        for name in dict.fromkeys(also):
            if name not in there:
                proto.graph.output.append(onnx.ValueInfoProto(name=name))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        # idle threads sleep
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._names = [each.name for each in self._session.get_outputs()]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return all outputs by name for images as the file takes them."""
        return self.run_all({"images": images})

    def run_all(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return all outputs by name for all inputs by name."""
        outputs = self._session.run(None, dict(inputs))
        return dict(zip(self._names, outputs, strict=True))


def quantise(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    images: Iterable[np.ndarray],
    exact: Sequence[str],
) -> None:
    """Write an ONNX file in 8 bits, QDQ: weights by filter, ranges of maps as these images have.

    ``exact`` names nodes that stay float32.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            each = next(self._images, None)
            return None if each is None else {"images": each}

    with _quiet():
        quantize_static(
            os.fspath(source),
            os.fspath(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=list(exact),
        )


@contextmanager
def _quiet() -> Iterator[Any]:
    """Hold back what the quantiser tells the root of all loggers, which gets a handler by that."""
    before, handlers = logging.root.manager.disable, [*logging.root.handlers]
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ranges of what is not quantised
            yield
    finally:
        logging.disable(before)
        logging.root.handlers[:] = handlers
