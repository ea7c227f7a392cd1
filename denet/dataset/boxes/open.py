"""Images with boxes: what the readers of layouts find, opened as a dataset.

A reader only lists. Here the images are looked at, boxes mended and classes numbered, in the same
way for every format; what was dropped or clipped is told in one line.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import closing

import numpy as np

from denet.dataset.base import (
    BadDataError,
    BadSample,
    Opening,
    choose_samples,
    listed,
    thread_count,
)
from denet.dataset.boxes.annotated import Annotated, turned_text
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.boxes.layouts import reader, recognise
from denet.dataset.boxes.splits import SHARE, TEST, TRAIN, choose, share_rows
from denet.dataset.class_names import class_ids
from denet.dataset.image.boxes import Boxes, Mended, mend
from denet.dataset.image.decoder import in_blocks
from denet.dataset.image.options import ImageOptions, parse_image_options
from denet.dataset.layout import nothing_at
from denet.detect.box import BOX_CAPACITY, area
from denet.errors import DataError
from denet.printable import counted

log = logging.getLogger(__name__)


def open_annotated(
    path: str,
    kind: str,
    opening: Opening,
    *,
    splits: Sequence[str] = (),
    **options: str | bool,
) -> DetectionDataset:
    """Open images with boxes; ``splits`` are the parts of the data, ``options`` see ImageOptions.

    What is annotated is listed by the reader of the layout ``kind``, see layouts.py. With split=S
    of the options a set is divided: a share to train on, the rest to test on, unless the word train
    or test says which.
    Images are decoded when they are asked for; here their files are looked at and the annotations
    read. What is left out of a set that is trained on keeps its place, as if it had been damaged
    since. Raises BadDataError for files and their annotations, DataError for what concerns all.
    """
    started = time.perf_counter()
    settings = parse_image_options(options)
    found = _read(path, kind, splits, settings.split, opening)
    if len(found.faults) == len(found.names):
        _without_bad(found, path, opening.on_bad_data)  # raises; there are no classes to number
    ids = _number_classes(found, settings, opening, path)
    found = found.take(_choose(found, settings, opening, path))
    sizes, lies = _measure(found, opening)
    good, bad = _without_bad(found, path, opening.on_bad_data)
    if opening.training:  # a place that is kept is the same for --resume, whatever happens to files
        found.boxes = found.boxes.keep(np.isin(found.boxes.image, good))
    else:
        found, sizes, lies = found.take(good), sizes[good], lies[good]
    _check_sizes(found, sizes, lies, path)
    boxes, mended = mend(found.upright_boxes(sizes, lies), sizes)
    if len(found.boxes) and not len(boxes):
        log.warning(
            "%s: all of its %d boxes lie outside their images or have no area: check them",
            path,
            len(found.boxes),
        )
    dataset = DetectionDataset(
        list(ids),
        found.names,
        found.image_ids,
        boxes,
        sizes,
        settings,
        labels=found.labels,
        category_ids=found.category_ids,
        published=found.published,
        bad=bad,
        on_bad_data=opening.on_bad_data,
        max_image_pixels=opening.max_image_pixels,
    )
    seconds = time.perf_counter() - started
    log.info("%s: %s%s, %.1f s", path, dataset.text(), _counts_text(boxes, mended), seconds)
    return dataset


def open_auto(
    path: str,
    kind: str,
    opening: Opening,
    *,
    splits: Sequence[str] = (),
    **options: str | bool,
) -> DetectionDataset:
    """Open images with boxes in whatever layout they lie, and tell which that is.

    Of splits that have names those to train on are taken, or those to test on; one set that both
    are taken of is divided. Raises DataError, with the layouts that are known, for any other.
    """
    seen = recognise(path)
    if not seen:
        raise nothing_at(path, "images with boxes in a layout that is known")
    known = reader(seen.kind).split_names(path)
    words, names = list(splits), [name for name in splits if name in known]
    if not names:
        names = choose(known, opening.training)
        words += names
    if opening.divided and len(known) < 2:
        options.setdefault("split", str(SHARE))
    what = f"splits {', '.join(known)}; taken: {', '.join(names)}" if known else "one set"
    share = f", divided by split={options['split']}" if "split" in options else ""
    log.info("%s: %s: it holds %s: %s%s", path, seen.kind, seen.why, what, share)
    return open_annotated(path, seen.kind, opening, splits=words, **options)


def _read(
    path: str, kind: str, splits: Sequence[str], share: float | None, opening: Opening
) -> Annotated:
    """Return the images of the splits, or the part of them that ``share`` makes."""
    layout = reader(kind)
    if share is None:
        return layout.read(path, splits)
    known = set(layout.split_names(path))
    parts = [word for word in splits if word in (TRAIN, TEST) and word not in known]
    found = layout.read(path, [word for word in splits if word not in parts])
    if len(parts) == 2:
        return found
    part = parts[0] if parts else TRAIN if opening.training else TEST
    return found.take(share_rows(found.names, path, share, opening.seed, part))


def _number_classes(
    found: Annotated,
    settings: ImageOptions,
    opening: Opening,
    path: str,
) -> dict[str, int]:
    """Return class name -> id and number boxes and labels by it; category_ids follow the ids."""
    names = found.class_names + ["null"] * (settings.null and "null" not in found.class_names)
    used = set(found.boxes.box_class.tolist())
    if found.labels is not None:
        used |= set(found.labels.tolist())
    occurring = [name for position, name in enumerate(names) if position in used]
    wanted = opening.class_labels
    if wanted is None and not names:
        raise DataError(
            f"no objects in the annotations: {os.path.abspath(path)}: check the splits of "
            "--extension, or list the classes in labels.txt"
        )
    ids = class_ids(names if wanted is None else occurring, wanted, path, opening.class_owner)
    new = np.array([ids.get(name, -1) for name in names], np.int32)
    found.boxes.box_class[:] = new[found.boxes.box_class]
    if found.labels is not None:
        found.labels = new[found.labels]
    numbers = dict(zip(found.class_names, found.category_ids, strict=False))
    found.category_ids = [numbers.get(name, -1) for name in ids] if numbers else []
    return ids


def _choose(found: Annotated, settings: ImageOptions, opening: Opening, path: str) -> np.ndarray:
    """Return the rows of the images to use."""
    rows: np.ndarray = np.arange(len(found.names))
    if settings.bbox_only:
        boxes, faulty = found.boxes, np.isin(rows, list(found.faults))
        targets = boxes.keep(~boxes.crowd & (area(boxes.boxes_px) > 0))
        rows = rows[(targets.counts > 0) | faulty]
    if not len(rows):
        what = "images with boxes" if settings.bbox_only else "images"
        raise DataError(f"no {what}: {os.path.abspath(path)}: check --extension and the folder")
    if opening.training:  # each epoch draws its own
        rows = rows[opening.choose(len(rows), path)]
    if not opening.held_out and (settings.most_images or 0) > len(rows):
        log.warning(
            "%s: images_per_subset times subset_num of --extension are %d images, there are %d: "
            "all of them are taken",
            *(path, settings.most_images, len(rows)),
        )
    if not opening.training:
        rows = rows[choose_samples(len(rows), settings.most_images, opening.seed)]
        rows = rows[opening.choose(len(rows), path)]
    return rows


def _measure(found: Annotated, opening: Opening) -> tuple[np.ndarray, np.ndarray]:
    """Return upright sizes (N, 2), 0 of what is not looked at, and EXIF orientations (N,).

    Images that cannot be read join the faults.
    """
    sizes = np.zeros((len(found.names), 2), np.int32)
    lies = np.ones(len(found.names), np.int32)
    rows = np.flatnonzero(found.measured | (found.boxes.counts > 0))
    names = [found.names[row] for row in rows]
    blocks = in_blocks(
        "measure",
        names,
        thread_count(opening.thread_num),
        opening.progress,
        max_image_pixels=opening.max_image_pixels,
    )
    with closing(blocks):
        for start, headers in blocks:
            for row, header in zip(rows[start:].tolist(), headers, strict=False):
                sizes[row] = header.width, header.height
                lies[row] = header.orientation
                if header.fault:
                    found.faults.setdefault(row, header.fault)
    return sizes, lies


def _without_bad(
    found: Annotated, path: str, on_bad_data: str
) -> tuple[np.ndarray, list[BadSample]]:
    """Return the rows of usable images and the others; raise BadDataError if they are not to be."""
    bad = [BadSample(found.names[row], text) for row, text in sorted(found.faults.items())]
    good = np.setdiff1d(np.arange(len(found.names)), list(found.faults))
    if bad and (on_bad_data == "error" or not len(good)):
        raise BadDataError(
            f"cannot use {len(bad)} of {len(found.names)} images: {listed(bad)}: repair or remove "
            "them" + (", or leave them out with --on-bad-data skip" if len(good) else ""),
            bad,
        )
    if bad:
        count = len(found.names)
        log.warning("%s: %d of %d images left out: %s", path, len(bad), count, listed(bad))
    return good, bad


def _check_sizes(found: Annotated, sizes: np.ndarray, lies: np.ndarray, path: str) -> None:
    """Tell of photos that EXIF turns, and of images of another size than their annotations say."""
    stored = found.as_stored(sizes, lies)
    if turned := int((lies > 1).sum()):
        photos, reading = counted(turned, "photo"), turned_text(int(stored.sum()))
        log.info("%s: %s that EXIF turns: %s", path, photos, reading)
    told = found.told_sizes
    other = ~stored & ((told != sizes) & (told > 0) & (sizes > 0)).any(axis=1)
    if other.any():
        count, first = counted(other.sum(), "image"), found.names[int(other.argmax())]
        log.warning("%s: %s: of another size than their annotations say: %s", path, count, first)


def _counts_text(boxes: Boxes, mended: Mended) -> str:
    """Return what is worth knowing about the boxes, or ""."""
    counts = {
        "degenerate boxes dropped": mended.degenerate,
        "boxes outside their image dropped": mended.outside,
        "boxes clipped": mended.clipped,
        "crowd boxes": int(boxes.crowd.sum()),
        "difficult boxes": int(boxes.difficult.sum()),
        "images without boxes": int((boxes.counts == 0).sum()) if len(boxes) else 0,
        f"images of more than {BOX_CAPACITY} boxes, the largest are trained on": int(
            (boxes.counts > BOX_CAPACITY).sum()
        ),
    }
    return "".join(f", {count} {what}" for what, count in counts.items() if count)
