"""Entropy production: against independent quadratures, and the second law.

Statistical assertions are at 5.7 standard errors: a false alarm in 1e8.
"""

import numpy as np
import pytest
from scipy.integrate import quad

from spu.base.errors import UsageError
from spu.compiler import compile_network
from spu.emulator.simulate import simulate_network
from spu.problems.network import ThermodynamicNetwork

SIGMAS = 5.7


def by_quad(J2, J4, field, kT):
    """Free energy and entropy over k of one unit, and its mean energy, by another quadrature."""

    def energy(x):
        return (J4 * x * x + J2) * x * x - field * x

    Z = quad(lambda x: np.exp(-energy(x) / kT), -8, 8, epsabs=0, epsrel=1e-12, limit=200)[0]
    mean = quad(lambda x: energy(x) * np.exp(-energy(x) / kT), -8, 8, epsrel=1e-11, limit=200)[0] / Z
    free = -kT * np.log(Z)
    return free, (mean - free) / kT


def test_free_energy_by_another_quadrature():
    network = ThermodynamicNetwork([1, -1, 1], 0, [1, 0.5, 0], input=[0.7, 0.2, 1.0], bias=[0.1, 0, 0], kT=0.5)
    cases = ((1, 1, 0.6), (-1, 0.5, 0.2), (1, 0, 1.0))
    assert network.free_energy() == pytest.approx(sum(by_quad(*case, 0.5)[0] for case in cases), abs=1e-10)


def test_free_energy_of_coupled_units():
    """A Gaussian in closed form; and with quartic terms the slope in an input, which is minus the mean."""
    pairs = [[0, 0.5], [0.5, 0]]
    gauss = ThermodynamicNetwork([1, 2], 0, 0, input=[1, 0], couplings=pairs, kT=0.7)
    form = np.array([[2, 0.5], [0.5, 4]])
    lowest = -0.5 * np.linalg.inv(form)[0, 0]
    assert gauss.free_energy() == pytest.approx(lowest - 0.35 * np.log((2 * np.pi * 0.7) ** 2 / np.linalg.det(form)))
    h = 1e-4
    network = ThermodynamicNetwork([1, -1], 0, 1, couplings=pairs, kT=0.7)
    up, down = (network.with_input([0.4 + each, 0]).free_energy() for each in (h, -h))
    assert (down - up) / (2 * h) == pytest.approx(network.with_input([0.4, 0]).moments()[0][0], abs=1e-7)


@pytest.mark.parametrize("kind", ["rc-conductance", "rlc-flux"])
def test_a_start_in_equilibrium_stays_there(kind):
    """Means and variances as by quadrature, at the start and after a while; nothing is produced."""
    network = ThermodynamicNetwork([1, -1], 0, [1, 0.5], input=[1, 0.3], kT=1.0)
    device = compile_network(network, "neurons", architecture=kind).device
    run = simulate_network(device, times=[0, 0.3], trajectories=4000, start="equilibrium", heat=True, step=0.002)
    mean, covariance = network.moments()
    assert (np.abs(run.mean - mean) < SIGMAS * run.mean_error).all()
    assert (np.abs(run.variance - np.diag(covariance)) < SIGMAS * run.variance_error).all()
    assert abs(run.heat.mean()) < SIGMAS * run.heat.std() / 4000**0.5  # velocities are at temperature too
    assert run.entropy.free_energy_change == 0
    assert not run.entropy.total.any()


@pytest.mark.parametrize("kind", ["rc-conductance", "rlc-flux"])
def test_entropy_of_a_ramp(kind):
    """A ramp from equilibrium, then a hold until equilibrium.

    The total is W - Delta F of another quadrature; its mean is positive (by tens of standard errors: the second law
    would be seen broken), Jarzynski's average of exp(-total) is 1, and the medium's entropy with the change of the
    law's own, by quadrature, is the same in the mean.
    """
    kT, trajectories = 0.5, 6000
    network = ThermodynamicNetwork([1, -0.5], 0, [1, 1], input=[0, 0.5], kT=kT)
    device = compile_network(network, "neurons", architecture=kind).device
    inputs = ([0, 0.4], [[0, 0.5], [2, -0.5]])
    run = simulate_network(
        device,
        times=[4.0],
        trajectories=trajectories,
        step=0.002,
        start="equilibrium",
        inputs=inputs,
        heat=True,
        seed=1,
    )
    before, after = (
        np.add(by_quad(1, 1, first, kT), by_quad(-0.5, 1, second, kT)) for first, second in ((0, 0.5), (2, -0.5))
    )
    entropy = run.entropy
    assert entropy.free_energy_change == pytest.approx((after - before)[0] / kT, abs=1e-6)
    assert entropy.total == pytest.approx(run.work - (after - before)[0] / kT, abs=1e-6)
    assert np.array_equal(entropy.medium, run.heat)
    root = trajectories**0.5
    error = entropy.total.std() / root
    assert entropy.total.mean() > 20 * error
    jarzynski = np.exp(-entropy.total)
    assert abs(jarzynski.mean() - 1) < SIGMAS * jarzynski.std() / root + 0.004  # the bias of this step is below 0.003
    gap = entropy.medium + (after - before)[1] - entropy.total
    assert abs(gap.mean()) < SIGMAS * gap.std() / root + 0.01


def test_what_is_not_known_is_said():
    coupled = ThermodynamicNetwork(1, 0, 1, couplings=[[0, 0.5], [0.5, 0]])
    device = compile_network(coupled, "neurons", architecture="rc-conductance").device
    run = simulate_network(device, times=[0.1], trajectories=8, heat=True)
    assert run.entropy.total is None
    assert "the law at the start" in run.entropy.why
    with pytest.raises(UsageError, match="no start in equilibrium: x1, x2 are coupled"):
        simulate_network(device, times=[0.1], start="equilibrium")
    with pytest.raises(UsageError, match='numbers or "equilibrium"'):
        simulate_network(device, times=[0.1], start="rest")
    cold = compile_network(ThermodynamicNetwork(input=1, kT=0), "ideal", architecture="rc-conductance").device
    run = simulate_network(cold, times=[0.1], trajectories=8, heat=True)
    assert run.entropy.medium is None
    assert run.entropy.why == "the temperature is zero"
