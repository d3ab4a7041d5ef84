"""Pathwise gradients: the same paths as every run, and slopes against finite differences on the same noise."""

import numpy as np
import pytest

import spu
from spu.base.errors import InternalError, UsageError
from spu.base.kernels.products import panel
from spu.emulator.equations.langevin import langevin_of_network
from spu.emulator.runs import adjoint
from spu.emulator.runs.adjoint import Pathwise
from spu.emulator.runs.grams import gram
from spu.emulator.runs.langevin_run import Grid, Schedule, run

STEP = 0.02


def a_network(rng, n, reciprocal):
    J = rng.normal(size=(n, n))
    J = (J + J.T) / 2 if reciprocal else J
    np.fill_diagonal(J, 0.0)
    return spu.ThermodynamicNetwork(
        rng.uniform(0.5, 1.5, n),
        rng.normal(scale=0.2, size=n),
        rng.uniform(0.5, 1.0, n),
        input=rng.normal(size=n),
        couplings=J,
        kT=0.3,
        mobility=1.3,
        units=n,
        reciprocal=reciprocal,
    )


def given(seed, n, trajectories):
    rng = np.random.default_rng(seed)
    equation = langevin_of_network(a_network(rng, n, seed % 2 == 0))
    return rng, equation, rng.normal(size=(trajectories, n)), rng.normal(size=(trajectories, n))


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize(("n", "trajectories", "steps"), [(1, 1, 1), (3, 17, 5), (14, 70, 9), (41, 33, 4)])
def test_paths_are_those_of_every_run_bit_by_bit(precision, n, trajectories, steps):
    _, equation, own, start = given(n, n, trajectories)
    end = Pathwise(n, trajectories, steps, precision=precision).forward(equation, STEP, 7, own=own, start=start)
    grid = Grid.of(np.array([steps * STEP]), np.zeros(1), lambda middle: np.full(len(middle), STEP), False)
    paths = run(
        equation,
        grid=grid,
        trajectories=trajectories,
        seed=7,
        scheme="euler-maruyama",
        start=start,
        schedule=Schedule(np.zeros(1), equation.field[None, :], own=own, envelope=np.ones(1)),
        precision=precision,
    )
    assert np.array_equal(end, paths.states[-1])


def loss(equation, own, start, steps):
    """A number of the last states, in plain numpy's own words, and its slopes."""
    made = Pathwise(equation.n, len(own), steps)
    weights = np.cos(np.arange(own.size)).reshape(own.shape)
    end = made.forward(equation, STEP, 5, own=own, start=start)
    return float((weights * np.sin(end)).sum()), made, weights * np.cos(end)


@pytest.mark.parametrize("seed", range(6))
def test_slopes_are_finite_differences_on_the_same_noise(seed):
    from dataclasses import replace

    n, trajectories, steps = [(1, 1, 1), (2, 5, 3), (7, 20, 8), (12, 40, 5), (40, 17, 4), (5, 16, 30)][seed]
    rng, equation, own, start = given(seed, n, trajectories)
    _, made, slopes = loss(equation, own, start, steps)
    found = made.backward(slopes)

    def along(name, direction, size=1e-5):
        def at(sign):
            moved = {"own": own, "start": start}
            changed = equation
            if name in moved:
                moved[name] = moved[name] + sign * size * direction
            else:
                changed = replace(equation, **{name: getattr(equation, name) + sign * size * direction})
            return loss(changed, moved["own"], moved["start"], steps)[0]

        return (at(1) - at(-1)) / (2 * size)

    pairs = {
        "stiffness": found.stiffness,
        "quadratic": found.quadratic,
        "cubic": found.cubic,
        "own": found.field,
        "start": found.start,
        "field": found.field.sum(axis=0),
    }
    for name, gradient in pairs.items():
        for _ in range(2):
            direction = rng.normal(size=gradient.shape)
            wanted, has = along(name, direction), float((gradient * direction).sum())
            scale = np.sqrt((gradient**2).sum() * (direction**2).sum())
            assert abs(wanted - has) <= 1e-6 * scale, name


def test_a_gradient_of_another_equation_is_seen(monkeypatch):
    """The test above would see a way back that forgets the curvature of one unit."""
    _, equation, own, start = given(3, 12, 40)
    _, made, slopes = loss(equation, own, start, 5)
    right = made.backward(slopes)
    made._law.cubic[2] = 0.0
    wrong = made.backward(slopes)
    assert np.abs(wrong.start - right.start).max() > 1e-3


@pytest.mark.parametrize("precision", ["double", "single"])
def test_bits_do_not_depend_on_threads_and_room_is_used_again(precision):
    _, equation, own, start = given(2, 9, 150)
    found = []
    for threads in (1, 2, 5):
        made = Pathwise(9, 150, 6, precision=precision, threads=threads)
        for _ in range(2):
            end = made.forward(equation, STEP, 1, own=own, start=start)
            found.append((end, *made.backward(np.cos(end))))
    for other in found[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(found[0], other, strict=True))


def test_a_part_of_the_trajectories_follows_the_same_noise():
    _, equation, own, start = given(2, 6, 60)
    whole = Pathwise(6, 60, 4).forward(equation, STEP, 1, own=own, start=start)
    part = Pathwise(6, 27, 4).forward(equation, STEP, 1, own=own[33:], start=start[33:], first=33)
    assert np.array_equal(part, whole[33:])


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize(("n", "m", "panels"), [(1, 1, 1), (3, 5, 2), (13, 8, 7), (4, 4, 1)])
def test_gram_is_the_sum_of_products(precision, n, m, panels):
    rng = np.random.default_rng(n)
    kind, row = np.float64 if precision == "double" else np.float32, panel(precision)
    a, b = rng.normal(size=(panels, n, row)).astype(kind), rng.normal(size=(panels, m, row)).astype(kind)
    out = np.full((n, m), 2.0)
    gram(a, b, out, precision)
    wanted = 2.0 + np.einsum("pil,pjl->ij", a.astype(float), b.astype(float))
    assert np.abs(out - wanted).max() < (1e-13 if precision == "double" else 2e-5) * panels * row


def test_gram_s_bits_are_those_of_its_stated_order():
    """One chain a lane, lanes folded in halves: by hand in plain numpy, in doubles without fused operations' help."""
    a, b = np.zeros((3, 1, 16)), np.zeros((3, 1, 16))
    rng = np.random.default_rng(1)
    a[:], b[:] = rng.integers(-9, 9, a.shape), rng.normal(size=b.shape)
    a[:] = 2.0 ** rng.integers(-3, 3, a.shape)  # products are exact, so a fused operation is a plain one
    lanes = np.zeros(16)
    for k in range(3):
        lanes = lanes + a[k, 0] * b[k, 0]
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    out = np.zeros((1, 1))
    gram(a, b, out)
    assert out[0, 0] == lanes[0]


def test_what_has_no_gradient_is_refused():
    rng, _, own, _ = given(1, 3, 4)
    made = Pathwise(3, 4, 2)
    with pytest.raises(UsageError, match="forward comes first"):
        made.backward(own)
    with pytest.raises(UsageError, match="room for 3 coordinates"):
        made.forward(langevin_of_network(a_network(rng, 4, True)), STEP, 0)
    with pytest.raises(UsageError, match="steps is 0"):
        Pathwise(3, 4, 0)
    flux = spu.compile_network(a_network(rng, 3, True), "neurons", architecture="rlc-flux").equation
    with pytest.raises(UsageError, match="first-order"):
        made.forward(flux, STEP, 0)
    with pytest.raises(UsageError, match="rows of 16"):
        gram(np.zeros((1, 2, 8)), np.zeros((1, 2, 8)), np.zeros((2, 2)))
    with pytest.raises(InternalError, match="must be"):
        gram(np.zeros((1, 2, 16), order="F"), np.zeros((2, 2, 16)), np.zeros((2, 2)))
    assert adjoint.GROUP == 2
