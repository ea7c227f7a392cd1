"""Kernels of random networks on odd shapes, between guards; tests/bench/guard.py runs more."""

import pytest
from backend.cuda.host_device import HostDevice, unavailable
from backend.guard_check import faults
from backend.random_networks import random_network

from denet.backend.cuda.backend import CudaBackend

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

SMALL = 3e6  # flop of a forward pass


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("seed", range(20))
def test_random_networks_stay_within_their_memory(seed, precision):
    network = random_network(seed, SMALL)._replace(precision=precision)
    assert not list(faults(CudaBackend(HostDevice("random")), network))
