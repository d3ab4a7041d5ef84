"""Laws under noise that a clock makes, against sums and products that are written out here."""

import itertools

import numpy as np
import pytest
import scipy.linalg as la

import spu
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.base.registers import sequence
from spu.circuit.clocked import Clocked
from spu.device.subject import circuits
from spu.emulator.dynamics import linear
from spu.emulator.laws.stationary import source_gain


def device(cells="rc", temperature=300.15, **noise):
    """Three unlike cells in a chain; at room temperature their resistors' noise is heard beside the injected one."""
    made = spu.Device(temperature=temperature, detail=spu.Detail(noise=noise))
    rest = {"inductance": 1e-5} if cells == "rlc" else {}
    for k, name in enumerate("abc"):
        made.add_cell(name, capacitance=1e-9 * (1 + k / 5), conductance=1e-3 * (1 + k), noise=1e-22 * (1 + k), **rest)
    part = "capacitance" if cells == "rlc" else "conductance"
    made.add_coupler("a", "b", **{part: 3e-10 if cells == "rlc" else 1e-3})
    made.add_coupler("b", "c", **{part: 2e-10 if cells == "rlc" else 2e-3})
    return made


def law_of(made):
    return linear(circuits(made)[0]).law


def parts(law):
    """Drift, what a sample of each source puts in, and the period, in the law's own unit of time."""
    dense = law.dense
    rms = UNIT_NOISE_DENSITY / np.sqrt(2 * law.clocked.period)
    return dense.A, dense.B[:, law.held] * source_gain(dense) * rms, law.clocked.period / dense.time


def averaged(law, moments):
    """A covariance at a share of the period, by Gauss's rule over 40 pieces of it."""
    x, w = np.polynomial.legendre.leggauss(12)
    found = 0.0
    for piece in range(40):
        for node, weight in zip(x, w, strict=True):
            found = found + weight / 80 * moments((piece + (node + 1) / 2) / 40)
    return found


def lyapunov(A, Q):
    """By Kronecker's sum."""
    n = len(A)
    eye = np.eye(n)
    return la.solve(np.kron(A, eye) + np.kron(eye, A), -Q.ravel()).reshape(n, n)


@pytest.mark.parametrize("kind", ["rc", "rlc"])
@pytest.mark.parametrize("periods", [1e-3, 0.3, 4.0, 30.0])
def test_independent_samples(kind, periods):
    """Against Kronecker's sums: at every phase and on average; resistors' noise beside them is white."""
    clock = 1.0 / (periods * law_of(device(kind, clock=1e7)).white.slowest)
    law = law_of(device(kind, clock=clock))
    A, b, h = parts(law)
    n = len(A)
    phi = la.expm(A * h)
    push = la.solve(A, (phi - np.eye(n)) @ b)
    edge = la.solve(np.eye(n * n) - np.kron(phi, phi), (push @ push.T).ravel()).reshape(n, n)
    B = law.dense.B[:, ~law.held]
    thermal = lyapunov(A, B @ B.T)

    def at(phase):
        part = la.expm(A * h * phase)
        more = la.solve(A, (part - np.eye(n)) @ b)
        return part @ edge @ part.T + more @ more.T + thermal

    size = np.sqrt(np.outer(np.diag(law.covariance), np.diag(law.covariance)))
    for phase in (0.0, 0.37, 1.0):
        assert (np.abs(law.covariance_at(phase) - at(phase)) / size).max() < 1e-9
    if periods < 10 or kind == "rc":
        assert (np.abs(law.covariance - averaged(law, at)) / size).max() < 1e-9
    z = A * h
    M = 2 * la.solve(z @ z, phi - np.eye(n) - z)
    held = law.dense.B[:, law.held]
    white = lyapunov(A, held @ held.T)
    if periods > 0.1:  # nearer to zero this form of M cancels
        assert (np.abs((M @ white + white @ M.T) / 2 + thermal - law.covariance) / size).max() < 1e-9
    assert np.trace(white) > 2 * np.trace(thermal) > 0


@pytest.mark.parametrize("kind", ["rc", "rlc"])
@pytest.mark.parametrize(("register", "summed"), [(3, 1), (4, 3), (7, 2), (9, 1)])
@pytest.mark.parametrize("periods", [0.01, 0.5, 8.0])
def test_registers_against_their_own_sequences(kind, register, summed, periods):
    """The periodic steady state under the bits themselves, by brute force, is what the law says."""
    clock = 1.0 / (periods * law_of(device(kind, clock=1e7)).white.slowest)
    law = law_of(device(kind, 0.0, clock=clock, kind="binary", register=register, summed=summed))
    A, b, h = parts(law)
    n, cycle = len(A), 2**register - 1
    bits = 2.0 * sequence(register, 0, cycle) - 1.0
    delays = law.clocked.delays(b.shape[1])
    samples = np.array([[bits[(k - delay) % cycle].sum() / np.sqrt(summed) for delay in delays] for k in range(cycle)])
    phi, whole = la.expm(A * h), la.expm(A * h * cycle)
    push = la.solve(A, (phi - np.eye(n)) @ b)
    z = np.zeros(n)
    for sample in samples:
        z = phi @ z + push @ sample
    z = la.solve(np.eye(n) - whole, z)
    states = []
    for sample in samples:
        states.append(z)
        z = phi @ z + push @ sample

    def at(phase, about=None):
        part = la.expm(A * h * phase)
        more = la.solve(A, (part - np.eye(n)) @ b)
        found = np.array(states) @ part.T + samples @ more.T - (0.0 if about is None else about)
        return found.mean(axis=0) if about is None else found.T @ found / cycle

    mean = at(0.25)
    assert np.allclose(
        mean, law.shift, rtol=1e-7, atol=1e-9 * np.abs(law.shift).max() + 1e-13 * np.sqrt(np.trace(law.covariance))
    )
    size = np.sqrt(np.outer(np.diag(law.covariance), np.diag(law.covariance)))
    assert (np.abs(law.covariance_at(0.6) - at(0.6, law.shift)) / size).max() < 1e-6
    assert (np.abs(law.covariance - averaged(law, lambda phase: at(phase, law.shift))) / size).max() < 1e-6


def test_a_long_register_is_as_good_as_independent_bits():
    one, other = (law_of(device(clock=3e7, kind="binary", **more)) for more in ({}, {"register": 40}))
    assert np.allclose(one.voltage_covariance, other.voltage_covariance, rtol=1e-9)
    assert np.abs(other.voltage_mean).max() < 1e-9 * np.sqrt(one.voltage_covariance.max())


def test_lags_of_held_samples():
    """Within a period and beyond it, against the average of covariances between two instants."""
    law = law_of(device("rlc", clock=4e5))
    A, _b, h = parts(law)
    n = len(A)

    def between(phase, lag):
        start = law.carried(phase) @ law.joint @ law.carried(phase).T
        first = min(lag, 1 - phase)
        found = (law.carried(first) @ start)[:n, :n]
        return la.expm(A * h * (lag - first)) @ found + la.expm(A * h * lag) @ law.thermal_covariance

    for lag in (0.2, 1.0, 2.7):
        # The kink where a reading's sample ends lies at 1 - lag.
        whole, (x, w) = 0.0, np.polynomial.legendre.leggauss(40)
        kink = max(1 - lag, 0.0)
        for low, high in ((0.0, kink), (kink, 1.0)):
            for node, weight in zip(x, w, strict=True):
                whole = whole + weight * (high - low) / 2 * between(low + (high - low) * (node + 1) / 2, lag)
        expected = law.dense.H @ whole @ law.dense.H.T
        found = law.autocovariance([lag / 4e5, -lag / 4e5])
        assert np.allclose(found[0], expected, rtol=1e-6, atol=1e-8 * expected.max())
        assert np.array_equal(found[1], found[0].T)


@pytest.mark.parametrize(
    "keys",
    [{"bits": 1}, {"bits": 2, "crest": 1.0}, {"bits": 3}, {"bits": 9, "crest": 2.0}, {"crest": 0.7}, {"crest": 3.0}],
)
def test_variance_of_converters(keys):
    """Against an integral over the normal density, piece by piece between the steps."""
    noise = Clocked(1e6, **keys)
    limit = noise.full_scale
    steps = 2 ** keys.get("bits", 9)
    ends = np.concatenate([[-12.0], (np.arange(1, steps) / steps * 2 - 1) * limit * steps / (steps - 1), [12.0]])
    if "bits" not in keys:
        ends = np.sort(np.concatenate([np.linspace(-12, 12, 301), [-limit, limit]]))
    x, w = np.polynomial.legendre.leggauss(20)
    found = 0.0
    for low, high in itertools.pairwise(ends):
        for a, b in ((low, (low + high) / 2), ((low + high) / 2, high)):
            points = a + (b - a) * (x + 1) / 2
            values = noise.shaped(points[:, None])
            found += (b - a) / 2 * (w * np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi) * values**2).sum()
    assert abs(found / noise.variance - 1) < 1e-6


def test_steps_scale_the_law():
    plain, stepped = (law_of(device(temperature=0.0, clock=2e7, **more)) for more in ({}, {"bits": 3, "crest": 2.5}))
    factor = Clocked(2e7, bits=3, crest=2.5).variance
    assert abs(factor - 1) > 0.01
    assert np.allclose(stepped.voltage_covariance, factor * plain.voltage_covariance, rtol=1e-12)


def test_spectra_and_bands_of_held_samples():
    made = device(clock=3e6)
    law = law_of(made)
    f = np.array([1e4, 3e5, 2.9e6, 4.5e6])
    white = law.white.noise_transfer(f)
    white[:, :, law.held] *= np.sinc(f / 3e6)[:, None, None]
    expected = np.einsum("fim,fjm->fij", white, white.conj())
    assert np.allclose(spu.spectrum(made, f).density, expected, rtol=1e-12)
    bands = [law.band_covariance(*each) for each in ((0, 2e5), (2e5, 7e6), (7e6, np.inf))]
    assert np.allclose(sum(bands), law.voltage_covariance, rtol=1e-9)
    spu.spectrum(made)  # holds its integral against the law


def test_a_clock_far_above_the_circuit_is_white():
    made = device("rlc", clock=1e12)
    found, white = spu.predict(made), spu.predict(made.at_detail(spu.Detail()))
    assert np.allclose(found.voltage_covariance, white.voltage_covariance, rtol=1e-5, atol=0)
    assert found.time_constants.tolist() == white.time_constants.tolist()


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ({"kind": "binary"}, "noise.kind means nothing without clock"),
        ({"clock": 1e6, "register": 8}, "register has no meaning for gaussian noise"),
        ({"clock": 1e6, "kind": "binary", "bits": 8}, "bits has no meaning for binary noise"),
        ({"clock": 1e6, "crest": 3.0}, "noise.crest means nothing without bits"),
        ({"clock": 1e6, "kind": "binary", "register": 99}, "must be a whole number from 2 to 48"),
        ({"clock": 1e6, "bits": 40}, "from 1 to 20"),
        ({"clock": 1e6, "kind": "binary", "register": 2, "summed": 2}, "take at least 3"),
    ],
)
def test_what_contradicts_itself_is_refused(noise, words):
    with pytest.raises(spu.InputError, match=words):
        spu.predict(device(**noise))


def test_refused_where_it_has_no_meaning():
    made = device(clock=1e6)
    made.ramp = spu.Ramp([0.0, 1e-6], couplers=[0.0, 1.0])
    with pytest.raises(spu.InputError, match="of circuits that stay as they are"):
        spu.predict(made)
    made = device(clock=1e6, kind="binary", register=10)
    with pytest.raises(spu.CircuitError, match="spectrum of lines"):
        spu.predict(made, band=(0.0, 1e5))
