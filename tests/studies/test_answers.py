"""From matrix to answer: what is predicted of errors in time, and what runs miss by."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from scipy import stats

import spu
from spu.base.errors import UsageError
from spu.emulator.laws.estimate import ModalSpread, mean_covariance, trajectory_error
from spu.studies.algebra.accuracy import SHARE, WASTE, accuracy_of
from spu.studies.algebra.measuring import measure, trials

A = np.array([[2.0, -0.5, 0.0], [-0.5, 1.5, 0.2], [0.0, 0.2, 1.0]])
G = np.array([[1.5, 0.8, 0.0], [-0.6, 1.0, 0.5], [0.2, 0.0, 2.0]])
INDEFINITE = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.3], [0.0, 0.3, 1.2]])
JORDAN = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
B = np.array([1.0, 2.0, 3.0])

RUNS = 200

PROBLEMS = {
    "inverse": lambda: spu.MatrixInverse(A),
    "gaussian": lambda: spu.GaussianSampling(covariance=A, mean=B),
    "linear": lambda: spu.LinearSystem(A, B),
    "lyapunov": lambda: spu.LyapunovEquation(G, np.outer(B, B) + np.eye(3)),
    "exponential": lambda: spu.MatrixExponential(-G, 0.4),
    "direct": lambda: spu.GeneralSystem(G, B, "direct"),
    "embedding": lambda: spu.GeneralSystem(INDEFINITE, B, "embedding"),
    "least-squares": lambda: spu.LeastSquares(np.vstack([A, G]), np.r_[B, B]),
    "no eigenvectors": lambda: spu.LyapunovEquation(JORDAN, np.eye(3)),
}


@pytest.fixture(scope="module")
def devices():
    return {name: spu.compile(pose()) for name, pose in PROBLEMS.items()}


@pytest.fixture(scope="module")
def coarse():
    """A device that holds a matrix a little off: it has a floor."""
    device = spu.compile(spu.MatrixInverse(A), architecture="rc-transconductor")
    device.problem = spu.MatrixInverse(A + np.diag([0.1, 0.05, 0.0]))
    return device


# --- what is predicted --------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_plan_gives_the_error_that_is_asked_for(name, devices):
    found = spu.plan(devices[name], error=0.03)
    parts = found.accuracy.parts(found.burn_in, found.interval, found.readouts)
    assert parts.total == found.relative_error <= 0.03
    if found.readouts > found.accuracy.least(found.interval):
        fewer = found.accuracy.parts(found.burn_in, found.interval, int(0.99 * found.readouts) or 1)
        assert fewer.total > 0.97 * 0.03 and found.relative_error > 0.03 * (1 - 5 / found.readouts) * 0.998
    # And the other way round.
    back = spu.plan(devices[name], time=found.device_time)
    assert back.relative_error == pytest.approx(found.relative_error, rel=0.1 if found.readouts < 100 else 5e-3)
    assert back.device_time == pytest.approx(found.device_time)


@pytest.mark.parametrize("name", PROBLEMS)
def test_errors_fall_as_one_over_the_root_of_time(name, devices):
    found = spu.plan(devices[name], error=0.01)
    times = found.device_time * np.array([30.0, 100.0, 300.0])
    totals = [found.at(time).total for time in times]
    slopes = np.diff(np.log(totals)) / np.diff(np.log(times))
    assert np.allclose(slopes, -0.5, atol=0.01)


def test_scatter_is_that_of_all_entries(devices):
    """The short ways against the sums entry by entry."""
    for name in ("inverse", "lyapunov", "no eigenvectors", "direct", "embedding"):
        known = accuracy_of(devices[name])
        T = known.law.sde.readout.matrix.toarray()
        for steps in (1, 7, 3000):
            whole = trajectory_error(known.law, steps=steps, interval=known.interval, count=1, transform=T)
            means = mean_covariance(known.law, steps=steps, interval=known.interval, transform=T)
            assert np.allclose(means, whole.mean_covariance, rtol=1e-6, atol=1e-9 * np.abs(means).max())
            spread = ModalSpread.of(known.law, T)
            assert spread is not None
            assert spread.variance(steps, known.interval) == pytest.approx(whole.covariance_variance.sum(), rel=1e-4)
        for steps in (500, 5000, 50_000):  # on both sides of where the short way is taken
            _, entries = known._scatter_of(known.interval, steps)
            assert known.scatter(known.interval, steps) == pytest.approx(entries, rel=5e-3)


@pytest.mark.parametrize("name", ["inverse", "linear", "lyapunov", "direct", "embedding"])
def test_readouts_waste_little_and_are_few(name, devices):
    """As much device time as a readout a hundred times as often, but for a twentieth; and no more of them than that."""
    known = accuracy_of(devices[name])
    chosen, continuous = known._asymptotic(known.interval), known._asymptotic(known.interval / 100)
    assert chosen <= (1 + WASTE + 1e-3) * continuous
    assert known._asymptotic(1.3 * known.interval) > (1 + 0.9 * WASTE) * continuous


def test_an_interval_divides_a_lag(devices):
    found = spu.plan(devices["exponential"], error=0.05)
    back = found.accuracy.lag / found.interval
    assert abs(back - round(back)) < 1e-9 and found.accuracy.back(found.interval) == round(back)
    half = spu.plan(devices["exponential"], error=0.05, interval=found.accuracy.lag / 8)
    assert half.accuracy.back(half.interval) == 8 and half.device_time < found.device_time * 1.01
    with pytest.raises(spu.SpuError, match="does not divide the lag"):
        spu.plan(devices["exponential"], interval=found.accuracy.lag / 1.7)


def test_the_floor(coarse):
    known = accuracy_of(coarse)
    assert known.floor == spu.predict(coarse).relative_error > 0.01
    found = spu.plan(coarse, error=1.2 * known.floor)
    assert found.relative_error <= 1.2 * known.floor
    late = found.at(1e6 * found.device_time)
    assert late.total == pytest.approx(known.floor, rel=1e-3) and late.statistical < 0.01 * known.floor
    assert found.curve()["total"].min() >= known.floor
    with pytest.raises(spu.SpuError, match=r"below the floor of .* that no time goes below: most of it is programmed"):
        spu.plan(coarse, error=0.5 * known.floor)


# --- what runs miss by ----------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBLEMS)
def test_measured_errors_follow_the_prediction(name, devices):
    """Mean squares of 200 runs at three times.

    A relative squared error is a sum of squares of Gaussians or of their products with weights of which one may be
    all: its relative variance is at most 2, or 8 where few samples are effective. Six of its standard errors are a
    false alarm in less than 1e-7 of all tests.
    """
    found = spu.plan(devices[name], error=0.05 if name in ("direct", "embedding") else 0.1)
    runs = 200
    least = 3.0 * found.accuracy.least_time
    times = np.geomspace(least, max(found.device_time, 2 * least), 3)
    seen = measure(found, runs, times=times, seed=5)
    share = (seen.rms / seen.expected) ** 2
    assert (abs(share[1:] - 1) < 6 * np.sqrt(2 / runs)).all(), share
    assert abs(share[0] - 1) < 6 * np.sqrt(8 / runs), share


@pytest.mark.parametrize("name", PROBLEMS)
def test_error_bars_are_calibrated(name, devices):
    """Deviations of 200 answers in their own standard errors, entry by entry: mean, mean square, and 2 sigma.

    Mean squares have a variance of (kurtosis - 1) / runs, where the kurtosis is that of what is seen. Six standard
    errors: false in less than 1e-7 of all.
    """
    found = spu.plan(devices[name], error=0.1)
    answers, errors = trials(found, RUNS, seed=2)
    z = ((answers - found.accuracy.found) / errors.standard).reshape(RUNS, -1)
    assert (abs(z.mean(axis=0)) < 6 / np.sqrt(RUNS)).all()
    squares = z**2
    # Of a run with a mean that is taken from its own samples, squares are below one by the share of that.
    assert (abs(squares.mean(axis=0) - 1) < 6 * squares.std(axis=0, ddof=1) / np.sqrt(RUNS)).all(), squares.mean(axis=0)
    inside = (abs(z) < 2).mean(axis=0)
    assert (abs(inside - 0.954) < 6 * np.sqrt(0.954 * 0.046 / RUNS)).all()
    assert all(stats.kstest(column, "norm").pvalue > 1e-7 for column in z.T)


@pytest.mark.parametrize("name", ["inverse", "linear", "lyapunov", "exponential", "embedding"])
def test_what_is_left_of_the_start(name, devices):
    """From rest: means over 4,000 short runs of a few readouts, against the exact transient; one in 1e8 fails."""
    known = accuracy_of(devices[name])
    interval = known.interval
    readouts = known.back(interval) + 2
    for wait in (0.3, 1.0):
        burn_in = wait * known.slowest
        answers = known.sample(burn_in, interval, readouts, 4_000, 3)
        left = known.remainder(burn_in, interval, readouts)
        assert np.linalg.norm(left) > 0.02 * known.size
        # Means of the same few readouts take a covariance down, by that of the mean.
        expected = known.found + left
        if not known.answer.deterministic:
            expected = expected - _of_own_mean(known, burn_in, interval, readouts)
        gap = (answers.mean(axis=0) - expected) / (answers.std(axis=0, ddof=1) / np.sqrt(len(answers)) + 1e-12)
        assert (abs(gap) < 6.5).all(), gap


def _of_own_mean(known, burn_in, interval, readouts):
    """What centring takes from a covariance on average: that of the mean of the readouts, from rest."""
    law = known.law
    left = known._left
    moves = known._transition(interval)
    first = known._transition(burn_in)
    P = law.covariance - first @ law.covariance @ first.T
    total = np.zeros_like(P)
    covariances = [P]
    for _ in range(readouts - 1):
        covariances.append(law.covariance - moves @ (law.covariance - covariances[-1]) @ moves.T)
    for k in range(readouts):
        for m in range(readouts):
            early, apart = min(k, m), abs(k - m)
            joint = np.linalg.matrix_power(moves, apart) @ covariances[early]
            total += joint if k > m else joint.T
    return left @ total @ left.T / readouts**2


def test_burn_in_is_as_long_as_the_start_is_seen(devices):
    for name in PROBLEMS:
        known = accuracy_of(devices[name])
        for error in (0.3, 0.01):
            wait = known.burn_in_for(error)
            later = [
                np.linalg.norm(known.remainder(wait + more * known.slowest, known.interval, 1)) for more in (0, 1, 3)
            ]
            assert max(later) <= SHARE * error * known.size * (1 + 1e-9)
            before = known.remainder(wait - 0.1 * known.slowest, known.interval, 1)
            assert np.linalg.norm(before) > 0.3 * SHARE * error * known.size
        assert known.burn_in_for(0.01) > known.burn_in_for(0.3)


def test_answers_scatter_about_the_floor(coarse):
    """Of a device that misses: error bars are about what it says after any time, and the floor is beside them."""
    found = spu.plan(coarse, error=1.05 * accuracy_of(coarse).floor)
    answers, errors = trials(found, 200, seed=1)
    z = (answers - found.accuracy.found) / errors.standard
    assert (abs((z**2).mean(axis=0) - 1) < 6 * np.sqrt(2 / 200)).all()
    missed = np.linalg.norm((answers - found.accuracy.target).reshape(200, -1), axis=1) / found.accuracy.size
    assert np.sqrt((missed**2).mean()) == pytest.approx(found.relative_error, rel=0.1)


# --- answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "exact"),
    [
        (lambda **how: spu.solve(A, B, **how), np.linalg.solve(A, B)),
        (lambda **how: spu.solve(G, B, **how), np.linalg.solve(G, B)),
        (lambda **how: spu.solve(INDEFINITE, B, **how), np.linalg.solve(INDEFINITE, B)),
        (lambda **how: spu.solve(A, B, method="normal", **how), np.linalg.solve(A, B)),
        (lambda **how: spu.solve(A, B, method="embedding", **how), np.linalg.solve(A, B)),
        (lambda **how: spu.invert(A, **how), np.linalg.inv(A)),
        (lambda **how: spu.logdet(A, **how), np.linalg.slogdet(A)[1]),
        (lambda **how: spu.lstsq(G[:, :2], B, **how), np.linalg.lstsq(G[:, :2], B, rcond=None)[0]),
        (lambda **how: spu.lstsq(G[:, :2], B, method="embedding", **how), np.linalg.lstsq(G[:, :2], B, rcond=None)[0]),
    ],
)
def test_one_line(ask, exact):
    found = ask(error=0.05, seed=4, compare=True)
    assert np.allclose(found.exact, exact) and np.shape(found.answer) == np.shape(exact)
    assert (abs(found.answer - exact) < 6 * found.standard_error).all()
    assert found.relative_error <= 0.06 and found.measured_error < 0.3 and found.complete
    assert found.energy.total is not None and found.device_time > found.burn_in >= 0
    for said in (str(found), repr(found)):
        assert str(found.readouts) in said
    again = ask(error=0.05, seed=4)
    assert np.array_equal(again.answer, found.answer) and again.exact is None and again.measured_error is None


def test_an_exponential_and_a_lyapunov_equation():
    import scipy.linalg as la

    found = spu.expm(G - 2 * np.eye(3), 0.5, error=0.1, seed=1)
    assert (abs(found.answer - la.expm(0.5 * (G - 2 * np.eye(3)))) < 6 * found.standard_error).all()
    P = la.solve_continuous_lyapunov(G, np.eye(3))
    found = spu.lyapunov(G, np.eye(3), error=0.1, seed=1)
    assert (abs(found.answer - P) < 6 * found.standard_error).all()


def test_methods_are_chosen_by_the_matrix():
    from spu.studies.algebra.tasks import system

    assert system(A, B).task == "linear"
    assert system(G, B).method == "direct"
    assert system(INDEFINITE, B).method == "embedding"
    assert system(A, B, "normal").task == "least-squares"
    with pytest.raises(spu.InputError, match="not symmetric"):
        system(G, B, "symmetric")


def test_without_noise_one_readout_tells_all():
    device = spu.compile(spu.GeneralSystem(np.diag([1.0, 1.3, 2.0]) @ G, B, "direct", noise=0.0))
    found = spu.answer(device, error=1e-6, compare=True)
    assert found.readouts == 1 and found.burn_in > 5 * found.plan.slowest
    assert 0 < found.measured_error <= found.relative_error <= 1e-6
    left = found.plan.accuracy.remainder(found.burn_in, found.interval, 1)
    assert np.allclose(found.answer - found.exact, left, atol=1e-12)


def test_an_interrupt_gives_what_there_is(devices):
    whole = spu.plan(devices["inverse"], error=0.002)

    def stop(done, total):
        if done < total:
            os.kill(os.getpid(), signal.SIGINT)

    found = spu.answer(devices["inverse"], error=0.002, progress=stop)
    assert not found.complete and 1 < found.readouts < whole.readouts
    assert found.device_time == pytest.approx(found.burn_in + (found.readouts - 1) * found.interval)
    assert found.relative_error > 0.002 and found.energy.seconds == pytest.approx(found.device_time)
    assert (abs(found.answer - np.linalg.inv(A)) < 6 * found.standard_error).all()


def test_a_short_time_gives_a_wide_bar(devices):
    known = accuracy_of(devices["inverse"])
    found = spu.answer(devices["inverse"], time=1.2 * known.slowest)
    assert found.relative_error > 0.3 and any("hardly an answer" in each for each in found.warnings)
    assert (found.standard_error >= abs(known.remainder(found.burn_in, found.interval, found.readouts))).all()
    with pytest.raises(UsageError, match=r"less than the longest time constant.*switched on.*still at its start"):
        spu.answer(devices["inverse"], time=0.5 * known.slowest)


def test_determinants_are_planned():
    found = spu.plan(spu.Determinant(A), error=0.05)
    assert found.interval is None and found.relative_error <= 0.05
    assert spu.plan(found.device, time=found.device_time).relative_error == pytest.approx(found.relative_error)
    seen = measure(found, 30, times=[found.device_time / 4, found.device_time], seed=1)
    # Scatter is known from a pilot of 256 pairs to a tenth or so, beside that of 30 runs: six of their standard errors.
    assert (abs((seen.rms / seen.expected) ** 2 - 1) < 6 * np.sqrt(2 / 30 + 0.02)).all()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: spu.plan(A, error=0.1, time=1.0), "give error or time, not both"),
        (lambda: spu.plan(A, error=-0.1), "error must be a positive number such as 0.01"),
        (lambda: spu.plan(A, error=float("nan")), "error must be a positive number"),
        (lambda: spu.plan(A, error="1%"), "error must be a positive number"),
        (lambda: spu.plan(A, error=True), "error must be a positive number"),
        (lambda: spu.plan(A, time=-1.0), "time must be positive"),
        (lambda: spu.plan(A, time=float("inf")), "time must be positive"),
        (lambda: spu.plan(A, interval=0.0), "interval must be positive"),
        (lambda: spu.invert([[1.0, 2.0], [2.0, 1.0]]), "not positive definite"),
        (lambda: spu.solve(np.ones((2, 2)), [1.0, 2.0]), "singular"),
        (lambda: spu.solve(A, B, method="lu"), "method is 'lu'; "),
        (lambda: spu.solve(A, [1.0, np.nan, 0.0]), "NaN at entry 2"),
        (lambda: spu.solve(A, np.zeros(3)), "the exact answer is zero: no error is relative to it"),
        (lambda: spu.lyapunov(-A, np.eye(3)), "all must have a positive one"),
        (lambda: spu.expm(1e4 * A), "norm"),
        (lambda: spu.invert(A, error=1e-6), "emulating it would take days"),
        (lambda: spu.plan(A, error=1e-9), "takes more than 1e+15 readouts"),
        (lambda: spu.plan(spu.compile(A), hardware="ideal"), "hardware is for problems: a device has been compiled"),
        (lambda: spu.plan(spu.ThermodynamicNetwork(units=2)), "there is no error that is known in advance of networks"),
        (lambda: spu.plan(spu.Ising([[0, 1], [1, 0]])), "spu.anneal"),
        (lambda: spu.logdet([[2.0, 0.0], [0.0, 3.0]]), "the matrix is diagonal"),
        (lambda: spu.plan(spu.compile(A, "spu8", ensemble=2)), "an ensemble of programmings has no one device time"),
        (lambda: spu.plan(spu.Determinant(A), interval=1e-6), "interval is not for determinants"),
        (lambda: spu.plan(spu.Determinant(A), time=1e-9), "too short: two pairs of runs"),
    ],
)
def test_wrong_use(ask, message):
    with pytest.raises(spu.SpuError) as refused:
        ask()
    said = str(refused.value)
    assert message in said and "\n" not in said and refused.value.kind != "internal", said


def test_a_device_without_a_problem():
    device = spu.Device(temperature=300.0)
    device.add_cell("out", capacitance=1e-9, conductance=1e-3)
    with pytest.raises(UsageError, match="there is no problem to be right about"):
        spu.plan(device)


def test_texts_and_pictures(devices):
    found = spu.plan(devices["inverse"], error=0.05)
    text = str(found)
    for word in ("error", "floor", "device time", "burn-in", "readouts", "slowest", "energy"):
        assert word in text
    assert found.plot().axes[0].get_xscale() == "log"
