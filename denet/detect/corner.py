"""Corners of boxes on a map: what training should find, and the boxes that found corners span.

A map of corners (h, w, k) has one channel per corner type: top left, top right, bottom left,
bottom right and, where k is 5, centre. A cell box (x0, y0, x1, y1) names whole cells of the map,
the last ones included. The log odds of a cell are log P(corner) - log P(no corner).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT, CENTRE = range(5)
POINTS = ((0, 1), (2, 1), (0, 3), (2, 3))  # the first four types as (x, y) of a cell box


class Diagonal(NamedTuple):
    """A corner, the one opposite, the one beside it, the one above or below it, and the way from
    the first to the opposite one along x and y."""

    corner: int
    opposite: int
    beside: int
    below: int
    step_x: int
    step_y: int


DIAGONALS = (
    Diagonal(TOP_LEFT, BOTTOM_RIGHT, TOP_RIGHT, BOTTOM_LEFT, 1, 1),
    Diagonal(TOP_RIGHT, BOTTOM_LEFT, TOP_LEFT, BOTTOM_RIGHT, -1, 1),
    Diagonal(BOTTOM_LEFT, TOP_RIGHT, BOTTOM_RIGHT, TOP_LEFT, 1, -1),
    Diagonal(BOTTOM_RIGHT, TOP_LEFT, BOTTOM_LEFT, TOP_RIGHT, -1, -1),
)
Found = list[tuple[np.ndarray, np.ndarray]]  # x and y of the corners of each type


def box_cells(box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the cell boxes (m, 4) of boxes (m, 4): x0 = round(x0 w), x1 = round(x1 w) - 1.

    Halves go to the even cell. A box has one cell at least; it may lie beyond the map.
    """
    cell = np.rint(box * np.array([width, height] * 2, box.dtype)).astype(np.int64)
    cell[:, 2:] = np.maximum(cell[:, :2], cell[:, 2:] - 1)
    return cell


def cell_edges(cell: np.ndarray) -> np.ndarray:
    """Return x0, y0, x1 + 1, y1 + 1 (m, 4): where cell boxes begin and end, counted in cells."""
    return cell + [0, 0, 1, 1]


def corner_points(cell: np.ndarray, corner_num: int) -> np.ndarray:
    """Return x and y (m, corner_num, 2) of the corners of cell boxes (m, 4).

    The centre is at the middle of the outer cells, halves rounded to the even cell, in training and
    in the search. (DeNet of 2017 marks the cell round(w (x0 + x1) / 2) of a box in training, halves
    to even too, but the search looks at the middle of the outer cells rounded down: of a whole map
    of 8 cells, it learns 4 and looks at 3.)
    """
    points = cell[:, POINTS]
    if corner_num > CENTRE:
        middle = _middle(cell[:, :2] + cell[:, 2:])
        points = np.concatenate([points, middle[:, None]], axis=1)
    return points


def corner_target(box: np.ndarray, height: int, width: int, corner_num: int) -> np.ndarray:
    """Return a map (height, width, corner_num) as ``box`` (m, 4): 1 at the corners of boxes on it.

    All other cells are 0.
    """
    target = np.zeros((height, width, corner_num), box.dtype)
    points = corner_points(box_cells(box, height, width), corner_num)
    on_map = np.asarray(((points >= 0) & (points < [width, height])).all(axis=2))
    x, y = points[on_map].T
    target[y, x, np.nonzero(on_map)[1]] = 1
    return target


def box_log_odds(log_odds: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return (m,): the sum of the log odds (h, w, k) at all corners of cell boxes (m, 4).

    That is log P(all are corners) - log P(none is one) if each were independent of the others.
    """
    corner_num = log_odds.shape[2]
    x, y = np.moveaxis(corner_points(cell, corner_num), 2, 0)
    total: np.ndarray = log_odds[y, x, np.arange(corner_num)].sum(axis=1)
    return total


def probability(log_odds: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-log odds)), without overflow."""
    return np.exp(-np.logaddexp(0, -log_odds))


@cache
def least_log_odds(threshold: float) -> float:
    """Return the least float32 log odds whose probability is above ``threshold``; NaN for none.

    It is found by the reference's own formula, so that every backend counts the same corners. (For
    thresholds of 0.49 to 0.51 the last bits of that formula waver within 1e-6 of the result.)
    """
    low, high = -0x7F800000, 0x7F800000  # -inf and inf, as steps from 0
    if not _is_corner(high, threshold):
        return float("nan")
    while low + 1 < high:
        middle = (low + high) // 2
        if _is_corner(middle, threshold):
            high = middle
        else:
            low = middle
    return float(_float_at(high))


def _is_corner(steps: int, threshold: float) -> bool:
    return bool(probability(np.array([_float_at(steps)]))[0] > threshold)


def _float_at(steps: int) -> np.float32:
    """Return the float32 number that lies so many numbers above 0."""
    size = np.array(abs(steps), np.uint32).view(np.float32)[()]
    return np.float32(-size if steps < 0 else size)


def find_corners(
    log_odds: np.ndarray, threshold: float, local_max: int = 0, *, corner_max: int
) -> Found:
    """Return (x, y) of the corners of each type, from the most likely down.

    A corner has P > ``threshold`` and is not below any cell within ``local_max`` of it, along both
    axes, last row and column included; ``corner_max`` of each type are kept.
    """
    is_corner = probability(log_odds) > threshold
    if local_max:
        from scipy.ndimage import maximum_filter

        window = 2 * local_max + 1
        around = maximum_filter(log_odds, (window, window, 1), mode="constant", cval=-np.inf)
        is_corner &= log_odds >= around
    found = []
    for values in np.moveaxis(np.where(is_corner, log_odds, -np.inf), 2, 0):
        y, x = np.divmod(largest(values.ravel(), corner_max), log_odds.shape[1])
        found.append((x, y))
    return found


def find_boxes(
    log_odds: np.ndarray,
    count: int,
    threshold: float,
    local_max: int = 0,
    *,
    corner_max: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` best cell boxes (m, 4) of a map (h, w, k) and their log odds (m,).

    Boxes span a found corner and the opposite one, or a found corner and a found centre; each has
    two cells or more along both axes. Only two of its corners need to be found, all count.
    """
    height, width, corner_num = log_odds.shape
    maps = np.ascontiguousarray(np.moveaxis(log_odds, 2, 0))
    corners = find_corners(log_odds, threshold, local_max, corner_max=corner_max)
    parts = [_opposite(maps, corners, diagonal, count) for diagonal in DIAGONALS[:2]]
    if corner_num > CENTRE:
        parts += [_mirrored(maps, corners, diagonal, count) for diagonal in DIAGONALS]
    xa, ya, xb, yb = np.concatenate(parts, axis=1)
    sides = np.minimum(xa, xb), np.minimum(ya, yb), np.maximum(xa, xb), np.maximum(ya, yb)
    shape = (width, height, width, height)
    cell = np.stack(np.unravel_index(np.unique(np.ravel_multi_index(sides, shape)), shape), axis=1)
    total = box_log_odds(log_odds, cell)
    best = largest(total, count)
    return cell[best], total[best]


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the ``count`` largest of values (m,), from the largest down.

    Of equal values the first come first; -inf is never returned. Among millions of values it sorts
    only those above the count-th largest of the maxima of groups, a lower bound of the last one.
    """
    group_num = 4 * count
    bound = -np.inf
    if len(values) > 2 * group_num:
        groups = values[: len(values) // group_num * group_num].reshape(-1, group_num)
        bound = np.partition(groups.max(axis=0), group_num - count)[group_num - count]
    above = np.flatnonzero(values > bound)
    if len(above) < count and bound > -np.inf:
        above = np.concatenate([above, np.flatnonzero(values == bound)[: count - len(above)]])
    return above[np.argsort(-values[above], kind="stable")[:count]]


def _opposite(maps: np.ndarray, found: Found, diagonal: Diagonal, count: int) -> np.ndarray:
    """Return xa, ya, xb, yb (4, m) of the best boxes that span two found corners a and b."""
    _, height, width = maps.shape
    a, b, beside, below, step_x, step_y = diagonal
    (xa, ya), (xb, yb) = found[a], found[b]
    x, y = np.arange(width)[:, None], np.arange(height)[:, None]
    row = np.where((x - xa) * step_x > 0, maps[beside][ya].T, -np.inf)
    column = np.where((y - ya) * step_y > 0, maps[below][:, xa], -np.inf)
    total = _pair_sums(row + maps[a, ya, xa], column, xb, yb, maps[b, yb, xb])
    if len(maps) > CENTRE:
        # in a map of twice the size the sums of two columns and of two rows name a cell
        middle_y, middle_x = (_middle(np.arange(2 * length - 1)) for length in (height, width))
        doubled, stride = maps[CENTRE][middle_y[:, None], middle_x], 2 * width - 1
        _add_at(total, doubled, yb * stride + xb, ya * stride + xa)
    j, i = np.divmod(largest(total.ravel(), count), max(len(xa), 1))
    return np.stack([xa[i], ya[i], xb[j], yb[j]])


def _mirrored(maps: np.ndarray, found: Found, diagonal: Diagonal, count: int) -> np.ndarray:
    """Return xa, ya, xb, yb (4, m) of the best boxes that span a found corner and centre.

    The opposite corner b = 2 centre - a must lie on the map, beyond the centre.
    """
    _, height, width = maps.shape
    a, b, beside, below, step_x, step_y = diagonal
    (xa, ya), (xc, yc) = found[a], found[CENTRE]
    xb, yb = 2 * np.arange(width)[:, None] - xa, 2 * np.arange(height)[:, None] - ya  # by xc, yc
    fits_x = (xb >= 0) & (xb < width) & ((xb - xa) * step_x > 0)
    fits_y = (yb >= 0) & (yb < height) & ((yb - ya) * step_y > 0)
    row = np.where(fits_x, maps[beside][ya, xb.clip(0, width - 1)], -np.inf)
    column = np.where(fits_y, maps[below][yb.clip(0, height - 1), xa], -np.inf)
    total = _pair_sums(row + maps[a, ya, xa], column, xc, yc, maps[CENTRE, yc, xc])
    _add_at(total, maps[b], 2 * (yc * width + xc), -(ya * width + xa))
    j, i = np.divmod(largest(total.ravel(), count), max(len(xa), 1))
    return np.stack([xa[i], ya[i], xb[xc[j], i], yb[yc[j], i]])


def _pair_sums(
    row: np.ndarray, column: np.ndarray, x: np.ndarray, y: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Return row[x[j], i] + column[y[j], i] + value[j] for all pairs (j, i).

    What a corner i adds depends on one coordinate of j at a time, so that a million pairs are sums
    of whole rows of small tables.
    """
    total = row[x]
    total += column[y]
    total += value[:, None]
    return total


def _add_at(total: np.ndarray, values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    """Add values.flat[rows[j] + columns[i]] to total[j, i], in blocks that stay in the cache.

    Places outside, which no valid pair has, count as the nearest.
    """
    for block in range(0, len(rows), 128):
        part = slice(block, block + 128)
        total[part] += values.ravel().take(rows[part, None] + columns, mode="clip")


def _middle(double: np.ndarray) -> np.ndarray:
    """Return half of each number, halves rounded to even."""
    return np.rint(double / 2).astype(np.int64)
