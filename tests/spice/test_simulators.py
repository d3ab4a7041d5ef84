"""Analyses as data, what ngspice makes of them, and the check with a simulator of somebody else's."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import NotServed, SimulatorFailed, UsageError
from spu.cli import cli
from spu.compiler import compile_network
from spu.crosscheck import LEVELS, check
from spu.emulator.equations.linear import stochastic_ode
from spu.folder import write_folder
from spu.spice.deck import read_deck
from spu.spice.reader import read_netlist
from spu.spice.simulators import SIMULATORS, Simulator, find_simulator, register
from spu.spice.simulators.analyses import (
    Ac,
    Analysis,
    DcSweep,
    Decades,
    DeclaredNoise,
    Noise,
    OperatingPoint,
    Transient,
    Waveforms,
)
from spu.spice.simulators.ngspice import translated
from spu.spice.simulators.simulator import complete
from tests.problems.test_network import single_cells

R, C, GAIN = 1e3, 1e-9, 3.0
DECK = f"""* a divider with a capacitor, a sampled source, and a second resistor in a call
v1 in 0 dc 2
r1 in out {R}
r2 out 0 {R} noisy=0
c1 out 0 {C}
vnoise n 0 dc 0 trrandom(2 1e-07 0 0.25 0)
vwhite w 0 dc 0 trnoise(0.5 2e-07 0 0)
rn n 0 1k noisy=0
rw w 0 1k noisy=0
.subckt s a
r1 a 0 {R}
.ends
x1 out s
.options noopac
.end
"""
HALF = 1 / 3  # two resistors to ground, one to the source
SWEEP = Decades(1e3, 1e6, 10)

WORDS = {
    OperatingPoint(("out",)): ("op",),
    OperatingPoint(): ("op",),
    DcSweep("v1", -1.0, 1.0, 5, ("out",)): ("dc v1 -1.0 1.000000001 0.5",),
    Ac("v1", SWEEP, ("out",)): ("alter v1 acmag=1", "ac dec 10 1000.0 1000000.0", "alter v1 acmag=0"),
    Noise(("out",), "v1", SWEEP): (
        "alter v1 acmag=1",
        "noise v(out) v1 dec 10 1000.0 1000000.0",
        "alter v1 acmag=0",
    ),
    Noise(("in", "out"), "v1", SWEEP, contributions=True): (
        "alter v1 acmag=1",
        "noise v(in,out) v1 dec 10 1000.0 1000000.0 1",
        "alter v1 acmag=0",
    ),
    Transient(1e-5, 2e-8, 1e-7, ("out", "n"), seed=7): (
        "setseed 7",
        "save v(out) v(n)",
        "tran 1e-07 1e-05 0 2e-08",
        "delete all",
    ),
    Transient(1e-5, 2e-8, 1e-7, ("out",), from_zero=True): (
        "save v(out)",
        "tran 1e-07 1e-05 0 2e-08 uic",
        "delete all",
    ),
    DeclaredNoise(("vnoise", "vwhite"), ("trrandom", "trnoise")): (
        "tran 1e-15 1e-15 uic",
        "let declared0 = @vnoise[coeffs]",
        "let declared1 = @vwhite[coeffs]",
    ),
}


@pytest.fixture(scope="module")
def found():
    """Every analysis by ngspice, in one run, and then all again in the other order."""
    ngspice, order = find_simulator("ngspice"), list(WORDS)
    there = ngspice.run(DECK, order, time_limit=60)
    back = ngspice.run(DECK, order[::-1], time_limit=60)[::-1]
    for analysis, first, second in zip(order, there, back, strict=True):
        assert first.keys() == second.keys(), analysis
        assert all(np.array_equal(first[name], second[name]) for name in first), analysis
    return dict(zip(order, there, strict=True))


@pytest.mark.parametrize("analysis", WORDS, ids=lambda analysis: type(analysis).__name__)
def test_ngspice_is_told_in_its_own_words(analysis):
    assert translated(analysis, DECK).commands == WORDS[analysis]


def test_code_models_of_a_poly_are_made_anew_for_each_noise_analysis():
    deck = DECK.replace(".end\n", "e1 p 0 poly(1) out 0 0 1\n.end\n")
    assert translated(Noise(("out",), "v1", SWEEP), deck).commands[0] == "reset"
    assert translated(Ac("v1", SWEEP, ("out",)), deck).commands[0] == "alter v1 acmag=1"


def test_what_each_gives_is_what_was_asked_for_in_the_units_promised(found):
    point, everything, curve, gain, noise, shares, run, zero, declared = found.values()
    assert point == {"out": pytest.approx([2 * HALF])}
    assert everything.keys() == {"in", "out", "n", "w"}
    assert curve["out"] == pytest.approx(HALF * np.linspace(-1, 1, 5))
    corner = 1 / (2 * np.pi * C * R * HALF)
    frequencies = gain["frequency"]
    assert frequencies == pytest.approx(np.geomspace(1e3, 1e6, 31))
    expected = HALF / (1 + 1j * frequencies / corner)
    assert gain["out"] == pytest.approx(expected)
    celsius = 27 + 273.15
    current = 4 * 1.380649e-23 * celsius / R
    heard = 2 * current * (R * np.abs(expected)) ** 2
    assert noise.keys() == {"frequency", "total"}
    assert noise["total"] == pytest.approx(heard, rel=1e-5)
    assert {"r1", "x1.r1"} <= shares.keys()
    assert shares["r1"] == pytest.approx(heard / 2, rel=1e-5)
    assert shares["x1.r1"] == pytest.approx(shares["total"] / 2, rel=1e-5)
    assert run.keys() == {"time", "out", "n"} and run["time"][-1] == pytest.approx(1e-5)
    assert np.ptp(run["n"]) > 0.1
    assert zero["out"][0] < 0.01 and run["out"][0] == pytest.approx(2 * HALF)
    settled = zero["time"] > 20 / (2 * np.pi * corner)
    assert zero["out"][settled] == pytest.approx(2 * HALF, rel=1e-4)
    assert declared["vnoise"] == pytest.approx([2, 1e-7, 0, 0.25, 0])
    assert declared["vwhite"] == pytest.approx([2, 2e-7, 0, 0.5, 0])


def test_the_seed_is_that_of_the_noise_whatever_ran_before():
    run = Transient(1e-5, 2e-8, 1e-7, ("n",), seed=7)
    other = Transient(1e-5, 2e-8, 1e-7, ("n",), seed=8)
    declared = DeclaredNoise(("vnoise",), ("trrandom",))
    found = find_simulator("ngspice").run(DECK, [run, run, other, declared, run], time_limit=60)
    for again in (found[1], found[4]):
        assert np.array_equal(found[0]["n"], again["n"])
    assert not np.array_equal(found[0]["n"][:20], found[2]["n"][:20])


def test_sources_follow_waveforms(tmp_path):
    path = tmp_path / "deck.cir"
    path.write_text(DECK)
    instants = np.arange(21) * 1e-6
    waves = Waveforms(("vnoise", "vwhite"), 1e-6, np.column_stack([np.sin(instants * 1e6), np.cos(instants * 1e6) - 1]))
    ngspice = find_simulator("ngspice")
    text = ngspice.driven(read_deck(path), waves, tmp_path)
    (run,) = ngspice.run(text, [Transient(2e-5, 1e-7, 1e-6, ("n", "w"))], time_limit=60, folder=tmp_path)
    for k, node in enumerate(("n", "w")):
        assert run[node] == pytest.approx(np.interp(run["time"], instants, waves.values[:, k]), abs=1e-6)


def test_no_file_of_the_check_has_ngspice_s_words():
    words = ("setseed", "acmag", " uic", "onoise", "[coeffs]", "run_ngspice", "Step(", "filesource")
    for path in (Path(spu.__file__).parent / "crosscheck").rglob("*.py"):
        text = path.read_text()
        assert not [word for word in words if word in text], path


# --- a simulator of somebody else's ---------------------------------------------------------------


class Solver(Simulator):
    """Knows operating points, by the nodal equations, and nothing else."""

    name = "solver"
    analyses = (OperatingPoint,)

    def __init__(self, nodes, folder, error=0.0):
        self.nodes, self.path, self.error = nodes, folder / "solver.cir", error

    def run(self, deck, analyses, *, time_limit, folder=None):
        self.path.write_text(deck)
        circuit = read_netlist(self.path, probes=[f"{node}={node}" for node in self.nodes]).circuit
        sde = stochastic_ode(circuit)
        voltages = sde.H @ -np.linalg.solve(sde.F.toarray(), sde.s) + sde.y0 + self.error
        point = {node: np.array([voltage]) for node, voltage in zip(self.nodes, voltages, strict=True)}
        return [point for _ in analyses]


NODES = ("cell_x1", "cell_x2")


@pytest.fixture
def device():
    return spu.compile(spu.LinearSystem([[2.0, -0.5], [-0.5, 1.0]], [1.0, -2.0]))


@pytest.fixture
def solver(tmp_path):
    yield register(Solver(NODES, tmp_path))
    del SIMULATORS["solver"]


def test_levels_that_a_simulator_does_not_serve_are_skipped_with_the_reason(device, solver):
    found = check(device, simulator="solver")
    verdicts = {name: level.verdict for name, level in found.levels.items()}
    assert verdicts == dict(zip(LEVELS, ["pass", "pass", "pass", "skipped", "skipped", "skipped"], strict=True))
    assert {name: level.message for name, level in found.levels.items() if level.verdict == "skipped"} == {
        "ac": "the simulator solver has no AC sweeps and no noise analyses",
        "replay": "the simulator solver has no transients and no sources that follow a waveform",
        "noise": "the simulator solver has no random sources in transients and no transients",
    }
    assert found.verdict == "pass" and found.exit_status == 0 and found.simulator == "solver"
    # What it found stands under its own name.
    assert set(found.means) == {"ideal", "emulator", "solver"}
    assert ("emulator", "solver") in {pair.between for pair in found.comparisons}
    assert not any("ngspice" in name for name in (*found.means, *found.covariances))


def test_what_it_finds_decides(device, tmp_path):
    found = check(device, simulator=Solver(NODES, tmp_path, error=1e-3), levels=["op"])
    assert found.levels["op"].verdict == "fail" and found.exit_status == 1


def test_nonlinear_cells_ask_for_analyses_too(tmp_path):
    device = compile_network(single_cells(2), "neurons").device
    found = check(device, simulator=Solver((), tmp_path))
    skipped = {name for name, level in found.levels.items() if level.verdict == "skipped"}
    assert skipped == {"op", "ac", "replay", "noise"}
    assert found.levels["op"].message == "the simulator solver has no DC sweeps"


def test_a_netlist_that_only_a_simulator_reads_is_skipped_where_it_cannot(device, solver, tmp_path):
    write_folder(tmp_path / "out", spu.compile_problem(spu.LinearSystem([[2.0, -0.5], [-0.5, 1.0]], [1.0, -2.0])))
    edited = tmp_path / "edited.cir"
    text = (tmp_path / "out" / "device.cir").read_text()
    edited.write_text(text.replace(".end\n", "d1 cell_x1 0 dmod\n.model dmod d\n.end\n"))
    found = check(tmp_path / "out", netlist=edited, simulator="solver", levels=["answer"])
    level = found.levels["answer"]
    assert (level.verdict, level.message) == ("skipped", "the simulator solver has no noise analyses")


def test_the_command_line_takes_its_name(device, solver, tmp_path):
    write_folder(tmp_path / "out", spu.compile_problem(spu.LinearSystem([[2.0, -0.5], [-0.5, 1.0]], [1.0, -2.0])))
    done = CliRunner().invoke(cli, ["check", str(tmp_path / "out"), "--simulator", "solver", "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and told["simulator"] == "solver" and told["levels"]["ac"]["verdict"] == "skipped"
    shown = CliRunner().invoke(cli, ["check", str(tmp_path / "out"), "--simulator", "solver"])
    assert "solver operating point against the mean" in shown.stdout and "mean: ideal" in shown.stdout
    assert "ngspice" not in shown.stdout
    picture = tmp_path / "check.png"
    done = CliRunner().invoke(cli, ["check", str(tmp_path / "out"), "--simulator", "solver", "--plot", str(picture)])
    assert done.exit_code == 0 and picture.exists()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda found: found[1:], "must give a list of 2 dicts"),
        (lambda found: None, "must give a list of 2 dicts"),
        (lambda found: [{}, {}], "asked for operating points, gave no cell_x1"),
        (lambda found: [dict.fromkeys(NODES, 0.1)] * 2, r"gave cell_x1 of shape \(\), not \(1,\)"),
        (lambda found: [dict.fromkeys(NODES, np.zeros((3, 7)))] * 2, r"gave cell_x1 of shape \(3, 7\), not \(1,\)"),
    ],
)
def test_what_no_simulator_may_give_is_an_error_of_the_level_in_words(device, tmp_path, spoil, says):
    class Spoilt(Solver):
        def run(self, deck, analyses, *, time_limit, folder=None):
            return spoil(super().run(deck, analyses, time_limit=time_limit, folder=folder))

    found = check(device, simulator=Spoilt(NODES, tmp_path), levels=["op"])
    assert (found.levels["op"].verdict, found.exit_status) == ("error", 2)
    assert re.search(f"simulator solver.* {says}", found.levels["op"].message)


def test_every_kind_of_analysis_is_looked_at(tmp_path):
    sweep, solver = Decades(1.0, 10.0, 1), Solver(NODES, tmp_path)
    two, five = np.zeros(2), np.zeros(5)
    for analysis, given in (
        (DcSweep("v1", 0.0, 1.0, 2, ("a",)), {"a": two}),
        (Ac("v1", sweep, ("a",)), {"frequency": two, "a": two}),
        (Noise(("a",), "v1", sweep), {"frequency": two, "total": two}),
        (Transient(1.0, 0.1, 0.1, ("a",)), {"time": two, "a": two}),
        (DeclaredNoise(("v1",), ("trrandom",)), {"v1": five}),
    ):
        assert complete(solver, [analysis], [given]) == [given]
        last = [*given][-1]
        for wrong in ({}, {**given, last: np.zeros(3)}):
            with pytest.raises(SimulatorFailed, match=f"simulator solver, asked for {analysis.called}, gave"):
                complete(solver, [analysis], [wrong])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"analyses": OperatingPoint}, "analyses is a tuple of kinds of analysis"),
        ({"analyses": ("op",)}, "analyses is a tuple of kinds of analysis"),
        ({"name": None}, "has no name"),
    ],
)
def test_a_simulator_that_is_not_whole_is_refused_as_it_is_registered(tmp_path, change, says):
    with pytest.raises(UsageError, match=says):
        register(type("Odd", (Solver,), change)(NODES, tmp_path))
    with pytest.raises(UsageError, match="an instance of a class that derives from Simulator"):
        register(Solver)


def test_an_unknown_name_is_refused_before_any_work(device):
    says = f"no simulator 'ngspise'; did you mean 'ngspice'? (valid: {', '.join(SIMULATORS)})"
    with pytest.raises(UsageError, match=f"^{re.escape(says)}$"):
        check(device, simulator="ngspise", progress=lambda words: pytest.fail(f"{words} was begun"))
    done = CliRunner().invoke(cli, ["check", "no_such_folder", "--simulator", "ngspise"])
    assert done.exit_code == 2 and done.stderr == f"error: {says}\n"


def test_simulators_that_check_cannot_use_are_refused(device, tmp_path):
    other = Solver(NODES, tmp_path)
    other.dialect = "xyce"
    with pytest.raises(UsageError, match="takes the dialect xyce"):
        check(device, simulator=other)
    other.name = "emulator"
    with pytest.raises(UsageError, match="cannot be called emulator"):
        register(other)
    assert "emulator" not in SIMULATORS


def test_ngspice_says_what_it_has_and_what_not():
    class Distortion(Analysis):
        called = "distortion analyses"

    ngspice = find_simulator("ngspice")
    assert ngspice.available() and ngspice.version()[0].isdigit()
    assert all(ngspice.serves(type(analysis)) for analysis in WORDS) and ngspice.serves(Waveforms)
    assert not ngspice.lacks(Ac, Noise)
    with pytest.raises(NotServed, match="the simulator ngspice has no distortion analyses"):
        ngspice.require(Ac, Distortion)
    with pytest.raises(NotServed, match="the simulator ngspice has no distortion analyses"):
        ngspice.run(DECK, [Distortion()], time_limit=10)
