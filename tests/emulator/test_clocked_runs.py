"""Runs under noise that a clock makes: against their law, over the whole domain of the clock, and what is refused."""

import numpy as np
import pytest
from test_clocked_laws import device, law_of

import spu
from spu.base.errors import UsageError
from spu.base.registers import primitive, sequence
from spu.circuit.clocked import Clocked
from spu.emulator.runs.clocked_run import ClockedRun, Grid, Samples

SIGMAS = 6.5
"""Of any one entry: exceeded by chance in less than 1e-9 of the runs, where errors are those of normal samples."""

KINDS = {
    "normal": {},
    "converter": {"bits": 3, "crest": 2.5},
    "bits": {"kind": "binary"},
    "sums": {"kind": "binary", "summed": 3},
    "register": {"kind": "binary", "register": 24},
}


def made(cells, periods, temperature=300.15, **noise):
    """A device whose clock has a period of so many of its slowest time constants."""
    slowest = law_of(device(cells, clock=1e7)).white.slowest
    return device(cells, temperature, clock=1.0 / (periods * slowest), **noise)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("periods", [2e-3, 0.1, 1.0, 30.0])
def test_runs_have_their_law(kind, periods):
    where = made("rlc" if periods in (0.1, 1.0) else "rc", periods, **KINDS[kind])
    run, law = spu.simulate(where, samples=4000, seed=5), spu.predict(where)
    assert (np.abs(run.covariance - law.covariance) < SIGMAS * run.covariance_error).all()
    assert (np.abs(run.mean - law.mean) < SIGMAS * run.mean_error).all()
    assert run.method == "clocked"
    # It would have seen a tenth of the injected noise.
    assert (np.diag(run.covariance_error) < 0.1 * np.diag(law.covariance)).all()


@pytest.mark.parametrize("interval", [0.003, 0.4, 7.7])
def test_readouts_at_any_interval(interval):
    """Closer than a 61st of the period, within it, and beyond it: lags, too, and phases evenly."""
    where = made("rc", 1.5, temperature=0.0)
    law = law_of(where)
    run = spu.simulate(where, samples=20_000, trajectories=200, interval=interval * law.clocked.period, lags=2, seed=2)
    assert abs(run.interval / law.clocked.period / interval - 1) < 0.03
    exact = law.autocovariance([lag * run.interval for lag in range(3)])
    T = law.sde.readout.matrix.toarray()
    assert (np.abs(run.autocovariance - T @ exact @ T.T) < SIGMAS * run.covariance_error).all()


def test_errors_are_as_large_as_the_scatter():
    """Of 60 runs each: variances of the entries against those that were stated (chi-squared, 60 of freedom)."""
    for periods, kind, most in ((1.5, "normal", 1.0), (0.2, "normal", 1.0), (1.5, "bits", 1.0)):
        where = made("rc", periods, temperature=0.0, **KINDS[kind])
        law = spu.predict(where)
        off, stated = [], []
        for seed in range(60):
            run = spu.simulate(where, samples=400, trajectories=4, seed=seed, interval=0.7 * law.law.slowest)
            off.append(run.covariance - law.covariance)
            stated.append(run.covariance_error)
        ratio = np.sqrt((np.array(off) ** 2).mean(axis=0)) / np.mean(stated, axis=0)
        assert ratio.max() < 1.6 * most, (periods, kind, ratio)  # 1e-9
        if kind == "normal":
            assert ratio.min() > 0.5, (periods, ratio)


def test_a_register_that_came_around_is_known():
    """All places of the cycle at all phases: what is left over shrinks with the run, and errors say so."""
    where = made("rc", 4.0, temperature=0.0, kind="binary", register=4)
    law = spu.predict(where)
    cycle = 61 * 15
    run = spu.simulate(where, samples=20 * cycle, trajectories=1, seed=1)
    assert np.allclose(run.covariance, law.covariance, rtol=0.01, atol=0.003 * law.covariance.max())
    assert np.allclose(run.mean, law.mean, atol=0.01 * np.sqrt(law.covariance.max()))
    assert (np.abs(run.covariance - law.covariance) < run.covariance_error).all()
    assert "the register came around" in run.method_reason
    short = spu.simulate(where, samples=61 * 3, trajectories=1, seed=1)
    assert "came around" not in short.method_reason or short.effective_samples < 40


def test_the_same_bits():
    where = made("rc", 0.3, kind="binary", register=30)
    one, other = (spu.simulate(where, samples=900, trajectories=9, seed=4, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.readouts, other.readouts)
    assert not np.array_equal(one.readouts, spu.simulate(where, samples=900, trajectories=9, seed=5).readouts)
    law = law_of(where)
    drawn = Samples(law, 4, 9)
    first = drawn.of(3, 20)
    drawn.of(100_000, 5)
    assert np.array_equal(first[7:], drawn.of(10, 13))
    assert set(np.unique(first)) == {-1.0, 1.0}


def test_sources_tap_one_register():
    law = law_of(made("rc", 0.3, kind="binary", register=6))
    drawn = Samples(law, 1, 1).of(0, 63)[:, :, 0]
    for source, (delay,) in enumerate(law.clocked.delays(3).tolist()):
        assert np.array_equal(np.roll(drawn[:, 0], delay), drawn[:, source])
    correlation = np.array([drawn[:, 0] @ np.roll(drawn[:, 0], lag) for lag in range(63)])
    assert correlation[0] == 63
    assert (correlation[1:] == -1).all()


@pytest.mark.parametrize("bits", [2, 3, 5, 8, 11])
def test_registers_are_of_maximal_length(bits):
    cycle = 2**bits - 1
    found = sequence(bits, 0, 2 * cycle)
    states = {tuple(found[k : k + bits]) for k in range(cycle)}
    assert len(states) == cycle
    assert np.array_equal(found[:cycle], found[cycle:])
    assert np.array_equal(sequence(bits, 5 * cycle + 3, 40), np.resize(found[:cycle], cycle * 50)[3:43])


def test_jumps_in_long_registers():
    far = 123_456_789_012
    whole = sequence(41, far, 5000)
    assert np.array_equal(whole[3000:], sequence(41, far + 3000, 2000))
    exponents = primitive(41)
    recurrence = sum(whole[exponents[0] - e : 4000 + exponents[0] - e].astype(int) for e in exponents[1:]) % 2
    assert not np.array_equal(whole[:100], whole[100:200])
    assert len(recurrence) == 4000
    lagged = [whole[e : e + 4000].astype(int) for e in exponents]
    assert (sum(lagged) % 2 == 0).all()


def test_grids_go_through_all_phases():
    law = law_of(made("rc", 1.0, kind="binary", register=4))
    for wish in (1e-3, 0.2, 1.0, 5.0, 61.0, 1234.5):
        grid = Grid.near(law, wish * law.clocked.period)
        assert abs(grid.interval / law.clocked.period / wish - 1) < 0.08
        phases = {(k * grid.parts) % grid.phases for k in range(grid.phases)}
        assert len(phases) == grid.phases
        if grid.parts > 1:
            assert np.gcd(grid.parts, grid.phases * 15) == 1


@pytest.mark.parametrize("change", ["push", "transition", "level"])
@pytest.mark.parametrize("kind", ["normal", "bits"])
def test_the_guard_sees_another_law(change, kind, monkeypatch):
    """A step that is off by what a factor of 1.3 in variances is."""
    where = made("rc", 0.5, temperature=0.0, **KINDS[kind])
    law = law_of(where)
    if change == "push":
        plain = ClockedRun._part
        monkeypatch.setattr(
            ClockedRun, "_part", lambda self, share: (plain(self, share)[0], 1.3 * plain(self, share)[1])
        )
    elif change == "transition":
        monkeypatch.setattr(ClockedRun, "_transition", property(lambda self: 0.9 * np.eye(len(law.dense.A))))
    else:
        plain = Samples.of
        monkeypatch.setattr(Samples, "of", lambda self, first, periods: 1.3 * plain(self, first, periods))
    with pytest.raises(spu.InternalError, match="not of its circuit's law"):
        spu.simulate(where, samples=20_000, seed=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"independent": True}, "hangs on the phase of the clock"),
        ({"method": "dense"}, "is not for held noise"),
        ({"precision": "single"}, "not for held noise"),
        ({"start": [1.0, 0.0, 0.0], "times": [1e-6]}, "white noise only"),
    ],
)
def test_refused(options, words):
    with pytest.raises(UsageError, match=words):
        spu.simulate(device(clock=1e6), **options)


def test_shaped_samples():
    normals = np.random.default_rng(0).standard_normal((20_000, 4))
    assert Clocked(1e6, bits=2, crest=1.5).shaped(normals[:, :1]).tolist()[0] in (-1.5, -0.5, 0.5, 1.5)
    summed = Clocked(1e6, kind="binary", summed=4).shaped(normals)
    assert np.allclose(sorted(np.unique(summed)), [-2, -1, 0, 1, 2])
    assert abs((summed**2).mean() - 1) < 7 * np.sqrt(1.5 / 20_000)
