"""Scattered cells with one inductor each, pair by pair of modes: against exact arithmetic and the general solution."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from exact_laws import ExactLaw
from helpers import T, commuting_modes, difference, kronecker, near

from spu.base.errors import CircuitError, InternalError
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.linear import StochasticODE, stochastic_ode
from spu.emulator.laws import oscillators as module
from spu.emulator.laws import stationary as stationary_module
from spu.emulator.laws.modes import well_heard
from spu.emulator.laws.oscillators import Oscillators, oscillators
from spu.emulator.laws.precise import MOST
from spu.emulator.laws.sensitivity import Lyapunov
from spu.emulator.laws.stationary import EXTENDED, SchurForm, lyapunov, stationary


def scattered(
    n: int,
    *,
    quality: float = 10.0,
    spread: float = 0.3,
    coupling: float = 1.0,
    seed: int = 0,
    temperature: float = T,
    reach: int = 2,
    leaks: bool = True,
    noise: float = 4e-20,
) -> Device:
    """A ring of cells of which no two values are alike; couplers are capacitors, every third leaks."""
    draw = np.random.default_rng([seed, n])

    def value(nominal: float) -> float:
        return float(nominal * np.exp(draw.uniform(-spread, spread)))

    device = Device(temperature=temperature)
    for k in range(n):
        own = {"capacitance": value(1e-9), "inductance": value(1e-5), "conductance": value(1e-2 / quality)}
        device.add_cell(f"c{k}", **own, noise=value(noise))
    for k in range(n):
        for hop in range(1, reach + 1):
            if 2 * hop < n:
                leak = {"conductance": value(1e-3 / quality)} if leaks and k % 3 == 0 else {}
                device.add_coupler(f"c{k}", f"c{(k + hop) % n}", capacitance=value(1e-9 * coupling), **leak)
    return device


def ode(device: Device) -> StochasticODE:
    return stochastic_ode(lower(device))


def solved(sde: StochasticODE) -> Oscillators:
    nodal = well_heard(sde)
    assert nodal is not None
    found = oscillators(nodal)
    assert found is not None
    return found


def refined(sde: StochasticODE) -> np.ndarray:
    """By a Schur form, refined with residuals in extended precision."""
    A, B = sde.dense.A, sde.dense.B
    form, Q = SchurForm.of(A), B @ B.T
    P = form.solve(Q)
    for _ in range(3):
        half = A.astype(np.longdouble) @ P.astype(np.longdouble)
        P = P + form.solve(np.asarray(half + half.T + Q, dtype=np.float64))
    return P


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, each on the scale of its own states."""
    spread = np.sqrt(expected.diagonal())
    return float((np.abs(found - expected) / np.outer(spread, spread)).max())


@pytest.mark.parametrize("quality", [0.6, 3.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_against_linear_equations(n, quality):
    sde = ode(scattered(n, quality=quality))
    found = solved(sde)
    A, B = sde.dense.A, sde.dense.B
    P = kronecker(A, B @ B.T)
    assert apart(found.covariance(sde), P) < 1e-14 * max(1e2, 10.0 * quality)  # what these equations lose
    voltages = sde.dense.H @ P @ sde.dense.H.T
    assert difference(found.seen(), voltages) < 1e-14 * max(1e2, 10.0 * quality)


@pytest.mark.parametrize("quality", [1.0, 1e2, 1e5])
def test_against_exact_arithmetic(quality):
    device = scattered(4, quality=quality, spread=0.5)
    found, exact = solved(ode(device)), ExactLaw(device)
    assert difference(found.seen(), exact.voltages) < 1e-13


@pytest.mark.parametrize("coupling", [0.01, 0.3, 3.0])
@pytest.mark.parametrize(
    ("quality", "spread"), [(0.6, 0.6), (2.0, 0.1), (10.0, 0.3), (1e3, 0.1), (1e4, 0.6), (1e6, 0.3)]
)
def test_against_a_refined_schur_form(quality, spread, coupling):
    """Sharp resonances cost no digits, and the bound on the error is one."""
    sde = ode(scattered(23, quality=quality, spread=spread, coupling=coupling))
    found, P = solved(sde), refined(sde)
    assert apart(found.covariance(sde), P) < 2e-12
    assert difference(found.seen(), sde.dense.H @ P @ sde.dense.H.T) < 1e-12
    to_state = sde.dense.to_state
    assert difference(found.state_variance, ((to_state @ P) * to_state).sum(axis=1)) < 1e-12
    back = found.shapes.T @ found.nodal.C.toarray()
    modal = back @ (to_state @ P @ to_state.T)[:23, :23] @ back.T
    assert np.linalg.norm(found.modal - modal) < found.error < 1e-5 * np.linalg.norm(modal)


def test_products_with_the_covariance():
    sde = ode(scattered(9))
    found = solved(sde)
    to_state = sde.dense.to_state
    x = np.random.default_rng(3).standard_normal((18, 2)) / np.abs(to_state).max(axis=1)[:, None]
    assert difference(found.multiply(x), to_state @ refined(sde) @ to_state.T @ x) < 1e-13


@pytest.mark.parametrize("reach", [2, 74])
def test_a_large_law(reach):
    """150 cells on a ring, and all to all: this way is taken, with what `lyapunov` finds."""
    sde = ode(scattered(150, reach=reach, leaks=False, coupling=1.0 / reach))
    assert sde.E.shape[0] > EXTENDED and commuting_modes(sde) is None
    law = stationary(sde)
    assert law.cells is not None and law.modes is None and law.solved is None
    P = lyapunov(sde.dense.A, sde.dense.B @ sde.dense.B.T)
    assert difference(law.covariance, P) < 1e-13
    assert np.array_equal(law.covariance, law.covariance.T)
    assert difference(law.voltage_covariance, sde.dense.H @ P @ sde.dense.H.T) < 1e-13
    assert np.array_equal(law.voltage_covariance, law.voltage_covariance.T)
    assert np.array_equal(law.readout_moments[1], law.voltage_covariance) and not law.voltage_mean.any()
    to_state = sde.dense.to_state
    assert difference(law.state_variance, ((to_state @ P) * to_state).sum(axis=1)) < 1e-13


@pytest.mark.parametrize(("cells", "taken"), [(MOST // 2, False), (MOST // 2 + 1, True), (EXTENDED // 2, True)])
def test_a_law_of_middling_size(cells, taken):
    """Beyond the sizes that decimal arithmetic looks after, this way is as exact as a refined one."""
    sde = ode(scattered(cells, quality=1e3))
    law = stationary(sde)
    assert (law.cells is not None) == taken
    assert apart(law.covariance, refined(sde)) < 1e-12
    solver = Lyapunov.of(law)
    assert solver is not None and np.array_equal(solver.covariance, law.covariance)


def test_equipartition():
    """Thermal noise only: every coordinate holds kT, whatever the values."""
    device = scattered(140, noise=0.0)
    law = stationary(ode(device))
    assert law.cells is not None
    assert apart(law.covariance, 1.380649e-23 * T * np.eye(280)) < 1e-13


def test_differences_of_cells_that_move_together():
    """A pair tied by a capacitance a thousand times its own is read as a difference, before rounding."""
    device = scattered(140, coupling=0.1)
    device.add_coupler("c3", "c70", capacitance=1e-6)
    rows = np.zeros((1, 140))
    rows[0, [3, 70]] = 1.0, -1.0
    device.set_readout(rows, variables=["x"])
    sde = ode(device)
    found = solved(sde)
    expected = rows @ (sde.dense.H @ refined(sde) @ sde.dense.H.T) @ rows.T
    assert found.seen().shape == (140, 140)
    assert float(found.seen(sp.csr_array(rows))[0, 0]) == near(float(expected[0, 0]), 1e-12)


# What goes another way


def without(device: Device, **changes: float) -> Device:
    made = Device(temperature=device.temperature)
    for k, cell in enumerate(device.cells):
        made.add_cell(cell.name, **{**cell.values, **({} if k else changes)})
    for coupler in device.couplers:
        made.add_coupler(coupler.a, coupler.b, **coupler.values)
    return made


def transconducting(device: Device) -> Device:
    device.add_coupler("c0", "c7", transconductance=(2e-4, 0.0))
    return device


def in_series(device: Device) -> Device:
    device.add_coupler("c0", "c5", inductance=1e-5)
    return device


@pytest.mark.parametrize(
    "change",
    [
        transconducting,
        in_series,
        lambda device: without(device, inductance=1e-1),  # a frequency far below the others
        lambda device: without(device, conductance=10.0),  # overdamped far beyond the others: loss couples the modes
    ],
    ids=["transconductor", "inductor", "slow", "lossy"],
)
def test_other_networks_go_the_general_way(change):
    sde = ode(change(scattered(140)))
    law = stationary(sde)
    assert law.cells is None and law.closed is None
    assert apart(law.covariance, lyapunov(sde.dense.A, sde.dense.B @ sde.dense.B.T)) < 1e-7


def test_a_quiet_cell_goes_the_general_way():
    """Its variance is less than the bound on the error: the rounding of loud cells."""
    device = without(scattered(140, coupling=1e-6, temperature=0.0, leaks=False), noise=1e-34)
    sde = ode(device)
    nodal = well_heard(sde)
    assert nodal is not None
    found = oscillators(nodal)
    assert found is not None and not found.knows(None, 1e-6) and found.knows(None, 1.0)
    assert not found.knows(sp.csr_array(np.eye(140)[1:]), 1e-6)  # though nobody reads it
    assert stationary(sde).cells is None


def test_an_iteration_that_does_not_get_there_is_no_law(monkeypatch):
    sde = ode(scattered(140))
    monkeypatch.setattr(module, "_ROUNDS", 1)
    nodal = well_heard(sde)
    assert nodal is not None and oscillators(nodal) is None
    law = stationary(sde)
    assert law.cells is None and difference(law.covariance, lyapunov(sde.dense.A, sde.dense.B @ sde.dense.B.T)) < 1e-11


def test_capacitances_without_energy_are_left_to_others():
    nodal = well_heard(ode(scattered(5)))
    assert nodal is not None and oscillators(nodal) is not None
    assert oscillators(replace(nodal, C=sp.csr_array(-nodal.C))) is None
    assert oscillators(replace(nodal, S=sp.csr_array(0.0 * nodal.S))) is None
    assert oscillators(replace(nodal, Gamma=None)) is None


@pytest.mark.parametrize("part", ["voltages", "crossed", "fluxes"])
def test_an_error_is_an_internal_error(monkeypatch, part):
    sde = ode(scattered(140))
    honest = stationary_module.oscillators

    def off(nodal):
        found = honest(nodal)
        wrong = getattr(found, part).copy()
        size = np.sqrt(np.outer(found.voltages.diagonal(), found.fluxes.diagonal()))
        size = {"voltages": found.voltages.max(), "crossed": size.max(), "fluxes": found.fluxes.max()}[part]
        wrong[3, 9] += 1e-5 * size
        wrong[9, 3] += (-1e-5 if part == "crossed" else 1e-5) * size
        return replace(found, **{part: wrong})

    monkeypatch.setattr(stationary_module, "oscillators", off)
    with pytest.raises(InternalError, match="by pairs of modes"):
        stationary(sde)


# Poles


def paired(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """What is expected, in the order in which it was found."""
    nearest = np.abs(found[:, None] - expected).argmin(axis=1)
    assert sorted(nearest) == list(range(len(expected)))
    return expected[nearest]


@pytest.mark.parametrize("quality", [5.0, 30.0, 1e3, 1e6])
def test_poles(quality):
    sde = ode(scattered(40, quality=quality, coupling=0.3))
    found = solved(sde).poles
    assert found is not None
    expected = paired(found, la.eigvals(sde.dense.A) / sde.dense.time)
    assert np.abs(found / expected - 1).max() < 1e-13
    assert np.abs(found.real / expected.real - 1).max() < 1e-13 * max(10.0, quality)  # what doubles know of these


def test_poles_of_strong_loss_are_those_of_the_drift():
    """With real ones among them."""
    sde = ode(scattered(140, quality=0.4, coupling=0.3))
    law = stationary(sde)
    assert law.cells is not None and law.cells.poles is None
    expected = np.sort(-1.0 / (la.eigvals(sde.dense.A) / sde.dense.time).real)[::-1]
    assert difference(law.time_constants, expected) < 1e-9


def test_time_constants_of_a_large_law():
    sde = ode(scattered(140))
    law = stationary(sde)
    expected = np.sort(-1.0 / (la.eigvals(sde.dense.A) / sde.dense.time).real)[::-1]
    assert law.time_constants.shape == (280,) and difference(law.time_constants, expected) < 1e-12
    assert law.slowest == near(float(expected[0]), 1e-10)


def test_an_error_of_poles_is_an_internal_error(monkeypatch):
    found = solved(ode(scattered(12)))
    honest = module.la.eigvals
    monkeypatch.setattr(module.la, "eigvals", lambda *given, **options: honest(*given, **options) * (1.0 + 1e-6j))
    with pytest.raises(InternalError, match="do not add up"):
        _ = found.poles


def test_a_lossless_cell_is_refused_by_name():
    device = scattered(140)
    device.add_cell("lone", capacitance=1e-9, inductance=1e-5)
    with pytest.raises(CircuitError, match="does not decay") as refused:
        stationary(ode(device))
    assert refused.value.nodes == ("lone",)


@pytest.mark.parametrize(("apart", "within"), [(1.0, 1e-13), (1e-3, 1e-11), (1e-9, 1e-13)])
def test_shares_of_modes_that_nearly_coincide(apart, within):
    """By a factorisation, or as least squares where it would lose the digits that count."""
    draw = np.random.default_rng(7)
    vectors = draw.standard_normal((20, 20)) + 1j * draw.standard_normal((20, 20))
    vectors[:, 3] = vectors[:, 4] + apart * vectors[:, 3]
    vectors /= np.linalg.norm(vectors, axis=0)
    given = draw.standard_normal((20, 5)).astype(np.complex128)
    expected = np.linalg.lstsq(vectors, given, rcond=None)[0]
    assert difference(stationary_module._shares_of(vectors, given), expected) < within
