"""The study of exponentials over the dimension: what is expected, by plain sums; the short command as it is given."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg as la

STUDY = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "exponentials.py"))


@pytest.mark.parametrize("kind", ["wishart", "orthogonal"])
@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_the_expected_error_is_that_of_all_pairs(kind, count):
    d, shift = 3, STUDY["SHIFT"][kind]
    drift = STUDY["matrix_of"](kind, d, np.random.default_rng(3)) + shift * np.eye(d)
    step = la.expm(-drift)

    def covariance(j, k):
        if j < k:
            return covariance(k, j).T
        return np.linalg.matrix_power(step, j - k) @ (np.eye(d) - np.linalg.matrix_power(step @ step.T, k))

    every = range(1, count + 1)
    total = sum(
        np.trace(covariance(j + 1, k + 1)) * np.trace(covariance(j, k))
        + (covariance(j + 1, k) * covariance(j, k + 1).T).sum()
        for j in every
        for k in every
    )
    bias = sum(covariance(j + 1, j) for j in every) / count - step
    wanted = np.exp(shift) * np.sqrt(total / count**2 + (bias**2).sum())
    assert STUDY["expected"](drift, shift, np.array([count]))[0] == pytest.approx(wanted, rel=1e-9)


def test_times_are_read_between_points():
    counts = np.array([10, 100, 1000])
    errors = 5.0 / np.sqrt(counts)
    assert STUDY["crossing"](counts, errors, 1.0) == pytest.approx(25.0)
    assert np.isnan(STUDY["crossing"](counts, errors, 0.1))
    assert STUDY["power"](np.array([8.0, 16.0, 32.0]), np.array([[64.0, 256.0, 1024.0]])) == pytest.approx([2.0])


def test_the_short_study(capsys, monkeypatch):
    """Errors within 6 standard deviations, powers within 99.9 %: false alarms below 2e-3 at another seed."""
    words = ["--dimensions", "8", "16", "32", "--readouts", "1000", "--matrices", "4"]
    assert STUDY["main"](words) == 0
    said = capsys.readouterr().out
    assert said.count("power of d") == 4 and "as expected" in said
    right = STUDY["main"].__globals__["expected"]
    monkeypatch.setitem(STUDY["main"].__globals__, "expected", lambda *given: 1.2 * right(*given))
    assert STUDY["main"](words) == 1  # an error that is 20 % off is seen
