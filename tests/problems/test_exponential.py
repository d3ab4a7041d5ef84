"""Matrix exponentials: what they pose, against scipy, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg as la

import spu
from spu.base.errors import InputError
from spu.device.lower import lower
from spu.emulator.dynamics import linear
from spu.emulator.laws.estimate import trajectory_error
from spu.problems.files import problem_from_dict, read_problem

SKEW = np.array([[0.0, 1.0], [-1.0, 0.0]])


def stable(rng, n):
    """Negative definite but for a skew part of the same size."""
    B, C = rng.normal(size=(2, n, n)) / np.sqrt(n)
    return -(B @ B.T) - 0.05 * np.eye(n) + (C - C.T)


def wild(rng, n):
    """Neither stable nor normal."""
    return rng.normal(size=(n, n)) / np.sqrt(n) + 0.3 * np.eye(n)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 33, 64])
@pytest.mark.parametrize("kind", [stable, wild])
@pytest.mark.parametrize("time", [0.01, 1.0, 3.0])
def test_the_answer_is_the_exponential(n, kind, time):
    A = kind(np.random.default_rng(n), n)
    problem = spu.MatrixExponential(A, time)
    exact = la.expm(A * time)
    size = np.abs(exact).max()
    np.testing.assert_allclose(problem.exact, exact, atol=1e-10 * size)
    np.testing.assert_allclose(problem.solution(problem.target_lagged), exact, atol=1e-10 * size)
    np.testing.assert_allclose(problem.target_covariance, np.eye(n), atol=1e-12)
    M, Q = problem.drift, problem.diffusion
    np.testing.assert_allclose(M, problem.shift * np.eye(n) - A)
    np.testing.assert_allclose(Q, M + M.T, atol=1e-10 * np.abs(M).max())
    assert la.eigvalsh(Q)[0] > -1e-12 * np.abs(Q).max()
    assert problem.lag == problem.time == time and not problem.target_mean.any()


@pytest.mark.parametrize("n", [2, 5, 20])
def test_a_device_gives_it(n):
    A = wild(np.random.default_rng(n), n)
    problem = spu.MatrixExponential(A, 0.7)
    found = spu.predict(spu.compile_problem(problem).device)
    np.testing.assert_allclose(problem.solution(found.lagged), la.expm(0.7 * A), atol=1e-9)
    assert found.relative_error < 1e-10


@pytest.mark.parametrize(
    ("A", "shift"),
    [
        ([[-1.0]], 0.0),
        ([[-1.0, 0.5], [-0.5, -2.0]], 0.0),
        ([[0.0, 1.0], [-1.0, -1.0]], 0.0),  # stable, with a noise of rank 1
        (SKEW, 0.25),  # 1 / 2 t: A + A^T is semidefinite, and nothing decays
        ([[0.0]], 0.25),
        ([[1.0]], 1.25),
        ([[-1.0, 4.0], [0.0, -1.0]], 1.25),  # stable, but A + A^T is not negative: mu is 1
    ],
)
def test_the_shift_is_the_least_that_helps(A, shift):
    problem = spu.MatrixExponential(A, 2.0)
    assert problem.shift == pytest.approx(shift, abs=1e-12)
    assert problem.choices()["shift"] == problem.shift
    assert problem.slowest <= 4.0 * (1 + 1e-12) or problem.shift == 0
    said = dict(problem.facts())["shift"]
    assert said.startswith("none" if shift == 0 else f"{shift:.6g}: the drift")


def test_a_shift_that_is_given():
    A = np.diag([-10.0, -11.0])
    problem = spu.MatrixExponential(A, 1.0, shift=-9.5)
    np.testing.assert_allclose(problem.solution(problem.target_lagged), la.expm(A), rtol=1e-12)
    assert problem.warnings == () and problem.cost < 10
    plain = spu.MatrixExponential(A, 1.0)
    assert plain.shift == 0 and plain.cost == pytest.approx(2 / np.linalg.norm(la.expm(A)) ** 2)
    assert any("costs 8.9e+06 times the device time that shift=-9.5 would take" in said for said in plain.warnings)
    assert any("small beside its noise" in said for said in plain.warnings)


def test_the_best_shift_takes_least_device_time():
    """By the exact error bars of runs of the same device time: none within reach does better by a tenth."""
    A, t = np.array([[-0.3]]), 1.0

    def error(shift):
        problem = spu.MatrixExponential(A, t, shift=shift)
        device = spu.compile_problem(problem).device
        law, second = linear(lower(device)).law, device.scales.time
        scale = law.sde.readout.matrix.toarray()
        found = trajectory_error(law, steps=4000, interval=second * t / 4, count=1, transform=scale, lag=4)
        return float(np.sqrt(found.lagged_variance[0, 0])) * np.exp(shift * t)

    best = -0.3 + 0.5 / t
    least = error(best)
    for other in (-0.2, -0.1, 0.0, 0.1, 0.4, 1.0, 2.0):
        assert error(other) > 0.9 * least
    assert error(-0.2) > 1.3 * least < error(2.0) / 1.3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"time": 0.0}, "the time is 0: it must be positive"),
        ({"time": -1.0}, "the time is -1: it must be positive"),
        ({"time": np.inf}, "the time is inf: it must be a finite number"),
        ({"time": "1"}, "the time is '1': it must be a finite number"),
        ({"time": True}, "the time is True"),
        ({"shift": -1.0}, "the shift -1 leaves no noise .* at least -0.5"),
        ({"shift": np.nan}, "the shift is nan"),
        ({"matrix": np.ones((2, 3))}, "must be square"),
        ({"matrix": [[np.nan]]}, "every entry must be finite"),
        ({"matrix": [[1j]]}, "complex"),
        ({"matrix": 1000.0 * SKEW + 900 * np.eye(2)}, r"norm of A t is too large: its exponential may be e\^900"),
        ({"matrix": [[0.0, 1e4], [0.0, 0.0]]}, "norm of A t is too large"),
        ({"matrix": -50.0 * np.eye(2)}, r"drowned in noise: it would take 2\.7e\+43 times .* shift=-49\.5 would do"),
        ({"matrix": [[0.0, 100.0], [0.0, 0.0]]}, "drowned in noise: .* take a shorter time"),
        ({"matrix": np.diag([1.0, 2.0]), "shift": 2.0}, r"a mode that does not decay: .* above 2, .* 2\.5 would do"),
    ],
)
def test_wrong_input(given, message):
    with pytest.raises(InputError, match=message) as caught:
        spu.MatrixExponential(**{"matrix": [[-1.0, 1.0], [0.0, -1.0]], "time": 1.0, **given})
    assert "\n" not in caught.value.message


def test_files(tmp_path):
    A = np.array([[0.1, 2.0], [-1.0, -0.5]])
    problem = spu.MatrixExponential(A, 0.3, variables=["a", "b"])
    again = problem_from_dict(problem.to_dict())
    assert (again.time, again.shift, again.variables) == (0.3, problem.shift, ("a", "b"))
    np.testing.assert_array_equal(again.target_lagged, problem.target_lagged)
    np.save(tmp_path / "A.npy", A)
    (tmp_path / "e.toml").write_text('task = "exponential"\nmatrix = "A.npy"\ntime = 0.3\nvariables = ["a", "b"]\n')
    np.testing.assert_array_equal(read_problem(tmp_path / "e.toml").problem.drift, problem.drift)
    bare = read_problem(tmp_path / "A.npy", task="exponential").problem
    assert bare.time == 1.0
    (tmp_path / "bad.toml").write_text('task = "exponential"\nmatrix = "A.npy"\ntime = "soon"\n')
    with pytest.raises(InputError, match="the time is 'soon'"):
        read_problem(tmp_path / "bad.toml")
