"""Random distortions of whole batches of images in memory: ``--distort-mode o4 m50 s10 r15``.

They work on pixels, before normalisation: what moves in from outside is zero, a black pixel.
(Recipes that pad after normalising pad with the mean colour instead.) A batch is mirrored first,
then scaled and rotated about its centre in one resampling, then offset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from denet.dataset.sample_key import uniform
from denet.errors import UsageError

_BLOCK_PIXELS = 1 << 16  # resampled at a time: their places and weights stay in the cache
_MIRROR, _DOWN, _RIGHT, _SCALE, _ROTATE = range(5)  # streams of random numbers


@dataclass(frozen=True)
class Rule:
    """One kind of distortion: what a token means and which amounts it takes."""

    meaning: str
    below: float  # amounts are 0 <= X < below
    number: Callable[[str], float] = float


RULES: dict[str, Rule] = {
    "o": Rule("oX offset of up to X pixels each way, zeros moving in", math.inf, int),
    "s": Rule("sX scale of 100-X to 100+X percent", 100),
    "r": Rule("rX rotation of up to X degrees each way", 360),
    "m": Rule("mX mirror left to right in X percent of cases", 100.0001),
}


@dataclass(frozen=True)
class Distortion:
    """One parsed token: its letter and its amount X."""

    kind: str
    amount: float


def parse_distortions(tokens: Sequence[str]) -> list[Distortion]:
    """Parse tokens such as ``["o4", "m50"]``; raise UsageError, which lists the known ones."""
    return [_parse(token, tokens) for token in tokens]


def _parse(token: str, tokens: Sequence[str]) -> Distortion:
    known = "; ".join(rule.meaning for rule in RULES.values())
    kind, text = token[:1], token[1:]
    if kind not in RULES:
        raise UsageError(f"unknown distortion {token!r}: --distort-mode: known: {known}")
    rule = RULES[kind]
    try:
        amount = rule.number(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < rule.below:
        what = "a whole number" if rule.number is int else "a number"
        limit = "" if rule.below == math.inf else f" and at most {math.floor(rule.below - 1e-9)}"
        raise UsageError(
            f"bad distortion {token!r}: --distort-mode: X must be {what} of at least 0{limit}; "
            f"known: {known}"
        )
    if sum(other[:1] == kind for other in tokens) > 1:
        raise UsageError(f"two distortions {kind!r}: --distort-mode {' '.join(tokens)}: give one")
    return Distortion(kind, amount)


def distort(
    images: np.ndarray, distortions: Sequence[Distortion], sample_keys: np.ndarray
) -> np.ndarray:
    """Return images (n, h, w, c) distorted; sample i depends on its key alone, dtype is kept.

    Offsets are uniform over the integers -X..X for y and x apart, scales uniform on 1 -+ X/100,
    angles uniform on -+X degrees.
    """
    amounts = {distortion.kind: distortion.amount for distortion in distortions}

    def draw(stream: int, spread: float) -> np.ndarray:
        return (2 * uniform(sample_keys, stream) - 1) * spread

    moves = draw_moves(distortions, sample_keys)
    if "m" in amounts:
        images = mirror(images, moves.mirrored)
    if "s" in amounts or "r" in amounts:
        scale = 1 + draw(_SCALE, amounts.get("s", 0.0) / 100)
        images = resample(images, scale, draw(_ROTATE, amounts.get("r", 0.0)))
    if amounts.get("o"):
        images = offset(images, moves.down, moves.right)
    return images


class Moves(NamedTuple):
    """What is done to the places of pixels alone: mirrored first, then offset."""

    mirrored: np.ndarray  # (n,) bool
    down: np.ndarray  # (n,) int64 pixels
    right: np.ndarray


def moves_only(distortions: Sequence[Distortion]) -> bool:
    """Return whether ``draw_moves`` tells all that these distortions do."""
    return {distortion.kind for distortion in distortions} <= set("om")


def draw_moves(distortions: Sequence[Distortion], sample_keys: np.ndarray) -> Moves:
    """Return how samples are mirrored and offset, each as its key says."""
    amounts = {distortion.kind: distortion.amount for distortion in distortions}
    mirrored = np.zeros(len(sample_keys), np.bool_)
    if "m" in amounts:
        mirrored = uniform(sample_keys, _MIRROR) * 100 < amounts["m"]
    down = right = np.zeros(len(sample_keys), np.int64)
    if reach := int(amounts.get("o", 0)):
        steps = 2 * reach + 1
        down, right = (
            (uniform(sample_keys, stream) * steps).astype(np.int64) - reach
            for stream in (_DOWN, _RIGHT)
        )
    return Moves(mirrored, down, right)


def mirror(images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return images (n, h, w, c) where those of the mask (n,) are mirrored left to right."""
    images = images.copy()
    images[chosen] = images[chosen, :, ::-1]
    return images


def offset(images: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return images (n, h, w, c) moved by integers (n,) of pixels, zeros moving in."""
    n, h, w, c = images.shape
    reach_y, reach_x = int(np.abs(down).max()), int(np.abs(right).max())
    padded = np.zeros((n, h + 2 * reach_y, w + 2 * reach_x, c), images.dtype)
    padded[:, reach_y : reach_y + h, reach_x : reach_x + w] = images
    # windows[i, y, x] is the (h, w, c) window of sample i that starts at (y, x): no copy
    windows = np.lib.stride_tricks.as_strided(
        padded,
        (n, 2 * reach_y + 1, 2 * reach_x + 1, h, w, c),
        (*padded.strides[:3], *padded.strides[1:]),
        writeable=False,
    )
    moved: np.ndarray = windows[np.arange(n), reach_y - down, reach_x - right]
    return moved


def resample(images: np.ndarray, scale: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Return images (n, h, w, c) enlarged by scale (n,) and turned anticlockwise by degrees (n,).

    About the centre, bilinear, zeros outside: y[p] = x[centre + R(-angle) (p - centre) / scale].
    uint8 is rounded to the nearest level.
    """
    result = np.empty_like(images)
    count = max(1, _BLOCK_PIXELS // max(1, images[0, ..., 0].size))
    for start in range(0, len(images), count):
        block = slice(start, start + count)
        result[block] = _resample(images[block], scale[block], degrees[block])
    return result


def _resample(images: np.ndarray, scale: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Return the same as float32 values or, of uint8, levels; takes some 80 bytes per pixel."""
    n, h, w, c = images.shape
    angle = np.deg2rad(degrees)
    cosine, sine = ((f(angle) / scale)[:, None, None] for f in (np.cos, np.sin))
    up_down = np.arange(h)[:, None] - (h - 1) / 2
    left_right = np.arange(w) - (w - 1) / 2
    y = cosine * up_down + sine * left_right + (h - 1) / 2
    x = cosine * left_right - sine * up_down + (w - 1) / 2

    padded = np.zeros((n, h + 2, w + 2, c), images.dtype)
    padded[:, 1:-1, 1:-1] = images
    y, x = np.clip(y + 1, 0, h + 1), np.clip(x + 1, 0, w + 1)  # the frame of zeros is everywhere
    top, left = np.minimum(y.astype(np.int64), h), np.minimum(x.astype(np.int64), w)
    below, beside = (y - top).astype(np.float32), (x - left).astype(np.float32)
    first = (np.arange(n)[:, None, None] * (h + 2) + top) * (w + 2) + left
    pixels = padded.reshape(-1, c)
    result = np.zeros((n, h, w, c), np.float32)
    for step, weight in (
        (0, (1 - below) * (1 - beside)),
        (1, (1 - below) * beside),
        (w + 2, below * (1 - beside)),
        (w + 3, below * beside),
    ):
        result += weight[..., None] * pixels.take(first + step, axis=0)
    return result if images.dtype != np.uint8 else np.rint(result, out=result)
