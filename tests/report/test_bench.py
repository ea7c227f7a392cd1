"""What a measurement tells; times themselves are not asserted."""

import pytest

from denet.backend.numpy.backend import NumpyBackend
from denet.graph.plan import Plan
from denet.model.model import Model
from denet.report.bench import WARM_UP, bench_text, measure

MODEL = Model.create("C[4,3] BN A P.A R", (3, 8, 6), ["a", "b", "c"])
# C[4,3] on a map of 6 x 4, then 4 channels to 3 classes; a multiply-add is two
FLOPS = 2 * 4 * 27 * 24 + 2 * 4 * 3


@pytest.mark.parametrize(("mode", "passes"), [("train", 3), ("predict", 1)])
def test_measure(mode: str, passes: int) -> None:
    result = measure(MODEL, NumpyBackend(), mode, "f32", batch_size=2, steps=3)
    assert (result["mode"], result["backend"], result["steps"]) == (mode, "numpy", 3)
    assert result["flops_per_image"] == pytest.approx(FLOPS, rel=0.01)
    least, most = result["images_per_second_min"], result["images_per_second_max"]
    assert 0 < least <= result["images_per_second"] <= most
    assert result["images_per_second"] == pytest.approx(2 / result["ms_per_step"] * 1000)
    speed = passes * result["flops_per_image"] * result["images_per_second"] / 1e9
    assert result["gflops_per_second"] == pytest.approx(speed)
    assert any(kind.startswith("Conv") for kind in result["ms_by_kind"])
    assert "images/s" in bench_text(result) and mode in bench_text(result)


def test_every_step_updates() -> None:
    updates = []

    def make_update(plan: Plan):
        return lambda: updates.append(plan.weights.size)

    result = measure(MODEL, NumpyBackend(), "train", "f32", 2, 3, make_update)
    assert len(updates) >= WARM_UP + 3 and "solver" in result["ms_by_kind"]
