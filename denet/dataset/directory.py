"""Image files in one directory per class, FNAME/CLASS/**/*.EXT, decoded once into memory."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from queue import SimpleQueue

import numpy as np

from denet.dataset.base import Dataset, choose_samples, class_ids, thread_count
from denet.dataset.decode import (
    Decoder,
    Fault,
    bombs_only,
    decode_files,
    decode_image,
    image_suffixes,
    reason,
)
from denet.errors import DataError, OutOfMemoryError

logger = logging.getLogger(__name__)

_BLOCK_FILES = 256  # files decoded at one go
_BLOCK_BYTES = 1 << 22
_DECODER_FILES = 1000  # fewer files than this do not pay for starting a further process

_Decode = Callable[[Sequence[str], np.ndarray], list[Fault]]


class DirectoryDataset(Dataset):
    """Images held in memory as one (N, h, w, c) uint8 array, c = 1 only if every image is grey."""

    def __init__(
        self, class_labels: Sequence[str], labels: np.ndarray, names: list[str], pixels: np.ndarray
    ):
        _, height, width, channels = pixels.shape
        super().__init__(class_labels, labels, names, (channels, height, width))
        self._pixels = pixels

    def read(self, indices: np.ndarray) -> np.ndarray:
        pixels: np.ndarray = self._pixels[indices]
        return pixels


def open_directory(
    path: str,
    kind: str,
    *,
    class_labels: Sequence[str] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    thread_num: int | None = 1,
    progress: bool = True,
) -> DirectoryDataset:
    """Read every image of format ``kind`` ("png", "jpg", ...; "image" is any) below ``path``.

    Class ids follow the sorted directory names, or ``class_labels``. All images must have one
    size; EXIF orientation is applied. Raises DataError naming the file, OutOfMemoryError.
    """
    started = time.perf_counter()
    files, file_classes, found = _scan(path, kind)
    with_images = sorted(set(file_classes))
    ids = class_ids(found if class_labels is None else with_images, class_labels, path)
    chosen = choose_samples(len(files), max_samples, seed)
    files = [files[index] for index in chosen]
    labels = np.array([ids[file_classes[index]] for index in chosen], np.int32)
    pixels = _read_pixels(files, thread_count(thread_num), progress)
    dataset = DirectoryDataset(list(ids), labels, files, pixels)
    seconds = time.perf_counter() - started
    logger.info(
        "%s: %s, %.0f MB, %.1f s (%.0f files/s)",
        *(path, dataset.text(), pixels.nbytes / 1e6, seconds, len(files) / seconds),
    )
    return dataset


def _scan(path: str, kind: str) -> tuple[list[str], list[str], list[str]]:
    """Return the sorted files, the class of each, and the names of all class directories."""
    where = os.path.abspath(path)
    if not os.path.isdir(path):
        what = "not a directory" if os.path.exists(path) else "no such directory"
        raise DataError(f"{what}: {where}: give the directory that holds one directory per class")
    suffixes = image_suffixes()
    if kind != "image":
        suffixes = {key: name for key, name in suffixes.items() if name == suffixes["." + kind]}
    files, file_classes, others = [], [], Counter[str]()
    try:
        found = sorted(entry.name for entry in _entries(path) if entry.is_dir())
        for name in found:
            below = sorted(_files_below(os.path.join(path, name)))
            images = [file for file in below if _suffix(file) in suffixes]
            others.update(_suffix(file) for file in below if _suffix(file) not in suffixes)
            files += images
            file_classes += [name] * len(images)
            if not images:
                logger.warning("%s: class %r has no images", where, name)
    except OSError as error:
        raise DataError(f"cannot list the directory: {error.filename}: {error.strerror}") from None
    there = ", ".join(f"{suffix or 'no suffix'} ({n})" for suffix, n in others.most_common(5))
    if not found:
        raise DataError(f"no class directories: {where}: put the images into {path}/CLASS/")
    if not files:
        wanted = "images" if kind == "image" else f".{kind} images"
        mend = f"found {there}; give another --extension" if there else "all classes are empty"
        raise DataError(f"no {wanted} in {len(found)} class directories: {where}: {mend}")
    if there:
        logger.warning("%s: left out files with other extensions: %s", where, there)
    return files, file_classes, found


def _entries(path: str) -> list[os.DirEntry[str]]:
    """Return what lies in a directory, without hidden names."""
    with os.scandir(path) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _files_below(path: str) -> list[str]:
    files = []
    for entry in _entries(path):
        files += _files_below(entry.path) if entry.is_dir() else [entry.path]
    return files


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1].lower()


def _read_pixels(files: list[str], threads: int, progress: bool) -> np.ndarray:
    """Decode all files into one new (N, h, w, c) uint8 array."""
    width, height, grey = _first_image(files)
    for channels in (1, 3) if grey else (3,):
        try:
            pixels = np.empty((len(files), height, width, channels), np.uint8)
        except MemoryError:
            size = len(files) * height * width * channels / 1e9
            raise OutOfMemoryError(
                f"{len(files)} images of {width}x{height} need {size:.1f} GB of memory: "
                f"{os.path.dirname(files[0])}: read fewer with --max-samples"
            ) from None
        faults = _decode(files, pixels, threads, progress)
        if not any(fault.kind == "colour" for fault in faults):
            _raise_faults(files, faults, f"{width}x{height}")
            return pixels
        del pixels  # the first image was grey, a later one is not: read again as colour
    raise AssertionError("unreachable")


def _first_image(files: list[str]) -> tuple[int, int, bool]:
    """Return (width, height, whether grey) of the first readable image."""
    faults = []
    with bombs_only():
        for position, file in enumerate(files):
            try:
                image = decode_image(file)
                return image.width, image.height, image.mode == "L"
            except Exception as error:  # a damaged file can make a decoder raise anything
                faults.append(Fault(position, "unreadable", reason(error)))
    _raise_faults(files, faults, "")
    raise AssertionError("unreachable")


def _decode(files: list[str], pixels: np.ndarray, threads: int, progress: bool) -> list[Fault]:
    """Fill ``pixels``; return the faults in file order, or those up to a first colour fault."""
    from tqdm import tqdm

    block = max(1, min(_BLOCK_FILES, _BLOCK_BYTES // pixels[0].nbytes))
    starts = range(0, len(files), block)
    processes = min(threads, len(files) // _DECODER_FILES)
    faults: list[Fault] = []
    with ExitStack() as stack:
        idle: SimpleQueue[_Decode] = SimpleQueue()
        if processes < 2:
            idle.put(decode_files)
        else:
            for _ in range(processes):
                idle.put(stack.enter_context(closing(Decoder())).decode)

        def run(start: int) -> list[Fault]:
            decode = idle.get()
            try:
                found = decode(files[start : start + block], pixels[start : start + block])
            finally:
                idle.put(decode)
            return [fault._replace(position=start + fault.position) for fault in found]

        hidden = not progress or not sys.stderr.isatty()
        bar = stack.enter_context(
            tqdm(total=len(files), unit=" files", disable=hidden, leave=False)
        )
        pool = ThreadPoolExecutor(idle.qsize())
        stack.callback(pool.shutdown, cancel_futures=True)
        for start, found in zip(starts, pool.map(run, starts), strict=True):
            faults += found
            bar.update(min(block, len(files) - start))
            if any(fault.kind == "colour" for fault in found):
                break
    return faults


def _raise_faults(files: list[str], faults: list[Fault], size: str) -> None:
    """Raise a DataError about files that cannot be read, else about sizes, else return."""
    unreadable = [fault for fault in faults if fault.kind == "unreadable"]
    if len(unreadable) == 1:
        position, _, text = unreadable[0]
        raise DataError(f"cannot read the image: {files[position]}: {text}; repair or remove it")
    if unreadable:
        first = ", ".join(f"{files[position]} ({text})" for position, _, text in unreadable[:5])
        more = ", ..." if len(unreadable) > 5 else ""
        count = f"{len(unreadable)} of {len(files)} images"
        raise DataError(f"cannot read {count}: {first}{more}: repair or remove them")
    if faults:
        position, _, text = faults[0]
        raise DataError(
            f"image sizes differ: {files[position]} is {text} but {files[0]} is {size} "
            f"({len(faults)} of {len(files)} differ from it): resize all images to one size"
        )
