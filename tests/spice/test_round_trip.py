"""Netlists as we write them, read back: the same circuit, to the last digits."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import m_matrix

import spu
from spu.base.errors import NonlinearNetlist
from spu.compiler import compile_problem
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.spice.reader import read_netlist

NETLISTS = Path(__file__).parents[2] / "netlists"
SIGNS = np.array([[2.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, 1.5]])  # frustrated: one product of signs is odd
MILD = np.array([[4.0, -1.0, -0.5], [-1.0, 3.0, 0.0], [-0.5, 0.0, 2.0]])


def _ordered(circuit, rename):
    """E, F, K K^T, s, H with states by name, and K's columns in the order of their sources."""
    sde = stochastic_ode(circuit)
    names = [rename(name).lower() for name in sde.state_names]
    order = np.argsort(names)
    columns = np.argsort([name.lower() for name in sde.noise_names])
    take = np.ix_(order, order)
    return {
        "names": [names[k] for k in order],
        "sources": [sde.noise_names[k].lower() for k in columns],
        "E": sde.E.toarray()[take],
        "F": sde.F.toarray()[take],
        "K": sde.K.toarray()[np.ix_(order, columns)],
        "s": sde.s[order],
        "H": sde.H.toarray()[:, order],
        "y0": sde.y0,
        "T": sde.readout.matrix.toarray(),
        "o": sde.readout.offset,
        "variables": sde.readout.variables,
        "probes": list(sde.probes),
    }


def assert_same(device, path, silent=()):
    device = device.members()[0]
    read = read_netlist(path, silent=silent)
    # A cell's node bears the cell's name; in the netlist it is cell_NAME.
    found, expected = _ordered(read.circuit, lambda name: name.replace("v(cell_", "v(")), _ordered(lower(device), str)
    for key in ("names", "sources", "variables", "probes"):
        assert found[key] == expected[key], key
    for key in ("E", "F", "K", "s", "H", "y0", "T", "o"):
        size = np.abs(expected[key]).max(initial=0.0)
        assert np.abs(found[key] - expected[key]).max(initial=0.0) <= 1e-12 * size, key
    assert read.circuit.temperature == device.temperature or device.temperature == 0
    assert len(read.noise) == len(read.circuit.sources)
    return read


def _problem(architecture):
    if architecture == "rc-transconductor" or architecture.endswith("dual"):
        return spu.GaussianSampling(precision=SIGNS, mean=[1.0, -2.0, 0.5])
    return spu.GaussianSampling(precision=m_matrix(np.random.default_rng(3), 4), mean=[1.0, -2.0, 0.5, 0.0])


@pytest.mark.parametrize("temperature", [0.0, 300.15, 77.0])
@pytest.mark.parametrize(
    "architecture",
    ["rlc-capacitive", "rc-resistive", "rlc-capacitive-dual", "rc-resistive-dual", "rc-transconductor"],
)
def test_every_architecture_reads_back(tmp_path, architecture, temperature):
    hardware = replace(spu.load_hardware("ideal"), temperature=temperature)
    device = spu.compile(_problem(architecture), hardware, architecture=architecture)
    (tmp_path / "device.cir").write_text(spu.netlist(device))
    read = assert_same(device, tmp_path / "device.cir")
    assert read.notes == () and "header" in read.probed_by
    kinds = {row.kind for row in read.noise}
    assert kinds == ({"trrandom"} if temperature == 0 else {"trrandom", "thermal"})


def test_reference_netlists_read_back():
    """That of nonlinear cells is refused as what it is."""
    regenerate = runpy.run_path(str(NETLISTS / "regenerate.py"))
    devices = regenerate["devices"]()
    assert {path.stem for path in NETLISTS.glob("*.cir")} == set(devices)
    for name, device in devices.items():
        if lower(device).nonlinear:
            with pytest.raises(NonlinearNetlist, match=r"not linear .* only ngspice can run this deck"):
                read_netlist(NETLISTS / f"{name}.cir")
        elif lower(device).ramped:  # read as it stands at the ramp's end, which has to be asked for
            with pytest.raises(spu.DeckError, match="--silent vramp_couplers goes on with its dc value"):
                read_netlist(NETLISTS / f"{name}.cir")
            assert_same(device, NETLISTS / f"{name}.cir", silent=["vramp_couplers"])
        else:
            assert_same(device, NETLISTS / f"{name}.cir")


def test_quantised_devices_and_ensembles_read_back(tmp_path):
    hardware = tmp_path / "banks.toml"
    hardware.write_text(
        'name = "banks"\ntemperature = 300.15\narchitectures = ["rlc-capacitive"]\n[cell]\n'
        "capacitance = { nominal = 1e-9, bits = 8, lsb = 3.2e-11, offset = 1.28e-10 }\n"
        "conductance = { nominal = 1e-3 }\ninductance = { nominal = 1e-5 }\nnoise = { nominal = 4e-20 }\n"
        "[coupler]\ncapacitance = { bits = 6, lsb = 3.2e-11, offset = 0.0 }\n"
    )
    made = compile_problem(spu.GaussianSampling(precision=MILD), hardware, ensemble=3)
    assert len(made.device.programmings) == 2
    (tmp_path / "device.cir").write_text(spu.netlist(made.device))
    assert_same(made.device, tmp_path / "device.cir")


def test_a_wide_mapping_that_the_header_leaves_out_is_said(tmp_path):
    device = spu.compile(spu.GaussianSampling(precision=np.eye(9) * 2 + 0.1), architecture="rc-resistive-dual")
    (tmp_path / "device.cir").write_text(spu.netlist(device))
    read = read_netlist(tmp_path / "device.cir")
    assert len(read.probes) == 18 and any("mapping" in note for note in read.notes)


def test_switched_banks_read_back(tmp_path):
    matrix = m_matrix(np.random.default_rng(1), 2, 8.0)
    device = spu.compile(spu.GaussianSampling(precision=matrix), hardware="spu8-switched")
    (tmp_path / "device.cir").write_text(spu.netlist(device))
    assert_same(device, tmp_path / "device.cir")
