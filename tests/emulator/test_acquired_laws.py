"""Laws of what converters read and clocks sample, against formulas that know nothing of thresholds summed or modes."""

import time
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import multivariate_normal

import spu
from spu.base.errors import InputError, OptionError, UsageError
from spu.circuit.acquisition import Acquisition
from spu.emulator.dynamics import device_law
from spu.emulator.laws import converted
from spu.emulator.laws.acquired import acquired, jittered

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(40)
FAR = 9.5


def single(converter, mean, sd):
    """Mean and variance of what is read: the probability of each code, by error functions."""
    half = 2 ** (converter.bits - 1)
    ends = np.concatenate([[-np.inf], np.arange(1 - half, half) * converter.step, [np.inf]])
    z = (ends - mean) / sd
    probability = np.where(z[:-1] > 0, ndtr(-z[:-1]) - ndtr(-z[1:]), ndtr(z[1:]) - ndtr(z[:-1]))
    read = (np.arange(-half, half) + 0.5) * converter.step
    centre = probability @ read
    return centre, probability @ (read - centre) ** 2


def pair(converter, means, sds, rho):
    """Covariance of two readings: of the one, the conditional mean given the voltage behind the other, integrated."""
    half = 2 ** (converter.bits - 1)
    thresholds = np.arange(1 - half, half) * converter.step
    ends = np.concatenate([[-np.inf], thresholds, [np.inf]])
    rest = np.sqrt(1 - rho**2)
    centres = [single(converter, mean, sd)[0] for mean, sd in zip(means, sds, strict=True)]
    total = 0.0
    for code, (a, b) in enumerate(pairwise(ends)):
        low, high = max((a - means[0]) / sds[0], -FAR), min((b - means[0]) / sds[0], FAR)
        if low >= high:
            continue
        pieces = np.linspace(low, high, max(1, int(np.ceil((high - low) / (0.3 * max(rest, 0.02))))) + 1)
        width = np.diff(pieces)[:, None]
        z = (pieces[:-1, None] + width * (POINTS + 1) / 2).ravel()
        share = (width * WEIGHTS / 2).ravel() * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        above = ndtr(-((thresholds[:, None] - means[1] - rho * sds[1] * z) / (sds[1] * rest)))
        other = converter.step * (0.5 - half + above.sum(axis=0))
        total += ((code - half + 0.5) * converter.step - centres[0]) * ((other - centres[1]) * share).sum()
    return total


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 10])
def test_two_readings_of_few_bits(bits):
    """Over clipping from half a standard deviation to ten and correlations from -0.999 to 0.999: 1e-9 and better."""
    rng = np.random.default_rng(bits)
    for sigmas in (0.5, 1.0, 3.0, 10.0) if bits < 8 else (0.5, 3.0):
        for rho in (-0.999, -0.6, 0.2, 0.95, 0.999) if bits < 8 else (-0.999, 0.95):
            converter = Acquisition(bits=bits, full_scale=1.0)
            sds, means = np.array([1.0, rng.uniform(0.3, 1.0)]) / sigmas, rng.uniform(-0.3, 0.3, 2)
            found = converted.covariances(converter, tuple(means), tuple(sds), np.array([rho]))[0]
            assert abs(found - pair(converter, means, sds, rho)) < 1e-10 * sds.prod()


@pytest.mark.parametrize("bits", [*range(1, 13), 16, 20, 24])
def test_one_reading(bits):
    """Mean and variance; of very fine steps those of the voltage, clipped, and a twelfth of a step squared."""
    rng = np.random.default_rng(bits)
    for sigmas in (0.5, 2.0, 10.0):
        converter = Acquisition(bits=bits, full_scale=2.0)
        mean, sd = rng.uniform(-0.4, 0.4), 2.0 / sigmas
        found = [each[0] for each in converted.moments(converter, np.array([mean]), np.array([sd**2]))]
        if bits <= 20:
            centre, variance = single(converter, mean, sd)
            assert abs(found[0] - centre) < 1e-11 * sd
            assert abs(found[1] - variance) < 1e-11 * sd**2
        if bits == 24 and sigmas == 10.0:
            assert abs(found[1] - sd**2 - converter.step**2 / 12) < 1e-13 * sd**2


def test_fine_steps_go_over_into_coarse_ones(monkeypatch):
    """The same by lines with what is left of steps, and threshold by threshold."""
    rng = np.random.default_rng(5)
    for bits in (12, 13):
        for sigmas in (0.5, 2.0, 8.0):
            converter = Acquisition(bits=bits, full_scale=1.0)
            sds, means = np.array([1.0, rng.uniform(0.3, 1.0)]) / sigmas, rng.uniform(-0.3, 0.3, 2)
            rho = np.array([-0.999, 0.3, 0.99, 0.9999])
            found = []
            for limit in (10, 10**6):
                monkeypatch.setattr(converted, "FINE", limit)
                found.append(
                    [
                        converted.covariances(converter, tuple(means), tuple(sds), rho) / sds.prod(),
                        *(each / sds**k for k, each in enumerate(converted.moments(converter, means, sds**2), 1)),
                    ]
                )
            for fine, coarse in zip(*found, strict=True):
                assert np.abs(fine - coarse).max() < 1e-10


def test_the_same_voltage_twice():
    """At a correlation of one the covariance is the variance, at minus one minus it, whatever the steps."""
    for bits in (1, 4, 9, 14):
        converter = Acquisition(bits=bits, full_scale=1.0)
        for sd in (0.1, 0.7):
            variance = converted.moments(converter, np.zeros(1), np.array([sd**2]))[1][0]
            both = converted.covariances(converter, (0.0, 0.0), (sd, sd), np.array([1.0, -1.0, 0.0]))
            assert np.abs(both / variance - [1.0, -1.0, 0.0]).max() < 1e-6


def test_one_bit_is_the_arcsine_law():
    converter = Acquisition(bits=1, full_scale=1.0)
    rho = np.linspace(-0.99999, 0.99999, 41)
    found = converted.covariances(converter, (0.0, 0.0), (0.2, 3.0), rho)
    assert np.abs(found - converter.step**2 / 4 * 2 / np.pi * np.arcsin(rho)).max() < 1e-13


def test_clipping_without_bits():
    """Against the corners of the bivariate normal: a clipped line has the derivative P(both within) by correlation."""
    converter = Acquisition(full_scale=1.0)
    for rho in (-0.9, 0.3, 0.95):
        step = 1e-3
        around = converted.covariances(converter, (0.2, -0.1), (0.8, 1.4), np.array([rho - step, rho + step]))
        law = multivariate_normal([0.2, -0.1], np.array([[0.64, rho * 1.12], [rho * 1.12, 1.96]]))
        inside = law.cdf([1, 1]) - law.cdf([-1, 1]) - law.cdf([1, -1]) + law.cdf([-1, -1])
        assert abs(np.diff(around)[0] / (2 * step) / 1.12 - inside) < 2e-5


def test_clipping_is_said():
    converter = Acquisition(full_scale=1.0)
    assert abs(converted.clipping(converter, np.zeros(1), np.array([0.25]))[0] - 2 * ndtr(-2.0)) < 1e-15
    assert converted.clipping(converter, np.array([2.0]), np.zeros(1))[0] == 1.0


def test_many_correlations_cost_little_more_than_one():
    """They share the panels: a thousand take less than twenty times what one does."""
    converter = Acquisition(bits=8, full_scale=1.0)
    taken = []
    for rho in (np.array([0.99]), np.linspace(-0.99, 0.99, 1000)):
        start = time.process_time()
        converted.covariances(converter, (0.0, 0.0), (0.3, 0.3), rho)
        taken.append(time.process_time() - start)
    assert taken[1] < 20 * taken[0] + 0.05


def test_wrong_acquisitions_are_refused():
    for given, words in (
        ({"bits": 8}, "need a full_scale"),
        ({"bits": 0, "full_scale": 1.0}, "from 1 to 24"),
        ({"bits": 25, "full_scale": 1.0}, "from 1 to 24"),
        ({"jitter": 1e-9}, "needs a sampling_rate"),
        ({"full_scale": -1.0}, "must be positive"),
        ({"sampling_rate": float("nan")}, "must be positive"),
        ({"noise": "loud"}, "must be a number"),
    ):
        with pytest.raises(InputError, match=words):
            Acquisition(**given)
    with pytest.raises(InputError, match="no codes"):
        Acquisition(full_scale=1.0).codes([0.0])


# --- of circuits -----------------------------------------------------------------------------


def device(inductance=None, **readout):
    """Three cells that are coupled, not even symmetrically."""
    made = spu.Device(detail=spu.Detail(readout=readout))
    for k, name in enumerate("abc"):
        more = {} if inductance is None else {"inductance": inductance}
        made.add_cell(name, capacitance=1e-9, conductance=1e-3 * (1 + 0.3 * k), noise=4e-18 * (1 + k), **more)
    made.add_coupler("a", "b", conductance=3e-4)
    made.add_coupler("b", "c", transconductance=(2e-4, -1e-4))
    return made


@pytest.mark.parametrize("inductance", [None, 1e-5, 4e-3 / 1.3])
@pytest.mark.parametrize("jitter", [1e-8, 1e-6, 2e-5])
def test_jitter_averages_the_autocovariance(inductance, jitter):
    """Over the normal difference of two errors of the clock, by a fine sum: up to twenty time constants of jitter."""
    law = device_law(device(inductance))
    spread = np.sqrt(2.0) * jitter
    z = np.linspace(-8.0, 8.0, 8001)
    lags = np.array([2e-6, 1e-5])
    found = jittered(law, lags, jitter)
    for lag, matrix in zip(lags, found, strict=True):
        exact = law.autocovariance(lag + spread * z)
        expected = np.tensordot(np.exp(-0.5 * z**2), exact, axes=1) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
        # the corner of the autocovariance at zero is what the sum gets wrong
        assert np.abs(matrix - expected).max() < 2e-4 * (z[1] - z[0]) * np.abs(exact).max() * max(1, spread / 1e-6)


def test_parallel_modes_are_averaged_by_panels(monkeypatch):
    """The same with modes and without."""
    law, lags = device_law(device(1e-5)), np.array([0.0, 1e-6, 5e-6])
    by_modes = jittered(law, lags, 1e-6)
    monkeypatch.setattr("spu.emulator.laws.acquired._PARALLEL", 0.0)
    assert np.abs(jittered(law, lags, 1e-6) - by_modes).max() < 1e-12 * law.voltage_covariance.max()


def test_sampled_spectra_are_all_images():
    """The circuit's own density at f, and at all multiples of the rate less and more than f."""
    rate = 3e6
    made = device(1e-6, sampling_rate=rate)
    law = device_law(made)
    found = spu.spectrum(made, [0.0, 2e5, rate / 2])
    images = np.arange(-2000, 2001)
    for k, f in enumerate(found.frequencies):
        at = f + images * rate
        own = law.spectrum(np.abs(at))
        expected = np.where(at[:, None, None] < 0, own.conj(), own).sum(axis=0)
        assert np.abs(found.density[k] / expected - 1).max() < 1e-3  # images beyond the last: 1 / number
    assert spu.spectrum(made).frequencies[-1] == rate / 2
    with pytest.raises(UsageError, match="at most half of it"):
        spu.spectrum(made, [2e6])
    with pytest.raises(UsageError, match="where their rate is known"):
        spu.spectrum(device(bits=8, full_scale=1e-2), [1e3])


@pytest.mark.parametrize(
    "readout",
    [
        {},
        {"jitter": 1e-7},
        {"bits": 4, "full_scale": 3e-3},
        {"bits": 12, "full_scale": 3e-3, "jitter": 2e-7, "sample_noise": 1e-4},
    ],
)
def test_sampled_spectra_integrate_to_the_variance(readout):
    """Up to half the rate; and the autocovariance at lags is their cosine transform."""
    rate = 2e6
    made = device(2e-6, sampling_rate=rate, **readout)
    points = np.linspace(0.0, rate / 2, 201)
    found = spu.spectrum(made, points)
    read = acquired(device_law(made))
    for lag in (0, 1, 3):
        turns = np.cos(2 * np.pi * points * lag / rate)[:, None, None]
        other = np.sin(2 * np.pi * points * lag / rate)[:, None, None]
        held = np.trapezoid(found.density.real * turns - found.density.imag * other, points, axis=0)
        assert np.abs(held - read.autocovariance(np.array([lag / rate]))[0]).max() < 1e-9 * held.max() + 1e-16
    assert np.abs(found.autocovariance([0.0])[0] - read.voltage_covariance).max() < 1e-18
    with pytest.raises(UsageError, match="whole number of samples"):
        found.autocovariance([0.3 / rate])


def test_prediction_is_of_what_is_read():
    made = device(bits=3, full_scale=1e-3, sample_noise=1e-4)
    found = spu.predict(made)
    assert found.circuit is not None and found.acquisition == Acquisition(bits=3, full_scale=1e-3, noise=1e-4)
    analog = spu.predict(device())
    assert np.array_equal(found.circuit.covariance, analog.covariance)
    for k in range(3):
        sd = np.sqrt(analog.covariance[k, k] + 1e-8)
        converter = Acquisition(bits=3, full_scale=1e-3)
        assert found.covariance[k, k] == pytest.approx(single(converter, 0.0, sd)[1], rel=1e-9)
        assert found.clipping[k] == pytest.approx(2 * ndtr(-1e-3 / sd), rel=1e-9)
    sds = np.sqrt(analog.covariance.diagonal() + 1e-8)
    rho = analog.covariance[0, 1] / sds[0] / sds[1]
    expected = pair(Acquisition(bits=3, full_scale=1e-3), np.zeros(2), sds[:2], rho)
    assert found.covariance[0, 1] == pytest.approx(expected, rel=1e-8)
    shown = found.to_dict()
    assert shown["acquisition"] == {"bits": 3, "full_scale": 1e-3, "noise": 1e-4}
    assert np.array_equal(shown["circuit"]["covariance"], analog.covariance)
    assert "beyond full scale" in str(found) and "3 bits" in str(found)
    assert "acquisition" not in analog.to_dict() and analog.circuit is None
    with pytest.raises(OptionError, match="continuous in time"):
        spu.predict(made, band=(0.0, 1e6))


def test_a_rate_alone_changes_no_moment():
    rated, plain = spu.predict(device(sampling_rate=1e6)), spu.predict(device())
    assert np.array_equal(rated.covariance, plain.covariance) and np.array_equal(rated.mean, plain.mean)


def test_each_effect_has_its_line_in_the_budget():
    """A twelfth of a step squared, clipping and noise of samples; jitter and rate do nothing at one instant."""
    made = device(bits=6, full_scale=6e-3, sample_noise=1e-4, sampling_rate=1e6, jitter=1e-8, bandwidth=1e7)
    budget = spu.error_budget(made)
    lines = {line.effect: line for line in budget.lines}
    size = np.linalg.norm(spu.predict(device()).covariance)
    assert lines["readout.sample_noise"].norm == pytest.approx(np.sqrt(3) * 1e-8 / size, rel=1e-6)
    assert lines["readout.bits"].norm == pytest.approx(np.sqrt(3) * (12e-3 / 64) ** 2 / 12 / size, rel=1e-2)
    assert lines["readout.sampling_rate"].norm == lines["readout.jitter"].norm == 0
    assert 0 < lines["readout.full_scale"].norm < 1e-4 < lines["readout.bandwidth"].norm


@pytest.mark.parametrize("bits", [2, 8, 14])
def test_what_a_filter_needs_to_know(bits):
    """The slope is the covariance with the voltage; of fine steps the noise is a twelfth of one squared, and more."""
    made = device(bits=bits, full_scale=3e-3, sample_noise=1e-6)
    read = acquired(device_law(made))
    seen = read.observation
    variance = read.law.voltage_covariance.diagonal()
    rng = np.random.default_rng(7)
    draws = 400_000
    volts = np.sqrt(variance[0]) * rng.standard_normal(draws)
    found = read.acquisition.read(volts + 1e-6 * rng.standard_normal(draws))
    products = found * volts
    assert abs(products.mean() - seen.gain[0] * variance[0]) < 6 * products.std() / np.sqrt(draws)
    assert np.allclose(seen.gain**2 * variance + seen.noise**2, read.voltage_covariance.diagonal(), rtol=1e-12)
    if bits == 14:
        wide = acquired(device_law(device(bits=bits, full_scale=2e-2, sample_noise=1e-6))).observation
        assert np.allclose(wide.noise**2, 1e-12 + (4e-2 / 2**14) ** 2 / 12, rtol=1e-6)
