"""Learn rates by table."""

import math

import pytest

from denet.errors import UsageError
from denet.training.schedule import Schedule

COS = [(1 + math.cos(math.pi * done / 12)) / 2 for done in range(12)]

# settings, {(epoch, step): rate} with 4 steps per epoch and a learn rate of 1
RATES = [
    ({}, {(0, 0): 1, (2, 3): 1}),
    ({"anneal": 0.5}, {(0, 3): 1, (1, 0): 0.5, (2, 0): 0.25}),
    ({"anneal": 0.1, "anneal_epochs": [1]}, {(0, 3): 1, (1, 0): 0.1, (2, 3): 0.1}),
    ({"anneal": 0.1, "anneal_epochs": [2, 1, 2]}, {(0, 0): 1, (1, 0): 0.1, (2, 0): 0.01}),
    ({"anneal": 0.1, "anneal_epochs": [9]}, {(2, 3): 1}),
    ({"cosine": True}, {(0, 0): 1, (1, 2): 0.5, (2, 3): COS[11]}),
    ({"warmup_epochs": 1}, {(0, 0): 0.25, (0, 1): 0.5, (0, 3): 1, (1, 0): 1}),
    ({"warmup_epochs": 1.25}, {(0, 0): 0.2, (0, 3): 0.8, (1, 0): 1, (1, 1): 1}),
    ({"warmup_epochs": 0.1}, {(0, 0): 1}),
    ({"warmup_epochs": 2, "anneal": 0.5}, {(0, 3): 0.5, (1, 0): 0.3125, (2, 0): 0.25}),
    ({"warmup_epochs": 1, "cosine": True}, {(0, 1): 0.5 * COS[1], (1, 0): COS[4]}),
]


@pytest.mark.parametrize("settings, rates", RATES)
def test_rates(settings, rates):
    schedule = Schedule(1.0, epochs=3, **settings)
    for (epoch, step), rate in rates.items():
        assert schedule.rate(epoch, step, 4) == pytest.approx(rate)


def test_cosine_would_reach_zero_after_the_last_step():
    assert Schedule(0.1, 3, cosine=True).rate(3, 0, 4) == pytest.approx(0)


BAD = [
    ({"learn_rate": 0.0}, "learn-rate"),
    ({"learn_rate": math.inf}, "learn-rate"),
    ({"anneal": -1.0}, "learn-anneal"),
    ({"epochs": 0}, "epochs"),
    ({"warmup_epochs": -1.0}, "learn-warmup"),
    ({"cosine": True, "anneal": 0.1}, "choose one"),
    ({"anneal_epochs": [0]}, "from 1"),
]


@pytest.mark.parametrize("change, message", BAD)
def test_wrong_settings_are_told(change, message):
    with pytest.raises(UsageError, match=message):
        Schedule(**{"learn_rate": 1.0, "epochs": 3, **change})
