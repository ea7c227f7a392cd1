"""What is done to pixels before a network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from denet.errors import UsageError

LARGEST, SMALLEST = 1e9, 1e-9  # of means and deviations: float32 divides by less than them too

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """(x - mean) / std on pixels scaled to [0, 1], per channel; empty stands for mean 0, std 1.

    With a ``mean_image`` (h, w, c) float32, at least as large as the network's input, also less
    the window of it that lies where the input lies in the image: see ``Normalise``.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    mean_image: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values: Sequence[float] = getattr(self, name)
            object.__setattr__(self, name, tuple(float(value) for value in values))
        bounded = all(abs(value) <= LARGEST for value in self.mean + self.std)  # nan is not
        if not bounded or any(value < SMALLEST for value in self.std):
            raise UsageError(
                f"preprocessing: mean must be at most {LARGEST:g} and std {SMALLEST:g} to "
                f"{LARGEST:g}; got mean {list(self.mean)}, std {list(self.std)}"
            )
        if self.mean_image is not None:
            image = np.ascontiguousarray(self.mean_image, np.float32)
            object.__setattr__(self, "mean_image", image)
            if image.ndim != 3:
                raise UsageError(
                    "preprocessing: a mean image must be (height, width, channels); got the shape "
                    f"{list(image.shape)}"
                )
            if len(beyond := image[~(np.abs(image) <= LARGEST)]):  # nan is not
                raise UsageError(
                    f"preprocessing: a mean image must be of numbers up to {LARGEST:g}; it holds "
                    f"{beyond[0]:g}"
                )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Preprocessing)
            and (self.mean, self.std) == (other.mean, other.std)
            and np.array_equal(self.mean_image, other.mean_image)  # type: ignore[arg-type]
        )

    __hash__ = None  # type: ignore[assignment]

    def text(self) -> str:
        """Return mean and deviation of the channels, and the size of the mean image, in words."""
        mean, std = (
            " ".join(f"{value:.6g}" for value in values) or default
            for values, default in ((self.mean, "0"), (self.std, "1"))
        )
        if self.mean_image is None:
            return f"mean {mean}, deviation {std}"
        height, width, _ = self.mean_image.shape
        own = " ".join(f"{value:.6g}" for value in self.mean_image.mean((0, 1), np.float64))
        also = f", mean {mean}" if self.mean else ""
        return f"a mean image of {width}x{height} (its mean {own}){also}, deviation {std}"

    def check(self, shape: Shape) -> None:
        """Raise UsageError unless mean, std and mean image fit a network input (c, h, w)."""
        channels, height, width = shape
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, channels):
                raise UsageError(
                    f"preprocessing: {name} must have one value per channel; "
                    f"got {len(values)} for {channels} channels"
                )
        if self.mean_image is None:
            return
        h, w, c = self.mean_image.shape
        if h < height or w < width or c != channels:
            raise UsageError(
                f"preprocessing: a mean image of {c}x{h}x{w} (channels x height x width) for a "
                f"network input of {channels}x{height}x{width}: it must not be smaller: normalise "
                "otherwise"
            )

    def resized(self, before: Shape, after: Shape) -> Preprocessing:
        """Return this for a network input (c, h, w) of another size: its mean image grows alike."""
        if self.mean_image is None or before[1:] == after[1:]:
            return self
        h, w, _ = self.mean_image.shape
        size = -(-w * after[2] // before[2]), -(-h * after[1] // before[1])
        return self.stretched(*size, "BILINEAR")

    def stretched(self, width: int, height: int, resample: str = "BICUBIC") -> Preprocessing:
        """Return this with the mean image scaled to this size, whatever its shape."""
        if self.mean_image is None or self.mean_image.shape[:2] == (height, width):
            return self
        from PIL import Image

        planes = [
            np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling[resample]))
            for plane in np.ascontiguousarray(self.mean_image.transpose(2, 0, 1))
        ]
        return replace(self, mean_image=np.stack(planes, axis=-1))
