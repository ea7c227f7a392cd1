"""What the environment report and the kernel log tell."""

import logging
from pathlib import Path

import pytest

from denet.backend import environment as module
from denet.backend.environment import PACKAGES, environment, instruction_set
from denet.backend.logged import logged
from denet.backend.numpy.backend import NumpyBackend
from denet.graph.plan import Plan
from denet.model.model import Model

# values of dnnl_cpu_isa_t in oneDNN 3: avx2, avx512_core, its vnni, bf16, fp16 and amx
INSTRUCTIONS = [
    (0x0, "basic"),
    (0x7, "AVX2"),
    (0x27, "AVX-512"),
    (0x67, "AVX-512 with VNNI"),
    (0xE7, "AVX-512 with bf16"),
    (0x1EF, "AVX-512 with fp16"),
    (0xFEF, "AMX with bf16 and int8"),
    (0x1FEF, "AMX with bf16 and int8"),
]


@pytest.mark.parametrize(("isa", "name"), INSTRUCTIONS)
def test_instruction_set(isa: int, name: str) -> None:
    assert instruction_set(isa) == name


def test_environment_names_every_package_and_the_backend() -> None:
    told = dict(environment(gpu=True))
    rows = {"denet", "python", "system", "processor", "backend", "mpi", "gpu", "nccl"}
    assert told.keys() >= {*rows, *PACKAGES}


def test_the_mpi_that_starts_ranks_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "RUNTIMES", ("no-such-mpi", "pytest"))
    assert dict(environment(gpu=False))["mpi"] == f"pytest {pytest.__version__}"
    monkeypatch.setattr(module, "RUNTIMES", ("no-such-mpi",))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dict(environment(gpu=False))["mpi"] == "not found: pip install no-such-mpi"
    program = tmp_path / "mpiexec"
    program.touch(0o755)
    assert dict(environment(gpu=False))["mpi"] == str(program)


def test_a_missing_package_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "no-such-package", "no-such-package==1")
    told = dict(environment(gpu=False))["no-such-package"]
    assert told == "not found: pip install no-such-package==1"


def test_a_gpu_that_is_asked_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU", "99")
    assert dict(environment(gpu=True))["backend"].startswith("none: GPU=99: ")


def test_logged_backend_tells_each_kernel_once(caplog: pytest.LogCaptureFixture) -> None:
    model = Model.create("C[4,3] SPLIT A P.A R", (3, 6, 6), ["a", "b"])
    backend = logged(NumpyBackend())
    with caplog.at_level(logging.INFO, "denet.backend.logged"):
        plan = Plan(model.graph(2), backend, "train", "f32")
    told = [record.getMessage() for record in caplog.records]
    assert backend.name == "numpy" and len(told) == len(set(told)) == len(plan.kernel_names())
    assert "kernel: train: 1.conv.conv: Conv: numpy" in told
