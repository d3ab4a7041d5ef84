"""Nonlinear cells: from elements to the equation, its stepping, its stationary law, heat and work.

Every statistical assertion names its false-alarm rate; together they stay below 1e-6.
"""

import numpy as np
import pytest
from scipy.stats import chi2, norm

from spu.base.errors import CircuitError, InputError, UsageError
from spu.circuit.polynomial import PolynomialCapacitor, PolynomialConductance, PolynomialElement
from spu.compiler import compile_network
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.equations.langevin import langevin
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.predict import predict_network
from spu.emulator.simulate import simulate_network
from spu.problems.network import ThermodynamicNetwork
from spu.problems.neuron import crossing_time, unit_law
from tests.problems.test_network import KINDS, random_network, single_cells

BOLTZMANN = 1.380649e-23

RATE = 1e-8
"""False-alarm rate of one assertion below."""

INPUTS = [0.5, 1, 2, 5, 10, 20, 40]


def sigmas(tests: int = 1) -> float:
    """Two-sided threshold of normal statistics, `RATE` shared among several."""
    return float(norm.isf(RATE / tests / 2))


def compiled(network, kind="rc-conductance", hardware="ideal", **more) -> Device:
    return compile_network(network, hardware, architecture=kind, **more).device


# --- elements ------------------------------------------------------------------------------


def test_the_law_of_an_element_is_the_derivative_of_its_energy():
    c = np.array([0.7, -0.2, 1.3])
    x = np.linspace(-2, 2, 9)
    h = 1e-6
    slope = (PolynomialElement.energy(x + h, c) - PolynomialElement.energy(x - h, c)) / (2 * h)
    assert PolynomialElement.law(x, c) == pytest.approx(slope, abs=1e-8)


def test_the_closed_form_of_a_capacitors_charge_inverts_its_law():
    c = np.array([2.0, -1.1, 0.9])  # c2^2 < 3 c1 c3
    q = np.linspace(-3, 3, 31)
    v = PolynomialCapacitor.law(q, c)
    p = PolynomialCapacitor.inverse(*c)
    found = p["qs"] * np.sinh(np.arcsinh((v - p["vc"]) / p["vs"]) / 3) - p["qh"]
    assert found == pytest.approx(q, abs=1e-12)


def test_the_equation_comes_from_the_elements():
    """Against Kirchhoff's laws written by hand, in all three coordinates."""
    C, G, S, gab, gba = 1e-9, 1e-3, 4e-20, 2e-4, -5e-4
    i, v, x = (1e-3, 2e-2, 0.4), (0.05, 0.02), (1e-13, -2e-13)
    device = Device(temperature=300.0)
    device.add_cell("a", capacitance=C, conductance=G, noise=S, bias=1e-6, polynomial_conductance=i)
    device.add_cell("b", capacitance=2 * C, polynomial_conductance=(2e-3, 0, 1))
    device.add_coupler("a", "b", transconductance=(gab, gba), conductance=3e-4)
    found = langevin(lower(device))
    va, vb = v
    coupler = 3e-4 * (va - vb)
    wanted = [
        1e-6 - G * va - sum(c * va**k for k, c in enumerate(i, 1)) - gab * vb - coupler,
        -2e-3 * vb - vb**3 - gba * va + coupler,
    ]
    assert found.force(np.array(v)) == pytest.approx(wanted, rel=1e-12)
    assert found.mobility == pytest.approx([1 / C, 0.5 / C])
    covariance = found.noise @ found.noise.T
    thermal = 2 * BOLTZMANN * 300.0  # half of 4 k T
    assert covariance[0, 0] == pytest.approx((S / 2 + thermal * (G + 3e-4)) / C**2)
    assert covariance[0, 1] == pytest.approx(-thermal * 3e-4 / (2 * C**2))

    device = Device(temperature=300.0)
    f = (1e5, 2e16, 3e29)
    device.add_cell("a", capacitance=C, conductance=G, bias=1e-8, polynomial_inductance=f)
    device.add_cell("b", capacitance=C, conductance=2 * G, polynomial_inductance=(5e4, 0, 0))
    device.add_coupler("a", "b", inductance=4e-5)
    device.add_cell("c", capacitance=C, conductance=G, polynomial_inductance=(1e5, 0, 0))
    device.add_coupler("b", "c", crossed_inductance=8e-5)
    found = langevin(lower(device))
    pa, pb, pc = (*x, 3e-13)
    wanted = [
        1e-8 - sum(c * pa**k for k, c in enumerate(f, 1)) - (pa - pb) / 4e-5,
        -pb / 2e-5 - (pb - pa) / 4e-5 - (pb + pc) / 8e-5,
        -pc / 1e-5 - (pb + pc) / 8e-5,
    ]
    assert found.coordinate == "flux"
    assert found.force(np.array([pa, pb, pc])) == pytest.approx(wanted, rel=1e-12)
    assert found.mobility == pytest.approx([1 / G, 0.5 / G, 1 / G])
    # Fluctuation and dissipation: the temperature is the device's, whatever the conductances.
    assert found.theta() == pytest.approx(BOLTZMANN * 300.0)

    device = Device(temperature=300.0)
    device.add_cell("a", conductance=G, bias=1e-6, polynomial_capacitance=(1e9, 0, 1e35))
    found = langevin(lower(device))
    q = np.array([1e-13])
    assert found.mobility * found.force(q) == pytest.approx(1e-6 - G * (1e9 * q + 1e35 * q**3))
    assert found.theta() == pytest.approx(BOLTZMANN * 300.0)


def cells(count=2, **more):
    device = Device(temperature=more.pop("temperature", 0.0))
    for k in range(count):
        device.add_cell(f"c{k}", **more)
    return device


CUBIC = {"capacitance": 1e-9, "noise": 4e-20, "polynomial_conductance": (1e-3, 0, 1.0)}


def coupled(device, **values):
    device.add_coupler("c0", "c1", **values)
    return device


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: coupled(cells(**CUBIC), capacitance=1e-10), "a capacitance couples c0 and c1"),
        (lambda: cells(noise=1e-20, polynomial_conductance=(1e-3, 0, 1.0)), "c0 has no capacitance"),
        (lambda: cells(inductance=1e-5, **CUBIC), "nonlinear conductances beside inductors"),
        (
            lambda: cells(**CUBIC, polynomial_inductance=(1.0, 0, 1.0)),
            "nonlinear elements of flux and voltage in one circuit",
        ),
        (
            lambda: cells(capacitance=1e-9, noise=4e-20, polynomial_inductance=(1.0, 0, 1.0)),
            "nothing damps it",
        ),
        (
            lambda: coupled(
                cells(capacitance=1e-9, conductance=1e-3, polynomial_inductance=(1.0, 0, 1.0)), conductance=1e-3
            ),
            "a conductance couples c0 and c1: it adds no energy",
        ),
        (
            lambda: cells(conductance=1e-3, polynomial_capacitance=(-1.0, 0, 1.0)),
            "does not rise everywhere",
        ),
        (
            lambda: cells(conductance=1e-3, capacitance=1e-9, polynomial_capacitance=(1.0, 0, 1.0)),
            "a plain capacitance beside its nonlinear one",
        ),
    ],
)
def test_circuits_without_such_an_equation_are_refused(make, words):
    with pytest.raises(CircuitError) as caught, np.errstate(invalid="ignore"):
        langevin(lower(make()))
    assert words in str(caught.value)


def test_no_boltzmann_law_without_equal_noise_and_reciprocity():
    device = Device(temperature=0.0)
    device.add_cell("a", **CUBIC)
    device.add_cell("b", **{**CUBIC, "capacitance": 2e-9})
    with pytest.raises(CircuitError, match="1e-11 at a") as caught:
        langevin(lower(device)).theta()
    assert caught.value.nodes == ("b", "a")
    assert "noise / capacitance equal for all cells" in str(caught.value)
    # Equal ratios make it one: a cell of twice the capacitance takes twice the noise.
    device = Device(temperature=0.0)
    device.add_cell("a", **CUBIC)
    device.add_cell("b", **{**CUBIC, "capacitance": 2e-9, "noise": 8e-20})
    assert langevin(lower(device)).theta() == pytest.approx(1e-11)
    device.add_coupler("a", "b", transconductance=(1e-4, 2e-4))
    with pytest.raises(CircuitError, match=r"not reciprocal: 0\.0001 one way and 0\.0002 the other"):
        langevin(lower(device)).theta()
    warm = coupled(cells(temperature=300.0, **CUBIC), conductance=1e-3)
    with pytest.raises(CircuitError, match="noise of c0 and c1 is correlated"):
        langevin(lower(warm)).theta()


def test_linear_methods_refuse_nonlinear_cells():
    with pytest.raises(CircuitError, match="simulate_network"):
        stochastic_ode(lower(cells(**CUBIC)))


def test_a_polynomial_takes_three_coefficients():
    with pytest.raises(InputError, match="polynomial_conductance_1 and"):
        cells(capacitance=1e-9, polynomial_conductance=1.0)
    assert PolynomialConductance.coordinate == "voltage"


# --- stepping ------------------------------------------------------------------------------


def test_results_do_not_depend_on_threads_or_on_other_trajectories():
    for kind in ("rc-conductance", "rlc-flux"):
        device = compiled(random_network(5), kind)
        settings = {"times": [0.05, 0.1], "seed": 7}
        one = simulate_network(device, trajectories=300, threads=1, **settings)
        two = simulate_network(device, trajectories=300, threads=2, **settings)
        few = simulate_network(device, trajectories=37, **settings)
        assert np.array_equal(one.states, two.states)
        assert few.states == pytest.approx(one.states[:, :37], abs=1e-12)
        assert not np.array_equal(one.states, simulate_network(device, trajectories=300, times=[0.05, 0.1]).states)


def test_euler_maruyama_is_of_strong_order_one():
    """Root mean square distance from a run of 64 times finer steps on the same Brownian path."""
    device = compiled(random_network(4))
    finest = 2.5e-4
    scheme = {"scheme": "euler-maruyama"}
    runs = [
        simulate_network(device, times=[0.512], step=finest * c, coarse=c, trajectories=256, seed=1, **scheme).states[0]
        for c in (1, 16, 32, 64)
    ]
    distance = [float(np.sqrt(((run - runs[0]) ** 2).mean())) for run in runs[1:]]
    slopes = np.log2(np.array(distance[1:]) / distance[:-1])
    assert slopes == pytest.approx([1.0, 1.0], abs=0.15)


def test_baoab_is_of_second_order():
    """Without noise, against a run of 16 times finer steps."""
    network = ThermodynamicNetwork(1, 0, 1, input=[3, -2], couplings=[[0, 1], [1, 0]], kT=0)
    device = compiled(network, "rlc-flux")
    step = 4e-4
    runs = [simulate_network(device, times=[0.128], step=step / c, trajectories=1).states[0, 0] for c in (1, 2, 4, 64)]
    distance = [float(np.abs(run - runs[-1]).max()) for run in runs[:-1]]
    assert np.log2(np.array(distance[:-1]) / distance[1:]) == pytest.approx([2.0, 2.0], abs=0.15)


def test_leimkuhler_matthews_is_better_at_stationary_averages():
    """Step 0.06: the Euler-Maruyama variance is off by several per cent, the other's by less than one.

    False alarms: 2 `RATE`. Each variance is known to 0.6 % (two standard errors).
    """
    exact = unit_law().variance[0]
    device = compiled(ThermodynamicNetwork())
    found = {}
    for scheme in ("euler-maruyama", "leimkuhler-matthews"):
        run = simulate_network(device, times=[3.0], step=0.06, trajectories=200_000, scheme=scheme, seed=3)
        found[scheme] = (run.variance[0, 0] / exact - 1, run.variance_error[0, 0] / exact)
    off, error = found["euler-maruyama"]
    assert off > 0.03 + sigmas() * error
    off, error = found["leimkuhler-matthews"]
    assert abs(off) < 0.005 + sigmas() * error


def test_a_step_too_large_is_refused_as_it_happens():
    device = compiled(ThermodynamicNetwork(1, 0, 1, kT=1.0))
    with np.errstate(all="ignore"), pytest.raises(UsageError, match="blew up at a step of"):
        simulate_network(device, times=[50.0], step=0.9, trajectories=200)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scheme": "baoab"}, "no scheme 'baoab' for this equation"),
        ({"scheme": "milstein"}, "valid: euler-maruyama"),
        ({"scheme": "leimkuhler-matthews", "heat": True}, "whose noise is correlated"),
        ({"times": [1, 0.5]}, "not falling"),
        ({"times": [-1]}, "not negative"),
        ({"step": -1}, "step must be positive"),
        ({"trajectories": 0}, "trajectories must be a whole number"),
        ({"start": [1, 2, 3]}, "one number a variable"),
        ({"inputs": ([0, 1], [[1]])}, "inputs must be 2 x 1"),
        ({"inputs": ([1, 0], [[1], [1]])}, "must not fall"),
        ({"times": np.arange(1e6), "trajectories": 1000}, "fewer times or trajectories"),
    ],
)
def test_settings_that_make_no_sense(settings, words):
    device = compiled(ThermodynamicNetwork())
    with pytest.raises(UsageError) as caught:
        simulate_network(device, **{"times": [0.1], **settings})
    assert words in str(caught.value)


# --- what comes out ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kT", "t", "finite"),
    [
        (1.0, 0.2, [0.0699, 0.1394, 0.2764, 0.6524, 1.1094, 1.5845, 2.0682]),
        (0.1, 0.4, [0.1290, 0.2533, 0.4747, 0.8945, 1.2298, 1.6109, 2.0763]),
    ],
)
def test_activation_at_finite_time_and_in_equilibrium(kT, t, finite):
    """The published table. False alarms: `RATE` for each row; it would see 6 % of a standard deviation.

    Half the step on the same Brownian path moves no mean by as much as half its standard error.
    """
    device = compiled(ThermodynamicNetwork(1, 0, 1, input=INPUTS, kT=kT))
    settings = {"trajectories": 16_000, "seed": 11}
    coarse = simulate_network(device, times=[t], step=1e-3, coarse=2, **settings)
    fine = simulate_network(device, times=[t], step=5e-4, **settings)
    assert (np.abs(coarse.mean - fine.mean) < 0.5 * fine.mean_error).all()
    settled = simulate_network(device, times=[3.0], step=4e-3, scheme="leimkuhler-matthews", **settings)
    for run, wanted in ((coarse, finite), (settled, unit_law(input=INPUTS, kT=kT).mean)):
        excess = np.abs(run.mean[0] - wanted) - 5e-5  # the table is rounded
        assert (excess / run.mean_error[0] < sigmas(14) + 0.5).all()


def cell_counts(states, edges):
    """Counts in the boxes that (n, 4) edges make of the (N, n) states."""
    place = np.zeros(len(states), dtype=np.int64)
    for k, edge in enumerate(edges):
        place = place * (len(edge) + 1) + np.searchsorted(edge, states[:, k])
    return np.bincount(place, minlength=int(np.prod([len(edge) + 1 for edge in edges])))


@pytest.mark.parametrize(("kind", "wrong"), [("rc-conductance", 1.15), ("rlc-flux", 1.2)])
def test_the_stationary_law_is_boltzmanns(kind, wrong):
    """Chi-squared over 64 boxes of three coupled units. False alarms: `RATE`.

    Sees an error of kT of the size given, as the same test against that law shows.
    """
    J = np.array([[0, 0.8, -0.6], [0.8, 0, 0.5], [-0.6, 0.5, 0]])
    network = ThermodynamicNetwork([1, -1, 0.5], [0, 0.2, 0], [1, 1, 0.6], couplings=J, input=[0.5, 0, -0.5], kT=0.5)
    device = compiled(network, kind)
    step = {"step": 2e-3} if kind == "rc-conductance" else {"step": 1e-3}
    scheme = {"scheme": "leimkuhler-matthews"} if kind == "rc-conductance" else {}
    count = 40_000 if kind == "rc-conductance" else 20_000
    states = simulate_network(device, times=[3.0], trajectories=count, seed=5, **step, **scheme).states[0]
    axis = np.linspace(-2.6, 2.6, 79)
    nodes = np.stack([a.ravel() for a in np.meshgrid(axis, axis, axis, indexing="ij")], axis=1)
    # Halfway between nodes, so that boxes of nodes are boxes of volume.
    middle = (axis[1:] + axis[:-1]) / 2
    edges = [middle[np.searchsorted(middle, np.quantile(states[:, k], [0.25, 0.5, 0.75]))] for k in range(3)]

    def statistic(kT):
        weights = np.exp(-(network.energy(nodes) - network.energy(nodes).min()) / kT)
        place = np.zeros(len(nodes), dtype=np.int64)
        for k, edge in enumerate(edges):
            place = place * 4 + np.searchsorted(edge, nodes[:, k])
        expected = np.bincount(place, weights / weights.sum(), minlength=64) * len(states)
        return float(((cell_counts(states, edges) - expected) ** 2 / expected).sum())

    threshold = chi2.isf(RATE, 63)
    assert statistic(network.kT) < threshold
    assert statistic(network.kT * wrong) > threshold


def test_a_capacitors_voltage_carries_the_jacobian():
    """Counts of the voltage of a nonlinear capacitor in 16 boxes. False alarms: `RATE`.

    Without dq/dv the law is another, and the same test says so.
    """
    network = ThermodynamicNetwork(0.3, 0.1, 1.0, input=0.4)
    device = compiled(network, "rc-charge", "neurons")
    equation = langevin(lower(device))
    states = simulate_network(device, times=[6.0], trajectories=20_000, step=4e-3, seed=9).states[0]
    charge = states * equation.units
    coefficients = np.array([equation.stiffness[0, 0], equation.quadratic[0], equation.cubic[0]])
    v = PolynomialCapacitor.law(charge[:, 0], coefficients)
    edges = np.quantile(v, np.arange(1, 16) / 16)

    grid = np.linspace(-4, 4, 40_001)[:, None] * equation.units
    volts = PolynomialCapacitor.law(grid[:, 0], coefficients)
    energy = equation.potential(grid) / equation.theta()
    slope = np.gradient(grid[:, 0], volts)  # dq/dv
    spacing = np.gradient(volts)

    def statistic(density):
        share = np.bincount(np.searchsorted(edges, volts), density * spacing, minlength=16)
        expected = share / share.sum() * len(v)
        return float(((np.bincount(np.searchsorted(edges, v), minlength=16) - expected) ** 2 / expected).sum())

    boltzmann = np.exp(-(energy - energy.min()))
    assert statistic(boltzmann * slope) < chi2.isf(RATE, 15)
    assert statistic(boltzmann) > 3 * chi2.isf(RATE, 15)


def test_a_barrier_is_crossed_at_the_exact_rate():
    """First times at the other well, V = -2 x^2 + x^4 at kT = 0.25. False alarms: `RATE`; it would see 25 %.

    The step is fine enough that crossings between readouts are seen late by less than allowed.
    """
    device = compiled(ThermodynamicNetwork(-2.0, 0, 1, kT=0.25))
    exact = crossing_time(-2.0, kT=0.25)
    times = np.arange(0.0, exact, 0.02)
    run = simulate_network(device, times=times, trajectories=2100, start=-1.0, step=4e-3, seed=2)
    crossed = run.states[:, :, 0] >= 1.0
    first = np.where(crossed.any(axis=0), run.times[crossed.argmax(axis=0)], np.nan)
    # Times are exponential but for the start: the censored estimate of their mean.
    done = ~np.isnan(first)
    total = np.where(done, first, times[-1]).sum()
    mean, error = total / done.sum(), total / done.sum() ** 1.5
    assert abs(mean - exact) < sigmas() * error + 0.06 * exact


def test_faster_by_more_noise():
    """Energies and noise times 4: the same states at a quarter of the time, on a 4x4 inverse and a neuron."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 6))
    A = root @ root.T / 4 + np.eye(4)
    linear = ThermodynamicNetwork(np.diag(A) / 2, 0, 0, couplings=A - np.diag(np.diag(A)))
    for network in (linear, ThermodynamicNetwork(1, 0, 1, input=2.0)):
        slow, fast = (
            simulate_network(compiled(network, speedup=s), times=[1.0], trajectories=2000, step=1e-3, seed=4)
            for s in (1.0, 4.0)
        )
        assert fast.states == pytest.approx(slow.states, abs=1e-9)
        assert slow.device_times[-1] == pytest.approx(4 * fast.device_times[-1])
    found = simulate_network(compiled(linear, speedup=4.0), times=[4.0], trajectories=20_000, step=5e-3)
    inverse = np.linalg.inv(A)
    variances = np.diag(inverse)[:, None] * np.diag(inverse)
    error = np.sqrt((variances + inverse**2) / 20_000)
    # The step's own bias is below h lambda A / 4. False alarms: `RATE`.
    assert (np.abs(found.covariance - inverse) < sigmas(10) * error + 2e-2 * inverse.max()).all()


# --- heat and work -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_law_holds_to_rounding(kind):
    network = single_cells(3) if kind == "rc-charge" else random_network(4)
    device = compiled(network, kind)
    n = network.n
    ramp = ([0.0, 0.05, 0.05, 0.1], [np.zeros(n), np.ones(n), 3 * np.ones(n), -np.ones(n)])
    run = simulate_network(device, times=[0.12], trajectories=50, heat=True, inputs=ramp, start=0.3)
    assert run.first_law < 1e-11
    assert np.abs(run.work).min() > 1e-3
    assert run.energy_change == pytest.approx(run.work - run.heat, abs=1e-9)


def test_work_at_a_jump_is_the_difference_at_fixed_state():
    device = compiled(ThermodynamicNetwork(1, 0, 1, input=1.0, kT=0.5))
    jump = ([0.0, 0.1, 0.1], [[1.0], [1.0], [4.0]])
    run = simulate_network(device, times=[0.1, 0.2], step=1e-3, trajectories=20, heat=True, inputs=jump)
    before = run.states[0, :, 0]
    assert run.work == pytest.approx(-(4.0 - 1.0) * before / 0.5, rel=1e-9)


def test_jarzynski_and_crooks():
    """A ramp of the input from 0 to 2 in half a unit of time, and back; free energies by quadrature.

    False alarms: 2 `RATE`; it would see 4 % in the average. Twice the step on the same Brownian
    path moves both by less than half a standard error.
    """
    kT, count, rest, ramp = 1.0, 20_000, 2.0, 0.5
    grid = np.linspace(-6, 6, 20_001)
    free = [-kT * np.log(np.trapezoid(np.exp(-(grid**2 + grid**4 - I * grid) / kT), grid)) for I in (0.0, 2.0)]
    device = compiled(ThermodynamicNetwork(1, 0, 1, kT=kT))

    def work(first, last, coarse):
        inputs = ([0.0, rest, rest + ramp], [[first], [first], [last]])
        settings = {"times": [rest + ramp], "trajectories": count, "heat": True, "inputs": inputs}
        return simulate_network(device, step=2e-3 * coarse, coarse=coarse, seed=int(first) + 1, **settings).work

    gap = (free[1] - free[0]) / kT
    found = {}
    for coarse in (1, 2):
        forward, backward = work(0.0, 2.0, coarse), work(2.0, 0.0, coarse)
        average = np.exp(gap - forward)
        # Crooks: p(W) exp(-W) exp(gap) = p_back(-W), so these two averages of Bennett's are equal.
        there, back = 1 / (1 + np.exp(forward - gap)), 1 / (1 + np.exp(backward + gap))
        error = np.hypot(there.std(), back.std()) / np.sqrt(count)
        found[coarse] = (average.mean(), average.std() / np.sqrt(count), there.mean() - back.mean(), error)
    jarzynski, its_error, crooks, error = found[1]
    assert abs(jarzynski - 1) < (sigmas() + 0.5) * its_error
    assert abs(crooks) < (sigmas() + 0.5) * error
    assert abs(found[2][0] - jarzynski) < 0.5 * its_error
    assert abs(found[2][2] - crooks) < 0.5 * error


def test_predictions_are_of_the_device():
    network = random_network(2)
    for kind in ("rc-conductance", "rlc-flux"):
        found = predict_network(compiled(network, kind))
        mean, covariance = network.moments()
        assert found.mean == pytest.approx(mean, abs=1e-9)
        assert found.covariance == pytest.approx(covariance, abs=1e-9)
        assert network.force(found.rest) == pytest.approx(np.zeros(2), abs=1e-9)
