"""Held noise from hardware and device files to the circuit: what is kept, what each key costs."""

import numpy as np
import pytest

import spu
from spu.device.subject import circuits
from spu.emulator.dynamics import linear

HARDWARE = """
name = "board"
temperature = 300.15
cells = 4
architectures = ["rlc-capacitive"]
[cell]
capacitance = { nominal = 1e-9 }
conductance = { nominal = 1e-3 }
inductance = { nominal = 1e-5 }
noise = { nominal = 4e-20 }
[coupler]
capacitance = { min = 0.0 }
[noise]
clock = 2e7
kind = "binary"
register = 12
"""


def rc(**noise):
    made = spu.Device(temperature=300.15, detail=spu.Detail(noise=noise))
    for name, conductance in (("a", 1e-3), ("b", 2e-3)):
        made.add_cell(name, capacitance=1e-9, conductance=conductance, noise=4e-20)
    made.add_coupler("a", "b", conductance=5e-4)
    return made


def test_from_hardware_to_files_and_back(tmp_path):
    (tmp_path / "board.toml").write_text(HARDWARE)
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], hardware=str(tmp_path / "board.toml"), detail="all")
    assert device.detail.noise == {"clock": 2e7, "kind": "binary", "register": 12}
    device.write(tmp_path / "device.json")
    again = spu.Device.read(tmp_path / "device.json")
    (circuit,) = circuits(again)
    assert circuit.clocked == spu.Clocked(2e7, kind="binary", register=12)
    assert np.array_equal(spu.predict(again).covariance, spu.predict(device).covariance)
    assert [source.name for source in circuit.sources if source.clocked] == ["n_x1", "n_x2"]
    assert spu.Clocked.from_dict(circuit.clocked.to_dict()) == circuit.clocked


def test_each_key_has_its_line_in_the_budget():
    """Alone: the clock of independent bits; the register beside it; both add up to the whole, but for rounding."""
    device = rc(clock=5e6, kind="binary", register=5)
    budget = spu.error_budget(device)
    assert [line.effect for line in budget.lines] == ["noise.clock", "noise.register"]
    assert abs(budget.sum + budget.rest.share - budget.relative_error) < 1e-12
    assert abs(budget.rest.share) < 1e-9
    ideal = spu.predict(device.at_detail(spu.Detail())).covariance
    clock = spu.predict(rc(clock=5e6)).covariance
    assert budget.lines[0].norm == pytest.approx(np.linalg.norm(clock - ideal) / np.linalg.norm(ideal), rel=1e-9)


def test_filters_stand_behind_the_samples():
    """With a bandwidth the low-pass hears the held samples; 1/f noise beside them stays white at its poles."""
    flicker = {"flicker_corner": 1e5, "flicker_low": 1e4, "flicker_high": 1e6}
    (circuit,) = circuits(rc(clock=3e6, bandwidth=2e6, **flicker))
    held = {source.name for source in circuit.sources if source.clocked}
    assert held == {"n_a", "n_b"}
    law = linear(circuit).law
    only = rc(clock=3e6, bandwidth=2e6)
    only.temperature = 0.0
    quiet = linear(circuits(only)[0]).law
    f = np.array([1e5, 2.9e6])
    ratio = np.abs(quiet.noise_transfer(f)) / np.abs(quiet.white.noise_transfer(f))
    assert np.allclose(ratio, np.abs(np.sinc(f / 3e6))[:, None, None])
    assert np.trace(law.voltage_covariance) > np.trace(quiet.voltage_covariance)


def test_shared_sources_have_the_clock():
    device = rc(clock=3e6)
    device.add_noise("w", {"a": 1e-10, "b": -1e-10})
    (circuit,) = circuits(device)
    assert {source.name for source in circuit.sources if source.clocked} == {"n_a", "n_b", "w_w"}
    assert spu.predict(device).covariance[0, 1] < spu.predict(rc(clock=3e6)).covariance[0, 1]


def test_many_boards_have_the_same_law():
    device = rc(clock=3e6, bits=4)
    elements = spu.elements_of(device)
    factors = spu.draw_factors(elements, spu.Tolerance(cell={"conductance": 0.05}), 3, seed=1)
    many = spu.laws_of_draws(device, factors, elements)
    for k in range(3):
        one = spu.predict(spu.varied(device, factors[k], elements))
        assert np.allclose(many.voltage_covariance[k], one.voltage_covariance, rtol=1e-9)


def test_nonlinear_cells_refuse_it():
    network = spu.compile(spu.ThermodynamicNetwork(J2=1.0, J4=1.0, units=2))
    network.detail = spu.Detail(noise={"clock": 1e6})
    with pytest.raises(spu.InputError, match=r"held noise \(noise.clock\)"):
        spu.predict(network)


def test_too_large_is_refused():
    device = spu.Device(detail=spu.Detail(noise={"clock": 1e6}))
    for k in range(620):
        device.add_cell(f"c{k}", capacitance=1e-9, conductance=1e-3, noise=4e-20)
    with pytest.raises(spu.CircuitError, match="620 states are too many"):
        spu.predict(device)


@pytest.mark.parametrize(
    "call", [spu.predict_network, lambda device: spu.relaxation(device, start=[1.0, 0.0], times=[1e-6])]
)
def test_white_noise_only(call):
    with pytest.raises(spu.SpuError, match=r"leave noise\.clock out"):
        call(rc(clock=1e6))
