"""Look at the images that somebody wants to train on, before anything is trained."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from denet.dataset import ANNOTATED, open_dataset, parse_extension
from denet.dataset.base import MAX_IMAGE_PIXELS, BadSample, thread_count
from denet.dataset.boxes.layouts import AUTO, fault
from denet.dataset.classes import cifar, svhn
from denet.dataset.classes.directory import (
    SPLIT_NAMES,
    TEST_NAMES,
    TRAIN_NAMES,
    Listing,
    crop_size,
    list_directory,
    suffix,
    suffixes_text,
)
from denet.dataset.image.decode import image_suffixes
from denet.dataset.image.decoder import in_blocks
from denet.dataset.image.inspect import Finding
from denet.dataset.layout import unknown_table, wrapped
from denet.dataset.walk import directories_in
from denet.errors import DataError, UsageError

_ARRAYS = ("npy", "npz")
_PACKED = {"cifar": cifar, "svhn": svhn}  # splits are words of --extension


@dataclass
class Split:
    """The images of one part of the data: "train", "test", ..., or "all" if it is not divided.

    counts   usable images of each class, in the order of the class ids
    sizes    how many of them have which upright (width, height)
    modes    how many are stored in which mode of Pillow ("RGB"), or as which type of array
    turned   how many stand upright only by their EXIF orientation
    flat     images of one colour
    bad      what cannot be read
    others   suffixes of files that are left out; ``loose`` those of files beside the classes
    boxed    images with an .xml of their name beside them
    digests  hash of a file -> the files that have it, with the class of each
    extension  that opens the split alone, where the kind of the data does not
    """

    name: str
    path: str
    counts: dict[str, int]
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    turned: int = 0
    flat: list[str] = field(default_factory=list)
    bad: list[BadSample] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    loose: Counter[str] = field(default_factory=Counter)
    boxed: list[str] = field(default_factory=list)
    digests: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    extension: str = ""

    def __len__(self) -> int:
        return sum(self.counts.values())

    def add(self, file: str, class_label: str, finding: Finding) -> None:
        """Count one image file."""
        if finding.fault:
            self.bad.append(BadSample(file, finding.fault))
            return
        self.counts[class_label] += 1
        self.sizes[finding.width, finding.height] += 1
        self.modes[finding.mode] += 1
        self.turned += finding.orientation > 1
        if finding.flat:
            self.flat.append(file)
        self.digests.setdefault(finding.digest, []).append((file, class_label))


@dataclass
class Survey:
    """All that was found at ``path``; the first split is the one to train on."""

    path: str
    kind: str  # for --extension
    splits: list[Split]
    unused: list[str]  # directories beside the splits that were not looked at
    crop: tuple[int, int] | None = None  # (width, height) that --extension asked for
    seconds: float = 0.0

    @property
    def train(self) -> Split:
        """The images to train on."""
        return self.splits[0]

    @property
    def test(self) -> Split | None:
        """The images to test on, if they can be told apart."""
        return self.splits[1] if len(self.splits) > 1 else None

    @property
    def class_labels(self) -> list[str]:
        """All classes, those of the first split in their order, then the others."""
        return list(dict.fromkeys(name for split in self.splits for name in split.counts))

    def sizes(self) -> Counter[tuple[int, int]]:
        """Return how many usable images of all splits have which (width, height)."""
        return sum((split.sizes for split in self.splits), Counter())

    def leaks(self) -> list[tuple[str, str]]:
        """Return the files of the test split that are in the training split too, with one there."""
        if self.test is None:
            return []
        shared = [digest for digest in self.test.digests if digest in self.train.digests]
        return [
            (file, self.train.digests[digest][0][0])
            for digest in shared
            for file, _ in self.test.digests[digest]
        ]

    def conflicts(self) -> list[tuple[str, str]]:
        """Return pairs of identical files of one split that are in different classes."""
        return [
            (files[0][0], next(file for file, label in files if label != files[0][1]))
            for split in self.splits
            for files in split.digests.values()
            if len({label for _, label in files}) > 1
        ]


def survey(
    path: str,
    extension: str | None = None,
    *,
    thread_num: int | None = 0,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    progress: bool = True,
) -> Survey:
    """Look at every image below ``path``; without ``extension`` guess what kind the data are.

    ``path`` holds one directory per class, or train/ and test/ (val/, valid/, validation/) that
    do; or it is NAME of NAME_data.npy, or a directory of train_data.npy and test_data.npy.
    Raises DataError where there is nothing to train on.
    """
    started = time.perf_counter()
    word, _, options = parse_extension(extension or AUTO)
    if word == AUTO and any(value for name, value in options.items() if name != "crop"):
        raise UsageError(f"--extension {extension}: no images with boxes in {path}: give auto")
    kind = _array_kind(path) if word == AUTO else word
    if kind in ANNOTATED:
        raise UsageError(f"--extension {extension}: give auto, that of images, or none")
    if kind is None and (told := unknown_table(path)):
        raise DataError(f"{told}, or give --extension image if the directories are classes")
    if kind is None and (place := wrapped(path)):
        raise DataError(
            f"images with boxes lie one directory deeper than {os.path.abspath(path)}: give "
            f"{place}, or --extension image if the directories are classes"
        )
    crop = crop_size(options["crop"]) if "crop" in options else None
    if kind in _PACKED:
        found = _survey_packed(path, kind, options)
    elif kind in _ARRAYS:
        found = _survey_arrays(path, kind)
    else:
        found = _survey_images(path, kind, thread_count(thread_num), max_image_pixels, progress)
    if not len(found.train):
        bad = found.train.bad
        why = f"none of {len(bad)} can be read, {bad[0].name}: {bad[0].reason}" if bad else "none"
        raise DataError(f"no images to train on: {os.path.abspath(found.train.path)}: {why}")
    found.crop, found.seconds = crop, time.perf_counter() - started
    return found


def _survey_images(
    path: str, kind: str | None, threads: int, max_image_pixels: int, progress: bool
) -> Survey:
    formats = image_suffixes()
    if kind not in (None, "image"):
        formats = {key: name for key, name in formats.items() if name == formats[f".{kind}"]}
    places, unused = _split_paths(path)
    listings = {name: list_directory(place, formats) for name, place in places.items()}
    for name, listing in listings.items():
        _check_layout(places[name], listing, name != "all")
    files = [file for listing in listings.values() for file in listing.files]
    findings = inspect_all(files, threads, max_image_pixels, progress)
    splits = []
    for name, listing in listings.items():
        counts = dict.fromkeys(listing.classes, 0)
        split = Split(name, places[name], counts)
        split.others, split.loose, split.boxed = listing.others, listing.loose, listing.boxed
        for file, label in zip(listing.files, listing.file_classes, strict=True):
            split.add(file, label, next(findings))
        splits.append(split)
    return Survey(path, kind or _common_kind(files, formats), splits, unused)


def inspect_all(
    files: list[str], threads: int, max_image_pixels: int, progress: bool
) -> Iterator[Finding]:
    """Yield what each image file is."""
    blocks = in_blocks("inspect", files, threads, progress, max_image_pixels=max_image_pixels)
    for _, findings in blocks:
        yield from findings


def _split_paths(path: str) -> tuple[dict[str, str], list[str]]:
    """Return split name -> directory, and the directories that belong to no split."""
    names = directories_in(path)
    known = {name.lower(): name for name in reversed(names)}
    test = next((known[name] for name in TEST_NAMES if name in known), None)
    train = next((known[name] for name in TRAIN_NAMES if name in known), None)
    strangers = [name for name in names if name.lower() not in SPLIT_NAMES]
    # a class may be called train: then it holds no directories, and other classes are beside it
    if train is None or (strangers and not directories_in(os.path.join(path, train))):
        return {"all": path}, []
    used = [train] if test is None else [train, test]
    places = {name.lower(): os.path.join(path, name) for name in used}
    return places, [os.path.join(path, name) for name in names if name not in used]


def _check_layout(path: str, listing: Listing, divided: bool) -> None:
    """Raise DataError unless there are images in class directories."""
    where = os.path.abspath(path)
    if not listing.classes:
        parts = "" if divided else "train/"
        found = suffixes_text(listing.loose)
        what = f"{sum(listing.loose.values())} files, {found}, but " if found else ""
        place = f"{os.path.join(path, parts)}CLASS/"
        mend = f"make one directory per class and move its images into it: {place}"
        raise DataError(fault(path) or f"{what}no class directories: {where}: {mend}")
    if not listing.files:
        found = suffixes_text(listing.others)
        what = f": found {found}" if found else ""
        raise DataError(f"no images in {len(listing.classes)} class directories: {where}{what}")


def _common_kind(files: list[str], formats: dict[str, str]) -> str:
    """Return the most frequent suffix if all files are of its format, else "image"."""
    suffixes = Counter(suffix(file) for file in files)
    same = len({formats[each] for each in suffixes}) == 1
    return suffixes.most_common(1)[0][0][1:] if same else "image"


def _array_kind(path: str) -> str | None:
    """Return the kind of arrays that there are at ``path``, if there are any."""
    packed = next((kind for kind, module in _PACKED.items() if module.splits_at(path)), None)
    return packed or next((kind for kind in _ARRAYS if _array_paths(path, kind)), None)


def _array_paths(path: str, kind: str) -> dict[str, str]:
    """Return split name -> NAME of the arrays."""
    ending = "_data.npy" if kind == "npy" else ".npz"
    whole = path.removesuffix(ending)
    if os.path.isfile(whole + ending):
        return {"all": whole}
    if not os.path.isdir(path):
        return {}
    names = [name for name in ("train", *TEST_NAMES) if _is_array(path, name + ending)]
    if "train" in names:
        return {name: os.path.join(path, name) for name in names[:2]}
    names = [name for name in sorted(os.listdir(path)) if name.endswith(ending)]
    return {"all": os.path.join(path, names[0].removesuffix(ending))} if len(names) == 1 else {}


def _is_array(path: str, name: str) -> bool:
    return os.path.isfile(os.path.join(path, name))


def _survey_arrays(path: str, kind: str) -> Survey:
    places = _array_paths(path, kind) or {"all": path}
    return Survey(path, kind, [_array_split(*each, kind) for each in places.items()], [])


def _survey_packed(path: str, kind: str, options: Mapping[str, Any]) -> Survey:
    known = list(_PACKED[kind].splits_at(path))
    usual = [name for name in ("train", "test") if name in known] or ["train"]
    wanted = [] if os.path.isfile(path) else options.get("splits") or usual
    labels = f",labels={options['labels']}" if "labels" in options else ""
    found = [_array_split(name, path, f"{kind},{name}{labels}") for name in wanted]
    found = found or [_array_split("all", path, f"{kind}{labels}")]
    return Survey(path, kind, found, [name for name in known if name not in wanted])


def _array_split(name: str, place: str, extension: str) -> Split:
    """Return what is in arrays: classes, size and type of the images."""
    data = open_dataset(place, extension, on_bad_data="skip")
    numbers = np.bincount(data.labels, minlength=len(data.class_labels)).tolist()
    channels, height, width = data.shape
    dtype = data.images(np.zeros(1, np.int64)).dtype
    return Split(
        name,
        place,
        dict(zip(data.class_labels, numbers, strict=True)),
        Counter({(width, height): len(data)}),
        Counter({f"{dtype} of {channels} channel{'s' * (channels > 1)}": len(data)}),
        bad=data.bad,
        extension=extension,
    )
