"""Runs of readouts on a clock and behind converters: they have the law, and the guard sees where they have not."""

import numpy as np
import pytest

import spu
from spu.base.errors import InternalError, OptionError, UsageError
from spu.emulator.dynamics import device_law
from spu.emulator.laws.acquired import acquired
from spu.emulator.runs import acquiring

RATE = 3e6
CASES = [
    {"bits": 3, "full_scale": 2e-3},
    {"bits": 12, "full_scale": 1e-2, "sampling_rate": RATE},
    {"sampling_rate": RATE, "jitter": 2e-7},
    {"sampling_rate": RATE, "jitter": 2e-6, "bits": 1, "full_scale": 1e-3, "sample_noise": 2e-4, "offset": 1e-4},
    {"full_scale": 1e-3, "sampling_rate": RATE},
]
BOUND = 6.0
"""Standard errors, by the scatter of 128 trajectories: beyond it lies one of 5e7 (Student); all tests here are 300."""


def device(**readout):
    made = spu.Device(detail=spu.Detail(readout=readout))
    for k, name in enumerate("ab"):
        made.add_cell(name, capacitance=1e-9, conductance=1e-3 * (1 + k), noise=4e-18, inductance=4e-5, bias=0.0)
    made.add_coupler("a", "b", capacitance=4e-10)
    return made


@pytest.mark.parametrize("readout", CASES)
def test_runs_have_the_law(readout):
    """Means, covariances and lagged covariances within standard errors; a variance 20 % off would be seen."""
    made = device(**readout)
    found, law = spu.predict(made), acquired(device_law(made))
    run = spu.simulate(made, samples=6400, trajectories=128, lags=2, seed=4)
    assert run.acquisition == found.acquisition
    assert (np.abs(run.mean - found.mean) < BOUND * run.mean_error).all()
    assert (np.abs(run.covariance - found.covariance) < BOUND * run.covariance_error).all()
    assert (run.covariance_error.diagonal() < 0.04 * found.covariance.diagonal()).all()
    if "sampling_rate" in readout:
        assert run.interval == 1 / RATE and "sampling rate's" in str(run)
        exact = law.autocovariance(np.arange(3) * run.interval)
        size = found.covariance.diagonal().max()
        assert np.abs(run.autocovariance - exact).max() < 0.2 * size
    assert run.readouts.shape == (128, 50, 2)


def test_readouts_are_codes():
    made = device(bits=3, full_scale=2e-3)
    run = spu.simulate(made, samples=500, seed=1)
    codes = run.readouts / 5e-4 - 0.5
    assert np.array_equal(codes, np.round(codes)) and codes.min() >= -4 and codes.max() <= 3
    assert len(np.unique(codes)) == 8


def test_converters_read_the_same_run():
    """The voltages behind are those of the same device without converters and the same seed."""
    plain = spu.simulate(device(), samples=640, interval=1e-6, seed=9)
    read = spu.simulate(device(bits=4, full_scale=2e-3), samples=640, interval=1e-6, seed=9)
    assert np.array_equal(spu.Acquisition(bits=4, full_scale=2e-3).read(plain.readouts), read.readouts)


def test_independent_draws_and_single_trajectories():
    made = device(bits=5, full_scale=3e-3, sampling_rate=RATE, jitter=1e-7)
    exact = spu.predict(made).covariance
    for options in ({"independent": True}, {"trajectories": 1}):
        run = spu.simulate(made, samples=8000, seed=2, **options)
        assert (np.abs(run.covariance - exact) < 8 * run.covariance_error).all()  # 16 blocks: one of 1e6


def test_the_clock_is_kept():
    made = device(sampling_rate=RATE)
    assert spu.simulate(made, samples=64).interval == 1 / RATE
    assert spu.simulate(made, samples=64, interval=5 / RATE).interval == pytest.approx(5 / RATE)
    with pytest.raises(OptionError, match="no whole number of samples"):
        spu.simulate(made, samples=64, interval=0.4 / RATE)
    with pytest.raises(OptionError, match="single"):
        spu.simulate(device(bits=4, full_scale=2e-3), samples=64, precision="single")
    with pytest.raises(UsageError, match="too few for error bars"):
        spu.simulate(device(bits=4, full_scale=2e-3), samples=10, trajectories=2)
    with pytest.raises(UsageError, match="too many to keep"):
        spu.simulate(device(bits=4, full_scale=2e-3), samples=1e9)


def test_jitter_may_change_the_order_of_samples():
    """With errors of ten intervals, samples are drawn in the order of time, and put where they belong."""
    made = spu.Device(detail=spu.Detail(readout={"sampling_rate": RATE, "jitter": 10 / RATE}))
    for name in "ab":
        made.add_cell(name, capacitance=2e-9, conductance=1e-3, noise=4e-18)
    law = acquired(device_law(made))
    path = acquiring.jittered_paths(law, interval=1 / RATE, trajectories=400, steps=30, seed=3)
    assert path.shape == (400, 30, 2)
    found = np.einsum("mki,mkj->ij", path[:, 1:], path[:, :-1]) / (400 * 29)
    exact = law.autocovariance(np.array([1 / RATE]))[0]
    size = law.voltage_covariance.diagonal().max()
    assert np.abs(found - exact).max() < 6 * size / np.sqrt(400 * 3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda y, step: y + step / 2,  # thresholds in the middle of steps
        lambda y, step: 1.15 * y,  # a gain
        lambda y, step: np.concatenate([y[:, :, :1], y[:, :, :1]], axis=2),  # a channel read twice
    ],
)
def test_the_guard_sees_what_is_not_the_law(monkeypatch, spoil):
    made = device(bits=3, full_scale=2e-3)
    read = acquiring.readings
    monkeypatch.setattr(
        "spu.emulator.runs.sampling.readings",
        lambda law, deviations, seed: spoil(read(law, deviations, seed), law.acquisition.step),
    )
    with pytest.raises(InternalError, match="not of its circuit's law"):
        spu.simulate(made, samples=100_000, trajectories=1000, seed=1)


def test_the_guard_is_no_false_alarm():
    """Its p-value over 40 runs, of which each is a bound, is never small."""
    made = device(bits=2, full_scale=2e-3)
    law = acquired(device_law(made))
    for seed in range(40):
        run = spu.simulate(made, samples=2000, trajectories=50, seed=seed, trace=1)
        acquiring.hold_acquired(law, run.readouts, run.interval)
