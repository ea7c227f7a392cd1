"""No kernel reads beyond an array: the address sanitizer, in a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from backend.cuda.host_device import unavailable

from denet.backend.cuda import source

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

TESTS = Path(__file__).parents[2]
PROGRAM = """
import pathlib, sys
from denet.backend.cuda import source
source.FOLDER = pathlib.Path(sys.argv[1])
from backend.cuda.sanitized import main
main(sys.argv[2:])
"""


def run(folder, *rows):
    """Run rows of the case tables by the kernels of a folder; return what is printed."""
    library = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not os.path.isabs(library):
        pytest.skip("g++ comes without the address sanitizer")
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    command = [sys.executable, "-c", PROGRAM, str(folder), *rows]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_no_kernel_reads_beyond_an_array():
    rows = "Conv 3x3", "Deconv stride 2", "BatchNorm relu", "Pool max partial", "SparseSample plain"
    rows = *rows, "Conv statistics", "Conv statistics of groups", "BatchNorm given"
    printed = run(source.FOLDER, *rows, "CornerSearch clustered", "SoftmaxCrossEntropy smoothed")
    assert printed.rstrip().endswith("rows: nothing beyond an array"), printed


@pytest.mark.slow
def test_what_is_read_beyond_an_array_is_told(tmp_path):
    """Weights behind the last filter, whose products nobody looks at."""
    shutil.copytree(source.FOLDER, tmp_path / "kernels")
    file = tmp_path / "kernels/conv_exact.cu"
    text, guard = file.read_text(), "!inside || filter >= the.target_channels"
    assert text.count(guard) == 1
    file.write_text(text.replace(guard, "!inside"))
    printed = run(tmp_path / "kernels", "Conv 3x3")
    assert "AddressSanitizer" in printed and "nothing beyond" not in printed
