"""Closed-form modes against the general solution; Smith's squaring; error bars three ways. No random sampling here."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from helpers import Nodal, T, commuting_modes, difference, kronecker, law_of, near, random_device, rc_pair, rlc_pair

import spu
from spu.base.errors import CircuitError
from spu.circuit.readout import Readout
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.linear import StochasticODE, stochastic_ode
from spu.emulator.laws import stationary as stationary_module
from spu.emulator.laws.coupled import Coupled, coupled
from spu.emulator.laws.estimate import _commuting_sums, _lag_sums, _last_lag, _modal_sums, trajectory_error
from spu.emulator.laws.modes import Modes, well_heard
from spu.emulator.laws.propagate import exact_step, step_law
from spu.emulator.laws.stationary import EXTENDED, Stationary, _smith, lyapunov, stationary
from spu.emulator.runs.run import choose_method, modal_method


def uniform(
    n: int,
    kind: str = "capacitance",
    *,
    temperature: float = T,
    inductance: float | None = 1e-5,
    conductance: float = 1e-3,
    noise: float = 4e-20,
    edges=None,
    scatter: float = 0.0,
    bias: bool = False,
) -> Device:
    """Cells that are all alike, coupled in a ring with chords; ``scatter`` makes conductances unlike."""
    draw = np.random.default_rng(n)
    device = Device(temperature=temperature)
    for k in range(n):
        cell = {
            "capacitance": 1e-9,
            "conductance": conductance * (1 + scatter * draw.standard_normal()),
            "noise": noise,
        }
        if inductance is not None:
            cell["inductance"] = inductance
        if bias:
            cell["bias"] = 1e-6 * draw.standard_normal()
        device.add_cell(f"c{k}", **cell)
    if edges is None:
        edges = [(k, k + 1) for k in range(n - 1)] + [(k, k + 5) for k in range(0, n - 5, 3)]
    unit = {"capacitance": 1e-10, "conductance": 1e-4, "transconductance": 1e-4, "inductance": 1e-4}[kind]
    for a, b in edges:
        device.add_coupler(f"c{a}", f"c{b}", **{kind: unit * draw.uniform(0.3, 1.7)})
    return device


def by_hand(C, G, Gamma, S, *, inductance: float = 1e-5, bias=None) -> StochasticODE:
    """``C v' + G v + N i = bias + noise``, ``L i' = N^T v`` with ``N N^T / L = Gamma``; probes are the nodes."""
    n = len(C)
    names = tuple(f"v(n{k})" for k in range(n))
    zero = np.zeros((n, n))
    E, F, K = np.array(C), -np.array(G), la.sqrtm(S).real
    s = np.zeros(n) if bias is None else np.array(bias)
    H = np.eye(n)
    if Gamma is not None:
        N = la.cholesky(Gamma * inductance, lower=True)
        E = np.block([[E, zero], [zero, inductance * np.eye(n)]])
        F = np.block([[F, -N], [N.T, zero]])
        K, s, H = np.vstack([K, zero]), np.concatenate([s, np.zeros(n)]), np.hstack([H, zero])
        names += tuple(f"i(l{k})" for k in range(n))
    plain = tuple(f"n{k}" for k in range(n))
    return StochasticODE(
        E=sp.csr_array(E),
        F=sp.csr_array(F),
        K=sp.csr_array(K),
        s=s,
        H=sp.csr_array(H),
        y0=np.zeros(n),
        D=sp.csr_array((n, K.shape[1])),
        state_names=names,
        noise_names=plain,
        probes=plain,
        readout=Readout(plain, np.eye(n), np.zeros(n)),
    )


def commuting(n: int, seed: int = 0, *, inductors: bool = True, kind: str = "spaced") -> StochasticODE:
    """Matrices with the same random orthogonal eigenvectors, and eigenvalues that are

    "spaced": well apart; "degenerate": each twice, but no two modes alike in all matrices; "random": as it comes.
    """
    draw = np.random.default_rng(seed)
    U = la.qr(draw.standard_normal((n, n)))[0]
    t, half = np.linspace(0.5, 2.0, n), -(-n // 2)
    values = {
        "spaced": [t, t**2, 1 / t, np.sqrt(t)],
        "degenerate": [np.repeat(t[::2], 2)[:n]] * 2 + [np.tile(t[:half], 2)[:n]] * 2,
        "random": list(draw.uniform(0.5, 2.0, (4, n))),
    }[kind]
    scales = (1e-9, 1e-3, 1e5, 1e-20)
    C, G, Gamma, S = (scale * (U * v) @ U.T for scale, v in zip(scales, values, strict=True))
    C, G, Gamma, S = ((M + M.T) / 2 for M in (C, G, Gamma, S))
    return by_hand(C, G, Gamma if inductors else None, S, bias=None if inductors else draw.standard_normal(n) * 1e-6)


def ode(device: Device) -> StochasticODE:
    return stochastic_ode(lower(device))


# Where there are modes


def compiled(architecture: str, temperature: float) -> Device:
    """As the compiler makes it from mixed signs (transconductors) or M-matrices (the others)."""
    draw = np.random.default_rng(5)
    weights = np.triu(draw.uniform(0.1, 1.0, (6, 6)), 1)
    weights = weights + weights.T
    if architecture == "rc-transconductor":
        signs = np.triu(draw.choice([-1.0, 1.0], (6, 6)), 1)
        weights = weights * (signs + signs.T)
        matrix = weights + np.diag(np.abs(weights).sum(axis=1) + 0.5)
    else:
        matrix = np.diag(weights.sum(axis=1) + 0.5) - weights
    device = spu.compile(spu.GaussianSampling(precision=matrix), hardware="ideal", architecture=architecture)
    device.temperature = temperature
    return device


# Ideal RC cells trim their conductances, so that each has its own: at 0 K noise is that of the cells, a multiple
# of 1; at 300 K it is that plus 4kT of what conducts, which commutes with G. Transconductors make no noise, and so
# at 300 K the noise of unlike cells is diagonal but not uniform.
COMMUTING = {
    "rlc-capacitive, 0 K": lambda: ode(compiled("rlc-capacitive", 0.0)),
    "rlc-capacitive, 300 K": lambda: ode(compiled("rlc-capacitive", T)),
    "rc-resistive, 0 K": lambda: ode(compiled("rc-resistive", 0.0)),
    "rc-resistive, 300 K": lambda: ode(compiled("rc-resistive", T)),
    "rc-transconductor, 0 K": lambda: ode(compiled("rc-transconductor", 0.0)),
    "transconductors": lambda: ode(uniform(6, "transconductance", inductance=None, bias=True)),
    "RLC coupled by resistors": lambda: ode(uniform(6, "conductance")),
    "disconnected": lambda: ode(uniform(7, edges=[(0, 1), (2, 3), (3, 4)])),
    "uncoupled": lambda: ode(uniform(4, edges=[])),
    "one": lambda: ode(uniform(1)),
    "complete": lambda: ode(uniform_complete()),
    "by hand, RLC": lambda: commuting(7),
    "by hand, RLC, degenerate": lambda: commuting(8, 3, kind="degenerate"),
    "by hand, RC": lambda: commuting(7, 1, inductors=False),
    "by hand, RC, degenerate": lambda: commuting(8, 4, inductors=False, kind="degenerate"),
    "by hand, 80 nodes": lambda: commuting(80, 2),
}


def uniform_complete() -> Device:
    """All couplers alike: an eigenvalue n - 1 times over."""
    device = Device(temperature=T)
    for k in range(5):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20)
    for a in range(5):
        for b in range(a):
            device.add_coupler(f"c{a}", f"c{b}", capacitance=2e-10)
    return device


def tampered(sde: StochasticODE, **changes) -> StochasticODE:
    return StochasticODE(**{**{name: getattr(sde, name) for name in sde.__dataclass_fields__}, **changes})


def one_cell_changed(what: str, factor: float) -> Device:
    device = uniform(5)
    device.cell_columns.arrays[what][2] *= factor
    return device


def nonreciprocal() -> Device:
    device = uniform(4, "transconductance", inductance=None)
    device.coupler_columns.arrays["transconductance_ab"][0] *= -1.0
    return device


def series() -> Device:
    """A node without capacitance between two cells: elimination leaves fewer voltages."""
    device = uniform(3)
    device.add_cell("m", conductance=1e-3)
    device.add_coupler("c0", "m", inductance=1e-5)
    return device


def unlike_couplers() -> Device:
    device = uniform(5)
    device.add_coupler("c0", "c2", conductance=1e-4)
    return device


NOT_COMMUTING = {
    "scattered conductances": lambda: ode(uniform(6, scatter=0.05)),
    "scattered, above 64": lambda: ode(uniform(70, scatter=0.05)),
    **{
        f"one {what} off by {off}": lambda what=what, off=off: ode(one_cell_changed(what, 1 + off))
        for what in ("conductance", "inductance", "noise")
        for off in (0.01, 1e-9)
    },
    "non-reciprocal": lambda: ode(nonreciprocal()),
    "inductive couplers": lambda: ode(uniform(5, "inductance")),
    "capacitors and resistors": lambda: ode(unlike_couplers()),
    "some inductors missing": lambda: ode(random_device(np.random.default_rng(6), 6, temperature=T)),
    "series": lambda: ode(series()),
    "unequal pairs": lambda: ode(rlc_pair(T)),
    "unequal RC pair": lambda: ode(rc_pair()),
    "asymmetric C": lambda: tampered(commuting(4), F=commuting(4).F + sp.csr_array(([1e-4], ([0], [1])), shape=(8, 8))),
}


@pytest.mark.parametrize("name", NOT_COMMUTING)
def test_no_modes_where_matrices_do_not_commute(name):
    assert commuting_modes(NOT_COMMUTING[name]()) is None


@pytest.mark.parametrize("name", COMMUTING)
def test_modes_against_the_general_solution(name):
    """Matrices, poles, mean, covariances, variances of the states and autocovariances to 1e-10 or better."""
    sde = COMMUTING[name]()
    modes = commuting_modes(sde)
    assert modes is not None
    n = len(modes.variance)
    assert difference(modes.shapes @ modes.shapes.T, np.eye(n)) < 1e-13
    C, G = sde.E[:n, :n].toarray(), -sde.F[:n, :n].toarray()
    assert difference((modes.shapes * modes.capacitance) @ modes.shapes.T, C) < 1e-12
    assert difference((modes.shapes * modes.conductance) @ modes.shapes.T, G) < 1e-12
    S = (sde.K @ sde.K.T).toarray()[:n, :n]
    assert difference((modes.shapes * modes.noise) @ modes.shapes.T, S) < 1e-12
    # Poles: pair by pair, as nearly equal ones may come in any order.
    general = la.eigvals(sde.dense.A) / sde.dense.time
    distance = np.abs(modes.poles[:, None] - general[None, :])
    assert len(general) == len(modes.poles)
    assert max(distance.min(axis=0).max(), distance.min(axis=1).max()) < 1e-7 * np.abs(general).max()
    # det and trace see each pole as often as it is there.
    assert abs(modes.poles.sum() / general.sum() - 1) < 1e-11
    assert abs(np.log(modes.poles + 0j).sum().real - np.log(general + 0j).sum().real) < 1e-9
    law = Stationary(sde)  # without modes
    P = law.voltage_covariance
    assert difference((modes.probes * modes.variance) @ modes.probes.T, P) < 1e-11
    lags = np.concatenate([[0.0], np.geomspace(1e-3, 30.0, 12)]) * stationary(sde).time_constants[0]
    found = np.array([(modes.probes * r * modes.variance) @ modes.probes.T for r in modes.correlation(lags)])
    expected = law.autocovariance(lags)
    assert np.abs(found - expected).max() < 1e-10 * np.abs(P).max()
    # All that `Stationary` answers by modes, were the network a large one.
    by_modes = Stationary(sde, modes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stationary_module, "EXTENDED", 0)
        assert by_modes._in_closed_form is modes
        assert difference(by_modes.voltage_covariance, P) < 1e-11
        assert difference(by_modes.state_variance, law.state_variance) < 1e-11
        assert np.abs(by_modes.voltage_mean - law.voltage_mean).max() <= 1e-11 * np.abs(law.voltage_mean).max()


ONE_COUPLES = {
    "rlc-capacitive, 0 K",
    "rlc-capacitive, 300 K",
    "rc-resistive, 0 K",
    "disconnected",
    "one resistor",
    "RLC coupled by resistors, 0 K",
    "complete",
    "rc-transconductor, 0 K",
    "transconductors",
}
"""Those of which one matrix couples cells, and all others are multiples of 1."""


def in_closed_form(name: str) -> StochasticODE:
    cold = uniform(6, "conductance")
    cold.temperature = 0.0
    more = {"RLC coupled by resistors, 0 K": ode(cold), "one resistor": ode(biased())}
    return more[name] if name in more else COMMUTING[name]()


def biased() -> Device:
    """RC cells with bias currents, and noise injected into each alike."""
    device = Device(temperature=0.0)
    for k in range(4):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20, bias=(k - 1.3) * 1e-6)
    device.add_coupler("c1", "c2", conductance=2e-4)
    return device


@pytest.mark.parametrize("name", sorted(ONE_COUPLES))
def test_a_closed_form_against_the_general_solution(name):
    """Mean, covariances of the probes and of what is read of them, and variances of the states; without any mode."""
    sde = in_closed_form(name)
    draw = np.random.default_rng(8)
    p = len(sde.probes)
    for lift in (
        draw.standard_normal((3, p)),
        np.diag(draw.standard_normal(p)),
        np.eye(p)[draw.permutation(p)][1:] * 2.0,
    ):
        readout = Readout(tuple(f"x{k}" for k in range(len(lift))), lift, np.zeros(len(lift)))
        read = replace(sde, readout=readout)
        law = Stationary(read)
        closed = stationary(read).closed
        assert isinstance(closed, Coupled)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stationary_module, "EXTENDED", 0)
            found = Stationary(read, closed)
            assert found._in_closed_form is closed
            assert difference(found.voltage_covariance, law.voltage_covariance) < 1e-12
            assert difference(found.readout_moments[1], law.readout_moments[1]) < 1e-12
            assert difference(found.state_variance, law.state_variance) < 1e-12
            for mean, expected in zip(
                (found.voltage_mean, found.readout_moments[0]), (law.voltage_mean, law.readout_moments[0]), strict=True
            ):
                assert np.abs(mean - expected).max() <= 1e-12 * np.abs(expected).max()
        assert "modes" not in closed.__dict__
        assert difference(closed.modes.seen(), law.voltage_covariance) < 1e-11


@pytest.mark.parametrize("name", sorted(COMMUTING.keys() - ONE_COUPLES))
def test_no_closed_form_where_more_than_one_matrix_couples(name):
    nodal = well_heard(COMMUTING[name]())
    assert nodal is not None and coupled(nodal) is None


def test_no_closed_form_where_bounds_do_not_know_the_modes():
    """A capacitance matrix with eigenvalues nine decades apart, and one with an eigenvalue below zero."""
    for least in (1e-18, -1e-10):
        U = la.qr(np.random.default_rng(2).standard_normal((4, 4)))[0]
        C = (U * np.array([1e-9, 2e-9, 1e-9, least])) @ U.T
        nodal = well_heard(by_hand((C + C.T) / 2, 1e-3 * np.eye(4), None, 1e-20 * np.eye(4)))
        assert nodal is not None and coupled(nodal) is None


@pytest.mark.parametrize("inductors", [True, False])
def test_modes_are_right_or_refused(inductors):
    """Where eigenvalues of the mixture come close by chance modes may be given up, but never be wrong."""
    found = 0
    for seed in range(40):
        sde = commuting(6 + seed, seed, inductors=inductors, kind="random")
        modes = commuting_modes(sde)
        if modes is not None:
            found += 1
            P = Stationary(sde).voltage_covariance
            assert difference((modes.probes * modes.variance) @ modes.probes.T, P) < 1e-10
    assert found > 0


@pytest.mark.parametrize("name", COMMUTING)
@pytest.mark.parametrize("step", [1e-4, 0.1, 1.0, 30.0])
def test_modal_step_laws(name, step):
    """Two steps of the modal method give the covariance of (y_k+1, y_k), as the dense step does."""
    sde = COMMUTING[name]()
    law = stationary(sde)
    interval = step * law.time_constants[0]
    how = modal_method(law.modes, interval)
    n, P = len(law.modes.variance), law.voltage_covariance
    keep = [2 * s + k for s in range(len(how.step.root)) for k in range(how.step.shown)]

    def blocks(each):
        return la.block_diag(*each)

    A, R, R0 = blocks(how.step.transition), blocks(how.step.root), blocks(how.start.root)
    stationary_covariance = R0 @ R0.T
    # The start is stationary under the step.
    after = A @ stationary_covariance @ A.T + R @ R.T
    assert difference(after, stationary_covariance) < 1e-12
    lift = np.zeros((len(how.lift), len(A)))
    lift[:, keep] = how.lift
    assert difference(lift @ after @ lift.T, P) < 1e-11
    assert (
        np.abs(lift @ A @ after @ lift.T - Stationary(sde).autocovariance([interval])[0]).max()
        < 1e-10 * np.abs(P).max()
    )
    # The noise of a step, seen at the probes: the dense step's own.
    dense = exact_step(sde.dense, interval)
    noise = sde.dense.H @ dense.factor
    seen = lift @ R @ R.T @ lift.T
    assert np.abs(seen - noise @ noise.T).max() < 1e-9 * np.abs(seen).max()
    assert how.rows == len(A) and how.observed == how.lift.shape[1]
    assert how.rows == 2 * n if law.modes.inductive else how.rows == n + n % 2


# One mode, of any damping


def one_mode(damping: float, *, w: float = 1e6) -> Modes:
    """A resonator of damping ratio ``alpha / w``."""
    one = np.ones(1)
    c, variance = 1e-9 * one, 1e-6
    g = 2 * damping * w * c
    return Modes(
        shapes=np.eye(1),
        probes=np.eye(1),
        capacitance=c,
        conductance=g,
        stiffness=w**2 * c,
        noise=variance * 2 * g * c,
        drive=0 * one,
        currents=np.eye(1) / 1e-5,
    )


RATIOS = [1e-4, 0.1, 0.9, 1 - 1e-6, 1 - 1e-12, 1.0, 1 + 1e-12, 1 + 1e-9, 1 + 1e-6, 1.1, 10.0, 1e4]


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_mode_of_any_damping(ratio):
    """Correlation against the matrix exponential of its drift, at lags 0 to 60 of every time constant."""
    modes = one_mode(ratio)
    A = np.array([[-2 * ratio, -1.0], [1.0, 0.0]]) * 1e6
    assert difference(modes.drift()[0], A) < 1e-14
    lags = np.concatenate([[0.0], np.geomspace(1e-6, 60 * max(ratio, 1 / ratio), 60)]) / 1e6
    expected = np.array([la.expm(A * t)[0, 0] for t in lags])
    found = modes.correlation(lags)
    assert found.shape == (61, 1) and found[0, 0] == 1.0
    assert np.isfinite(found).all()
    assert np.abs(found[:, 0] - expected).max() < 1e-10
    poles = modes.poles / 1e6
    assert poles.prod() == near(1.0 + 0j, 1e-12) and poles.sum() == near(-2 * ratio + 0j, 1e-12)
    if ratio == 1e4:  # the slow pole is not the difference of two large numbers
        assert poles[0].real == near(-1 / (2e4 - 5e-5), 1e-12)
    # The law of a step leaves the stationary law as it is, P = A P A^T + Q, to what halving a stiff step leaves.
    Q = np.array([[[modes.noise[0] / modes.capacitance[0] ** 2, 0.0], [0.0, 0.0]]])
    for t in lags[[1, 20, 40, 60]]:
        transition, covariance = step_law(modes.drift(), Q, float(t))
        assert np.abs(transition[0] - la.expm(A * t)).max() < 1e-9
        P = modes.variance[0] * np.eye(2)
        assert (
            np.abs(transition[0] @ P @ transition[0].T + covariance[0] - P).max()
            < (1e-12 + 2e-15 * np.abs(A).max() * t) * P.max()
        )


# Large ones


def test_a_large_modal_law():
    """300 cells, 600 states: by modes, by Smith's squaring, and by equipartition."""
    device = uniform(300, noise=0.0)
    sde = ode(device)
    law = stationary(sde)
    assert law.modes is not None and sde.E.shape[0] == 600 > EXTENDED
    general = lyapunov(sde.dense.A, sde.dense.B @ sde.dense.B.T)
    P = sde.dense.H @ general @ sde.dense.H.T
    assert difference(law.voltage_covariance, P) < 1e-11
    nodal = Nodal(device)
    assert difference(law.voltage_covariance, 1.380649e-23 * T * la.inv(nodal.C)) < 1e-12
    to_state = sde.dense.to_state
    assert difference(law.state_variance, ((to_state @ general) * to_state).sum(axis=1)) < 1e-11
    assert law.time_constants[0] == near(float((-1 / la.eigvals(sde.dense.A).real).max() * sde.dense.time), 1e-7)
    assert "covariance" not in law.__dict__  # and none of it needed the general solution
    assert choose_method(law, 1e-6).name == "modal"


def test_a_large_modal_mean():
    """270 RC cells with bias currents: G mean = bias."""
    device = uniform(270, "conductance", inductance=None, bias=True)
    law = law_of(device)
    nodal = Nodal(device)
    assert law.modes is not None and law._in_closed_form is law.closed
    assert difference(law.voltage_mean, la.solve(nodal.G, nodal.bias)) < 1e-11
    assert difference(law.sde.dense.mean @ law.sde.dense.H.T, law.voltage_mean) < 1e-11


# Smith's squaring


def scattered() -> StochasticODE:
    """A one-way transconductor leaves nothing but the general way (`spu.emulator.laws.oscillators`)."""
    device = uniform(140, scatter=0.1)
    device.add_coupler("c0", "c7", transconductance=(2e-4, 0.0))
    return ode(device)


def test_smith_against_scipy():
    sde = scattered()
    A, Q = sde.dense.A, sde.dense.B @ sde.dense.B.T
    assert len(A) == 280 > EXTENDED and commuting_modes(sde) is None
    Q = Q / np.abs(Q).max()
    found = _smith(A, Q)
    assert found is not None and np.array_equal(found, found.T)
    assert difference(found, la.solve_continuous_lyapunov(A, -Q)) < 1e-11
    law = stationary(sde)
    assert law.solved is not None  # this is the way that was taken
    assert difference(law.covariance, lyapunov(A, sde.dense.B @ sde.dense.B.T)) < 1e-11


def test_smith_against_linear_equations():
    """Non-normal and of any scale: against Kronecker products."""
    draw = np.random.default_rng(9)
    for scale in (1e-6, 1.0, 1e6):
        A = draw.standard_normal((12, 12))
        A = (A - (np.abs(la.eigvals(A).real).max() + 0.3) * np.eye(12)) * scale
        B = draw.standard_normal((12, 3))
        found = _smith(A, B @ B.T)
        assert found is not None
        assert difference(found, kronecker(A, B @ B.T)) < 1e-12


@pytest.mark.parametrize("real", [0.0, 1e-9, 1e-3, 1.0])
def test_smith_refuses_what_does_not_decay(real):
    """A pole on the axis, or right of it: no solution, and none is made up."""
    draw = np.random.default_rng(10)
    U = la.qr(draw.standard_normal((10, 10)))[0]
    A = la.block_diag(-np.eye(8), [[real, 1.0], [-1.0, real]])
    assert _smith(U @ A @ U.T, np.eye(10)) is None
    assert _smith(U @ A @ U.T - (real + 0.1) * np.eye(10), np.eye(10)) is not None


def undamped(n: int) -> Device:
    """A cell without a conductance, hung onto the others by a capacitor of nothing to speak of."""
    device = uniform(n, scatter=0.05, temperature=0.0)
    device.add_cell("lone", capacitance=1e-9, inductance=1e-5)
    return device


def growing(n: int) -> Device:
    device = uniform(n, scatter=0.05, temperature=0.0)
    for name in ("x", "y"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=1e-20)
    device.add_coupler("x", "y", transconductance=-2e-3)
    return device


@pytest.mark.parametrize(("make", "node", "kind"), [(undamped, "lone", "does not decay"), (growing, "x", "grows")])
def test_a_large_network_without_a_law_is_refused_by_name(make, node, kind):
    device = make(130)
    sde = ode(device)
    assert sde.E.shape[0] > EXTENDED
    Q = sde.dense.B @ sde.dense.B.T
    assert _smith(sde.dense.A, Q / np.abs(Q).max()) is None
    with pytest.raises(CircuitError, match=kind) as refused:
        stationary(sde)
    assert node in refused.value.nodes and not any(name.startswith("c") for name in refused.value.nodes)


def test_commuting_networks_without_a_law_are_refused_too():
    """Modes exist, but one of them does not decay."""
    draw = np.random.default_rng(11)
    U = la.qr(draw.standard_normal((4, 4)))[0]
    G = (U * np.array([1e-3, 1e-3, 2e-3, -1e-4])) @ U.T
    sde = by_hand(1e-9 * np.eye(4), (G + G.T) / 2, 1e5 * np.eye(4), 1e-20 * np.eye(4))
    assert commuting_modes(sde) is not None
    with pytest.raises(CircuitError, match="grows"):
        stationary(sde)


# Error bars


@pytest.mark.parametrize("steps", [1, 2, 50, 4000])
@pytest.mark.parametrize("name", ["rlc-capacitive, 300 K", "rc-resistive, 300 K", "by hand, RLC", "by hand, RC"])
def test_error_bars_three_ways(name, steps):
    """Sums over lags by modes of the drift, by the network's own modes, and one by one."""
    sde = COMMUTING[name]()
    law = stationary(sde)
    draw = np.random.default_rng(3)
    lift = draw.standard_normal((3, len(sde.probes)))
    interval = 0.3 * law.time_constants[0]
    dense = law.dense
    left, right = lift @ dense.H, law.covariance @ (lift @ dense.H).T
    values, vectors = dense.modes
    exponent = values * interval / dense.time
    first = _modal_sums(left @ vectors, la.solve(vectors, right.astype(complex)), exponent, steps)
    last = _last_lag(steps, interval, float(law.time_constants[0]), len(dense.A))
    second = _lag_sums(left, exact_step(dense, interval).transition, right, steps, last)
    P, *third = _commuting_sums(law.modes, lift @ law.modes.probes, steps, interval, float(law.time_constants[0]))
    assert difference(P, left @ right) < 1e-11
    if steps == 1:
        assert not any(each.any() for each in (*second, *third))  # there are no lags
        assert all(np.abs(each).max() < 1e-12 * P.max() for each in first)
        return
    # Large networks' error bars stop at 1e-6 of the largest singular value and at 8 time constants.
    for a, b, c, size in zip(first, second, third, (P.max() ** 2, P.max() ** 2, P.max()), strict=True):
        assert np.abs(a - b).max() < 1e-9 * max(np.abs(b).max(), size)
        assert np.abs(c - b).max() < 1e-3 * max(np.abs(b).max(), 0.1 * size)


@pytest.mark.parametrize("share", [1e-2, 1e-5, 1e-8, 1e-11, 1e-14])
def test_error_bars_of_a_cell_that_stands_still(share):
    """Readouts far closer than the slow cell's time constant: a trajectory is worth one of them, not all."""
    device = Device(temperature=0)
    device.add_cell("fast", capacitance=1e-12, conductance=1e-1, noise=4e-20)
    device.add_cell("slow", capacitance=1e-6, conductance=1e-9, noise=4e-26)
    device.add_coupler("fast", "slow", conductance=1e-10)
    law = law_of(device)
    steps, count, interval = 30, 10, share * law.slowest
    error = trajectory_error(law, steps=steps, interval=interval, count=count)
    lags = np.arange(1, steps)
    for square, found in ((1, error.mean_variance[1]), (2, error.covariance_variance[1, 1])):
        series = 1.0 + 2.0 * ((1 - lags / steps) * np.exp(-square * share * lags)).sum()
        variance = law.voltage_covariance[1, 1]
        expected = series * (variance if square == 1 else 2.0 * variance**2) / (steps * count)
        assert found == near(expected, 1e-6)


def test_error_bars_of_a_non_reciprocal_network():
    """R(l) is not symmetric: rows and columns must not be mixed up in ``R_ij R_ji``."""
    law = law_of(random_device(np.random.default_rng(8), 4, temperature=T, transconductors=True))
    dense, interval = law.dense, 0.2 * law.time_constants[0]
    right = law.covariance @ dense.H.T
    values, vectors = dense.modes
    modal = la.solve(vectors, right.astype(complex))
    first = _modal_sums(dense.H @ vectors, modal, values * interval / dense.time, 200)
    second = _lag_sums(dense.H, exact_step(dense, interval).transition, right, 200, 199)
    crossed = 0.0
    for lag in range(1, 200):
        R = law.autocovariance([lag * interval])[0]
        crossed = crossed + (1 - lag / 200) * R * R.T
    assert difference(first[1], crossed) < 1e-10 and difference(second[1], crossed) < 1e-10
    R = law.autocovariance([interval])[0]
    assert difference(R * R, R * R.T) > 0.01
    for a, b in zip(first, second, strict=True):
        assert difference(a, b) < 1e-10


def test_error_bars_of_a_large_network():
    """80 cells, 160 states: `trajectory_error` by the network's own modes, and without them."""
    sde = commuting(80, 2)
    law = stationary(sde)
    assert law.modes is not None
    options = {"steps": 500, "interval": 0.2 * law.time_constants[0], "count": 3}
    found, expected = trajectory_error(law, **options), trajectory_error(Stationary(sde), **options)
    assert difference(found.covariance_variance, expected.covariance_variance) < 1e-4
    assert np.abs(found.mean_variance / expected.mean_variance - 1).max() < 1e-2
    assert found.effective_samples == near(expected.effective_samples, 1e-4)
    assert 100 < found.effective_samples < 1500
