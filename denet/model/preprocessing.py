"""What is done to pixels before a network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from denet.errors import UsageError

LARGEST, SMALLEST = 1e9, 1e-9  # of means and deviations: float32 divides by less than them too


@dataclass(frozen=True)
class Preprocessing:
    """Per channel (x - mean) / std on pixels scaled to [0, 1]; empty stands for mean 0, std 1."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

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

    def text(self) -> str:
        """Return mean and deviation of the channels in words."""
        mean, std = (
            " ".join(f"{value:.6g}" for value in values) or default
            for values, default in ((self.mean, "0"), (self.std, "1"))
        )
        return f"mean {mean}, deviation {std}"

    def check(self, channels: int) -> None:
        """Raise UsageError unless mean and std fit images of this many channels."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, channels):
                raise UsageError(
                    f"preprocessing: {name} must have one value per channel; "
                    f"got {len(values)} for {channels} channels"
                )
