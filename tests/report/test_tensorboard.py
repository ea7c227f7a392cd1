"""Event files of TensorBoard, read back record by record."""

import math
import os
import struct
import sys

import pytest

from denet.errors import DataError, UsageError
from denet.report.tensorboard import EventWriter, tag

ROWS = [
    {"epoch": 1, "learn_rate": 0.1, "cost": 2.5, "test_error": math.nan, "train_seconds": 3},
    {"epoch": 2, "learn_rate": 0.01, "cost": 1.25, "test_error": 40.0, "train_seconds": 2.5},
]
SCALARS = [
    (1, {"train/learn_rate": 0.1, "train/cost": 2.5, "train/seconds": 3.0}),
    (2, {"train/learn_rate": 0.01, "train/cost": 1.25, "test/error": 40.0, "train/seconds": 2.5}),
]

TAGS = [
    ("cost", "train/cost"),
    ("cost_corner", "train/cost_corner"),
    ("sample_coverage", "train/sample_coverage"),
    ("train_seconds", "train/seconds"),
    ("test_top5_error", "test/top5_error"),
    ("wait_seconds", "train/wait_seconds"),
    ("images_per_second", "train/images_per_second"),
    ("test", "train/test"),
]


def crc32c(data):
    """Castagnoli's CRC, bit by bit, masked as TFRecord files hold it."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82F63B78 if rest & 1 else 0)
    rest ^= 0xFFFFFFFF
    return ((rest >> 15 | rest << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """Yield the records of a TFRecord file: length, its CRC, the bytes, their CRC."""
    content = path.read_bytes()
    while content:
        head, check = content[:8], content[8:12]
        end = 12 + struct.unpack("<Q", head)[0]
        data = content[12:end]
        assert struct.pack("<I", crc32c(head)) == check
        assert struct.pack("<I", crc32c(data)) == content[end : end + 4]
        yield data
        content = content[end + 4 :]


def events(path):
    """Return the events of a file behind the first, which tells the version."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    first, *others = map(event_pb2.Event.FromString, records(path))
    assert first.file_version == "brain.Event:2"
    return others


def scalars(path):
    return [
        (event.step, {each.tag: pytest.approx(each.simple_value) for each in event.summary.value})
        for event in events(path)
        if event.HasField("summary")
    ]


@pytest.mark.parametrize("name, expected", TAGS)
def test_tag(name, expected):
    assert tag(name) == expected


def test_crc_of_the_published_example():
    """RFC 3720 B.4: 32 bytes of zeros have the CRC 8a9136aa."""
    rest = crc32c(bytes(32)) - 0xA282EAD8 & 0xFFFFFFFF
    assert (rest >> 17 | rest << 15) & 0xFFFFFFFF == 0x8A9136AA


def test_every_row_is_on_the_disk_before_the_next(tmp_path):
    pytest.importorskip("tensorboardX")
    writer = EventWriter(tmp_path)
    for number, row in enumerate(ROWS, 1):
        writer.add(row)
        (path,) = tmp_path.iterdir()
        assert "tfevents" in path.name
        assert scalars(path) == SCALARS[:number]
    writer.close()
    assert scalars(path) == SCALARS


def test_a_resumed_run_has_a_file_of_its_own_that_takes_the_place_of_later_epochs(tmp_path):
    pytest.importorskip("tensorboardX")
    for rows in (ROWS, ROWS[1:]):
        writer = EventWriter(tmp_path)
        for row in rows:
            writer.add(row)
        writer.close()
    first, second = sorted(tmp_path.iterdir())
    assert scalars(first) == SCALARS and scalars(second) == SCALARS[1:]
    start = events(second)[0]
    assert start.step == 2 and start.session_log.status == start.session_log.START


def test_missing_tensorboard_is_told_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX.record_writer", None)
    with pytest.raises(UsageError, match="pip install tensorboardX"):
        EventWriter(tmp_path)


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    pytest.importorskip("tensorboardX")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: File exists"):
        EventWriter(tmp_path / "file").add({"epoch": 1, "cost": 0.5})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full of Linux")
def test_a_full_disk_is_told(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr("denet.report.tensorboard.time.time_ns", lambda: "full")
    (tmp_path / "events.out.tfevents.full").symlink_to("/dev/full")
    writer = EventWriter(tmp_path)
    with pytest.raises(DataError, match=f"{tmp_path}: No space left"):
        writer.add(ROWS[0])
    monkeypatch.undo()
    writer.add(ROWS[1])  # there is room again
    writer.close()
    path = next(path for path in tmp_path.iterdir() if not path.is_symlink())
    assert scalars(path) == SCALARS[1:]
