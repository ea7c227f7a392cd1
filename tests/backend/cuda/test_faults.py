"""The tests of the kernels see what is wrong: each of many seeded faults fails the test named."""

import os
import shutil

import pytest
from backend.cuda.faults import DEVICE_ONLY, FAULTS
from backend.cuda.host_device import KernelError, unavailable

from denet.backend.cuda import source

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)
if os.environ.get("GPU"):
    pytest.skip("a faulty kernel may ruin a GPU's other memory", allow_module_level=True)

EACH = [
    pytest.param(file, *fault, id=f"{file}: {number}")
    for file, faults in FAULTS.items()
    for number, fault in enumerate(faults)
]


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """Yield the folder of the kernels, a copy that a test may change."""
    folder = tmp_path / "kernels"
    shutil.copytree(source.FOLDER, folder)
    monkeypatch.setattr(source, "FOLDER", folder)
    source._read.cache_clear()
    yield folder
    source._read.cache_clear()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(("file", "before", "after", "check"), EACH)
def test_a_fault_is_seen(file, before, after, check, kernels):
    text = (kernels / file).read_text()
    assert text.count(before) == 1, "the table names one place"
    (kernels / file).write_text(text.replace(before, after))
    with pytest.raises((AssertionError, KernelError)) as seen:
        check()
    assert "does not compile" not in str(seen.value)


def test_every_file_has_a_fault():
    files = {path.name for path in source.FOLDER.iterdir()}
    assert FAULTS.keys() == files - DEVICE_ONLY
