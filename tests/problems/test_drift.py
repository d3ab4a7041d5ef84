"""Drift and diffusion: what follows from them, and the sources that make a noise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg as la

from spu.base.errors import InputError
from spu.problems.drift import DriftProblem, noise_factor


class Posed(DriftProblem):
    task = "lyapunov"

    def __init__(self, drift, diffusion, **given):
        self._set(variables=tuple(f"x{k}" for k in range(len(drift))), matrix=np.array(drift))
        self._set_drift(np.array(drift), np.array(diffusion), **given)


def stable(rng, n):
    A = rng.normal(size=(n, n))
    return A + (0.5 - np.linalg.eigvals(A).real.min()) * np.eye(n)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 33, 64])
def test_the_law_follows_from_the_equation(n):
    rng = np.random.default_rng(n)
    M, B, f, R = stable(rng, n), rng.normal(size=(n, 2)), rng.normal(size=n), rng.normal(size=(2, n))
    posed = Posed(M, B @ B.T, force=f, reads=R, lag=0.7)
    flow = la.expm(-0.7 * M)
    # P = integral of e^-Ms Q e^-M^T s, by the doubling P(2t) = P(t) + e^-Mt P(t) e^-M^T t from a short one.
    h = 1e-4 / np.abs(M).sum()
    step, P = la.expm(-h * M), h * B @ B.T - 0.5 * h**2 * (M @ B @ B.T + B @ B.T @ M.T)
    for _ in range(60):
        P, step = P + step @ P @ step.T, step @ step
    np.testing.assert_allclose(posed.target_covariance, R @ P @ R.T, rtol=1e-6, atol=1e-9 * np.abs(R @ P @ R.T).max())
    np.testing.assert_allclose(posed.target_mean, R @ np.linalg.inv(M) @ f, rtol=1e-8)
    lagged = R @ flow @ P @ R.T
    np.testing.assert_allclose(posed.target_lagged, lagged, atol=1e-6 * np.abs(lagged).max())
    assert posed.slowest == pytest.approx(1 / np.linalg.eigvals(M).real.min())


@pytest.mark.parametrize("drift", [[[0.0]], [[-1.0]], [[1.0, 0.0], [0.0, -1e-3]], [[0.0, 1.0], [-1.0, 0.0]]])
def test_a_drift_without_a_law_is_refused(drift):
    with pytest.raises(InputError, match="all must have a positive one"):
        Posed(drift, np.eye(len(drift)))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20])
def test_sources_make_the_noise(scale):
    rng = np.random.default_rng(3)
    for n, rank in [(1, 1), (3, 1), (5, 5), (8, 3), (40, 40)]:
        B = rng.normal(size=(n, rank))
        Q = scale * B @ B.T
        found = noise_factor(Q)
        assert found.shape == (n, rank)
        np.testing.assert_allclose(found @ found.T, Q, atol=1e-12 * n * scale * np.abs(B @ B.T).max())
    assert noise_factor(np.zeros((3, 3))).shape == (3, 0)
    held = noise_factor(np.diag([0.0, 2.0, 0.0]) * scale)
    np.testing.assert_allclose(held, np.sqrt(2.0 * scale) * np.array([[0.0], [1.0], [0.0]]))


@pytest.mark.parametrize(
    "Q", [[[-1.0]], [[1.0, 2.0], [2.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, -1e-3]]]
)
def test_noise_that_nothing_makes_is_refused(Q):
    with pytest.raises(InputError, match="not positive semidefinite"):
        noise_factor(np.array(Q))
