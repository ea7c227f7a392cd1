"""Photos made by decoder processes: the same batches, damage told, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from PIL import Image

from denet.dataset import BadDataError, loader, open_dataset
from denet.dataset.image import decoder
from denet.dataset.loader import Loader
from denet.errors import WorkerError
from denet.model.preprocessing import Preprocessing

COUNT, THREADS = 24, 5


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Photos with none to two boxes, grey ones too; processes pay for as few as there are."""
    rng = np.random.default_rng(1)
    for number in range(COUNT):
        size = (90 + number, 60)
        boxes = [(1 + number, 5, 40, 50), (50, 10, 80, 60)][: number % 3]
        objects = [object_xml(name, box) for name, box in zip("ab", boxes, strict=False)]
        write_voc(tmp_path, {f"{number:02}": voc_xml(*objects, size=size)})
        image = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize(size)
        image.convert("L" if number == 3 else "RGB").save(tmp_path / f"JPEGImages/{number:02}.jpg")
    split = "".join(f"{number:02}\n" for number in range(COUNT))
    (tmp_path / "ImageSets/Main/train.txt").write_text(split)
    monkeypatch.setattr(loader, "DECODER_FILES", COUNT // THREADS)
    decoder._close_idle()
    yield tmp_path
    decoder._close_idle()


def opened(path, options="", **settings):
    return open_dataset(path, f"voc,train,crop=32{options}", progress=False, **settings)


def batches(dataset, threads, training=True):
    """Return those of an epoch, and how many processes made them."""
    found = Loader(dataset, 5, Preprocessing(), thread_num=threads, seed=3, training=training)
    return list(found.epoch(1)), found.processes


@pytest.mark.parametrize(
    "options",
    [
        ",crop_mode=denet",
        ",crop_mode=ssd,augment_photo,augment_color,color_components=data",
        ",crop_mode=resnet,check_center",
        ",multicrop",
    ],
)
def test_same_batches(photos, options):
    (photos / "JPEGImages/07.jpg").write_bytes(b"no image")
    sets = [opened(photos, options, on_bad_data="skip") for _ in range(2)]
    for training in (True, False) if "multicrop" not in options else (False,):
        (here, none), (there, many) = (
            batches(each, threads, training)
            for each, threads in zip(sets, (1, THREADS), strict=True)
        )
        assert none == 0 and many == THREADS and decoder._idle
        for first, second in zip(here, there, strict=True):
            np.testing.assert_array_equal(first.data, second.data)
            np.testing.assert_equal(first.targets, second.targets)
            np.testing.assert_array_equal(first.indices, second.indices)
    assert sets[0].bad == sets[1].bad and len(sets[0].bad) == 1


def test_damage_is_an_error(photos):
    name = photos / "JPEGImages/07.jpg"
    name.write_bytes(name.read_bytes()[:700])
    with pytest.raises(BadDataError, match=r"07.jpg: image file is truncated .*bring it back"):
        batches(opened(photos), THREADS)


def test_a_process_that_died_is_told_and_replaced(photos):
    dataset = opened(photos)
    expected, _ = batches(dataset, THREADS)
    for each in decoder._idle:
        each._process.kill()
        each._process.wait()
    with pytest.raises(WorkerError, match=r"image decoder ended by signal 9: while reading .*jpg"):
        batches(dataset, THREADS)
    decoder._close_idle()
    found, _ = batches(dataset, THREADS)
    np.testing.assert_array_equal(found[-1].data, expected[-1].data)


def test_where_threads_do_it_themselves(photos, monkeypatch):
    def loaded(options="", threads=THREADS):
        dataset = opened(photos, options)
        return Loader(dataset, 5, Preprocessing(), thread_num=threads, training=True)

    apart, here = loaded(), loaded(threads=4)
    assert apart.processes == apart.process_bytes / decoder.PROCESS_BYTES == THREADS
    assert apart.working_bytes - here.working_bytes == (THREADS + 1) * apart.batch_bytes
    assert (apart.kept_bytes, here.processes, here.process_bytes) == (0, 0, 0) < (here.kept_bytes,)
    assert not loaded(",mosaic=0.5").processes
    monkeypatch.setattr(loader, "DECODER_FILES", COUNT)
    assert not loaded().processes


def lives(process):
    """Say whether a process of /proc runs; what nobody waits for stays there for a while."""
    try:
        return "State:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are used and seen on Linux only")
def test_processes_end_with_the_one_they_work_for(tmp_path):
    """They are nice as the threads they work for, and read the end when that is killed."""
    script = (
        "import os, time; from denet.dataset.image import decoder\n"
        "from denet.dataset.loader import yield_to_kernels as nice; nice()\n"
        "with decoder.lent(2): pass\n"
        "print(decoder._idle[0]._process.pid, flush=True); time.sleep(100)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        process = Path("/proc", owner.stdout.readline().strip())
        assert os.getpriority(os.PRIO_PROCESS, int(process.name)) == 19
        owner.send_signal(signal.SIGKILL)
    end = time.monotonic() + 60
    while lives(process):
        assert time.monotonic() < end, "it lives on"
        time.sleep(0.05)
