"""Netlists in the styles of schematic tools, set beside ngspice's own .ac: every source to every readout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spu
from spu.emulator.equations.linear import stochastic_ode
from spu.folder import read_folder, write_import
from spu.spice.deck import read_deck
from spu.spice.reader import read_netlist
from spu.spice.simulators.ngspice import Step, run

OWN = "kicad6_club8.cir"
"""A device of ours as KiCad writes it, with noise sources and no inputs: tests/crosscheck/test_schematic_nodes.py."""

FOLDER = Path(__file__).parents[1] / "decks"
DECKS = sorted(path for path in FOLDER.iterdir() if path.is_file() and path.name != OWN)
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
    read = read_netlist(Path(__file__).parents[1] / "decks" / "ltspice_coupled.net")
    kinds = {row.name: (row.kind, row.density) for row in read.noise}
    assert set(kinds) == {"r1", "r2", "r3", "r4"}
    assert kinds["r2"] == ("thermal", pytest.approx(4 * 1.380649e-23 * 300.15 / 10e3, rel=1e-12))
    assert [str(probe) for probe in read.probes] == ["out1 = v(out1)", "out2 = v(out2)", "fb = v(fb)"]
    assert [(row.name, row.ac) for row in read.inputs] == [("v1", True)]
    stats = spu.predict(read.circuit)
    assert stats.variables == ("out1", "out2", "fb") and np.all(np.diag(stats.covariance) > 0)


# --- checks of such netlists ------------------------------------------------------------------

LEVELS = ["op", "ac", "replay"]
SOURCES = """noise of every kind, in definitions and in definitions within them
.param en=1u
.options temp=50
v1 in 0 dc 0.2 ac 1
xa in out stage r=1k
xb out far stage r=3k
i1 0 far dc 2u trnoise({en*1e-3} 1u 0 0) ac 2
i2 far 0 dc 0 sin(0 1 1k)
rq far 0 7k noisy=0
rs far 0 9k
hs h 0 vs 2k
vs far s dc 10m trrandom(2 2u 0 3u 0)
rs2 s 0 4k
rh h h2 1k
ch h2 0 1n
vt t 0 trrandom(2 1u 0 1n 0)
rt far 0 2k
grt 0 far t 0 {sqrt(4*1.380649e-23*323.15/2k/2e-24)}
.subckt stage a b r=1k
r1 a m {r}
v1 m n dc {r*1u} trrandom(2 1u 0 {r*1e-9} 0)
r2 n b {r}
c1 b 0 10n
x3 n pull
.subckt pull p
i3 p 0 1u trrandom(2 1u 0 1n 0)
.ends
.ends
.save v(out) v(far) v(h2,out)
.end
"""


def _changed(folder, name, factor):
    """The folder with the emulator's value of one element another one, in all its instances."""
    groups = [
        replace(group, parameters={**group.parameters, name: factor * group.parameters[name]})
        if name in group.parameters
        else group
        for group in folder.subject.instances
    ]
    return replace(folder, subject=replace(folder.subject, instances=groups))


@pytest.mark.parametrize("name", ["kicad_filter.cir", "ltspice_coupled.net", "nested_scopes.sp"])
def test_netlists_from_elsewhere_are_checked(tmp_path, name):
    write_import(tmp_path / "made", read_netlist(Path(__file__).parents[1] / "decks" / name))
    found = spu.check(tmp_path / "made", levels=LEVELS)
    assert {level.name: level.verdict for level in found.levels.values()} == dict.fromkeys(LEVELS, "pass"), found
    assert found.levels["ac"].data["unexpected_noise"] < 5e-6


def test_a_change_of_two_percent_is_found(tmp_path):
    write_import(tmp_path / "made", read_netlist(Path(__file__).parents[1] / "decks" / "kicad_filter.cir"))
    folder = read_folder(tmp_path / "made")
    found = spu.check(_changed(folder, "r3", 1.02), levels=LEVELS)
    assert {level.verdict for level in found.levels.values()} == {"fail"}, found.levels


def _import_sources(tmp_path):
    (tmp_path / "sources.cir").write_text(SOURCES)
    read = read_netlist(
        tmp_path / "sources.cir", silent=["i2", "rs", "xa.x3.i3", "r.xb.r1"], densities={"xb.x3.i3": 3e-22}
    )
    write_import(tmp_path / "made", read)
    return read


def test_noise_of_every_kind_is_driven_where_it_sits(tmp_path):
    read = _import_sources(tmp_path)
    kinds = {row.name: row.kind for row in read.noise}
    assert kinds == {
        **dict.fromkeys(["t", "rs2", "rh", "xa.r1", "xa.r2", "xb.r2"], "thermal"),
        **dict.fromkeys(["vs", "xa.v1", "xb.v1"], "trrandom"),
        "i1": "trnoise",
        "xb.x3.i3": "density",
    }
    found = spu.check(tmp_path / "made", levels=[*LEVELS, "noise"])
    assert {level.verdict for level in found.levels.values()} == {"pass"}, found.levels
    assert any("in place of" in note and "vs" in note for note in found.notes)


@pytest.mark.parametrize("noise", ["gi1", "ev1", "r2"])
def test_noise_of_another_density_is_found(tmp_path, noise):
    _import_sources(tmp_path)
    found = spu.check(_changed(read_folder(tmp_path / "made"), noise, 1.02), levels=["ac"])
    assert found.verdict == "fail"


def test_what_the_netlist_declares_is_asked_of_ngspice(tmp_path):
    # The emulator's idea of sources that .noise is deaf to, and what drives them, changed together.
    read = _import_sources(tmp_path)
    sources = [
        replace(source, origin=replace(source.origin, gain=source.origin.gain * 1.01))
        if source.name in ("xa.v1", "xb.v1")
        else source
        for source in read.circuit.sources
    ]
    folder = _changed(read_folder(tmp_path / "made"), "ev1", 1.01**2)
    changed = replace(folder.read, circuit=replace(read.circuit, sources=sources))
    found = spu.check(replace(folder, read=changed), levels=["ac"]).levels["ac"]
    assert found.verdict == "fail" and ".v1: density off by 0.02" in found.message


def test_an_edited_netlist_is_held_against_the_imported_one(tmp_path):
    """With sources declared and resistors silenced, of which no analysis of the simulator's hears the sum."""
    _import_sources(tmp_path)
    found = spu.check(tmp_path / "made", netlist=tmp_path / "sources.cir", levels=["answer", "ac"])
    assert {level.verdict for level in found.levels.values()} == {"pass"}, found.levels
    assert found.changes.edits == () and found.changes.reading_error is None
