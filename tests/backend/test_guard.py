"""No kernel of oneDNN writes beyond its memory, and what it writes is right, on odd shapes too."""

import numpy as np
import pytest
from backend.guard_check import faults
from backend.guarded import GuardedBackend
from backend.random_networks import RandomNetwork, random_network
from backend.test_onednn_kernels import BACKEND, FULL  # skips where oneDNN does not load

each_precision = pytest.mark.parametrize("precision", ["f32", "bf16"] if FULL else ["f32"])

# 1x1 windows with a stride on few channels: oneDNN's own gradient of weights overruns its scratch
STRIDED = [
    ("DC[15,1,2] R.T", (3, 66, 54), 1),
    ("DC.B[7,1,4] R.T", (3, 66, 54), 1),
    ("C[3,3] A DC[15,1,2] A R.T", (3, 54, 66), 1),
    ("C.B[8,3] BN A RSN.O[8,3,2] R.T", (3, 128, 128), 1),
    ("C.B[8,3] BN A RSN.O[8,3,2] RSN.O[12,3,2] R.T", (3, 128, 128), 4),
    ("C[8,3] A C[8,1,2] A R.T", (3, 112, 112), 1),
    ("RSN.O[16,3,2] R.T", (3, 112, 112), 1),
    ("C.X[24,1,1,2,1] A R.T", (2, 60, 70), 3),
]


@each_precision
@pytest.mark.parametrize(("text", "shape", "batch_size"), STRIDED)
def test_strided_1x1_windows_stay_within_their_memory(text, shape, batch_size, precision):
    network = RandomNetwork(text, shape, batch_size, "half", precision)
    assert not list(faults(BACKEND, network))


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_stay_within_their_memory(seed):
    network = random_network(seed)
    if not FULL:
        network = network._replace(precision="f32")
    assert not list(faults(BACKEND, network))


@pytest.mark.parametrize(("offset", "where"), [(-3, "3 before"), (100, "1 behind")])
def test_a_write_beyond_its_memory_is_told(offset, where):
    guarded = GuardedBackend(BACKEND)
    first, second = guarded.memory.allocate(100), guarded.memory.allocate(7)
    first[...] = second[...] = 1
    assert not guarded.memory.overruns()
    base = first.base
    base[first.ctypes.data - base.ctypes.data + offset] = 0
    assert guarded.memory.overruns() == [f"memory of 100 bytes: written {where} it"]
    assert np.all(second == 1)
