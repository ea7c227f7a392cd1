"""Images that several tests of the commands train on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path: Path) -> np.ndarray:
    """Lay out 6 pictures of noise, 10x10, in two classes; return them."""
    pixels = np.random.default_rng(3).integers(0, 256, (6, 10, 10, 3), np.uint8)
    for number, each in enumerate(pixels):
        path = tmp_path / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each).save(path)
    return pixels / 255
