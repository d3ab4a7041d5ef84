"""Laws of circuits whose rates, energies and couplings spread without bound, against 160 decimal digits.

Every one is right to what it claims, or refused with the cells by name; and no law leaves the program that does not
solve its own equation. Nothing here is random but for fixed seeds, and no warning is allowed.
"""

from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest
import scipy.sparse as sp
from exact_laws import CONTEXT, ExactLaw
from helpers import KT, Nodal, T, difference, law_of, near, random_device, rc_pair, rlc_pair
from stiff_devices import KINDS

import spu
from spu.base.errors import CircuitError, InternalError
from spu.base.sparse import known_congruence
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode, to_decimal
from spu.emulator.laws import coupled as coupled_module
from spu.emulator.laws import large, precise
from spu.emulator.laws import stationary as stationary_module
from spu.emulator.laws.accuracy import hold_covariance
from spu.emulator.laws.coupled import Coupled
from spu.emulator.laws.large import sparse_stationary
from spu.emulator.laws.modes import Modes
from spu.emulator.laws.precise import MOST
from spu.emulator.laws.stationary import CLAIMED, EXTENDED, Stationary, stationary
from spu.emulator.spectrum import spectrum

pytestmark = pytest.mark.filterwarnings("error")


def ode(device):
    return stochastic_ode(lower(device))


def worst(found: np.ndarray, expected: np.ndarray) -> float:
    """Worst relative error; of zero nothing else is right."""
    assert np.isfinite(found).all() and (found[expected == 0] == 0).all()
    return float(np.abs(found / np.where(expected != 0, expected, 1.0) - (expected != 0)).max())


def hold(device: Device) -> Stationary | None:
    """Hold a device's law against the exact one; None where it is refused, by name."""
    exact = ExactLaw(device)
    try:
        law = law_of(device)
    except CircuitError as refused:
        assert set(refused.nodes) & {cell.name for cell in device.cells}
        return None
    assert exact.stable
    # The circuit holds a resistance, rounded, where the device holds a conductance: what that moves is told.
    rounding = law.precise.error if law.precise else 0.0
    covariance = law.readout_moments[1]
    for found, expected in ((law.voltage_covariance, exact.voltages), (covariance, exact.variables)):
        variance = expected.diagonal()
        assert worst(found.diagonal(), variance) < max(CLAIMED, rounding)
        size = np.sqrt(np.outer(variance, variance))
        assert (np.abs(found - expected) <= max(1e-8, rounding) * size).all()
    spread = np.sqrt(exact.voltages.diagonal())
    assert (np.abs(law.voltage_mean - exact.mean) <= 1e-8 * (np.abs(exact.mean) + spread)).all()
    assert exact.off(law.poles) < 1e-6
    assert (law.time_constants > 0).all()
    return law


@pytest.mark.parametrize("kind", KINDS)
def test_laws_are_right_or_refused(kind):
    """Doubles alone had 10 % and more of the variance wrong in one of ten, and once a negative one."""
    refused = beyond = 0
    for seed in range(30):
        rng = np.random.default_rng([seed, 11])
        law = hold(KINDS[kind](rng, int(rng.integers(1, 5))))
        refused += law is None
        beyond += law is not None and law.precise is not None
    if kind != "loops":  # of which many are unstable, or stable by less than their elements' last digits
        assert beyond >= 3 and refused <= 2


def nested(decades: float, n: int = 10, temperature: float = T) -> Device:
    """A chain of RC cells, tied to each other ever more slowly, with a leak at the end that is slower still."""
    device = Device(temperature=temperature)
    rates = np.geomspace(1.0, 10.0**-decades, n + 1)
    for k in range(n):
        device.add_cell(f"c{k}", capacitance=1e-12 * (k + 1), **({"conductance": rates[n]} if k == 0 else {}))
        if k:
            device.add_coupler(f"c{k - 1}", f"c{k}", conductance=float(rates[k - 1]))
    return device


@pytest.mark.parametrize("decades", [6.0, 12.0, 20.0, 40.0])
def test_equipartition_whatever_the_spread(decades):
    """kT/C, exactly: passive circuits of one temperature know nothing of their resistances."""
    law = law_of(nested(decades))
    expected = np.diag(KT / (1e-12 * np.arange(1, 11)))
    assert np.abs(law.voltage_covariance - expected).max() < 1e-12 * expected.max()
    assert worst(law.voltage_covariance.diagonal(), expected.diagonal()) < CLAIMED
    # All of the charge leaks away at last, through the slowest of all.
    total = 1e-12 * np.arange(1, 11).sum()
    if decades >= 20:
        assert law.time_constants[0] == near(total * 10.0**decades, 0.05)


@pytest.mark.parametrize("quality", [1e-3, 1.0, 1e5, 1e9, 1e12])
def test_one_resonator_of_any_quality(quality):
    device = Device(temperature=T)
    C, L = 1e-18, 1e-3
    g = float(np.sqrt(C / L) / quality)
    device.add_cell("a", capacitance=C, inductance=L, conductance=g)
    law = law_of(device)
    assert law.voltage_covariance[0, 0] == near(KT / C, CLAIMED)
    alpha, w = Decimal(g) / (2 * Decimal(C)), 1 / (Decimal(L) * Decimal(C)).sqrt()
    slow = alpha if alpha < w else w * w / (alpha + (alpha * alpha - w * w).sqrt())
    assert law.time_constants[0] == near(float(1 / slow), 1e-9)


@pytest.mark.parametrize("C", [(1e-18, 1.0), (1.0, 1e-18)])
def test_two_temperatures(C):
    """Two capacitors and two resistors, one of them noiseless: a closed form, with rates apart by 1e18.

    ``C1 v1' = -g1 v1 + g (v2 - v1) + noise of g1``, ``C2 v2' = g (v1 - v2)``: from the three second moments.
    """
    g1, g, density = 1e-3, 1e-3, 4e-20
    device = Device(temperature=0.0)
    device.add_cell("a", capacitance=C[0], conductance=g1, noise=density)
    device.add_cell("b", capacitance=C[1])
    device.add_coupler("a", "b", conductance=g)
    C1, C2 = map(Decimal, C)
    # p22 = p12; 0 = -(g1 + g)/C1 p12 + g/C1 p22 + g/C2 (p11 - p12); 0 = -2 (g1 + g) p11/C1 + 2 g p12/C1 + S/(2 C1^2)
    ratio = 1 + Decimal(g1) * C2 / (C1 * Decimal(g))  # p11 / p12
    p12 = Decimal(density) / (4 * C1) / ((Decimal(g1) + Decimal(g)) * ratio - Decimal(g))
    expected = np.array([[ratio * p12, p12], [p12, p12]]).astype(float)
    assert np.abs(law_of(device).voltage_covariance / expected - 1).max() < CLAIMED


def test_a_leak_beside_a_switch_is_not_lost():
    """On the diagonal 1e3 S hide 1e-14 S; what is read is the difference of two cells that a switch ties together."""
    device = Device(temperature=T)
    device.add_cell("a", capacitance=1e-12, conductance=1e-14, noise=1e-30, bias=1e-15)
    device.add_cell("b", capacitance=3e-12)
    device.add_coupler("a", "b", conductance=1e3)
    device.set_readout(np.array([[1.0, -1.0]]), variables=["d"])
    law = hold(device)
    assert law is not None and law.precise is not None
    assert law.voltage_mean == near(np.full(2, 0.1), 1e-12)


def test_a_silent_cell_has_no_variance():
    """Neither 1e-38 V^2 nor -1e-38 V^2: nothing."""
    device = Device(temperature=0.0)
    for name in "ab":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    for name in "cd":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3)
    device.add_coupler("a", "b", conductance=3e-4)
    device.add_coupler("c", "d", conductance=1e-4, transconductance=(1e-4, -2e-4))
    device.add_cell("e", capacitance=1e-9, conductance=1e-3)
    device.add_coupler("e", "a", transconductance=(0.0, 1e-4))  # hears nothing itself, and drives
    variance = law_of(device).voltage_covariance.diagonal()
    assert (variance[2:] == 0).all() and (variance[:2] > 0).all()


def test_readouts_of_difference_keep_their_digits():
    """Var(a - b) is 1e-15 of the variances of a and b."""
    device = Device(temperature=T)
    device.add_cell("a", capacitance=1e-12, conductance=1e-12, noise=1e-20)
    device.add_cell("b", capacitance=1e-12, conductance=1e-12)
    device.add_coupler("a", "b", conductance=1e2)
    device.set_readout(np.array([[1.0, -1.0], [1.0, 1.0]]), variables=["d", "s"])
    exact = ExactLaw(device)
    assert exact.variables[0, 0] < 1e-8 * exact.voltages[0, 0]
    found = spu.predict(device)
    assert worst(found.covariance.diagonal(), exact.variables.diagonal()) < CLAIMED


@pytest.mark.parametrize("n", [MOST + 1, EXTENDED + 10])
def test_too_many_states_are_refused_with_the_spread_and_the_cells(n):
    device = Device(temperature=T)
    for k in range(n):
        device.add_cell(f"c{k}", capacitance=1e-12, conductance=1e-9 * (1 + 0.01 * k))
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", conductance=1e-10 * (1 + 0.02 * k))
    assert difference(law_of(device).voltage_covariance, KT / 1e-12 * np.eye(n)) < 1e-9
    device.add_cell("fast", capacitance=1e-12)
    device.add_cell("slow", capacitance=1e-3, conductance=1e-15)
    device.add_coupler("fast", "slow", conductance=1e3)
    with pytest.raises(CircuitError, match=r"rates spread from 1e\+15 1/s") as refused:
        law_of(device)
    assert {"fast", "slow"} & set(refused.value.nodes) and not any(name[0] == "c" for name in refused.value.nodes)


def test_parts_that_nothing_connects_have_their_own_scale():
    """Rates of 1e16 1/s and of 1e-6 1/s in one network of many cells, but not in one part of it."""
    device = Device(temperature=T)
    sizes = np.geomspace(1e-18, 1.0, 2 * (MOST // 2 + 1))
    for k, size in enumerate(sizes):
        device.add_cell(f"c{k}", capacitance=size, conductance=1e-3 * (1 + k % 3), noise=1e-20 * (k % 2))
    for k in range(0, len(sizes), 2):
        device.add_coupler(f"c{k}", f"c{k + 1}", conductance=2e-4)
    law = law_of(device)
    assert law.precise is None and law.poles.real.min() < -1e14 and law.poles.real.max() > -1e-2
    for k in range(0, len(sizes), 10):
        pair = Device(temperature=T)
        for name in (f"c{k}", f"c{k + 1}"):
            pair.add_cell(name, **next(cell.values for cell in device.cells if cell.name == name))
        pair.add_coupler(f"c{k}", f"c{k + 1}", conductance=2e-4)
        assert worst(law.voltage_covariance.diagonal()[k : k + 2], ExactLaw(pair).voltages.diagonal()) < CLAIMED


def test_what_doubles_do_not_resolve_is_predicted_but_not_run():
    device = nested(20.0, 3, temperature=0.0)
    device.add_cell("loud", capacitance=1e-12, conductance=1.0, noise=1e-18)
    device.add_coupler("c2", "loud", conductance=1e-12)
    law = hold(device)
    assert law is not None and law.unresolved is not None
    assert (spu.predict(device).covariance.diagonal() > 0).all()
    for use in (lambda: law.dense, lambda: spu.simulate(device, samples=100), lambda: spectrum(device)):
        with pytest.raises(CircuitError, match=r"rates spread from .* \(at c") as refused:
            use()
        assert {"c0", "c1"} <= set(refused.value.nodes)


def test_gain_within_rounding_of_instability_is_refused():
    """What a stable loop of gain 1 - 1e-13 has of variance depends on the last digits of its elements' values."""
    device = Device(temperature=0.0)
    for name in "pq":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_coupler("p", "q", transconductance=1e-3 * (1 - 1e-13))
    with pytest.raises(CircuitError, match=r"currents all but cancel at [pq]"):
        law_of(device)


# The arithmetic


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16])
def test_decimal_schur_form(n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-9, 9, (n, 1)) - np.diag(10.0 ** rng.uniform(-9, 9, n))
    with localcontext(CONTEXT) as context:
        context.prec = 60
        exact = to_decimal(A)
        T, U = precise.schur(exact)
        small = Decimal("1e-55") * abs(exact).max()
        assert (abs(U @ T @ U.T - exact) <= small).all() and (
            abs(U.T @ U - np.eye(n, dtype=int)) <= Decimal("1e-55")
        ).all()
        assert not any(T[np.tril_indices(n, -2)]) and not any(T[k + 1, k] and T[k + 2, k + 1] for k in range(n - 2))
        values = precise._eigenvalues(T)
        assert abs(values[0].sum() - exact.trace()) <= n * small
        Q = to_decimal(rng.standard_normal((n, n)))
        Q = Q + Q.T
        shifted = exact - np.eye(n, dtype=int) * (2 * n * abs(exact).max())
        P = precise.lyapunov(Q, *precise.schur(shifted))
        assert (abs(shifted @ P + P @ shifted.T + Q) <= Decimal("1e-50")).all()


def test_eigenvalues_of_a_jordan_block():
    with localcontext(CONTEXT) as context:
        context.prec = 60
        A = to_decimal(np.diag([-1.0] * 4) + np.diag([1.0] * 3, 1))
        A[3, 0] = Decimal("1e-40")
        values = precise._eigenvalues(precise.schur(A)[0])
        assert all(abs(abs(complex(float(a + 1), float(b))) - 1e-10) < 1e-18 for a, b in zip(*values, strict=True))


def test_more_digits_are_taken_where_the_first_do_not_do():
    """Rates 1e38 apart: 60 digits do not tell the slow one from nothing."""
    law = law_of(nested(38.0, 3))
    assert worst(law.voltage_covariance.diagonal(), KT / (1e-12 * np.arange(1, 4))) < CLAIMED


@pytest.mark.parametrize("amount", [1e-3, 1e-6])
def test_what_decimals_find_is_held_too(monkeypatch, amount):
    honest = precise.lyapunov
    calls = []

    def off(Q, T, U):
        P = honest(Q, T, U)
        if not calls:
            P[1, 1] *= Decimal(1 + amount)
        calls.append(0)
        return P

    monkeypatch.setattr(precise, "lyapunov", off)
    with pytest.raises(InternalError, match="stiff network"):
        precise.precise_law(ode(rc_pair()))


# Every law is held against its own equation


def large_device(n: int = 190) -> Device:
    """With inductors more than `EXTENDED` states; resistors of all sizes, so that no modes are known."""
    return random_device(np.random.default_rng(4), n, temperature=T)


def planted(P: np.ndarray, i: int, j: int, amount: float) -> np.ndarray:
    P = P.copy()
    P[i, j] += amount * np.sqrt(P[i, i] * P[j, j])
    P[j, i] = P[i, j]
    return P


@pytest.mark.parametrize("amount", [1e-1, 1e-4, 1e-6])
@pytest.mark.parametrize(("i", "j"), [(0, 0), (1, 1), (0, 1), (2, 2), (3, 3), (0, 3)])
def test_an_error_in_a_covariance_is_an_internal_error(monkeypatch, i, j, amount):
    honest = stationary_module._refined
    monkeypatch.setattr(
        stationary_module, "_refined", lambda *given: (planted((found := honest(*given))[0], i, j, amount), found[1])
    )
    with pytest.raises(InternalError, match=r"does not solve its Lyapunov equation: at [vi]") as error:
        law_of(rlc_pair(T))
    assert (error.value.kind, error.value.exit_status) == ("internal", 70)


@pytest.mark.parametrize("scale", [1e-18, 1.0])
def test_scales_hide_no_error(scale):
    """A quiet attofarad cell beside a loud farad: its own error counts, small as it is."""
    device = Device(temperature=T)
    device.add_cell("a", capacitance=1.0, conductance=1e-3, noise=1e-12)
    device.add_cell("b", capacitance=scale, conductance=1e-3 * scale)
    device.add_coupler("a", "b", conductance=1e-4 * scale)
    sde = ode(device)
    P = stationary(sde).covariance
    T_ = sde.dense.to_state
    P = T_ @ P @ T_.T
    hold_covariance(sde, lambda x: P @ x, P.diagonal(), what="")
    for i, j in ((0, 0), (0, 1), (1, 1)):
        wrong = planted(P, i, j, 1e-5)
        with pytest.raises(InternalError, match="residual"):
            hold_covariance(sde, lambda x, wrong=wrong: wrong @ x, wrong.diagonal(), what="")


def test_an_error_in_a_large_law_is_an_internal_error(monkeypatch):
    device = large_device()
    sde = ode(device)
    assert sde.E.shape[0] > EXTENDED
    honest = stationary_module._smith
    assert honest(sde.dense.A, sde.dense.B @ sde.dense.B.T) is not None
    monkeypatch.setattr(stationary_module, "_smith", lambda *given: planted(honest(*given), 7, 30, 1e-4))
    with pytest.raises(InternalError, match="in general"):
        stationary(sde)


def large_uniform(**couplers: float) -> Device:
    """Just more states than are solved in general."""
    device = Device(temperature=0.0)
    n = EXTENDED + 4
    for k in range(n):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    for k in range(n - 1):
        device.add_coupler(f"c{k}", f"c{k + 1}", **couplers)
    return device


def test_an_error_in_modes_is_an_internal_error(monkeypatch):
    """Those that a law starts from, and those that one in closed form finds later."""
    honest = Modes.variance.fget
    wrong = np.where(np.arange(EXTENDED + 4) == 17, 1.0 + 1e-4, 1.0)
    sde = ode(large_uniform(capacitance=1e-10))
    law = stationary(sde)
    assert isinstance(law.closed, Coupled) and replace(law).modes is not None
    with monkeypatch.context() as patch:
        patch.setattr(stationary_module, "coupled", lambda nodal: None)
        assert isinstance(stationary(sde).closed, Modes)
    monkeypatch.setattr(Modes, "variance", property(lambda modes: honest(modes) * wrong))
    with pytest.raises(InternalError, match="mode by mode"):
        _ = law.modes
    monkeypatch.setattr(stationary_module, "coupled", lambda nodal: None)
    with pytest.raises(InternalError, match="mode by mode"):
        stationary(sde)


@pytest.mark.parametrize("couplers", [{"capacitance": 1e-10}, {"conductance": 1e-4}])
@pytest.mark.parametrize("where", [(17, 17), (17, 18), (3, 200)])
def test_an_error_in_closed_form_is_an_internal_error(monkeypatch, couplers, where):
    sde = ode(large_uniform(**couplers))
    assert isinstance(stationary(sde).closed, Coupled)
    honest = coupled_module.inverse

    def wrong(factor: np.ndarray) -> np.ndarray:
        found = honest(factor)
        size = np.sqrt(np.outer(found.diagonal(), found.diagonal()))[where]
        found[where] += 1e-4 * size
        found[where[::-1]] = found[where]
        return found

    monkeypatch.setattr(coupled_module, "inverse", wrong)
    with pytest.raises(InternalError, match="in closed form"):
        stationary(sde)


@pytest.mark.parametrize("inductance", [{}, {"inductance": 1e-5}])
def test_an_error_in_a_sparse_law_is_an_internal_error(monkeypatch, inductance):
    device = Device(temperature=0.0)
    for k in range(20):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20, **inductance)
    for k in range(19):
        device.add_coupler(f"c{k}", f"c{k + 1}", capacitance=1e-10)
    law = sparse_stationary(ode(device))
    assert difference(law.voltage_covariance.diagonal(), Nodal(device).covariance().diagonal()) < 1e-12
    with pytest.raises(InternalError, match="by sparse factors"):
        _ = replace(law, inverse=law.inverse * (1 + 1e-6)).voltage_covariance
    honest = large.SparseCholesky.selected_inverse

    def off(factor):
        found = honest(factor)
        found.data[17] *= 1 + 1e-6
        return found

    monkeypatch.setattr(large.SparseCholesky, "selected_inverse", off)
    with pytest.raises(InternalError, match="that couples the cells"):
        _ = sparse_stationary(ode(device)).voltage_covariance


def test_a_spectrum_that_does_not_integrate_is_an_internal_error(monkeypatch):
    spectrum(rlc_pair(T))
    honest = Stationary.transfer
    monkeypatch.setattr(Stationary, "transfer", lambda law, frequencies: honest(law, frequencies) * np.sqrt(2.0))
    with pytest.raises(InternalError, match="integrates to"):
        spectrum(rlc_pair(T))


@pytest.mark.parametrize("quality", [1.0, 1e3, 1e6, 1e9])
def test_drawn_frequencies_show_every_resonance(quality):
    """Between them the trapezoid rule is good to some per cent, however sharp the peak."""
    device = Device(temperature=T)
    device.add_cell("a", capacitance=1e-9, inductance=1.2345e-5, conductance=float(np.sqrt(1e-9 / 1.2345e-5)) / quality)
    found = spectrum(device)
    density = found.density[:, 0, 0].real
    assert np.trapezoid(density, found.frequencies) == near(KT / 1e-9, 0.03)


def test_a_band_has_no_more_than_all(monkeypatch):
    law = law_of(rlc_pair(T))
    honest = stationary_module._log_shifted
    monkeypatch.setattr(stationary_module, "_log_shifted", lambda A, w: -honest(A, w))
    with pytest.raises(InternalError, match="V\\^2"):
        law.band_covariance(1e3, 1e6)


def test_the_header_is_that_of_its_own_circuit():
    device = rlc_pair(T)
    law = law_of(device)
    assert spu.netlist(device, law=law) == spu.netlist(device)
    with pytest.raises(InternalError, match="another circuit"):
        spu.netlist(rlc_pair(T, capacitance=6e-10), law=law)
    turned = rlc_pair(T)
    turned.set_readout(np.array([[1.0, 0.0], [0.0, -1.0]]), variables=["a", "b"])
    with pytest.raises(InternalError, match="another circuit"):
        spu.netlist(turned, law=law)


# Zero hertz


def test_zero_hertz():
    """Inductors short what is read: no density at 0 Hz, and no division by zero."""
    device = Device(temperature=0.0)
    for k in range(3):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    law = law_of(device)
    assert law.modes is not None
    assert (law.modes.spectrum([0.0]) == 0).all()
    assert (spectrum(device, [0.0, 1e3]).density[0] == 0).all()
    frequencies = np.array([1e-3, 1e4, 1e6])
    w = 2 * np.pi * frequencies
    impedance = 1 / np.abs(1e-3 + 1j * w * 1e-9 + 1 / (1j * w * 1e-5))
    assert law.modes.spectrum(frequencies)[:, 1] == near(4e-20 * impedance**2)
    plain = Device(temperature=0.0)
    plain.add_cell("a", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    assert law_of(plain).modes.spectrum([0.0])[0, 0] == near(4e-20 / 1e-6)


# Unknown is unknown


def test_an_entry_with_an_unknown_term_is_unknown():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, q = rng.integers(1, 9, 2)
        dense = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.8)  # zeros may be known, too
        known = rng.random((n, n)) < rng.choice([0.3, 0.7, 1.0])
        P = sp.csr_array(sp.coo_array((dense[known], np.nonzero(known)), shape=(n, n)))
        T_ = rng.standard_normal((q, n)) * (rng.random((q, n)) < 0.4)
        found = known_congruence(sp.csr_array(T_), P).tocoo()
        stored = np.zeros((q, q), dtype=bool)
        stored[found.coords] = True
        for i in range(q):
            for k in range(q):
                terms = np.ix_(T_[i] != 0, T_[k] != 0)
                assert stored[i, k] == (bool(known[terms].all()) and known[terms].size > 0)
        assert found.toarray()[stored] == pytest.approx((T_ @ dense @ T_.T)[stored], rel=1e-12, abs=1e-12)


# Doubles, where these do


def test_refinement_from_loud_to_quiet_goes_step_by_step():
    """The quiet end of a chain of four was off by 2e-7 where refinement had stopped moving anything by 1e-13."""
    rng = np.random.default_rng([8, 1177])
    assert hold(KINDS["weak"](rng, int(rng.integers(1, 5)))) is not None


def test_products_are_right_beyond_doubles():
    """Of numbers with 20 bits and less products are exact in extended precision: the split ones are as exact."""
    rng = np.random.default_rng(3)
    n = 40
    A = rng.integers(-(2**20), 2**20, (n, n)) * 2.0 ** rng.integers(-40, 1, (n, n))
    half = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-12, 0, (n, 1))
    P = half @ half.T
    exact = A.astype(np.longdouble) @ P.astype(np.longdouble)
    spread = np.sqrt(P.diagonal())
    size = np.abs(A / spread[:, None] * spread).max(axis=1)[:, None] * np.outer(spread, spread)
    assert (np.abs(stationary_module._wide_product(A, P) - exact) <= 1e-17 * n * size).all()


@pytest.mark.parametrize("inductance", [{}, {"inductance": 1e-5}])
def test_ordinary_circuits_need_no_closer_look(monkeypatch, inductance):
    """Neither left eigenvectors, nor adjoints, nor decimals: norms vouch for them."""
    device = Device(temperature=T)
    rng = np.random.default_rng(5)
    for k in range(8):
        values = {"capacitance": 1e-12 * (1 + rng.random()), "conductance": 1e-6 * (1 + rng.random())}
        device.add_cell(f"c{k}", **values, **inductance)
        if k:
            device.add_coupler(f"c{k - 1}", f"c{k}", conductance=1e-7 * rng.random())

    def closer(*given):
        pytest.fail("a closer look")

    for name in ("_error", "_doubt", "precise_law"):
        monkeypatch.setattr(stationary_module, name, closer)
    expected = KT / np.array([cell.values["capacitance"] for cell in device.cells])
    assert worst(law_of(device).voltage_covariance.diagonal(), expected) < CLAIMED


def test_eigenvalues_that_do_not_converge_are_refused(monkeypatch):
    """Never an internal error of a sound circuit."""

    def never(A):
        raise precise._NotConverged

    monkeypatch.setattr(precise, "schur", never)
    with pytest.raises(CircuitError, match="rates spread"):
        law_of(nested(20.0))


@pytest.mark.parametrize("decades", [3.0, 20.0])
def test_a_conserved_charge_in_decimals(decades):
    """Two cells that only their resistor ties: of their difference kT (1/C1 + 1/C2) is left, however fast it is."""
    device = Device(temperature=T)
    device.add_cell("a", capacitance=1e-12)
    device.add_cell("b", capacitance=2e-12)
    device.add_coupler("a", "b", conductance=10.0**-decades)
    law = precise.precise_law(ode(device))
    a, b = law.voltage_covariance.diagonal()
    assert b == near(a / 4, 1e-12)  # the charges are opposite
    assert a + b - 2 * law.voltage_covariance[0, 1] == near(KT * 1.5e12, 1e-12)
