"""What every dataset offers: class names, labels, sample names and pixels by sample index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload
from zlib import crc32

import numpy as np

from denet.cores import core_count
from denet.dataset.image.colours import Components
from denet.dataset.sample_key import first_shuffled
from denet.errors import DataError, UsageError
from denet.memory import room
from denet.printable import counted

MAX_IMAGE_PIXELS = 89_478_485  # Pillow's limit: a quarter of a GB as RGB
SAMPLE_BYTES = 64  # of memory at most for row, label and place in the order, also if mirrored
_CHUNK_BYTES = 1 << 22  # pixels looked at together when the whole set is scanned


@dataclass(frozen=True)
class Opening:
    """How any dataset is opened.

    class_labels  class names whose positions the ids follow (those of a model or a training set)
    class_owner   what has these classes, for messages: "the model", "the training set"
    max_samples   at most so many samples, drawn by ``seed``
    thread_num    decoders (0 or None: all cores)
    progress      show how far the reading is
    on_bad_data   "error": bad samples raise BadDataError with all of them; "skip": they are left
                  out, see Dataset.bad
    max_image_pixels  images with more are bad and never decoded
    training     the set is trained on: what limits its epochs does not make it smaller
    val_split    share of the samples that is held out of training, drawn by ``seed``
    held_out     take that share, else what it leaves
    divided      one set is opened both to train on and to test on
    """

    class_labels: Sequence[str] | None = None
    class_owner: str = ""
    max_samples: int | None = None
    seed: int = 0
    thread_num: int | None = 1
    progress: bool = True
    on_bad_data: str = "error"
    max_image_pixels: int = MAX_IMAGE_PIXELS
    training: bool = False
    val_split: float = 0.0
    held_out: bool = False
    divided: bool = False

    def choose(self, count: int, where: str) -> np.ndarray:
        """Return the sorted indices of the samples to take of so many.

        Raises OutOfMemoryError naming ``where`` if memory cannot even hold their labels and order.
        """
        taken = min(count, self.max_samples or count)
        mend = "save fewer together, or take some of them with --max-samples"
        with room(SAMPLE_BYTES * taken, f"labels and order of {taken} samples: {where}", mend):
            return self._part(choose_samples(count, self.max_samples, self.seed), where)

    def _part(self, samples: np.ndarray, where: str) -> np.ndarray:
        """Return those that are held out, or those that are left; UsageError if there are none."""
        if not self.val_split:
            return samples
        number = round(self.val_split * len(samples))
        if not 0 < number < len(samples):
            raise UsageError(
                f"--val-split: {self.val_split:g}: it holds out {number} of {len(samples)} images: "
                f"{where}: give a share that leaves some to train on and some to test on"
            )
        held_out = first_shuffled(self.seed, len(samples), number)
        return samples[held_out] if self.held_out else np.delete(samples, held_out)


class BadSample(NamedTuple):
    """A sample that cannot be used: the file or row, and why."""

    name: str
    reason: str


class BadDataError(DataError):
    """Samples that cannot be used; ``bad`` holds all of them."""

    def __init__(self, message: str, bad: Sequence[BadSample]):
        super().__init__(message)
        self.bad = list(bad)


def none_usable(bad: Sequence[BadSample]) -> BadDataError:
    """Return the error for images all of which are damaged."""
    return BadDataError(f"none of the images can be read: {listed(bad)}: repair them", bad)


def listed(bad: Sequence[BadSample]) -> str:
    """Return the first bad samples with their reasons, in one line."""
    first = ", ".join(f"{each.name} ({each.reason})" for each in bad[:5])
    return first + (", ..." if len(bad) > 5 else "")


class Samples(NamedTuple):
    """What a dataset gives for k samples: pixels, and what the network is to say of them."""

    images: np.ndarray  # (k, h, w, c) uint8 (255 is one), or float32 as it is
    # by name of the network's input: class_index (k,) int32, ...; and where crops of larger images
    # lie in these, shift (k, 3) int32: pixels right and down of the centre, 1 if mirrored
    targets: dict[str, np.ndarray]
    indices: np.ndarray  # (k,) what they are: in training others stand in for damaged ones


class Names(Sequence[str]):
    """Names made when they are asked for: a list of them would take more than small images do.

    ``name`` gives that of an index; here are those of ``indices``, in their order.
    """

    def __init__(self, name: Callable[[int], str], indices: range):
        self._name, self._indices = name, indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Names: ...
    def __getitem__(self, place: int | slice) -> str | Names:
        found = self._indices[place]
        return Names(self._name, found) if isinstance(found, range) else self._name(found)


def repeated(names: Sequence[str], times: int) -> Sequence[str]:
    """Return every name so many times, one behind the other."""
    if times == 1:
        return names
    return Names(lambda place: names[place // times], range(times * len(names)))


class Dataset:
    """N labelled images of one shape; the sample index 0..N-1 names a sample everywhere.

    class_labels  class names; position = class id
    labels        (N,) int32 class ids
    names         N words for messages and reports: the file, or "row i" of an array
    shape         (c, h, w)
    bad           what was left out because it cannot be used, or was found to be damaged since
    on_bad        called where ``bad`` has grown, by any thread
    boxed         whether the samples have boxes, which move with their pixels
    mirrors       whether training mirrors half of the samples of itself
    classified    whether the samples have a class of their own, their label
    view_num      samples that are views of one image, one behind the other
    any_size      whether images may be larger than ``shape``: only views of one load together
    epoch_limit   an epoch of training goes through at most so many samples, drawn anew each time
    own_colours   whether training shifts colours along the principal components of these images
    components    these, as soon as they are known
    held          whether all stored images lie in memory or mapped files as bytes, so that the set
                  may be copied to a device once, in the place of its batches
    in_files      whether samples are made of files that any process can read, by ``load_by``
    constants     mean and std per channel that such images are normalised by unless
                  ``channel_statistics`` are asked for

    A format derives from this class and gives ``read``.
    """

    boxed = False
    mirrors = False
    classified = True
    view_num = 1
    any_size = False
    epoch_limit: int | None = None
    own_colours = False
    held = False
    in_files = False
    components: Components | None = None
    constants: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __init__(
        self,
        class_labels: Sequence[str],
        labels: np.ndarray,
        names: Sequence[str],
        shape: tuple[int, int, int],
        bad: Sequence[BadSample] = (),
    ):
        assert len(labels) == len(names) > 0
        self.class_labels = list(class_labels)
        self.labels = labels.astype(np.int32, copy=False)
        self.names = names
        self.shape = shape
        self.bad = list(bad)
        self.on_bad: Callable[[], None] = _ignore
        self._stored = len(names)  # samples from here on are the mirrored ones

    def uncropped(self) -> Dataset:
        """Return the same samples in the size from which training crops them."""
        return self

    def text(self) -> str:
        """Return number and shape of the samples and the number of classes in words."""
        shape, classes = "x".join(map(str, self.shape)), counted(len(self.class_labels), "class")
        return f"{counted(len(self), 'image')} of {shape} in {classes}"

    def __len__(self) -> int:
        return len(self.names)

    @property
    def kept_bytes(self) -> int:
        """Return how many bytes of decoded images training keeps at most, beside what is open."""
        return 0

    @property
    def epoch_samples(self) -> int:
        """Return how many samples an epoch of training goes through."""
        return min(len(self), self.epoch_limit or len(self))

    @property
    def image_names(self) -> Sequence[str]:
        """The name of each image, once however many samples are views of it."""
        return self.names[:: self.view_num]

    def usable(self, samples: Iterable[int]) -> np.ndarray:
        """Return which of the samples (k,) have not been found to be damaged, bool."""
        damaged = {each.name for each in self.bad}
        return np.array([self.names[sample] not in damaged for sample in samples], np.bool_)

    def check_usable(self) -> None:
        """Raise BadDataError if all samples have been found to be damaged."""
        if not self.usable(range(len(self))).any():
            raise none_usable(self.bad)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return the stored samples as a new (k, h, w, c) array: uint8, or float32 as it is."""
        raise AssertionError("abstract")

    def stored(self, indices: np.ndarray) -> np.ndarray:
        """Return the pixels that ``read`` does as a contiguous array, in any order of axes."""
        return self.read(indices)

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Return samples as a new (k, h, w, c) array: uint8 (255 is one), or float32 as it is."""
        images = self.read(indices % self._stored)
        mirrored = indices >= self._stored
        if mirrored.any():
            images[mirrored] = images[mirrored, :, ::-1]
        return images

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        """Return samples; ``keys`` (k,) uint64 are the sources of what is random in training."""
        return Samples(self.images(indices), self.targets(indices), indices)

    def load_by(
        self, perform: Any, indices: np.ndarray, keys: np.ndarray, training: bool
    ) -> Samples:
        """Return what ``load`` does, made by another process, see ``Decoder.perform``."""
        raise AssertionError("only where samples are files")

    def targets(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the network is to say of samples, see ``Samples``."""
        return {"class_index": self.labels[indices]}

    @property
    def stored_num(self) -> int:
        """Return how many images ``read`` has: samples from there on are the same, mirrored."""
        return self._stored

    def prepare_training(self) -> None:
        """Measure what ``load`` needs for training, unless it is known."""

    def class_counts(self) -> np.ndarray:
        """Return how often each class occurs (classes,)."""
        return np.bincount(self.labels, minlength=len(self.class_labels))

    def append_mirrored(self) -> None:
        """Double the set: sample N + i is sample i mirrored left to right, made when it is read."""
        assert len(self) == self._stored
        self.labels = np.concatenate([self.labels, self.labels])
        names, stored = self.names, self._stored
        self.names = Names(lambda sample: names[sample % stored], range(2 * stored))

    def fingerprint(self) -> dict[str, int]:
        """Return what tells the content of this set from others: a checksum of all pixels."""
        checksum, step = 0, max(1, _CHUNK_BYTES // int(np.prod(self.shape)))
        for start in range(0, self._stored, step):
            pixels = self.stored(np.arange(start, min(start + step, self._stored)))
            checksum = crc32(pixels.data, checksum)
        return {"pixels": checksum}

    def scored_fingerprint(self) -> dict[str, int]:
        """Return what tells apart sets that are trained on alike but score differently."""
        return {}

    def image_checksums(self) -> np.ndarray:
        """Return a checksum of each image, its name and its targets (N,), in float32.

        None of them where the pixels of all are held: what is there cannot be lost since.
        """
        return np.zeros(0, np.float32)

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return (mean, std) per channel over ``statistics_samples``, uint8 scaled to [0, 1].

        Counted exactly (uint8) or summed in float64, a few images at a time. A channel that never
        varies gets std 1, so that dividing by it is harmless.
        """
        chunks = self._chunks()
        mean, variance = (_count if self._is_uint8() else _sum)(chunks)
        std = np.where(variance > 0, np.sqrt(variance), 1.0)
        return tuple(mean.tolist()), tuple(std.tolist())

    def statistics_samples(self) -> np.ndarray:
        """Return the indices of the samples that ``channel_statistics`` looks at: all stored."""
        return np.arange(self._stored)

    def _is_uint8(self) -> bool:
        return self.read(np.zeros(1, np.int64)).dtype == np.uint8

    def _chunks(self) -> _Chunks:
        return _Chunks(self, max(1, _CHUNK_BYTES // int(np.prod(self.shape))))


class _Chunks:
    """Stored images as (pixels, c) arrays of a few images; can be gone through again."""

    def __init__(self, dataset: Dataset, length: int):
        self._dataset, self._length = dataset, length

    def __iter__(self) -> Iterator[np.ndarray]:
        indices, found = self._dataset.statistics_samples(), False
        for start in range(0, len(indices), self._length):
            part = indices[start : start + self._length]
            images = self._dataset.read(part)
            pixels = images[self._dataset.usable(part)].reshape(-1, self._dataset.shape[0])
            for first in range(0, len(pixels), _CHUNK_BYTES):  # of a large image
                found = True
                yield pixels[first : first + _CHUNK_BYTES]
        if not found:
            raise none_usable(self._dataset.bad)


def _count(chunks: _Chunks) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (c,) of uint8 pixels / 255 from their histograms."""
    histogram = sum(
        np.stack([np.bincount(channel, minlength=256) for channel in chunk.T]) for chunk in chunks
    )
    assert isinstance(histogram, np.ndarray)
    level = np.arange(256) / 255
    share = histogram / histogram.sum(axis=1, keepdims=True)
    mean = share @ level
    return mean, (share * (level - mean[:, None]) ** 2).sum(axis=1)


def _sum(chunks: _Chunks) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (c,) of float pixels in two passes."""
    count = sum(len(chunk) for chunk in chunks)
    mean = sum(chunk.sum(axis=0, dtype=np.float64) for chunk in chunks) / count
    square = sum(((chunk - mean) ** 2).sum(axis=0) for chunk in chunks)
    return np.asarray(mean), np.asarray(square) / count


def _ignore() -> None:
    pass


def thread_count(thread_num: int | None) -> int:
    """Return the number of threads asked for; 0 and None ask for every core we may use."""
    if thread_num is not None and thread_num < 0:
        raise UsageError(f"--thread-num: {thread_num}: give 0 (all cores) or a positive number")
    if thread_num:
        return thread_num
    return core_count()


def choose_samples(count: int, max_samples: int | None, seed: int) -> np.ndarray:
    """Return sorted indices of at most ``max_samples`` of ``count`` samples, drawn by ``seed``."""
    if max_samples is not None and max_samples < 1:
        raise UsageError(f"--max-samples: {max_samples}: give a positive number or leave it out")
    if max_samples is None or max_samples >= count:
        return np.arange(count)
    return first_shuffled(seed, count, max_samples)
