"""Netlists in the styles of schematic tools, set beside ngspice's own .ac: every source to every readout."""

from pathlib import Path

import numpy as np
import pytest

import spu
from spu.sde import stochastic_ode
from spu.spice.deck import read_deck
from spu.spice.ngspice import Step, run
from spu.spice.reader import read_netlist

DECKS = sorted(path for path in (Path(__file__).parent / "decks").iterdir() if path.is_file())
FREQUENCIES = np.geomspace(10.0, 1e7, 61)


def _transfer(sde):
    """(f, p, m) from noise sources of density one to probes."""
    E, F, K, H, D = (matrix.toarray() for matrix in (sde.E, sde.F, sde.K, sde.H, sde.D))
    columns = [H @ np.linalg.solve(2j * np.pi * f * E - F, K) + D for f in FREQUENCIES]
    return np.array(columns) * np.sqrt(2.0)  # a one-sided density S enters as sqrt(S/2)


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.name)
def test_transfer_functions_are_ngspices(path):
    plain = read_netlist(path)
    assert plain.inputs and "named on" in plain.probed_by
    inputs = {row.name: 1.0 for row in plain.inputs}
    # All resistors silent: what is left are the sources, as white noise of density one.
    read = read_netlist(path, densities=inputs, silent=[row.name for row in plain.noise if row.name not in inputs])
    found = _transfer(stochastic_ode(read.circuit))
    names = [source.name for source in read.circuit.sources]
    assert sorted(names) == sorted(inputs)

    # Nodes as ngspice's command language can say them.
    taps = [f"etap{k} tap{k} 0 {probe.plus} {probe.minus} 1" for k, probe in enumerate(read.probes)]
    deck = read_deck(path).text(extra=tuple(taps))
    elements = {name: name if "." not in name else f"{name.split('.')[-1][0]}.{name}" for name in names}
    steps = []
    for name in names:
        quiet = [f"alter {elements[other]} acmag={float(other == name)}" for other in names]
        sweep = f"ac dec 10 {FREQUENCIES[0]} {FREQUENCIES[-1]}"
        steps.append(Step((*quiet, sweep), "ac", tuple(f"tap{k}" for k in range(len(taps)))))
    results = run(deck, steps, time_limit=60.0)
    for k, result in enumerate(results):
        expected = np.array([result[f"tap{j}"] for j in range(len(taps))]).T
        assert expected.shape == found[:, :, k].shape
        size = np.abs(expected).max()
        if size == 0:  # a current into a node that a voltage source holds
            assert np.abs(found[:, :, k]).max() < 1e-9 * np.abs(found).max()
            continue
        assert np.abs(found[:, :, k] - expected).max() < 1e-6 * size, names[k]
        # And entry by entry where there is anything to compare.
        seen = np.abs(expected) > 1e-6 * size
        assert np.abs(found[:, :, k] / np.where(seen, expected, 1.0) - 1)[seen].max() < 1e-6, names[k]


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.name)
def test_operating_points_are_ngspices(path):
    read = read_netlist(path, silent=[row.name for row in read_netlist(path).noise])
    sde = stochastic_ode(read.circuit)
    state = -np.linalg.solve(sde.F.toarray(), sde.s)
    found = sde.H @ state + sde.y0
    taps = [f"etap{k} tap{k} 0 {probe.plus} {probe.minus} 1" for k, probe in enumerate(read.probes)]
    deck = read_deck(path).text(extra=tuple(taps))
    (result,) = run(deck, [Step(("op",), "op", tuple(f"tap{k}" for k in range(len(taps))))], time_limit=30.0)
    expected = np.array([result[f"tap{k}"][0] for k in range(len(taps))])
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9 * np.abs(expected).max() + 1e-12)


def test_a_deck_is_told_by_its_table():
    read = read_netlist(Path(__file__).parent / "decks" / "ltspice_coupled.net")
    kinds = {row.name: (row.kind, row.density) for row in read.noise}
    assert set(kinds) == {"r1", "r2", "r3", "r4"}
    assert kinds["r2"] == ("thermal", pytest.approx(4 * 1.380649e-23 * 300.15 / 10e3, rel=1e-12))
    assert [str(probe) for probe in read.probes] == ["out1 = v(out1)", "out2 = v(out2)", "fb = v(fb)"]
    assert [(row.name, row.ac) for row in read.inputs] == [("v1", True)]
    stats = spu.predict(read.circuit)
    assert stats.variables == ("out1", "out2", "fb") and np.all(np.diag(stats.covariance) > 0)
