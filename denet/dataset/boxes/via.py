"""What VIA, the VGG image annotator, writes into a cell of its csv: shapes and classes as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

_RADII = {"circle": ("r", "r"), "ellipse": ("rx", "ry")}


def via_corners(text: str) -> tuple[float, ...]:
    """Return the box (x0, y0, x1, y1) around a shape, () if it has no area. Raises ValueError."""
    shape = _object(text)
    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = (_number(shape, name) for name in ("x", "y", "width", "height"))
        return x, y, x + width, y + height
    if kind in ("circle", "ellipse"):
        x, y = _number(shape, "cx"), _number(shape, "cy")
        along, across = (_number(shape, each) for each in _RADII[kind])
        turn = _number({"theta": 0.0} | shape, "theta")
        u = math.hypot(along * math.cos(turn), across * math.sin(turn))
        v = math.hypot(along * math.sin(turn), across * math.cos(turn))
        return x - u, y - v, x + u, y + v
    if kind == "polygon":
        xs, ys = _numbers(shape, "all_points_x"), _numbers(shape, "all_points_y")
        return min(xs), min(ys), max(xs), max(ys)
    return ()


def via_class(text: str) -> str:
    """Return the class of a region, its first attribute with a value, or "". Raises ValueError."""
    for value in _object(text).values():
        if isinstance(value, dict):  # of check boxes, what is ticked
            value = next((name for name, ticked in value.items() if ticked), "")
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{text[:40]!r} is no JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"{text[:40]!r} is no object of JSON")
    return found


def _number(shape: dict[str, Any], name: str) -> float:
    value = shape.get(name)
    if not isinstance(value, int | float) or not abs(value) < 1e18:  # nan and infinite are not
        raise ValueError(f"{name} is {str(value)[:20]!r}, not a number")
    return float(value)


def _numbers(shape: dict[str, Any], name: str) -> list[float]:
    values = shape.get(name)
    if not isinstance(values, list) or not values:
        raise ValueError(f"{name} is no list of numbers")
    return [_number({name: value}, name) for value in values]
