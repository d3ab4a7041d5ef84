"""Spectra and autocovariances: exact ones against the covariance, estimates against their stated law, pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import difference, law_of, near, paths, random_device, rc_pair, rlc_pair
from scipy.signal import csd
from scipy.stats import binom

import spu
from spu.base.errors import InputError
from spu.cli import cli
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.laws.propagate import exact_step
from spu.emulator.laws.spectra import Spectra, compare_autocovariances, correlations, exact_spectra, telling
from spu.emulator.laws.timing import sweep_integral
from spu.emulator.laws.welch import Welch
from spu.reports.pictures.covariances import draw_check
from spu.reports.pictures.figures import save
from spu.reports.pictures.spectra import draw_autocovariances, draw_spectra

FALSE_ALARM = 1e-8


def scaled(device: Device) -> Device:
    """With a readout that is not the identity."""
    device._readout = replace(device.readout, matrix=1e3 * np.array([[1.0, 0.0], [-0.5, 2.0]]))
    return device


@pytest.mark.parametrize("device", [rc_pair(300.0), rlc_pair()], ids=["rc", "rlc"])
def test_spectrum_integrates_to_the_covariance_of_the_variables(device):
    scaled(device)
    poles = np.abs(law_of(device).poles) / (2 * np.pi)
    frequencies = np.geomspace(poles.min() / 300, poles.max() * 300, 8000)
    found = spu.spectrum(device, frequencies)
    assert difference(sweep_integral(frequencies, found.density.real), spu.predict(device).covariance) < 1e-6
    assert found.density == near(np.conj(np.swapaxes(found.density, 1, 2)), rel=1e-13)
    assert found.variables == device.readout.variables


def test_spectrum_by_modes_and_in_general():
    """The nominal SPU's modes give the same cross-spectra and autocovariances as its transfer functions."""
    device = Device(temperature=300.0)
    for name in "abc":
        device.add_cell(name, capacitance=1e-9, conductance=1e-4, inductance=1e-5, noise=4e-20)
    device.add_coupler("a", "b", capacitance=2e-10)
    device.add_coupler("b", "c", capacitance=5e-10)
    law = law_of(device)
    assert law.modes is not None
    found = spu.spectrum(device)
    expected = law.spectrum(found.frequencies)
    assert max(difference(a, b) for a, b in zip(found.density, expected, strict=True)) < 1e-9
    lags = np.array([-3e-6, 0.0, 1e-6])
    assert difference(found.autocovariance(lags), law.autocovariance(lags)) < 1e-9
    some = spu.spectrum(device, found.frequencies[:5], variables=["c", "a"])
    assert some.density == near(found.density[:5][:, [2, 0]][:, :, [2, 0]], rel=1e-12)


def test_coherence_of_one_source_is_one():
    """Where one source drives all, what two cells do is one thing; independent cells have nothing in common."""
    device = Device(temperature=0)
    device.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_cell("b", capacitance=3e-9, conductance=1e-3)
    device.add_cell("lone", capacitance=3e-9, conductance=1e-3, noise=1e-20)
    device.add_coupler("a", "b", conductance=1e-3)
    coherence = spu.spectrum(lower(device)).coherence
    assert coherence[:, 0, 1] == near(np.ones(len(coherence)), rel=1e-12)
    assert not coherence[:, 0, 2].any()


def test_spectrum_of_an_ensemble_is_the_average():
    precision = np.diag([2.3, 1.8, 1.3]) - 0.3 * np.ones((3, 3))
    problem = spu.GaussianSampling(precision=precision)
    device = spu.compile_problem(problem, hardware="spu8-4bit", ensemble=2).device
    members = device.members()
    assert len(members) == 2
    frequencies = np.array([1e4, 1e6])
    each = [spu.spectrum(member, frequencies).density for member in members]
    assert difference(each[0], each[1]) > 1e-6
    assert difference(spu.spectrum(device, frequencies).density, (each[0] + each[1]) / 2) < 1e-12


@pytest.mark.parametrize("frequencies", [[-1.0], [np.nan], [np.inf]])
def test_bad_frequencies(frequencies):
    with pytest.raises(InputError, match="hertz"):
        spu.spectrum(rc_pair(), frequencies)


def test_unknown_variable():
    with pytest.raises(InputError, match="no variable 'z'"):
        spu.spectrum(rc_pair(), variables=["z"])


# Welch


def sampled(steps: int, count: int, seed: int, interval: float = 4e-7) -> tuple[np.ndarray, Welch, np.ndarray]:
    """Exact paths of an RLC pair (steps, count, p), an empty estimate for them, and the autocovariance of samples."""
    law = law_of(rlc_pair())
    welch = Welch.for_law(interval, float(law.time_constants[0]), steps)
    dense = law.dense
    R = correlations(exact_step(dense, interval).transition, dense.H, law.covariance @ dense.H.T, welch.length)
    return paths(law, steps=steps, interval=interval, seed=seed, count=count), welch, R


def test_welch_is_scipys():
    """The segments, the window and the scale of `scipy.signal.csd`, and its order of factors."""
    drawn, welch, _ = sampled(2048, 1, 5)
    path = drawn[:, 0]
    welch.add(path)
    estimate = welch.estimate()
    settings = {"fs": 1 / welch.interval, "nperseg": welch.length, "detrend": False, "window": "hann"}
    for i in range(2):
        for j in range(2):
            frequencies, expected = csd(path[:, j], path[:, i], **settings)
            assert estimate.frequencies == near(frequencies[1:-1], rel=1e-12)
            assert estimate.density[:, i, j] == near(expected[1:-1], rel=1e-9)


def test_welch_band_covers_what_is_expected_at_its_rate():
    """The 95 % band of 96 paths at every fourth frequency (neighbours share a window): 5 % of them miss it.

    Binomial with a false-alarm rate of 1e-8; a freedom off by a third moves the share of misses from 5 to 2.6 or 9.8 %
    and is seen.
    """
    drawn, empty, R = sampled(4096, 96, 11)
    expected = empty.expected(R)
    missed = trials = 0
    for k in range(drawn.shape[1]):
        welch = Welch(empty.interval, empty.length)
        welch.add(drawn[:, k])
        estimate = welch.estimate()
        low, high = estimate.band(0.95)
        for cell in range(2):
            ratio = (expected[:, cell, cell].real / estimate.density[:, cell, cell].real)[::4]
            if cell == 0:  # the cells are coupled: one of them is a fair trial
                missed += int(((ratio < low) | (ratio > high)).sum())
                trials += len(ratio)
    assert trials > 1500
    assert binom.cdf(missed, trials, 0.05) > FALSE_ALARM / 2
    assert binom.sf(missed - 1, trials, 0.05) > FALSE_ALARM / 2
    for wrong in (0.026, 0.098):
        assert min(binom.cdf(0.05 * trials, trials, wrong), binom.sf(0.05 * trials, trials, wrong)) < 1e-5


def test_expected_estimate_is_the_mean_of_estimates():
    """Leakage, smoothing and aliasing included: the mean over 96 paths, whose scatter is known, at every frequency.

    Chi-squared with 96 times the freedom: no frequency is off by more than its quantile at 1e-8 over their number.
    """
    drawn, welch, R = sampled(4096, 96, 12)
    for k in range(drawn.shape[1]):
        welch.add(drawn[:, k])
    estimate, expected = welch.estimate(), welch.expected(R)
    low, high = estimate.band(1.0 - FALSE_ALARM / len(expected))
    ratio = expected[:, 0, 0].real / estimate.density[:, 0, 0].real
    assert ((ratio > low) & (ratio < high)).all()
    assert high - low < 0.45
    # The exact spectrum itself would not do: a peak is smoothed, and what lies above the Nyquist frequency folds back.
    exact = law_of(rlc_pair()).spectrum(estimate.frequencies)[:, 0, 0].real
    ratio = exact / estimate.density[:, 0, 0].real
    assert not ((ratio > low) & (ratio < high)).all()


def test_expected_cross_spectrum_of_an_asymmetric_law():
    """A non-reciprocal device: the autocovariance is no symmetric matrix, the cross-spectrum not real."""
    device = random_device(np.random.default_rng(5), 3, temperature=300.0, transconductors=True)
    law = law_of(device)
    interval = float(law.time_constants.min()) / 4
    welch = Welch(interval, 512)
    dense = law.dense
    R = correlations(exact_step(dense, interval).transition, dense.H, law.covariance @ dense.H.T, 512)
    exact = law.spectrum(welch.frequencies[2:12])
    found = welch.expected(R)[2:12]
    assert difference(found, exact) < 0.1
    assert difference(np.conj(found), exact) > 1.2 * difference(found, exact)


def test_nothing_to_estimate_from():
    welch = Welch(1.0, 64)
    welch.add(np.zeros((63, 1)))
    with pytest.raises(InputError, match="64 samples"):
        welch.estimate()


# What is shown of many


def test_telling_cells():
    covariance = np.eye(9)
    covariance[2, 5] = covariance[5, 2] = 0.9
    covariance[1, 7] = covariance[7, 1] = -0.8
    covariance[3, 3] = 4.0
    assert telling(covariance) == ([1, 2, 5, 7], [(2, 5), (1, 7)])
    assert telling(covariance, 5)[0] == [1, 2, 3, 5, 7]
    assert telling(covariance[:1, :1]) == ([0], [])
    assert telling(covariance[:2, :2]) == ([0, 1], [(0, 1)])


def test_autocovariances_scatter_as_stated():
    """Sampled autocovariances of a run against the exact ones, in standard errors.

    40 lags of a pair, 3 curves: Gaussian to good accuracy with some thousand effective samples; 6.5 standard errors
    are a false alarm of 1e-8. Errors that were half the truth would show as a spread of 2.
    """
    device = rlc_pair()
    law = law_of(device)
    interval = float(law.time_constants[0]) / 10
    run = spu.simulate(device, samples=200_000, interval=interval, lags=40, seed=3)
    assert run.autocovariance is not None
    found = compare_autocovariances([law], run.autocovariance, interval, run.samples)
    assert found.exact is not None
    assert found.error is not None
    at = np.searchsorted(found.fine, found.lags - 1e-12 * found.lags[-1])
    deviation = (found.sampled - found.exact[at]) / found.error
    assert np.abs(deviation).max() < 6.5
    assert 0.3 < deviation.std() < 2.0


# Pictures


@pytest.fixture(scope="module")
def corners() -> Spectra:
    """Everything a check can know of a pair of cells, without ngspice."""
    drawn, welch, R = sampled(4096, 1, 2)
    welch.add(drawn[:, 0])
    exact = exact_spectra(law_of(rlc_pair()))
    few = exact.frequencies[::4]
    density = exact.exact[::4]
    return replace(
        exact,
        sweep_frequencies=few,
        sweep=density,
        noise_frequencies=few,
        noise=np.einsum("kii->ki", density).real,
        transient=welch.estimate(),
        expected=welch.expected(R),
    )


MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def test_pictures_in_three_formats(corners, tmp_path):
    device = rlc_pair()
    run = spu.simulate(device, samples=2000, lags=10, seed=1)
    lags = compare_autocovariances([law_of(device)], run.autocovariance, run.interval, run.samples)
    covariances = {"emulator": spu.predict(device).covariance, "ngspice": run.covariance}
    figures = {
        "png": draw_check(run.variables, covariances, corners),
        "svg": draw_spectra(corners),
        "pdf": draw_autocovariances(lags),
    }
    for suffix, figure in figures.items():
        file = tmp_path / f"picture.{suffix}"
        save(figure, file)
        assert file.read_bytes().startswith(MAGIC[suffix])


def test_a_picture_of_spectra_says_what_is_what(corners):
    figure = draw_spectra(corners)
    legend = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    for word in ("emulator, exact", ".ac", ".noise", "Welch, 95 % band", "expected"):
        assert word in legend
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "cell a: noise density"
    assert "a with b" in titles[2]
    assert all(axes.get_xlabel() == "frequency, Hz" for axes in figure.axes[:3])


@pytest.mark.parametrize(
    ("verb", "options", "suffix"),
    [("predict", [], "svg"), ("predict", ["--band", "1e4", "1e6"], "png"), ("simulate", ["--lags", "5"], "pdf")],
)
def test_plot_option(verb, options, suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rlc_pair().write("device.json")
    given = [verb, "device.json", *options, "--json", "--plot"]
    result = CliRunner().invoke(cli, [*given, f"picture.{suffix}"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["plot"] == f"picture.{suffix}"
    assert (tmp_path / f"picture.{suffix}").read_bytes().startswith(MAGIC[suffix])
    assert CliRunner().invoke(cli, [*given, "picture.gif"]).exit_code == 2
