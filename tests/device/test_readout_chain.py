"""Readouts as elements: closed forms, what changes nothing, what is refused, files and options."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import CircuitError, InputError, OptionError
from spu.cli import cli
from spu.device.hardware_file import hardware_from_dict
from spu.device.lower import lower
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.law import solve

S, C, G = 4e-18, 1e-9, 1e-3
RATE = G / C
VARIANCE = S / (4 * G * C)


def device(names="a", *, start=None, **readout):
    """RC cells side by side at 0 K."""
    made = spu.Device(temperature=0.0, detail=spu.Detail(readout=readout))
    for k, name in enumerate(names):
        made.add_cell(name, capacitance=C, conductance=G, noise=S * (1 + k))
    if start is not None:
        made.set_start(start)
    return made


def test_one_pole_behind_a_cell():
    """Two poles in series leave ``VARIANCE w / (w + RATE)``, and noise of the pole's own ``n^2 w / 4``."""
    bandwidth, noise = 3e5, 2e-8
    w = 2 * np.pi * bandwidth
    found = spu.predict(device(bandwidth=bandwidth, noise=noise)).covariance[0, 0]
    assert found == pytest.approx(VARIANCE * w / (w + RATE) + noise**2 * w / 4, rel=1e-12)
    times = spu.predict(device(bandwidth=bandwidth)).time_constants
    assert sorted(times) == pytest.approx(sorted([1 / w, 1 / RATE]), rel=1e-12)


def test_the_cell_is_not_loaded():
    """Its own voltage stays what it was: the chain is behind a buffer."""
    circuit = lower(device("ab", bandwidth=1e4, crosstalk=0.1))
    law = solve(stochastic_ode(replace(circuit, probe_nodes=np.array([[0, -1], [1, -1]]))))
    assert np.allclose(law.voltage_covariance, np.diag([VARIANCE, 2 * VARIANCE]), rtol=1e-12)


def test_gain_offset_and_crosstalk_without_a_pole():
    """An algebraic map: ``T v + offset``, T with the neighbours' share beside its diagonal."""
    gain, cross, offset = -0.02, 0.05, 1e-3
    found = spu.predict(device("abcd", gain_error=gain, crosstalk=cross, offset=offset))
    T = (1 + gain) * np.eye(4) + cross * (np.eye(4, k=1) + np.eye(4, k=-1))
    own = VARIANCE * np.diag([1.0, 2.0, 3.0, 4.0])
    assert np.allclose(found.covariance, T @ own @ T.T, rtol=1e-12, atol=1e-22)
    assert np.allclose(found.mean, offset, rtol=1e-12)


def test_ideal_readouts_change_nothing():
    """Not a byte of the netlist, the circuit's probes where they were."""
    plain = device("ab")
    assert "readout" not in spu.netlist(plain) and not lower(plain).reads_inside
    assert lower(plain).acquisition is None


def test_spectrum_is_that_of_the_pole():
    bandwidth = 2e5
    f = np.array([0.0, 1e5, 1e6])
    shaped, plain = (spu.spectrum(made, f).density[:, 0, 0].real for made in (device(bandwidth=bandwidth), device()))
    assert shaped == pytest.approx(plain / (1 + (f / bandwidth) ** 2), rel=1e-12)


def test_runs_read_behind_the_chain():
    """The guard holds them against the law; moments within six standard errors."""
    made = device("ab", bandwidth=1e5, crosstalk=0.1, offset=1e-3)
    found, run = spu.predict(made), spu.simulate(made, samples=4000, seed=1)
    assert (np.abs(run.covariance - found.covariance) < 6 * run.covariance_error).all()
    assert (np.abs(run.mean - found.mean) < 6 * run.mean_error).all()


def test_boards_differ_in_their_readouts():
    """Bandwidth, offset and gain error are elements; a converter's bits are none."""
    made = device("ab", bandwidth=1e5, offset=1e-3, bits=8, full_scale=1.0)
    elements = spu.elements_of(made)
    names = [name for name in elements.names if name.startswith("readout")]
    assert names == ["readout.bandwidth", "readout.offset", "readout.full_scale"]
    factors = np.ones(len(elements))
    factors[elements.number("readout.offset")] = 1.1
    assert spu.varied(made, factors).detail["readout.offset"] == pytest.approx(1.1e-3)


def test_acquisition_of_a_device():
    made = device(sampling_rate=1e6, jitter=1e-9, bits=12, full_scale=1.0, sample_noise=1e-4)
    assert lower(made).acquisition == spu.Acquisition(
        sampling_rate=1e6, jitter=1e-9, bits=12, full_scale=1.0, noise=1e-4
    )


@pytest.mark.parametrize(
    ("readout", "words"),
    [
        ({"noise": 1e-8}, "detail.readout.noise means nothing without bandwidth"),
        ({"jitter": 1e-9}, "means nothing without sampling_rate"),
        ({"bits": 8}, "means nothing without full_scale"),
        ({"bits": 30, "full_scale": 1.0}, "at most 24"),
        ({"bits": 7.5, "full_scale": 1.0}, "whole number"),
        ({"gain_error": -1.0}, "no gain is left"),
        ({"bandwith": 1e5}, "bandwidth"),
        ({"bandwidth": -1.0}, "must be positive"),
    ],
)
def test_what_makes_no_sense_is_refused(readout, words):
    with pytest.raises(InputError, match=words):
        device(**readout)


def test_what_has_no_meaning_is_refused_by_name():
    network = spu.compile(spu.ThermodynamicNetwork(J2=1.0, J4=1.0, units=2))
    network.detail = spu.Detail(readout={"bandwidth": 1e5})
    with pytest.raises(InputError, match="of linear cells"):
        lower(network)
    with pytest.raises(InputError, match="a start says where cells are"):
        lower(device(start=[1.0], bandwidth=1e5))
    with pytest.raises(OptionError, match="is followed by voltages as they are"):
        spu.relaxation(device(bits=8, full_scale=1.0), start=[1e-3], times=[1e-6])
    with pytest.raises(OptionError, match="behind amplifiers"):
        spu.relaxation(device(bandwidth=1e5), start=[1e-3], times=[1e-6])
    assert spu.relaxation(device(bandwidth=1e5), start="rest", times=[1e-6]).variance[0, 0] > 0
    with pytest.raises(CircuitError, match="no Langevin equation"):
        spu.predict_network(device(bits=8, full_scale=1.0))
    held = device(bits=8, full_scale=1.0)
    held.detail = spu.Detail(readout={"bits": 8, "full_scale": 1.0}, noise={"clock": 1e7})
    with pytest.raises(InputError, match="under held noise"):
        lower(held)
    with pytest.raises(InputError, match="only, not for xyce"):
        spu.netlist(device(bandwidth=1e5), dialect="xyce")


TOML = {
    "name": "bench",
    "temperature": 0.0,
    "architectures": ["rc-resistive"],
    "cell": {
        "capacitance": {"nominal": C},
        "conductance": {"nominal": G},
        "noise": {"nominal": S},
    },
    "readout": {"noise_floor": 1e-6, "full_swing": 1.0, "bandwidth": 1e7, "bits": 10, "full_scale": 2e-3},
}


def test_hardware_files_say_both():
    """What the readout can tell apart, and how it is built, in one table; the device has the latter as its detail."""
    hardware = hardware_from_dict(TOML)
    assert hardware.readout.full_swing == 1.0
    assert hardware.detail.readout == {"bandwidth": 1e7, "bits": 10, "full_scale": 2e-3}
    assert hardware_from_dict(hardware.to_dict()) == hardware
    made = spu.compile([[2.0, -0.5], [-0.5, 1.0]], hardware)
    assert made.detail.readout["bits"] == 10
    assert lower(made).acquisition == spu.Acquisition(bits=10, full_scale=2e-3)


def test_the_command_line_says_it(tmp_path):
    made = device("ab", sampling_rate=1e6, bits=6, full_scale=1e-3, bandwidth=1e6)
    made.write(tmp_path / "device.json")
    run = CliRunner()
    shown = run.invoke(cli, ["predict", str(tmp_path / "device.json"), "--json"])
    found = json.loads(shown.stdout)
    assert found["acquisition"] == {"sampling_rate": 1e6, "bits": 6, "full_scale": 1e-3}
    assert np.allclose(found["circuit"]["covariance"], spu.predict(made).circuit.covariance)
    assert np.allclose(found["clipping"], spu.predict(made).clipping)
    for words in (["predict"], ["simulate", "--samples", "200"], ["inspect"]):
        said = run.invoke(cli, [*words[:1], str(tmp_path / "device.json"), *words[1:]])
        assert said.exit_code == 0, said.output
    refused = run.invoke(cli, ["predict", str(tmp_path / "device.json"), "--band", "1", "2"])
    assert refused.exit_code == 2 and "--band is of readouts that are continuous" in refused.stderr


def test_boards_that_a_netlist_draws_itself():
    """The bandwidth that all readouts share is drawn once a board."""
    made = device("ab", bandwidth=1e6, bits=4, full_scale=1e-2)
    made.tolerance = spu.Tolerance(detail={"readout.bandwidth": spu.Spread(process=0.05)})
    text = spu.netlist(made, monte_carlo=5)
    assert ".param cro_mc={cro/(process_detail_readout_bandwidth)}" in text and "bcode_a" in text


def test_answers_are_read_on_the_clock():
    """Readouts of a task are a whole number of samples apart, and what is read has the task's error."""
    hardware = hardware_from_dict({**TOML, "readout": {"sampling_rate": 1e7, "bits": 12, "full_scale": 1e-2}})
    A = np.array([[2.0, -0.5], [-0.5, 1.0]])
    found = spu.answer(spu.MatrixInverse(A), hardware=hardware, time=1e-3, seed=1)
    assert (np.abs(found.answer - np.linalg.inv(A)) < 6 * found.standard_error).all()
