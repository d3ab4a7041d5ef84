"""Noise with a spectrum: closed forms of bandwidth and 1/f, voltages in series, ngspice, files, budgets, powers."""

import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import scipy.linalg as la
from helpers import KT, T, difference, law_of, near

import spu
from spu.base.errors import CircuitError, InputError
from spu.device.device import Device
from spu.device.hardware_file import load_hardware
from spu.device.lower import lower
from spu.device.noise_shaping import flicker_poles, flicker_ripple
from spu.emulator.dynamics import LinearDynamics, dynamics
from spu.emulator.laws.power import mean_power
from spu.spice.netlist import netlist
from spu.spice.reader import read_netlist

S, C, G, L = 4e-20, 1e-9, 1e-3, 1e-5
BANDWIDTH = 3e5
FLICKER = {"flicker_corner": 1e5, "flicker_low": 1e3, "flicker_high": 1e6}
NOISES = {
    "bandwidth": {"bandwidth": BANDWIDTH},
    "flicker": FLICKER,
    "both": FLICKER | {"bandwidth": BANDWIDTH},
}


def pair(noise=None, *, temperature=T, inductance=None, shared=True, series=False):
    """Two coupled cells; ``series`` for their noise as voltages of the same strength."""
    device = Device(temperature=temperature, detail=spu.Detail(noise=noise or {}))
    for name, c, s in (("a", C, S), ("b", 1.5 * C, 0.7 * S)):
        own = {"noise_voltage": s / G**2} if series else {"noise": s}
        more = {} if inductance is None else {"inductance": inductance}
        device.add_cell(name, capacitance=c, conductance=G, **own, **more)
    device.add_coupler("a", "b", capacitance=0.2 * C)
    if shared:
        device.add_noise("w", {"a": 1e-10, "b": -2e-10})
    return device


# Bandwidth


@pytest.mark.parametrize("inductance", [None, L])
def test_a_pole_in_front_of_the_noise(inductance):
    """``A P + P A^T + (M Q + Q M^T) / 2 = 0`` with ``M = (I - t A)^-1``: of white noise M is one."""
    device = pair({"bandwidth": BANDWIDTH}, temperature=0.0, inductance=inductance)
    sde = law_of(pair(temperature=0.0, inductance=inductance)).sde
    E = sde.E.toarray()
    A, B = (np.linalg.solve(E, each.toarray()) for each in (sde.F, sde.K))
    Q = B @ B.T
    M = np.linalg.inv(np.eye(len(A)) - A / (2 * math.pi * BANDWIDTH))
    P = la.solve_continuous_lyapunov(A, -(M @ Q + Q @ M.T) / 2.0)
    expected = sde.H.toarray() @ P @ sde.H.toarray().T
    assert difference(law_of(device).voltage_covariance, expected) < 1e-11


def test_a_cell_of_one_pole():
    """``S / (4 g C) / (1 + t g / C)``; the thermal noise of the resistor stays white."""
    device = Device(temperature=T, detail=spu.Detail(noise={"bandwidth": BANDWIDTH}))
    device.add_cell("a", capacitance=C, conductance=G, noise=S)
    slow = 1 + G / C / (2 * math.pi * BANDWIDTH)
    assert law_of(device).voltage_covariance[0, 0] == near(S / (4 * G * C) / slow + KT / C, 1e-12)


def test_shared_noise_has_the_bandwidth_too():
    """Of one source alone, as correlated as without."""
    device = Device(temperature=0.0, detail=spu.Detail(noise={"bandwidth": BANDWIDTH}))
    for name in "ab":
        device.add_cell(name, capacitance=C, conductance=G)
    device.add_noise("w", {"a": 2e-10, "b": -1e-10})
    white = law_of(device.at_detail(spu.Detail())).voltage_covariance
    slow = 1 + G / C / (2 * math.pi * BANDWIDTH)
    assert difference(law_of(device).voltage_covariance, white / slow) < 1e-12


# 1/f


@pytest.mark.parametrize(("poles", "worst"), [(1, 0.06), (2, 0.01), (3, 0.01)])
def test_the_density_is_one_over_f_within_the_stated_ripple(poles, worst):
    """Measured at the cell itself: the whole current density over that of the same cell with white noise."""
    detail = spu.Detail(noise=FLICKER | {"flicker_poles": poles})
    device = Device(temperature=0.0, detail=detail)
    device.add_cell("a", capacitance=C, conductance=G, noise=S)
    f = np.geomspace(1e3, 1e6, 50 * (len(flicker_poles(detail)[0])) + 1)

    def density(of):
        return (np.abs(law_of(of).transfer(f)[:, 0, :]) ** 2).sum(axis=1)

    white = density(device.at_detail(spu.Detail()))
    ripple = (density(device) / white - 1.0) * f / 1e5 - 1.0
    stated = flicker_ripple(detail)
    assert (ripple.min(), ripple.max()) == (near(stated[0], 1e-9), near(stated[1], 1e-7))
    assert max(map(abs, stated)) < worst


def test_the_band_is_cut_into_whole_steps():
    """Poles stand at both of its ends, however many decades it has; of two a decade, a decade beyond."""
    detail = spu.Detail(noise={"flicker_corner": 1.0, "flicker_low": 10.0, "flicker_high": 5e3, "flicker_poles": 2})
    frequencies, _ = flicker_poles(detail)
    steps = np.diff(np.log(frequencies))
    assert steps == pytest.approx(steps[0])
    assert 1 / steps[0] >= 2 / math.log(10)
    assert frequencies[[2, -3]].tolist() == [near(10.0, 1e-12), near(5e3, 1e-12)]


# Voltages in series


@pytest.mark.parametrize("noise", [{}, *NOISES.values()])
def test_a_voltage_in_series_is_the_same_current(noise):
    """Norton's theorem, for any spectrum; only what the resistor does to it differs when that is another one."""
    assert difference(*(law_of(pair(noise, series=each)).voltage_covariance for each in (True, False))) < 1e-12
    found = {}
    for series in (True, False):
        device = pair(noise, series=series, temperature=0.0, shared=False)
        elements = spu.elements_of(device)
        factors = np.ones(len(elements))
        factors[[elements.number(f"conductance of {name}") for name in "ab"]] = 1.1
        found[series] = law_of(spu.varied(device, factors)).voltage_covariance
    assert difference(found[True], 1.21 * found[False]) < 1e-12


def test_hardware_says_whether_noise_is_a_voltage():
    """The compiler puts voltages of the same strength, which give the same answer."""
    hardware = load_hardware("spu8-board")
    matrix = [[2.0, -0.5], [-0.5, 1.0]]
    current, voltage = (
        spu.compile(matrix, replace(hardware, detail=spu.Detail(noise={"source": source})))
        for source in ("current", "voltage")
    )
    assert not current.detail
    assert not voltage.detail
    assert voltage.cells[0].values["noise_voltage"] == near(current.cells[0].values["noise"] / 1e-6, 1e-12)
    assert "noise" not in voltage.cells[0].values
    assert difference(spu.predict(voltage).covariance, spu.predict(current).covariance) < 1e-12
    with pytest.raises(InputError, match=r"noise\.source is what a compiler builds"):
        law_of(pair({"source": "voltage"}))
    bare = Device()
    bare.add_cell("a", capacitance=C, noise_voltage=1e-14)
    with pytest.raises(InputError, match="cell a has a noise voltage and no conductance"):
        lower(bare)


# Words


@pytest.mark.parametrize(
    ("noise", "says"),
    [
        ({"flicker_corner": 1e5}, "flicker_corner needs flicker_low and flicker_high"),
        (FLICKER | {"flicker_high": 1e3}, "flicker_high is 1000 Hz: it must be above flicker_low, 1000 Hz"),
        ({"flicker_low": 1e3}, "flicker_low means nothing without flicker_corner"),
        (FLICKER | {"flicker_poles": 50}, "takes 251 states a cell, 100 at most"),
        ({"source": "volt"}, "noise.source is 'volt': did you mean 'voltage'"),
    ],
)
def test_noise_without_meaning_is_refused(noise, says):
    with pytest.raises(InputError, match=says):
        law_of(pair(noise))


def test_noise_of_nonlinear_cells_is_white():
    device = Device(detail=spu.Detail(noise={"bandwidth": 1e6}))
    device.add_cell("a", capacitance=C, polynomial_conductance=(1e-3, 0.0, 1.0), noise=S)
    with pytest.raises(InputError, match="noise of nonlinear cells is white"):
        lower(device)


# ngspice


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("name", NOISES)
@pytest.mark.sampled(2)
def test_ngspice_agrees(name, series):
    levels = ["ac", "replay"] if series else ["op", "ac", "replay"]  # at DC inductors short the cells
    found = spu.check(pair(NOISES[name], inductance=L if series else None, series=series), levels=levels)
    assert found.verdict == "pass", found.levels
    assert all(level.verdict == "pass" for level in found.levels.values())


def test_ngspice_agrees_with_its_own_noise():
    found = spu.check(pair(NOISES["bandwidth"]), levels=["noise"])
    assert found.levels["noise"].verdict == "pass", found.levels


def test_a_clocked_source_has_a_spectrum_too():
    """What a converter holds passes the pole: both are there, in both."""
    device = pair(NOISES["bandwidth"] | {"clock": 5e6}, shared=False)
    found = spu.check(device, levels=["ac", "replay"])
    assert found.verdict == "pass", found.levels
    slow, held = (
        law_of(pair(noise, shared=False)).voltage_covariance for noise in (NOISES["bandwidth"], {"clock": 5e6})
    )
    both = spu.predict(device).covariance
    assert difference(both, slow) < 0.01 < difference(held, slow)


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.sampled(2)
def test_a_ramp_of_noise_with_a_spectrum(series):
    device = pair(NOISES["both"] if series else NOISES["bandwidth"], shared=not series, series=series)
    device.ramp = spu.Ramp([0.0, 2e-5], noise=[0.5, 1.0])
    found = spu.check(device, levels=["ac", "replay"])
    assert found.verdict == "pass", found.levels


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bwn=300000.0", "bwn=310000.0"),
        ("fcn=100000.0", "fcn=105000.0"),
        ("  gonf 0 a nf 0 {gsn}", "  gonf 0 a nf 0 {1.02*gsn}"),
        ("  gonp2 0 nf np2 0 {gsn}", "  gonp2 0 nf np1 0 {gsn}"),
        ("cnp0={gsn/6283", "cnp0={gsn/9283"),
        ("  rnf nf 0 {rsn} noisy=0", "  rnf nf 0 {1.01*rsn} noisy=0"),
        ("anp3={an*", "anp3={1.5*an*"),
    ],
)
def test_a_wrong_element_of_the_noise_fails(tmp_path, old, new):
    device = pair(NOISES["both"])
    device.write(tmp_path / "device.json")
    text = netlist(device)
    assert old in text
    (tmp_path / "device.cir").write_text(text.replace(old, new))
    assert spu.check(tmp_path, levels=["ac"]).verdict == "fail"


@pytest.mark.parametrize("series", [False, True])
def test_its_netlist_is_read_back(tmp_path, series):
    device = pair(NOISES["both"], series=series)
    (tmp_path / "device.cir").write_text(netlist(device))
    read = read_netlist(tmp_path / "device.cir")
    found = cast(LinearDynamics, dynamics(read.circuit)).law
    assert difference(found.voltage_covariance, law_of(device).voltage_covariance) < 1e-11


# Budgets, boards, powers


def test_budgets_name_it():
    lines = {line.effect: line for line in spu.error_budget(pair(NOISES["both"])).lines}
    assert set(lines) == {"noise.bandwidth", "noise.flicker_corner"}
    ideal, slow = (law_of(pair(noise)).voltage_covariance for noise in ({}, NOISES["bandwidth"]))
    assert lines["noise.bandwidth"].norm == near(np.linalg.norm(slow - ideal) / np.linalg.norm(ideal), 1e-9)


def test_amplitudes_of_shared_noise_scatter():
    device = pair()
    device.tolerance = spu.Tolerance(shared={"amplitude": 0.1})
    elements = spu.elements_of(device)
    assert [name for name in elements.names if name.startswith("amplitude")] == [
        "amplitude of w into a",
        "amplitude of w into b",
    ]
    factors = spu.draw_factors(elements, device.tolerance, 2, seed=3)
    board = spu.varied(device, factors[1])
    at = elements.number("amplitude of w into a")
    assert factors[1, at] != 1.0
    assert board.noises[0].amplitudes["a"] == near(1e-10 * factors[1, at], 1e-15)
    assert Device.from_dict(device.to_dict()).tolerance == device.tolerance
    with pytest.raises(InputError, match=r"tolerance\.shared has no quantity 'ampliture'; did you mean 'amplitude'"):
        spu.Tolerance(shared={"ampliture": 0.1})


@pytest.mark.parametrize("name", NOISES)
def test_the_model_of_a_source_takes_no_power(name):
    """What the resistors of cells take up is what the noise delivers; the poles take up nothing."""
    device = pair(NOISES[name], temperature=0.0)
    power = mean_power(law_of(device))
    variances = law_of(device).voltage_covariance.diagonal()
    assert power.losses == near(G * variances.sum(), 1e-9)
    assert power.noise == near(power.losses, 1e-9)
    assert power.active == 0.0


def test_power_of_a_voltage_in_series_needs_a_bandwidth():
    with pytest.raises(
        CircuitError, match="white noise voltage in series with a resistor gives it power without limit"
    ):
        mean_power(law_of(pair(series=True)))
    device = Device(temperature=0.0, detail=spu.Detail(noise={"bandwidth": BANDWIDTH}))
    device.add_cell("a", capacitance=C, conductance=G, noise_voltage=S / G**2)
    power = mean_power(law_of(device))
    # The resistor sees the voltage less the cell's: G (E[e^2] - 2 E[e v] + E[v^2]).
    t, tau = 1 / (2 * math.pi * BANDWIDTH), C / G
    e2, v2 = S / G**2 / (4 * t), S / (4 * G * C) / (1 + t / tau)
    assert power.losses == near(G * (e2 - 2 * e2 * t / (t + tau) + v2), 1e-9)
    assert power.noise == near(power.losses, 1e-9)
