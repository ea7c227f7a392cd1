"""Look at the annotated images that somebody wants to train a detector on."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from denet.dataset import parse_extension
from denet.dataset.base import MAX_IMAGE_PIXELS, BadSample, thread_count
from denet.dataset.boxes import voc
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.layouts import AUTO, LAYOUTS, reader, recognise
from denet.dataset.boxes.splits import ROLES, TEST, TRAIN, choose, role, share_rows
from denet.dataset.classes.directory import suffix
from denet.dataset.image.boxes import Boxes, mend
from denet.dataset.image.decode import image_suffixes
from denet.dataset.image.inspect import Finding
from denet.dataset.image.options import parse_image_options
from denet.dataset.survey.classes import inspect_all
from denet.detect.box import BOX_CAPACITY, area
from denet.errors import DataError


class NamedBox(NamedTuple):
    """A box of the annotations, in pixels of the image ``file``."""

    file: str
    size: tuple[int, int]
    class_label: str
    corners: tuple[float, float, float, float]


@dataclass
class DetectionSplit:
    """The usable images of one split, "all" if there are none; N images.

    files    of the images
    sizes    (N, 2) upright width and height
    told     (N, 2) as the annotations say, 0 if they do not
    listed   boxes as the annotations say; classes are positions in ``class_labels``
    boxes    those that have an area inside their image, clipped to it
    stored   (N,) whether boxes meant the pixels as they lie in the file, see ``Annotated``
    digests  hash of each file
    new      (N,) whether no split before has the image
    bad      what cannot be used
    """

    name: str
    class_labels: list[str]
    files: list[str]
    sizes: np.ndarray
    told: np.ndarray
    listed: Boxes
    stored: np.ndarray
    digests: list[str]
    new: np.ndarray
    bad: list[BadSample]
    boxes: Boxes = field(init=False)

    def __post_init__(self) -> None:
        self.boxes, _ = mend(self.listed, self.sizes)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def objects(self) -> Boxes:
        """The boxes of single objects: all but crowds."""
        return self.boxes.keep(~self.boxes.crowd)

    def class_objects(self) -> np.ndarray:
        """Return how many objects there are of each class."""
        return np.bincount(self.objects.box_class, minlength=len(self.class_labels))

    def class_images(self) -> np.ndarray:
        """Return how many images show each class."""
        pairs = np.unique([self.objects.image, self.objects.box_class], axis=1)
        return np.bincount(pairs[1], minlength=len(self.class_labels))

    def degenerate(self) -> list[NamedBox]:
        """Return the boxes without area."""
        return self._named(area(self.listed.boxes_px) <= 0)

    def outside(self) -> list[NamedBox]:
        """Return the boxes with area of which nothing is inside their image."""
        return self._named((area(self.listed.boxes_px) > 0) & (area(self._inside()) <= 0))

    def clipped(self) -> list[NamedBox]:
        """Return the boxes of which a part is outside their image."""
        inside = self._inside()
        changed = (inside != self.listed.boxes_px).any(axis=1)
        return self._named(changed & (area(inside) > 0))

    def thin(self) -> list[NamedBox]:
        """Return the boxes with area that are no wider or no higher than a pixel."""
        corners = self.listed.boxes_px
        sides = corners[:, 2:] - corners[:, :2]
        return self._named((sides.min(axis=1) <= 1) & (area(corners) > 0))

    def repeated(self) -> list[NamedBox]:
        """Return the boxes that were listed before, of the same class in the same image."""
        boxes = self.listed
        rows = np.column_stack([boxes.image, boxes.box_class, boxes.crowd, boxes.boxes_px])
        again = np.ones(len(boxes), np.bool_)
        again[np.unique(rows, axis=0, return_index=True)[1]] = False
        return self._named(again)

    def repeated_files(self) -> list[str]:
        """Return the images that are listed more than once."""
        return [file for file, count in Counter(self.files).items() if count > 1]

    def _inside(self) -> np.ndarray:
        """Return the listed boxes without what is outside their images."""
        return np.clip(self.listed.boxes_px, 0, np.tile(self.sizes, 2)[self.listed.image])

    def other_size(self) -> list[str]:
        """Return the images that have another size than the annotations say."""
        other = ((self.told != self.sizes) & (self.told > 0)).any(axis=1)
        return self._chosen(other & ~self.stored)

    def crowded(self) -> list[str]:
        """Return the images of more objects than a network is shown."""
        return self._chosen(self.objects.counts > BOX_CAPACITY)

    def _chosen(self, mask: np.ndarray) -> list[str]:
        return [self.files[row] for row in np.flatnonzero(mask)]

    def _named(self, mask: np.ndarray) -> list[NamedBox]:
        boxes, image = self.listed, self.listed.image
        return [
            NamedBox(
                self.files[image[row]],
                tuple(self.sizes[image[row]].tolist()),
                self.class_labels[boxes.box_class[row]],
                tuple(boxes.boxes_px[row].tolist()),
            )
            for row in np.flatnonzero(mask)
        ]


@dataclass
class DetectionSurvey:
    """All that was found at ``path``.

    train, test  names of the splits to train and to test on
    modes        how many images are stored in which mode of Pillow
    turned       how many stand upright only by their EXIF orientation
    flat         images of one colour
    unlisted     image files beside those of the splits; ``unused`` splits were not looked at
    crop         (width, height) that --extension asked for
    words        of --extension that all splits share
    why          what tells of this kind
    """

    path: str
    kind: str  # for --extension
    class_labels: list[str]
    splits: list[DetectionSplit]
    train: list[str]
    test: list[str]
    modes: Counter[str] = field(default_factory=Counter)
    turned: int = 0
    flat: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    crop: tuple[int, int] | None = None
    words: tuple[str, ...] = ()
    why: str = ""
    seconds: float = 0.0

    @property
    def stored(self) -> int:
        """Number of images, each once, whose boxes meant the pixels as they lie in the file."""
        return sum(int((split.stored & split.new).sum()) for split in self.splits)

    def named(self, names: Sequence[str]) -> list[DetectionSplit]:
        """Return the splits of these names."""
        return [split for split in self.splits if split.name in names]

    def sizes(self) -> np.ndarray:
        """Return width and height (N, 2) of every image, each once."""
        return np.concatenate([split.sizes[split.new] for split in self.splits])

    def objects(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return of every object its box in pixels (T, 4), class (T,) and image size (T, 2)."""
        parts = [(split, split.objects) for split in self.splits]
        kept = [split.new[objects.image] for split, objects in parts]
        return (
            np.concatenate([o.boxes_px[k] for (_, o), k in zip(parts, kept, strict=True)]),
            np.concatenate([o.box_class[k] for (_, o), k in zip(parts, kept, strict=True)]),
            np.concatenate([s.sizes[o.image][k] for (s, o), k in zip(parts, kept, strict=True)]),
        )

    def class_objects(self, names: Sequence[str]) -> dict[str, int]:
        """Return how many objects these splits have of each class."""
        counts = sum(split.class_objects() for split in self.named(names))
        return dict(zip(self.class_labels, np.asarray(counts).tolist(), strict=True))

    def only_in(self, here: Sequence[str], there: Sequence[str]) -> list[str]:
        """Return the classes that have objects in splits ``here`` but not in those ``there``."""
        other = self.class_objects(there)
        counts = self.class_objects(here)
        return [name for name, count in counts.items() if count and not other[name]]

    @property
    def testable(self) -> bool:
        """Whether there are objects to test on, all of classes that are trained on."""
        return bool(self.test) and not self.only_in(self.test, self.train)

    def leaks(self) -> list[tuple[str, str]]:
        """Return the files to test on that are trained on too, each with its like there."""
        known: dict[str, str] = {}
        for split in self.named(self.train):
            known |= dict(zip(split.digests, split.files, strict=True))
        return [
            (file, known[digest])
            for split in self.named(self.test)
            for file, digest in zip(split.files, split.digests, strict=True)
            if digest in known
        ]


def detection_kind(path: str, extension: str | None = None) -> str | None:
    """Return the layout of images with boxes that the extension names, or that lies at ``path``."""
    kind = parse_extension(extension)[0] if extension else AUTO
    if kind != AUTO:
        return kind if kind in LAYOUTS else None
    seen = recognise(path)
    return seen.kind if seen else None


def survey_detection(
    path: str,
    extension: str,
    *,
    thread_num: int | None = 0,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    progress: bool = True,
    seed: int = 0,
) -> DetectionSurvey:
    """Look at every image of the splits that ``extension`` names, else of all usual ones.

    ``seed`` is for its split=SHARE.

    Raises DataError where there is nothing to train on.
    """
    started = time.perf_counter()
    kind, _, options = parse_extension(extension)
    given = options.pop("splits")
    crop = parse_image_options(options).crop if "crop" in options else None
    layout = reader(kind)
    known = layout.split_names(path)
    share = parse_image_options({"split": options["split"]}).split if "split" in options else None
    names = [name for name in given if name not in (TRAIN, TEST) or name in known]
    if share:
        names = names or choose(known, True)
        whole = layout.read(path, names)
        read = {
            part: whole.take(share_rows(whole.names, path, share, seed, part))
            for part in (TRAIN, TEST)
        }
    else:
        names = list(given) or _usual(known)
        read = {name: layout.read(path, [name]) for name in names}
        read = read or {"all": layout.read(path, [])}
    findings = _look(list(read.values()), thread_count(thread_num), max_image_pixels, progress)
    labels = list(dict.fromkeys(name for each in read.values() for name in each.class_names))
    splits: list[DetectionSplit] = []
    seen: set[str] = set()
    for name, each in read.items():
        splits.append(_split(name, each, labels, findings, seen))
        seen.update(splits[-1].files)
    train, test = _choose(splits)
    _check(path, splits, train)
    usable = [finding for file, finding in findings.items() if file in seen]
    unused = [] if given else sorted(set(known) - set(names))
    return DetectionSurvey(
        path,
        kind,
        labels,
        splits,
        train,
        test,
        Counter(finding.mode for finding in usable),
        sum(finding.orientation > 1 for finding in usable),
        sorted(file for file in seen if findings[file].flat),
        [] if given else _unlisted(read.values(), voc.photo_folder(path)),
        unused,
        crop,
        (*names, f"split={share:g}") if share else (),
        layout.seen(path),
        time.perf_counter() - started,
    )


def _usual(names: list[str]) -> list[str]:
    """Return the splits of known roles, by year and role; all where none of them is to train on."""
    usual = [name for name in names if role(name)]
    if not any(role(name).startswith("train") for name in usual):
        return names
    return sorted(usual, key=lambda name: (re.sub(r"\D", "", name), ROLES.index(role(name))))


def _look(
    parts: list[Annotated], threads: int, max_image_pixels: int, progress: bool
) -> dict[str, Finding]:
    """Return what each image file is, each looked at once."""
    named = (
        name for part in parts for row, name in enumerate(part.names) if row not in part.faults
    )
    files = list(dict.fromkeys(named))
    return dict(zip(files, inspect_all(files, threads, max_image_pixels, progress), strict=True))


def _split(
    name: str,
    found: Annotated,
    labels: list[str],
    findings: dict[str, Finding],
    seen: set[str],
) -> DetectionSplit:
    faults = {
        row: each.fault for row, file in enumerate(found.names) if (each := findings.get(file))
    }
    faults = {row: text for row, text in (faults | found.faults).items() if text}
    bad = [BadSample(found.names[row], text) for row, text in sorted(faults.items())]
    found = found.take(np.setdiff1d(np.arange(len(found.names)), list(faults)))
    seen_as = [findings[file] for file in found.names]
    sizes = np.array([(each.width, each.height) for each in seen_as], np.int64).reshape(-1, 2)
    lies = np.array([each.orientation for each in seen_as], np.int64)
    boxes = found.upright_boxes(sizes, lies)
    position = {label: number for number, label in enumerate(labels)}
    ids = np.array([position[each] for each in found.class_names], np.int32)
    return DetectionSplit(
        name,
        labels,
        found.names,
        sizes,
        found.told_sizes,
        replace(boxes, box_class=ids[boxes.box_class]),
        found.as_stored(sizes, lies),
        [each.digest for each in seen_as],
        np.array([file not in seen for file in found.names], np.bool_),
        bad,
    )


def _choose(splits: list[DetectionSplit]) -> tuple[list[str], list[str]]:
    """Return the splits to train on and to test on, each with objects.

    To test on test, else on val; to train on all others, on trainval where it holds them. What
    there is of one role alone is trained on.
    """
    held: dict[str, list[str]] = {role: [] for role in (*ROLES, "")}
    for split in splits:
        if len(split.objects):
            held[role(split.name)].append(split.name)
    if held["test"]:
        train, test = held["trainval"] or held["train"] + held["val"], held["test"]
    elif held["train"] or not held["trainval"]:
        train, test = held["train"], held["val"]
    else:
        train, test = held["trainval"], []
    train = train or held[""]
    return (train, test) if train else (test, [])


def _check(path: str, splits: list[DetectionSplit], train: list[str]) -> None:
    """Raise DataError unless there are objects to train on."""
    if train:
        return
    bad = [each for split in splits for each in split.bad]
    count = len(bad) + sum(map(len, splits))
    why = f"{len(bad)} cannot be used, {bad[0].name}: {bad[0].reason}" if bad else ""
    what = f"no objects in {count} image{'s' * (count != 1)}"
    raise DataError(f"{what}: {os.path.abspath(path)}: {why or 'none has a box'}")


def _unlisted(parts: Iterable[Annotated], beside: str) -> list[str]:
    """Return the images in the folders of the listed ones and in another that are not listed."""
    listed = {os.path.normpath(name) for part in parts for name in part.names}
    suffixes = image_suffixes()
    return sorted(
        file
        for folder in {os.path.dirname(name) for name in listed} | {os.path.normpath(beside)}
        if os.path.isdir(folder)
        for name in os.listdir(folder)
        if suffix(name) in suffixes and (file := os.path.join(folder, name)) not in listed
    )
