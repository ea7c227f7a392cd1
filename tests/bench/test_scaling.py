"""The model of steps of many ranks, against cases worked by hand, counted and derived."""

import json
import math
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from bench.scaling_model import (
    FREE,
    Cluster,
    Cost,
    Link,
    Work,
    fitted,
    fitted_alone,
    handed_out,
    joined,
    replay,
    simulate,
    summed,
)
from scipy.stats import norm

from denet.multi.exchange import MOST_FLYING

TWO = Work(sizes=[8e6, 4e6], gaps=[3.0, 2.0], tail=1.0, update=0.5, states=0, spread=0.0)
ONE = np.ones(1)


@pytest.mark.parametrize(
    "first, second, landed",
    [
        # complete after 3 s and 5 s; backward ends after 6 s; the network takes one at a time
        (Cost(0, 1), Cost(0, 0.5), 6.0),  # 3..4, 5..5.5
        (Cost(0, 1), Cost(0, 4), 9.0),  # 3..4, 5..9
        (Cost(0, 4), Cost(0, 4), 11.0),  # 3..7, 7..11
        (Cost(0.5, 4), Cost(0.25, 1), 8.5),  # complete after 3.5, 5.75; 3.5..7.5, 7.5..8.5
        (Cost(2, 0), Cost(3, 0), 11.0),  # what ranks do themselves hides nothing
    ],
)
def test_two_buckets_by_hand(first, second, landed):
    assert replay(TWO, [first, second], ONE) == pytest.approx(landed)


def test_a_bucket_starts_when_the_slowest_rank_has_it():
    """Ranks are complete after 3 and 6 s, 5 and 10 s; 6..7, 10..11; the slower ends after 12 s."""
    found = replay(TWO, [Cost(0, 1), Cost(0, 1)], np.array([1.0, 2.0]))
    assert found == pytest.approx(12)
    found = replay(TWO, [Cost(0, 1), Cost(0, 3)], np.array([1.0, 2.0]))
    assert found == pytest.approx(13)


def test_no_rank_goes_on_with_too_many_buckets_on_their_way():
    """Buckets complete each second and take 10, so that those behind the eighth hold it up."""
    count = MOST_FLYING + 3
    work = Work([1.0] * count, [1.0] * count, 1000.0, 0.0, 0, 0.0)
    # the third landed after 1 + 3 * 10 s, and the last has been sent; the rest of backward follows
    assert replay(work, [Cost(0, 10)] * count, ONE) == pytest.approx(31 + 1000)


def test_formulas_of_one_machine_by_hand():
    """Thakur et al. 2005: 3 messages of 1 us and 3/4 of 4 MB at 1 GB/s, beside copies and sums."""
    link = Link(1e-6, 1e-9)
    work = TWO._replace(
        sizes=[4e6], states=1000, summing=Link(2e-6, 3e-10), within=link, handing=link
    )
    four = Cluster(4, 8)
    assert summed(work, four, 4e6) == (pytest.approx(2e-6 + 1.2e-3 + 3e-6 + 3e-3), 0.0)
    assert handed_out(work, four) == pytest.approx(3e-6 + 3e-3)
    # 1000 bytes of each of the other three, 2 rounds; 4000 bytes are added
    assert joined(work, four) == pytest.approx(2e-6 + 3e-6 + 1.2e-6)


@pytest.mark.parametrize("ranks, devices", [(4, 8), (16, 8), (12, 4), (6, 1)])
def test_bytes_that_leave_a_machine_are_those_of_all_its_messages(ranks, devices):
    messages = [
        (one // devices, other // devices, 1 / ranks)
        for one, other in permutations(range(ranks), 2)
    ]
    out = sum(size for source, target, size in messages if source == 0 != target)
    assert Cluster(ranks, devices).sent_out(1.0) == pytest.approx(out)
    # in two levels the pieces of those with the same number: 1 / devices, in parts of machines
    near, machines = min(ranks, devices), -(-ranks // devices)
    out = near * (machines - 1) * (1 / near / machines)
    assert Cluster(ranks, devices, two_level=True).sent_out(1.0) == pytest.approx(out)


@pytest.mark.parametrize("two_level", [False, True])
def test_what_costs_nothing_leaves_the_computing(two_level):
    cluster = Cluster(64, 8, FREE, two_level)
    assert simulate(TWO, cluster, 0.0, steps=1) == pytest.approx(6 + 0.5 / 64)


@pytest.mark.parametrize(
    "two_level, handed",
    # ranks hand out 63/64 of the bytes in one ring, or 7/8 machine to machine
    [(False, 63 / 64), (True, 7 / 8)],
)
def test_without_bandwidth_a_step_lasts_as_long_as_its_bytes(two_level, handed):
    slow = Link(0.0, 1.0)
    cluster = Cluster(64, 8, slow, two_level)
    step = simulate(TWO, cluster, 0.0, steps=1)
    assert step == pytest.approx(12e6 * (7 / 8 * (1 if two_level else 8) + handed), rel=1e-5)


@pytest.mark.parametrize("two_level", [False, True])
def test_a_step_grows_with_the_ranks_and_shrinks_with_bandwidth(two_level):
    """From one machine to two a step may shrink: what ranks copied is carried for them."""
    link = Link(1e-6, 1e-10)
    work = Work([8e6, 4e6], [3e-3, 2e-3], 1e-3, 0.0, 70_000, 0.0, link, link, link, link)

    def steps(byte: float, sizes: tuple[int, ...]) -> list[float]:
        outer = Link(5e-6, byte)
        return [simulate(work, Cluster(n, 8, outer, two_level), 0.0, 1) for n in sizes]

    ways = [8e-9 / gigabits for gigabits in (25, 100, 400)]
    one_machine = np.array([steps(byte, (1, 2, 4, 8)) for byte in ways])
    several = np.array([steps(byte, (16, 32, 64, 128, 256, 512, 1024)) for byte in ways])
    assert (np.diff(one_machine, axis=0) == 0).all() and (np.diff(several, axis=0) < 0).all()
    assert (np.diff(one_machine, axis=1) > 0).all() and (np.diff(several, axis=1) > 0).all()


def test_one_rank_exchanges_nothing():
    work = TWO._replace(summing=Link(1.0, 1.0), copying=Link(1.0, 1.0))
    assert simulate(work, Cluster(1, 8), 0.0, 1) == pytest.approx(6.5)


@pytest.mark.parametrize("ranks", [1, 8, 256])
def test_stragglers_are_the_slowest_of_log_normal_ranks(ranks):
    """P(max < x) = F(x) ** N, so the median of the slowest is exp(s z), z of 0.5 ** (1 / N)."""
    spread = 0.2
    slowest = math.exp(spread * norm.ppf(0.5 ** (1 / ranks)))
    work = TWO._replace(update=0.0)
    found = simulate(work, Cluster(ranks, ranks), spread, steps=4000)
    assert found == pytest.approx(6 * slowest, rel=0.02)
    assert found == simulate(work, Cluster(ranks, ranks), spread, steps=4000)


def test_a_faster_device_does_all_faster_but_small_messages():
    link = Link(1e-6, 1e-9)
    work = TWO._replace(summing=link, within=link, copying=link, handing=link).faster(10)
    assert work.gaps == [pytest.approx(0.3), pytest.approx(0.2)]
    assert (work.compute, work.update) == (pytest.approx(0.6), pytest.approx(0.05))
    assert {*work[-4:]} == {Link(1e-6, 1e-10)}


def test_a_device_may_send_its_messages_in_another_time_than_a_core():
    link = Link(1e-4, 1e-9)
    work = TWO._replace(summing=link, within=link, copying=link, handing=link).with_messages(5e-6)
    assert (work.within, work.handing) == (Link(5e-6, 1e-9), Link(5e-6, 1e-9))
    assert (work.summing, work.copying) == (link, link)


def test_links_are_found_again_in_what_they_cost():
    link = Link(3e-5, 2e-10)
    sizes = (4096, 1 << 20, 1 << 26)
    points = [(n, size, link.all_pairs(n, size)) for n in (2, 4) for size in sizes]
    assert fitted(points) == (pytest.approx(3e-5), pytest.approx(2e-10))
    alone = [(size, 3e-5 + size * 2e-10) for size in sizes]
    assert fitted_alone(alone) == (pytest.approx(3e-5), pytest.approx(2e-10))


def test_ranks_are_measured_and_simulated_figures_are_marked(tmp_path):
    """The tiny network has 256 and 512 channels of 3x3, two batch norms, ten classes."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("mpi4py.MPI", reason="ranks need mpi4py and an MPI library")
    words = "--network tiny --ranks 1 2 --rounds 1 --runs 1 --clock processor --faster 1"
    program = Path(__file__).with_name("scaling.py")
    command = [sys.executable, str(program), *words.split(), "--output", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode in (0, 1) and "Traceback" not in finished.stderr, finished.stderr
    runs = json.loads((tmp_path / "measured.json").read_text())["tiny"]
    parameters = 27 * 256 + 256 * 9 * 512 + 512 * 10 + 3 * (256 + 512)
    for ranks, run in runs.items():
        assert run["ranks"] == int(ranks)
        assert parameters <= run["parameters"] < 1.01 * parameters  # backends pad channels
        assert sum(run["bytes"]) == 4 * run["parameters"] and len(run["bytes"]) == 3
        assert run["state_bytes"] == 4 * (2 * (256 + 512) + 2)
        assert run["exchange"][-1][0] == 4 * run["parameters"]
    # backward begins with the last weights and ends with the first, with which biases go
    assert runs["2"]["bytes"][0] == 4 << 20
    tables = (tmp_path / "tables.md").read_text()
    heads = [line for line in tables.splitlines() if line.startswith("| ranks")]
    assert len(heads) == 2 and heads[1].count("simulated: ") == heads[1].count("|") - 2 == 9
    assert "\n| 1024 | " in tables and (tmp_path / "tiny.png").stat().st_size
