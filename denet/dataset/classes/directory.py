"""Image files in one directory per class, FNAME/CLASS/**/*.EXT, decoded once into memory."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from denet.dataset.base import BadDataError, BadSample, Dataset, Opening, listed, thread_count
from denet.dataset.class_names import class_ids
from denet.dataset.classes.image_list import LIST_SUFFIXES, class_order, read_list
from denet.dataset.image.decode import (
    Fault,
    decode_image,
    image_suffixes,
    quiet_pillow,
    reason,
)
from denet.dataset.image.decoder import in_blocks
from denet.dataset.image.options import Size, parse_image_options
from denet.dataset.layout import check_classes, fitting
from denet.dataset.walk import files_below
from denet.errors import DataError
from denet.memory import room

log = logging.getLogger(__name__)

TRAIN_NAMES = ("train", "training", "trainset", "train_set")
TEST_NAMES = (
    *("test", "testing", "testset", "test_set"),
    *("val", "valid", "validation", "valset", "val_set", "dev"),
)
SPLIT_NAMES = frozenset({*TRAIN_NAMES, *TEST_NAMES})  # directories that are no classes


class DirectoryDataset(Dataset):
    """Images held in memory as one (N, h, w, c) uint8 array, c = 1 only if every image is grey."""

    held = True

    def __init__(
        self,
        class_labels: Sequence[str],
        labels: np.ndarray,
        names: list[str],
        pixels: np.ndarray,
        rows: np.ndarray | None = None,
        bad: Sequence[BadSample] = (),
    ):
        _, height, width, channels = pixels.shape
        super().__init__(class_labels, labels, names, (channels, height, width), bad)
        self._pixels = pixels
        self._rows = np.arange(len(names)) if rows is None else rows  # of the pixels

    def read(self, indices: np.ndarray) -> np.ndarray:
        pixels: np.ndarray = self._pixels[self._rows[indices]]
        return pixels


def open_directory(
    path: str,
    kind: str,
    opening: Opening,
    *,
    shape: tuple[int, int, int] | None = None,
    crop: str | bool | None = None,
) -> DirectoryDataset:
    """Read every image of format ``kind`` ("png", "jpg", ...; "image" is any) below ``path``.

    Class ids follow the sorted directory names, or ``class_labels``. EXIF orientation is applied.
    All images must have one size unless ``crop`` (N or WxH) brings them to one; the ``shape``
    (c, h, w) that is wanted brings them to grey (1) or colour (3). Raises BadDataError naming the
    files, DataError, OutOfMemoryError.
    """
    started = time.perf_counter()
    size = None if crop is None else crop_size(crop)
    listing = _find_images(path, kind)
    wanted = opening.class_labels
    found = listing.classes if wanted is None else sorted(set(listing.file_classes))
    ids = class_ids(found, wanted, path, opening.class_owner)
    chosen = opening.choose(len(listing.files), path)
    files = [listing.files[index] for index in chosen]
    file_classes = [listing.file_classes[index] for index in chosen]
    crops = f"{kind},crop={f'{shape[2]}x{shape[1]}' if shape else 'SIZE'}"
    reader = _Reader(files, crops, opening)
    pixels, faults = reader.read(size, shape[0] if shape else None)
    good = np.setdiff1d(np.arange(len(files)), [fault.position for fault in faults])
    if faults and (opening.on_bad_data == "error" or not len(good)):
        raise _bad_images(faults, files, crops, pixels)
    bad = _bad_samples(faults, files, pixels)
    dataset = DirectoryDataset(
        list(ids),
        np.array([ids[file_classes[row]] for row in good], np.int32),
        [files[row] for row in good],
        pixels,
        good,
        bad,
    )
    seconds = time.perf_counter() - started
    log.info(
        "%s: %s, %.0f MB, %.1f s (%.0f files/s)",
        *(path, dataset.text(), pixels.nbytes / 1e6, seconds, len(files) / seconds),
    )
    if bad:
        log.warning("%s: %d of %d images left out: %s", path, len(bad), len(files), listed(bad))
        for name in sorted(set(file_classes) - {file_classes[row] for row in good}):
            log.warning("%s: class %r has lost all of its images", path, name)
    return dataset


def crop_size(crop: str | bool) -> Size:
    """Return (width, height) of the option crop=N or crop=WxH."""
    return parse_image_options({"crop": crop}).crop


@dataclass
class Listing:
    """What lies in a directory of class directories, sorted; hidden names are passed over.

    ``others`` counts the suffixes of files that are not images of the wanted formats, ``loose``
    those of the files that lie beside the class directories; ``boxed`` are the images with an .xml
    of their name beside them.
    """

    classes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    file_classes: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    loose: Counter[str] = field(default_factory=Counter)
    boxed: list[str] = field(default_factory=list)


def list_directory(path: str, formats: dict[str, str]) -> Listing:
    """Return the files below ``path`` whose suffix is a key of ``formats``, and their classes.

    ``path`` may be a list of files, too (image_list.py). Raises DataError if there is no such
    directory or list, it cannot be read or holds no classes.
    """
    where = os.path.abspath(path)
    listing = Listing()
    if os.path.isfile(path):
        if suffix(path) not in LIST_SUFFIXES:
            raise DataError(
                f"not a directory: {where}: give the directory that holds one directory per class, "
                "or a .txt file that lists images"
            )
        for file, name in zip(*read_list(path), strict=True):
            if suffix(file) in formats:
                listing.files.append(file)
                listing.file_classes.append(name)
            else:
                listing.others[suffix(file)] += 1
        listing.classes = class_order(listing.file_classes)
        return listing
    if not os.path.isdir(path):
        raise DataError(
            f"no such directory: {where}: give the directory that holds one directory per class"
        )
    check_classes(path)
    below = files_below(path)
    listing.loose.update(map(suffix, below.pop("")))
    for name, files in below.items():
        images = sorted(file for file in files if suffix(file) in formats)
        listing.others.update(suffix(file) for file in files if suffix(file) not in formats)
        told = {os.path.splitext(file)[0] for file in files if suffix(file) == ".xml"}
        listing.boxed += [file for file in images if os.path.splitext(file)[0] in told]
        listing.classes.append(name)
        listing.files += images
        listing.file_classes += [name] * len(images)
    return listing


def suffixes_text(suffixes: Counter[str]) -> str:
    """Return the most common suffixes and how often they occur."""
    common = suffixes.most_common(5)
    return ", ".join(f"{name or 'no suffix'} ({count})" for name, count in common)


def _find_images(path: str, kind: str) -> Listing:
    """Return the images of a kind; raise DataError if there are none."""
    formats = image_suffixes()
    if kind != "image":
        formats = {key: name for key, name in formats.items() if name == formats["." + kind]}
    listing, where = list_directory(path, formats), os.path.abspath(path)
    parts = [name for name in listing.classes if name.lower() in SPLIT_NAMES]
    if parts and len(parts) == len(listing.classes):
        raise DataError(
            f"no classes but parts of a dataset: {where}: {', '.join(parts)}: give one of them, "
            f"as in {os.path.join(path, parts[-1])}"
        )
    there = suffixes_text(listing.others)
    if not listing.classes:
        mend = fitting(path) or f"put the images into {path}/CLASS/"
        raise DataError(f"no class directories: {where}: {mend}")
    if not listing.files:
        wanted = "images" if kind == "image" else f".{kind} images"
        mend = fitting(path) or (
            f"found {there}; give another --extension" if there else "all classes are empty"
        )
        count = len(listing.classes)
        raise DataError(f"no {wanted} in {count} class directories: {where}: {mend}")
    for name in sorted(set(listing.classes) - set(listing.file_classes)):
        log.warning("%s: class %r has no images", where, name)
    if there:
        log.warning("%s: left out files with other extensions: %s", where, there)
    return listing


def suffix(file: str) -> str:
    """Return the suffix of a file in lower case, with its dot."""
    return os.path.splitext(file)[1].lower()


@dataclass
class _Reader:
    """Decodes files into one array."""

    files: list[str]
    crops: str  # --extension that brings them to one size
    opening: Opening

    def read(self, crop: Size | None, channels: int | None) -> tuple[np.ndarray, list[Fault]]:
        """Return new pixels (N, h, w, c) uint8, and the faults of files without, in file order.

        All are brought to the size ``crop``; without it the most common size counts, and images of
        another one are faults. All are brought to so many ``channels``; without them colour counts
        as soon as one image has it.
        """
        first, grey = self._first_image()
        size, tried, convert = crop or first, set(), channels is not None
        channels = channels or (1 if grey else 3)
        while True:
            pixels = self._allocate(size, channels)
            faults = self._decode(pixels, crop is not None, convert)
            if any(fault.kind == "colour" for fault in faults):
                channels = 3  # the first image was grey, a later one is not: read again as colour
            else:
                tried.add(size)
                size = _common_size(size, len(self.files), faults)
                if size in tried:  # always so unless the first image has an unusual size
                    return pixels, faults
            del pixels

    def _first_image(self) -> tuple[Size, bool]:
        """Return size of the first readable image and whether it is grey."""
        faults, most = [], self.opening.max_image_pixels
        with quiet_pillow():
            for position, file in enumerate(self.files):
                try:
                    image = decode_image(file, max_image_pixels=most)
                    return image.size, image.mode == "L"
                except Exception as error:  # a damaged file can make a decoder raise anything
                    faults.append(Fault(position, "unreadable", reason(error)))
        raise _bad_images(faults, self.files, self.crops)

    def _allocate(self, size: Size, channels: int) -> np.ndarray:
        shape = (len(self.files), size[1], size[0], channels)
        what = f"{shape[0]} images of {size[0]}x{size[1]}: {os.path.dirname(self.files[0])}"
        mend = "read fewer with --max-samples, or smaller ones with --extension KIND,crop=64"
        with room(math.prod(shape), what, mend):
            return np.empty(shape, np.uint8)

    def _decode(self, pixels: np.ndarray, crop: bool, convert: bool) -> list[Fault]:
        """Fill ``pixels``; return the faults, or those up to a first colour fault."""
        blocks = in_blocks(
            "decode",
            self.files,
            thread_count(self.opening.thread_num),
            self.opening.progress,
            pixels,
            crop=crop,
            convert=convert,
            max_image_pixels=self.opening.max_image_pixels,
        )
        faults: list[Fault] = []
        with closing(blocks):
            for start, found in blocks:
                faults += [fault._replace(position=start + fault.position) for fault in found]
                if any(fault.kind == "colour" for fault in found):
                    break
        return faults


def _common_size(size: Size, file_num: int, faults: Sequence[Fault]) -> Size:
    """Return the most common size, ``size`` for files without a fault."""
    sizes = Counter({size: file_num - len(faults)})
    for fault in faults:
        if fault.kind == "size":
            width, height = fault.text.split("x")
            sizes[int(width), int(height)] += 1
    return sizes.most_common(1)[0][0]


def _bad_samples(
    faults: Sequence[Fault], files: Sequence[str], pixels: np.ndarray | None
) -> list[BadSample]:
    """Return the files with faults and the reasons; ``pixels`` have the size that they should."""
    bad = []
    for fault in faults:
        text = fault.text
        if fault.kind == "size":
            assert pixels is not None
            text = f"{text} instead of {pixels.shape[2]}x{pixels.shape[1]}"
        bad.append(BadSample(files[fault.position], text))
    return bad


def _bad_images(
    faults: Sequence[Fault], files: Sequence[str], crops: str, pixels: np.ndarray | None = None
) -> BadDataError:
    """Return the error that tells of files with faults."""
    bad = _bad_samples(faults, files, pixels)
    first, count = bad[0], f"{len(bad)} of {len(files)} images"
    skip = ", or leave it out with --on-bad-data skip" if len(bad) < len(files) else ""
    skips = skip.replace("it out", "them out")
    resize = f"resize them, which --extension {crops} also does"
    sizes = sum(fault.kind == "size" for fault in faults)
    if sizes == len(bad):
        what = f"image sizes differ: {first.name} is {first.reason} ({count}): {resize}"
    elif sizes:
        what = f"cannot use {count}: {listed(bad)}: repair or remove them; as to sizes, {resize}"
    elif len(bad) > 1:
        what = f"cannot read {count}: {listed(bad)}: repair or remove them"
    else:
        what = f"cannot read the image: {first.name}: {first.reason}; repair or remove it"
        skips = skip
    return BadDataError(f"{what}{skips}", bad)
