"""Zip archives as torch.save writes them: entries that are stored, not compressed.

Read by the format's own description (APPNOTE.TXT 4.3). Nothing is unpacked, so that no file is
larger than its archive; entries may not share bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, NamedTuple
from zlib import crc32

from denet.errors import DataError
from denet.printable import printable

END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
ENTRY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
END_BYTES, LOCATOR_BYTES, END64_BYTES, ENTRY_BYTES, LOCAL_BYTES = 22, 20, 56, 46, 30
MAX_COMMENT = 0xFFFF  # bytes behind the end record
MAX_DIRECTORY = 16 << 20  # bytes: an array takes about a hundred
LARGE = 0xFFFFFFFF  # stands for a number that the extra field with this tag holds in 8 bytes
LARGE_TAG = 1
ENCRYPTED = 1
CHUNK = 1 << 20
SHOWN_LENGTH = 80


class Entry(NamedTuple):
    """A file of the archive: where its bytes lie, and their checksum."""

    start: int
    size: int
    checksum: int


class Archive:
    """The entries of an open zip file by name; DataError for one that is damaged."""

    def __init__(self, file: BinaryIO, source: str):
        self._file, self._source = file, source
        self._size = os.path.getsize(source)
        self._checked: set[str] = set()
        directory = self._directory()
        self.entries: dict[str, Entry] = {}
        spans = []
        for name, offset, size, checksum in self._listed(directory):
            if name in self.entries:
                raise self.fault(f"two entries are called {printable(name)!r:.{SHOWN_LENGTH}}")
            start = self._data(name, offset)
            spans.append((offset, start + size))
            self.entries[name] = Entry(start, size, checksum)
        spans = [*sorted(spans), (self._begin, self._begin)]
        if any(end > start for (_, end), (start, _) in pairwise(spans)):
            raise self.fault("entries lie in each other")

    def fault(self, what: str) -> DataError:
        """Return the error that says ``what`` is wrong with the archive."""
        return DataError(f"cannot read weights: {self._source}: {what}; take another copy")

    def checked(self, name: str) -> Entry:
        """Return an entry, once its bytes have its checksum."""
        entry = self.entries[name]
        if name not in self._checked:
            self._checked.add(name)
            self._file.seek(entry.start)
            checksum, left = 0, entry.size
            while left and (part := self._file.read(min(left, CHUNK))):
                checksum, left = crc32(part, checksum), left - len(part)
            if checksum != entry.checksum:
                raise self.fault(f"the content of {printable(name)!r} is not what was saved")
        return entry

    def content(self, name: str, most: int) -> bytes:
        """Return the bytes of a small entry."""
        if name not in self.entries:
            raise self.fault(f"no {printable(name)!r} in it")
        if self.entries[name].size > most:
            raise self.fault(f"{printable(name)!r} has more than {most} bytes")
        entry = self.checked(name)
        self._file.seek(entry.start)
        return self._file.read(entry.size)

    def _read(self, start: int, count: int) -> bytes:
        if not 0 <= start <= start + count <= self._size:
            raise self.fault(f"it is cut short, {self._size} bytes of at least {start + count}")
        self._file.seek(start)
        return self._file.read(count)

    def _directory(self) -> bytes:
        """Return the list of all entries, which stands behind them."""
        tail = self._read(begin := max(0, self._size - END_BYTES - MAX_COMMENT), self._size - begin)
        place = tail.rfind(END)
        if place < 0 or len(tail) - place < END_BYTES:
            raise self.fault("it is cut short: a zip archive without its end")
        size, offset = struct.unpack_from("<II", tail, place + 12)
        end = begin + place
        if end >= LOCATOR_BYTES:
            locator = self._read(end - LOCATOR_BYTES, LOCATOR_BYTES)
            if locator.startswith(LOCATOR64):
                record = self._read(struct.unpack_from("<Q", locator, 8)[0], END64_BYTES)
                if not record.startswith(END64):
                    raise self.fault("a zip archive whose end is damaged")
                size, offset = struct.unpack_from("<QQ", record, 40)
        if size > MAX_DIRECTORY:
            raise self.fault(f"{size} bytes of names of entries")
        self._begin = offset
        return self._read(offset, size)

    def _listed(self, directory: bytes) -> Iterator[tuple[str, int, int, int]]:
        """Yield name, offset, size and checksum of the entries."""
        place = 0
        while place < len(directory):
            if len(directory) - place < ENTRY_BYTES or not directory.startswith(ENTRY, place):
                raise self.fault("a zip archive whose list of entries is damaged")
            flags, method = struct.unpack_from("<HH", directory, place + 8)
            checksum, packed, size = struct.unpack_from("<III", directory, place + 16)
            lengths = struct.unpack_from("<HHH", directory, place + 28)
            (offset,) = struct.unpack_from("<I", directory, place + 42)
            begin = place + ENTRY_BYTES
            place = begin + sum(lengths)
            name = directory[begin : begin + lengths[0]].decode("utf-8", "replace")
            extra = directory[begin + lengths[0] : begin + lengths[0] + lengths[1]]
            size, packed, offset = self._large(extra, [size, packed, offset])
            if method or flags & ENCRYPTED or packed != size:
                raise DataError(
                    f"cannot read weights: {self._source}: {printable(name)!r:.{SHOWN_LENGTH}} is "
                    "compressed or encrypted, which torch.save never does (torch.jit.save does): "
                    "save model.state_dict() by it"
                )
            yield name, offset, size, checksum

    def _large(self, extra: bytes, numbers: list[int]) -> list[int]:
        """Return numbers, those that take more than 4 bytes out of the extra field."""
        place, large = 0, b""
        while place + 4 <= len(extra):
            tag, length = struct.unpack_from("<HH", extra, place)
            if tag == LARGE_TAG:
                large = extra[place + 4 : place + 4 + length]
            place += 4 + length
        values = iter(struct.unpack(f"<{len(large) // 8}Q", large[: len(large) // 8 * 8]))
        found = [next(values, -1) if number == LARGE else number for number in numbers]
        if min(found) < 0:
            raise self.fault("a zip archive whose list of entries is damaged")
        return found

    def _data(self, name: str, offset: int) -> int:
        """Return where the bytes of an entry begin, behind its own head."""
        head = self._read(offset, LOCAL_BYTES)
        if not head.startswith(LOCAL):
            raise self.fault(f"no entry {printable(name)!r:.{SHOWN_LENGTH}} where it should be")
        name_length, extra_length = struct.unpack_from("<HH", head, 26)
        return offset + LOCAL_BYTES + int(name_length) + int(extra_length)
