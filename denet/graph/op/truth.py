"""What ops that know the true boxes of images take, asserted."""

from __future__ import annotations

from denet.graph.tensor_type import TensorType


def check_truth(image_num: int, box: TensorType, box_class: TensorType) -> None:
    """Assert that the true boxes are box (n, M, 4) and box class (n, M) int32, -1 for none."""
    assert box.shape == (*box_class.shape, 4), (box, box_class)
    assert box_class.shape[0] == image_num and box_class.dtype == "int32", (box_class, image_num)


def check_samples(sample: TensorType, box: TensorType, box_class: TensorType) -> None:
    """Assert that there are samples (n, N, 4), and true boxes of as many images."""
    assert len(sample.shape) == 3 and sample.shape[2] == 4, sample
    check_truth(sample.shape[0], box, box_class)


def check_detection(
    maps: TensorType, sample: TensorType, box: TensorType, box_class: TensorType
) -> None:
    """Assert that the maps (n, S, S, k) have a position for each sample, and ``check_samples``."""
    n, height, width, _ = maps.shape
    assert sample.shape == (n, height * width, 4), (maps, sample)
    check_samples(sample, box, box_class)
