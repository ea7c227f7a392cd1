"""A save that fails, whenever it fails, leaves the previous file and nothing else."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from denet.errors import DataError
from denet.files import atomic_write, prove_writable


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def test_content_appears_under_the_final_name(tmp_path):
    with atomic_write(tmp_path / "a.mdl") as temporary:
        assert temporary.parent.parent == tmp_path  # a rename within one disk
        temporary.write_bytes(b"new")
        assert not (tmp_path / "a.mdl").exists()
    assert (tmp_path / "a.mdl").read_bytes() == b"new"
    assert files(tmp_path) == ["a.mdl"]


def test_what_a_library_leaves_beside_the_file_goes_too(tmp_path):
    with pytest.raises(ValueError), atomic_write(tmp_path / "a.mdl") as temporary:
        (temporary.parent / ".tmpAbCdEf").write_bytes(b"half")
        raise ValueError
    with atomic_write(tmp_path / "a.mdl") as temporary:
        (temporary.parent / ".tmpAbCdEf").write_bytes(b"half")
    assert files(tmp_path) == ["a.mdl"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), DataError("y")])
def test_an_exception_leaves_the_previous_file(tmp_path, error):
    (tmp_path / "a.mdl").write_bytes(b"old")
    with pytest.raises(type(error)), atomic_write(tmp_path / "a.mdl") as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert (tmp_path / "a.mdl").read_bytes() == b"old"
    assert files(tmp_path) == ["a.mdl"]


def test_a_full_disk_is_told_in_one_line(tmp_path):
    path = tmp_path / "a.mdl"
    with (
        pytest.raises(DataError, match="No space left on device") as caught,
        atomic_write(path),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pipe_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe"), atomic_write(tmp_path / "pipe") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "pipe").is_fifo() and files(tmp_path) == ["pipe"]


@pytest.mark.parametrize("name", ["absent/a.mdl", "directory"])
def test_a_name_that_cannot_be_a_file(tmp_path, name):
    (tmp_path / "directory").mkdir()
    with pytest.raises(DataError, match="cannot write"), atomic_write(tmp_path / name) as temporary:
        temporary.write_bytes(b"new")
    assert files(tmp_path) == ["directory"]


def test_access_rights_follow_the_umask_or_the_previous_file(tmp_path):
    mask = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "new"):
            pass
        with atomic_write(tmp_path / "private") as temporary:
            temporary.chmod(0o600)  # as safetensors does
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o600)
        with atomic_write(tmp_path / "old"):
            pass
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "latest.mdl").symlink_to(tmp_path / "real" / "a.mdl")
    with atomic_write(tmp_path / "latest.mdl") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "latest.mdl").is_symlink()
    assert (tmp_path / "real" / "a.mdl").read_bytes() == b"new"


def test_killed_in_the_middle_of_a_save(tmp_path):
    (tmp_path / "a.mdl").write_bytes(b"old")
    program = (
        "import os, signal, sys\n"
        "from denet.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-c", program, str(tmp_path / "a.mdl")]
    done = subprocess.run(command, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.mdl").read_bytes() == b"old"


def test_what_cannot_be_written_is_named_and_no_file_that_tried_it(tmp_path):
    """A name too long stands for all else that a directory refuses: root may write anywhere."""
    with pytest.raises(OSError, match="File name too long") as caught:
        prove_writable(tmp_path / "new", "x" * 250)
    assert caught.value.filename == str(tmp_path)
