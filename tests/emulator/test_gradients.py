"""Derivatives of laws by all elements, against differences that are taken in many digits."""

import sys
from pathlib import Path

import numpy as np
import pytest

import spu
from spu.base.errors import CircuitError, InputError
from spu.device.hardware import LINEAR_ARCHITECTURES
from spu.emulator.laws import gradients

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from domain_cases import Refused, draw

A = np.array([[2.0, -0.5, 0.3], [-0.5, 1.0, 0.2], [0.3, 0.2, 1.5]])
DETAILS = (
    {},
    {"node": {"capacitance": 1e-12, "conductance": 1e-6}, "buffer": {"bandwidth": 1e8}},
    {"inductor": {"series_resistance": 1.0, "capacitance": 1e-12}},
)


def differences(device, elements):
    """By Richardson's extrapolation of three central differences: an error of the sixth order of 2e-3."""
    steps = np.array([5e-4, 1e-3, 2e-3])
    n, count = len(device.cell_names), len(elements)
    mean, covariance = np.empty((count, n)), np.empty((count, n, n))
    for k in range(count):
        factors = np.ones((6, count))
        factors[:, k] = np.exp(np.concatenate([steps, -steps]))
        laws = [spu.predict(spu.varied(device, row, elements)) for row in factors]
        for into, name in ((mean, "voltage_mean"), (covariance, "voltage_covariance")):
            found = np.array([getattr(law, name) for law in laws])
            slope = [(found[i] - found[i + 3]) / (2 * steps[i]) for i in range(3)]
            first = [(4 * slope[i] - slope[i + 1]) / 3 for i in range(2)]
            into[k] = (16 * first[0] - first[1]) / 15
    return mean, covariance


def hold(device, exact=True, within=1e-6):
    """All derivatives, and those of one figure by the adjoint; entries against how far cells move."""
    elements = spu.elements_of(device)
    found = spu.jacobian(device, elements)
    assert all((each is not None) == exact for each in gradients._derivatives(device, elements).found)
    mean, covariance = differences(device, elements)
    law = spu.predict(device)
    spread = np.sqrt(law.voltage_covariance.diagonal())
    scale = np.outer(spread, spread)
    largest = np.abs(covariance / scale).max()
    assert (np.abs(found.voltage_covariance - covariance) <= within * largest * scale).all()
    assert (np.abs(found.voltage_mean - mean) <= within * (spread + np.abs(law.voltage_mean))).all()
    rng = np.random.default_rng(1)
    W, w = rng.normal(size=scale.shape) / scale, rng.normal(size=len(spread)) / spread
    figure = np.einsum("eij,ij->e", found.voltage_covariance, W) + found.voltage_mean @ w
    by_adjoint = spu.gradient(device, covariance=W, mean=w, elements=elements)
    terms = np.einsum("eij,ij->e", np.abs(found.voltage_covariance), np.abs(W)) + np.abs(found.voltage_mean) @ np.abs(w)
    assert (np.abs(by_adjoint - figure) <= 1e-10 * terms.max()).all()
    return largest


@pytest.mark.parametrize("detail", DETAILS, ids=lambda each: "+".join(each) or "ideal")
@pytest.mark.parametrize("architecture", [name for name in LINEAR_ARCHITECTURES if name != "rc-drift"])
def test_every_architecture(architecture, detail):
    """With bias currents and thermal noise."""
    device = spu.compile(spu.GaussianSampling(precision=A, mean=[0.1, -0.2, 0.3]), architecture=architecture)
    device.temperature, device.detail = 300.0, spu.Detail(**detail)
    assert hold(device) > 0.1


def test_a_drift():
    hold(spu.compile(spu.LyapunovEquation([[1.0, 2.0], [-1.0, 0.5]], [[1.0, 0.3], [0.3, 2.0]])))


def test_quantised_values_with_errors():
    hardware = spu.load_hardware("spu8-8bit")
    hold(spu.compile(spu.GaussianSampling(precision=A), hardware=hardware))


def test_thermal_noise_alone_knows_no_resistances():
    """In equilibrium the law is kT C^-1: derivatives by all conductances and inductances are zero."""
    device = spu.Device(temperature=300.0)
    for k in range(3):
        device.add_cell(f"x{k}", capacitance=1e-9 * (1 + k), conductance=1e-3 * (1 + k), inductance=1e-6)
    for k in range(2):
        device.add_coupler(f"x{k}", f"x{k + 1}", capacitance=3e-10, conductance=2e-4)
    found, law = spu.jacobian(device), spu.predict(device)
    for name, change in zip(found.names, found.voltage_covariance, strict=True):
        share = np.abs(change).max() / law.voltage_covariance.max()
        assert share > 0.01 if name.startswith("capacitance") else share < 1e-12


def test_inductors_in_series_and_conserved_charges():
    """Equations that are reduced in general, and ones from which charges and fluxes around loops were taken."""
    device = spu.Device(temperature=0.0)
    for k in range(3):
        device.add_cell(f"l{k}", capacitance=1e-9, conductance=1e-3 * (1 + k), inductance=1e-6, noise=4e-20 * (1 + k))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        device.add_coupler(f"l{a}", f"l{b}", inductance=2e-6 * (1 + a))
    device.add_cell("island", capacitance=1e-9)
    device.add_coupler("island", "l0", capacitance=5e-10)
    hold(device)


def test_what_a_clamp_holds():
    device = spu.Device(temperature=300.0)
    for k in range(3):
        device.add_cell(f"x{k}", capacitance=1e-9 * (1 + k), conductance=1e-3, noise=4e-20)
    device.add_cell("held", capacitance=1e-9, clamp=0.5)
    for k in range(3):
        device.add_coupler("held", f"x{k}", conductance=1e-4 * (1 + k), capacitance=1e-10)
    elements = spu.elements_of(device)
    mean, covariance = differences(device, elements)
    found, law = spu.jacobian(device, elements), spu.predict(device)
    assert np.abs(found.voltage_mean - mean).max() < 1e-6 * law.voltage_mean.max()
    assert np.abs(found.voltage_covariance - covariance).max() < 1e-6 * law.voltage_covariance.max()


def test_devices_of_the_whole_domain():
    done = 0
    for seed in range(18):
        try:
            device = draw(seed).subject
        except Refused:
            continue
        if (
            not isinstance(device, spu.Device)
            or len(device.cell_names) > 4
            or device.detail.switch
            or device.programmings
        ):
            continue
        elements = spu.elements_of(device)
        found = gradients._derivatives(device, elements).found
        if all(each is not None for each in found) and (spu.predict(device).voltage_covariance.diagonal() > 0).all():
            hold(device)
            done += 1
    assert done > 2


def test_where_there_are_no_derivatives_differences_are_taken(monkeypatch):
    device = spu.compile(A, architecture="rc-resistive")
    exact = spu.jacobian(device)
    monkeypatch.setattr(gradients, "factored", lambda *_: None)
    other = spu.compile(A, architecture="rc-resistive")
    other.temperature = device.temperature
    found = spu.jacobian(other)
    assert gradients._derivatives(other, spu.elements_of(other)).law is None
    scale = np.abs(exact.voltage_covariance).max()
    assert np.abs(found.voltage_covariance - exact.voltage_covariance).max() < 1e-8 * scale


def test_what_is_refused():
    device = spu.compile(A)
    with pytest.raises(InputError, match="derivatives of a figure"):
        spu.gradient(device, covariance=np.eye(2))
    with pytest.raises(InputError, match="derivatives of a figure"):
        spu.gradient(device, mean=[np.nan, 0.0, 0.0])
    unstable = spu.Device(temperature=0.0)
    unstable.add_cell("a", capacitance=1e-9, conductance=1e-3, active_conductance=-2e-3, noise=4e-20)
    with pytest.raises(CircuitError, match="unstable"):
        spu.gradient(unstable)
