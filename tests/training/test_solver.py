"""Solvers against hand-worked steps and against scalar loops in double precision."""

import math

import numpy as np
import pytest

from denet.backend.numpy import memory as memory_module
from denet.backend.numpy.memory import HostMemory
from denet.errors import UsageError
from denet.training.solver import Factors, make_solver

MEMORY = HostMemory(3)

HAND_WORKED = [
    # solver, momentum, (p before, p after g = 2, p after g = 1) with learn rate 0.1
    ("sgd", [0.0], (1.0, 0.8, 0.7)),
    # m = 2, then 0.9 * 2 + 0.1 * 1 = 1.9
    ("sgd", [0.9], (1.0, 0.8, 0.61)),
    # v = -0.2, then 0.9 * -0.2 - 0.1 = -0.28
    ("momentum", [0.9], (1.0, 0.8, 0.52)),
    # m = 2, step 2 + 0.9 * 2 = 3.8; then m = 0.9 * 2 + 1 = 2.8, step 1 + 0.9 * 2.8 = 3.52
    ("nesterov", [0.9], (1.0, 0.62, 0.268)),
    ("torch", [0.9], (1.0, 0.62, 0.268)),
    # the first step of Adam has the length of the learn rate; without averages, every step
    ("adam", [0.0, 0.0], (1.0, 0.9, 0.8)),
    # m' = (0.5 * 1 + 0.5) / 0.75 = 4/3, v' = (0.5 * 2 + 0.5) / 0.75 = 2, 0.1 * m' / sqrt(v')
    ("adam", [0.5, 0.5], (1.0, 0.9, 0.9 - 0.1 * (4 / 3) / math.sqrt(2))),
]


@pytest.mark.parametrize("name, momentum, points", HAND_WORKED)
def test_two_steps_by_hand(name, momentum, points):
    solver = make_solver(name, 1, 1, momentum, 0.0, MEMORY)
    p = np.array([points[0]], np.float32)
    for gradient, expected in zip((2.0, 1.0), points[1:], strict=True):
        solver.update(p, np.array([gradient], np.float32), 0.1)
        assert p[0] == pytest.approx(expected, abs=1e-6)


def scalar_sgd(p, gradients, rates, decay, rho):
    m = 0.0
    for step, (g, lr) in enumerate(zip(gradients, rates, strict=True)):
        r = rho if step else 0.0
        m = r * m + (1 - r) * (g + decay * p)
        p = p - lr * m
    return p


def scalar_momentum(p, gradients, rates, decay, mu):
    """ccv: v = mu * v - decay * lr * p - lr * g; p += v."""
    v = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        v = mu * v - decay * lr * p - lr * g
        p = p + v
    return p


def scalar_nesterov(p, gradients, rates, decay, mu):
    """torch.optim.SGD(nesterov=True): buf = mu * buf + d; p -= lr * (d + mu * buf)."""
    buf = None
    for g, lr in zip(gradients, rates, strict=True):
        d = g + decay * p
        buf = d if buf is None else mu * buf + d
        p = p - lr * (d + mu * buf)
    return p


def scalar_adam(p, gradients, rates, decay, b1, b2):
    m = v = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        g = g + decay * p
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        p = p - lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + 1e-8)
    return p


def scalar_adamw(p, gradients, rates, decay, b1, b2):
    m = v = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        p = p * (1 - lr * decay)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        p = p - lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + 1e-8)
    return p


SCALAR = [
    ("sgd", [0.9], scalar_sgd),
    ("sgd", [0.0], scalar_sgd),
    ("momentum", [0.9], scalar_momentum),
    ("momentum", [0.0], scalar_momentum),
    ("nesterov", [0.9], scalar_nesterov),
    ("nesterov", [0.0], scalar_nesterov),
    ("torch", [0.5], scalar_nesterov),
    ("adam", [0.9, 0.999], scalar_adam),
    ("adamw", [0.9, 0.999], scalar_adamw),
]
SIZE, DECAY_SIZE, STEPS = 45, 20, 6
RATES = [0.1, 0.1, 0.05, 0.02, 0.02, 0.01]


def random_problem():
    rng = np.random.default_rng(7)
    weights = rng.standard_normal(SIZE).astype(np.float32)
    return weights, rng.standard_normal((STEPS, SIZE)).astype(np.float32)


@pytest.mark.parametrize("decay_all", [False, True])
@pytest.mark.parametrize("name, momentum, scalar", SCALAR)
def test_each_element_follows_the_formula(name, momentum, scalar, decay_all, monkeypatch):
    monkeypatch.setattr(memory_module, "CHUNK", 7)  # several chunks, the last ones short
    weights, gradients = random_problem()
    expected = [
        scalar(
            float(weights[i]),
            gradients[:, i].astype(float),
            RATES,
            0.3 if i < DECAY_SIZE or decay_all else 0.0,
            *momentum,
        )
        for i in range(SIZE)
    ]
    solver = make_solver(name, SIZE, DECAY_SIZE, momentum, 0.3, MEMORY, decay_all=decay_all)
    for gradient, rate in zip(gradients, RATES, strict=True):
        before = gradient.copy()
        solver.update(weights, gradient, rate)
        np.testing.assert_array_equal(gradient, before)
    np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=2e-6)


def test_factors_by_hand():
    """Rate 0.1, decay 0.5: p -= 0.1 rate (g + 0.5 decay p), from the element of a factor on."""
    weights, gradient = np.array([1, 1, 1, 1], np.float32), np.array([2, 2, 2, 2], np.float32)
    factors = {1: Factors(10, 0), 2: Factors(1, 4), 3: Factors(0, 1)}
    make_solver("sgd", 4, 3, [0.0], 0.5, MEMORY, factors=factors).update(weights, gradient, 0.1)
    np.testing.assert_allclose(weights, [0.75, -1, 0.6, 1], rtol=1e-6)


def test_momenta_by_hand():
    """v = own v - 0.1 g, p += v, g = 2, then 1: -0.2, then own * -0.2 - 0.1."""
    factors = {1: Factors(momentum=0.5), 2: Factors(momentum=0.0), 3: Factors()}
    for usual in (0.9, 0.0):  # without any other momentum too
        solver = make_solver("momentum", 4, 4, [usual], 0.0, MEMORY, factors=factors)
        weights = np.ones(4, np.float32)
        for gradient in (2, 1):
            solver.update(weights, np.full(4, gradient, np.float32), 0.1)
        rest = 0.8 - 0.1 - 0.2 * usual
        np.testing.assert_allclose(weights, [rest, 0.6, 0.7, rest], rtol=1e-6)


@pytest.mark.parametrize("decay_all", [False, True])
@pytest.mark.parametrize("name, momentum, scalar", SCALAR)
def test_each_element_follows_the_formula_with_its_factors(
    name, momentum, scalar, decay_all, monkeypatch
):
    monkeypatch.setattr(memory_module, "CHUNK", 7)
    weights, gradients = random_problem()
    factors = {
        **{9: Factors(0.5, 3), 13: Factors(), 17: Factors(2, 0, 0.7), 31: Factors(1, 2)},
        **{35: Factors(momentum=0.0), 40: Factors(momentum=0.3)},
    }
    expected = []
    for i in range(SIZE):
        own = factors.get(max((at for at in factors if at <= i), default=-1), Factors())
        decay = own.decay * 0.3 if i < DECAY_SIZE or decay_all else 0.0
        rates = [own.rate * each for each in RATES]
        momenta = [momentum[0] if own.momentum is None else own.momentum, *momentum[1:]]
        expected.append(
            scalar(float(weights[i]), gradients[:, i].astype(float), rates, decay, *momenta)
        )
    options = {"decay_all": decay_all, "factors": factors}
    solver = make_solver(name, SIZE, DECAY_SIZE, momentum, 0.3, MEMORY, **options)
    for gradient, rate in zip(gradients, RATES, strict=True):
        solver.update(weights, gradient, rate)
    np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name, momentum", [("nesterov", [0.9]), ("adam", [0.9, 0.999])])
def test_threads_do_not_change_a_bit(name, momentum, monkeypatch):
    monkeypatch.setattr(memory_module, "CHUNK", 7)
    results = []
    for threads in (1, 2, 5):
        weights, gradients = random_problem()
        solver = make_solver(name, SIZE, DECAY_SIZE, momentum, 0.1, HostMemory(threads), clip=0.5)
        for gradient in gradients:
            solver.update(weights, gradient, 0.1)
        results.append(weights.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    "clip, expected", [(0.0, [3.0, 4.0]), (10.0, [3.0, 4.0]), (1.0, [0.6, 0.8])]
)
def test_clipping_shortens_the_whole_gradient(clip, expected, monkeypatch):
    monkeypatch.setattr(memory_module, "CHUNK", 1)
    weights = np.zeros(2, np.float32)
    make_solver("sgd", 2, 1, [0.0], 0.0, MEMORY, clip=clip).update(
        weights, np.array([3, 4], np.float32), 1.0
    )
    np.testing.assert_allclose(-weights, expected, rtol=1e-6)


def test_decay_is_added_after_clipping():
    weights = np.array([10.0], np.float32)
    make_solver("sgd", 1, 1, [0.0], 0.5, MEMORY, clip=1.0).update(
        weights, np.array([4], np.float32), 0.1
    )
    assert weights[0] == pytest.approx(10 - 0.1 * (1 + 0.5 * 10))


@pytest.mark.parametrize("name, momentum, scalar", SCALAR)
def test_resumed_solver_goes_on_bit_by_bit(name, momentum, scalar):
    weights, gradients = random_problem()
    straight = make_solver(name, SIZE, DECAY_SIZE, momentum, 0.1, MEMORY)
    first = make_solver(name, SIZE, DECAY_SIZE, momentum, 0.1, MEMORY)
    resumed = make_solver(name, SIZE, DECAY_SIZE, momentum, 0.1, MEMORY)
    other = weights.copy()
    for gradient in gradients:
        straight.update(weights, gradient, 0.1)
    for gradient in gradients[:3]:
        first.update(other, gradient, 0.1)
    resumed.iteration = first.iteration
    for average, kept in first.kept.items():
        resumed.kept[average][...] = kept
    for gradient in gradients[3:]:
        resumed.update(other, gradient, 0.1)
    assert weights.tobytes() == other.tobytes()


BAD = [
    ({"name": "nestorov"}, "did you mean 'nesterov'"),
    ({"momentum": [1.0]}, "below 1"),
    ({"momentum": [-0.1]}, "from 0"),
    ({"name": "adam"}, "adam needs 2"),
    ({"decay": -1.0}, "learn-decay"),
    ({"clip": math.nan}, "gradient-clip"),
]


@pytest.mark.parametrize("change, message", BAD)
def test_wrong_settings_are_told(change, message):
    settings = {"name": "nesterov", "momentum": [0.9], "decay": 0.0, "clip": 0.0, **change}
    with pytest.raises(UsageError, match=message):
        make_solver(
            settings["name"],
            4,
            4,
            settings["momentum"],
            settings["decay"],
            MEMORY,
            clip=settings["clip"],
        )
