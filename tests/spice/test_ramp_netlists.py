"""Netlists of ramps: their sources and elements, in ngspice by themselves, and read back."""

from __future__ import annotations

import re

import numpy as np
import pytest

import spu
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.spice.simulators.ngspice import Step, run

JUMPS = spu.Ramp([0.0, 0.0, 1e-6, 1e-6, 2e-6], couplers=[0.5, 0.0, 0.25, 0.5, 0.8], noise=[1.0, 1.0, 1.0, 2.0, 2.0])


def _device(**coupler: float | tuple[float, float]) -> spu.Device:
    device = spu.Device()
    for name in ("a", "b"):
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, noise=4e-20)
    device.add_coupler("a", "b", **coupler)
    device.ramp = JUMPS
    return device


def test_one_source_a_factor_with_the_end_at_dc() -> None:
    text = spu.netlist(_device(capacitance=1e-10))
    found = re.search(r"^vramp_couplers ramp_couplers 0 dc 0.8 pwl\((.*?)\+ \)", text, re.S | re.M)
    assert found is not None
    numbers = [float(word) for word in found[1].replace("+", " ").split()]
    times, factors = np.array(numbers[::2]), numbers[1::2]
    assert factors == [0.5, 0.0, 0.25, 0.5, 0.8] and (np.diff(times) > 0).all()
    edges = times[1] - times[0], times[3] - times[2]
    assert times[0] == 0.0 and times[3] + times[2] == pytest.approx(2e-6) and edges[0] == pytest.approx(edges[1])
    said = re.search(r"A jump takes ([\d.e-]+) s", text)
    assert said is not None and edges[0] == pytest.approx(float(said[1]), rel=1e-2)
    assert "vramp_noise ramp_noise 0 dc 2.0 pwl(" in text


def test_factors_that_are_always_one_are_not_printed() -> None:
    device = _device(capacitance=1e-10)
    device.ramp = spu.Ramp([0.0, 1e-6], couplers=[0.0, 1.0])
    text = spu.netlist(device)
    assert "vramp_couplers" in text and "ramp_noise" not in text and "factor_n" not in text
    device.ramp = spu.Ramp([0.0, 1e-6])
    plain = _device(capacitance=1e-10)
    plain.ramp = None
    circuits = [
        [line for line in spu.netlist(each).partition("* ---- analysis")[0].splitlines() if "for device" not in line]
        for each in (device, plain)
    ]
    assert circuits[0] == circuits[1]


def test_other_dialects_and_couplers_of_units_refuse_a_ramp_in_one_line() -> None:
    for dialect in ("ltspice", "xyce"):
        with pytest.raises(spu.InputError, match=f"ramp are written for ngspice and spectre.* only, not for {dialect}"):
            spu.netlist(_device(capacitance=1e-10), dialect=dialect)
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]], "spu8-switched")
    device.ramp = JUMPS
    with pytest.raises(spu.InputError, match="switched units"):
        spu.netlist(device)


def test_a_coupling_capacitor_in_ngspice_keeps_its_charge_as_its_factor_changes() -> None:
    """1 nC in, then ramped with nothing to carry it off: ``v = C(u)^-1 q`` at each factor."""
    deck = """charge
    .subckt coupler_c a b factor_c c=0
    c1 a b q='c*v(factor_c)*v(a,b)'
    .ends
    ca a 0 1e-9
    cb b 0 2e-9
    xc a b u coupler_c c=5e-10
    vu u 0 dc 1 pwl(0 0 1u 0 1.001u 0.5 2u 0.5 3u 1)
    ia 0 a dc 0 pwl(0 0 1n 1m 100n 1m 101n 0)
    """
    (found,) = run(
        deck + ".end\n", [Step(("tran 1n 3.2u 0 1n uic",), "tran", ("time", "a", "b"), 3.2e-6)], time_limit=60.0
    )
    for t, u in ((0.9e-6, 0.0), (1.5e-6, 0.5), (2.5e-6, 0.75), (3.1e-6, 1.0)):
        C = np.array([[1e-9 + 5e-10 * u, -5e-10 * u], [-5e-10 * u, 2e-9 + 5e-10 * u]])
        v = [np.interp(t, found["time"], found[node].real) for node in ("a", "b")]
        np.testing.assert_allclose(v, np.linalg.solve(C, [1e-3 * 100e-9, 0.0]), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize(
    "coupler", [{"capacitance": 1e-10}, {"conductance": 3e-4}, {"transconductance": (2e-4, -1e-4)}], ids=str
)
def test_a_netlist_is_read_back_as_the_circuit_at_its_end(tmp_path, coupler) -> None:
    device = _device(**coupler)
    (tmp_path / "device.cir").write_text(spu.netlist(device))
    with pytest.raises(spu.DeckError, match="--silent vramp_couplers goes on with its dc value"):
        spu.read_netlist(tmp_path / "device.cir")
    read = spu.read_netlist(
        tmp_path / "device.cir", probes=["a=cell_a", "b=cell_b"], silent=["vramp_couplers", "vramp_noise"]
    )
    found, known = stochastic_ode(read.circuit), stochastic_ode(lower(device))
    for name in ("E", "F"):
        np.testing.assert_allclose(getattr(found, name).toarray(), getattr(known, name).toarray(), rtol=1e-12)
    both = [each.K.toarray() @ each.K.toarray().T for each in (found, known)]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5)


def test_a_product_of_voltages_that_no_source_holds_is_still_refused(tmp_path) -> None:
    (tmp_path / "deck.cir").write_text("t\nr1 a 0 1k\nc1 a 0 1n\nr2 b 0 1k\nc2 b 0 1n\nb1 a 0 i=v(a)*v(b)\n.end\n")
    with pytest.raises(spu.NonlinearNetlist, match="only ngspice"):
        spu.read_netlist(tmp_path / "deck.cir")
    (tmp_path / "deck.cir").write_text("t\nr1 a 0 1k\nc1 a b q='1e-9*v(a)'\nr2 b 0 1k\n.end\n")
    with pytest.raises(spu.NonlinearNetlist, match="no multiple of its voltage"):
        spu.read_netlist(tmp_path / "deck.cir")
