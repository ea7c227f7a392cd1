"""The best boxes of clusters, as detect/sample.py chooses them, in operators of ONNX."""

from __future__ import annotations

import numpy as np

from denet.model.format.onnx.writer import Value, Writer


def best_of_clusters(
    w: Writer, box: Value, valid: Value, count: int, threshold: float
) -> tuple[Value, Value]:
    """Return ``count`` boxes or fewer (n, count, 4) of box (n, m, 4), and which there are.

    ``valid`` (n, m) says which of the m are boxes: these come first. One image at a time, since a
    table of all pairs of boxes is large.
    """
    one = Writer(w)
    given = Value(one, f"{w.scope}/box", "float"), Value(one, f"{w.scope}/valid", "bool")
    found = _of_one_image(one, *given, count, threshold)
    body = one.body("clusters", *(list(zip(each, (2, 1), strict=True)) for each in (given, found)))
    boxes, there = w.ops("Scan", box, valid, types=("float", "bool"), body=body, num_scan_inputs=2)
    return boxes, there


def _of_one_image(
    w: Writer, box: Value, valid: Value, count: int, threshold: float
) -> tuple[Value, Value]:
    """Return the boxes (count, 4) of box (m, 4), and which of the places are boxes (count,)."""
    there = w.total(valid, 0)
    there = w.reshape(there, 1)
    m = there.maximum(1)  # no operator has to meet an empty table
    box = w.cut(box, 0, 0, m)
    label = _labels(w, box, threshold)
    number = w.range(m)
    nothing = number * 0
    size = w.op("ScatterElements", nothing, label, nothing + 1, axis=0, reduction="add")
    cluster_num = w.reshape(w.total(label.equals(number), 0), 1)

    _, biggest = w.top(size, m.minimum(count))  # what is no first of a cluster has a size of 0
    share = w.op("ScatterElements", nothing, biggest, w.take(nothing, biggest) + 1, axis=0)
    spare, rest = (w.ints(count) - cluster_num).maximum(0), (m - cluster_num).maximum(1)
    share = share + size * spare // rest

    label_in_order, order = w.top(label, m, largest=False)
    start = w.op("CumSum", size, w.constant(np.array(0)), exclusive=1)
    rank = number - w.take(start, label_in_order)
    rank = w.op("ScatterElements", nothing, order, rank, axis=0)
    chosen = ((rank < w.take(share, label)) | (m <= count)) & (number < there)
    index = w.reshape(w.op("NonZero", chosen, type="int"), -1)
    index = w.cut(index, 0, 0, count)
    left = w.ints(count) - w.length(index, 0)
    box = w.op("Gather", box, index, axis=0)
    box = w.op("Pad", box, w.concat(w.ints(0, 0), left, w.ints(0), axis=0))
    return box, w.range(w.ints(count)) < w.length(index, 0)


def _labels(w: Writer, box: Value, threshold: float) -> Value:
    """Return for each of box (m, 4) the first box of its cluster.

    Each takes the least label of those it overlaps, and then that of the box so named, until
    nothing changes.
    """
    x0, y0, x1, y1 = (w.pick(box, 1, side) for side in range(4))
    area = (x1 - x0) * (y1 - y0)

    def pairs(values: Value) -> tuple[Value, Value]:
        return w.unsqueeze(values, 1), w.unsqueeze(values, 0)

    (xa, xc), (xb, xd) = pairs(x0), pairs(x1)
    (ya, yc), (yb, yd) = pairs(y0), pairs(y1)
    one, other = pairs(area)
    width = xb.minimum(xd) - xa.maximum(xc)
    height = yb.minimum(yd) - ya.maximum(yc)
    shared = width.maximum(0) * height.maximum(0)
    union = (one + other - shared).maximum(float(np.finfo(np.float32).tiny))
    links = w.op("NonZero", shared / union > threshold, type="int")
    here, there = (w.pick(links, 0, each) for each in (0, 1))

    step = Writer(w)
    turn, going = Value(step, f"{w.scope}/turn", "int"), Value(step, f"{w.scope}/going", "bool")
    label = Value(step, f"{w.scope}/label", "int")
    near = step.op("Gather", label, there, axis=0)
    least = step.op("ScatterElements", label, here, near, axis=0, reduction="min")
    least = step.op("Gather", least, least, axis=0)
    changes = step.total(least < label, 0) > 0
    body = step.body("labels", [(turn, 0), (going, 0), (label, 1)], [(changes, 0), (least, 1)])
    first = w.range(w.length(box, 0))
    return w.op("Loop", None, w.constant(np.array(True)), first, type="int", body=body)
