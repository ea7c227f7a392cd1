"""Files of torch.save: a zip archive, or until 2020 five pickles and the elements behind them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from denet.bfloat16 import to_float32
from denet.errors import DataError
from denet.model.format.weights.archive import Archive
from denet.model.format.weights.pickled import MAX_BYTES, Machine, Storage, Tensor

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of the old format
PICKLE, BYTE_ORDER = "data.pkl", "byteorder"
COUNT_BYTES = 8  # a whole number of elements before those of each storage

Place = Callable[[Storage], int]  # where in the file the elements under its key begin


def read_zip(file: BinaryIO, source: str) -> tuple[Any, Place]:
    """Return what the archive holds, and what finds its storages. Raises DataError."""
    archive = Archive(file, source)
    roots = [
        name.removesuffix(PICKLE)
        for name in archive.entries
        if name.endswith(f"/{PICKLE}") and name.count("/") == 1
    ]
    if len(roots) != 1:
        raise DataError(
            f"cannot read weights: {source}: a zip archive without the {PICKLE} of torch.save: "
            "take the file that it was made of"
        )
    order = roots[0] + BYTE_ORDER
    if order in archive.entries and archive.content(order, 16) != b"little":
        raise archive.fault("it was written by a machine of other byte order")

    def place(storage: Storage) -> int:
        name = f"{roots[0]}data/{storage.key}"
        if name not in archive.entries:
            raise archive.fault(f"no storage {storage.key!r:.20} in it")
        entry = archive.checked(name)
        if entry.size != storage.held * element_type(storage).itemsize:
            raise archive.fault(f"{entry.size} bytes for a storage of {storage.held} elements")
        return entry.start

    return Machine(archive.content(roots[0] + PICKLE, MAX_BYTES), source).run(), place


def read_old(file: BinaryIO, source: str) -> tuple[Any, Place]:
    """Return what a file of the old format holds, and what finds its storages. Raises DataError."""
    file.seek(0)
    machine = Machine(file.read(MAX_BYTES), source)
    if machine.run() != MAGIC or machine.run() != PROTOCOL:
        raise machine.fault("a pickle, but not one of torch.save")
    system = machine.run()
    if type(system) is not dict or system.get("little_endian") is not True:
        raise machine.fault("it was written by a machine of other byte order")
    value, keys = machine.run(), machine.run()
    storages = machine.storages
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise machine.fault("a damaged list of storages")
    if set(keys) != storages.keys() or len(set(keys)) < len(keys):
        raise machine.fault("its list of storages is not that of its tensors")
    places, at, size = {}, machine.position, os.path.getsize(source)
    for key in keys:
        file.seek(at)
        count = file.read(COUNT_BYTES)
        at += COUNT_BYTES
        if len(count) == COUNT_BYTES and struct.unpack("<q", count)[0] != storages[key].held:
            raise machine.fault(f"another length of the storage {key!r:.20} than its tensors tell")
        places[key] = at
        at += storages[key].held * element_type(storages[key]).itemsize
    if at != size:
        raise machine.fault(f"{size} bytes, not the {at} that it tells; take another copy")
    return value, lambda storage: places[storage.key]


def element_type(storage: Storage) -> np.dtype[Any]:
    """Return NumPy's type of what the file holds for an element."""
    return np.dtype("<u2" if storage.elements == "bfloat16" else storage.elements)


def read_tensor(file: BinaryIO, place: Place, tensor: Tensor) -> np.ndarray:
    """Return a tensor as a new float32 array, whatever its strides; ValueError if it is cut."""
    storage, dtype = tensor.storage, element_type(tensor.storage)
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, np.float32)
    steps = zip(tensor.shape, tensor.strides, strict=True)
    count = 1 + sum((length - 1) * stride for length, stride in steps)
    file.seek(place(storage) + dtype.itemsize * (storage.offset + tensor.offset))
    values = np.fromfile(file, dtype, count)
    if len(values) < count:
        raise ValueError("cut short")
    if storage.elements == "bfloat16":
        values = to_float32(values)
    strides = [values.itemsize * stride for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False)
    with np.errstate(over="ignore"):  # of numbers beyond float32
        return np.array(view, np.float32, order="C")
