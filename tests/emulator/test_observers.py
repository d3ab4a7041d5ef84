"""Observers: sums made while trajectories run are those of the paths that would have been kept."""

import numpy as np
import pytest

import spu
from spu.emulator.equations.langevin import langevin_of_network
from spu.emulator.runs.langevin_run import Grid, run
from spu.emulator.runs.observers import Gram, Means, Products

STEP = 0.01


def a_run(trajectories, threads, **more):
    rng = np.random.default_rng(0)
    J = rng.normal(size=(6, 6))
    equation = langevin_of_network(
        spu.ThermodynamicNetwork(1.0, 0.0, 1.0, couplings=np.triu(J, 1) + np.triu(J, 1).T, units=6)
    )
    times = STEP * np.array([0, 1, 5, 9, 9, 30])
    grid = Grid.of(times, np.empty(0), lambda middle: np.full(len(middle), STEP), False)
    return run(equation, grid=grid, trajectories=trajectories, seed=3, scheme="euler-maruyama", threads=threads, **more)


@pytest.mark.parametrize("trajectories", [1, 15, 130, 700])
def test_what_is_seen_is_what_would_have_been_kept(trajectories):
    weights = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 3.0])
    kept = a_run(trajectories, 1).states
    whole = np.concatenate([kept, np.ones((6, trajectories, 1))], axis=-1)
    wanted = np.einsum("k,kti,ktj->ij", weights, whole, whole)
    totals = []
    for threads in (1, 2, 5):
        means, products = Means(6, 6), Gram(6, weights)
        found = a_run(trajectories, threads, observers=(means, products), keep=False)
        assert found.states.shape == (1, trajectories, 6) and np.array_equal(found.states[0], kept[-1])
        assert np.allclose(means.mean, kept.mean(axis=1), rtol=1e-13, atol=1e-13)
        assert np.allclose(means.square, (kept**2).mean(axis=1), rtol=1e-13, atol=1e-13)
        totals.append(products.total)
    assert np.abs(totals[0] - wanted).max() < 1e-12 * np.abs(wanted).max()
    assert all(np.array_equal(totals[0], other) for other in totals[1:])


def test_products_do_not_depend_on_the_pieces_in_which_rows_come():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(1300, 3)), rng.normal(size=(1300, 7))
    found = []
    for cuts in ([1300], [1, 511, 512, 276], [700, 600]):
        sums, first = Products(3, 7), 0
        for many in cuts:
            sums.add(a[first : first + many], b[first : first + many])
            first += many
        found.append(sums.total)
    assert np.abs(found[0] - a.T @ b).max() < 1e-11
    assert all(np.array_equal(found[0], other) for other in found[1:])
