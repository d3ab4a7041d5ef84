"""Every door with every kind of subject: it works, or refuses in one line before any work is done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import SpuError
from spu.cli import cli
from spu.compiler import compile_problem
from spu.device.subject import circuits
from spu.folder import read_any, read_folder, write_folder, write_import
from spu.spice.reader import read_netlist
from spu.spice.reader.nonlinear import NonlinearDeck

CLIPPER = """a clipper
v1 in 0 dc 0.5
r1 in out 10k
c1 out 0 1n
d1 out 0 dio
.model dio d is=1e-14
.save v(out)
.end
"""
DRIFT = [[1.0, 2.0, 0.0], [-2.0, 1.5, 0.3], [0.0, 0.1, 1.0]]
A = [[2.0, -0.5, 0.0], [-0.5, 1.5, -0.25], [0.0, -0.25, 1.0]]
NETLIST = Path(__file__).parent / "decks" / "rc_mesh.cir"


def linear():
    return compile_problem(spu.GaussianSampling(precision=A))


def drift():
    return compile_problem(spu.LyapunovEquation(DRIFT, A))


def exponential():
    return compile_problem(spu.MatrixExponential([[0.2, 1.0], [-0.7, -0.6]], 0.5))


def determinant():
    return compile_problem(spu.Determinant(A))


def system():
    return compile_problem(spu.GeneralSystem([[0.0, 1.0], [1.0, 0.3], [0.5, 0.5]], [1.0, 2.0, 0.5]))


def held():
    return compile_problem(spu.ConditionalGaussian(precision=A, mean=[1.0, 0.0, -1.0], held={"x2": 0.5}))


def network():
    couplings = [[0.0, 0.4], [0.4, 0.0]]
    problem = spu.ThermodynamicNetwork(1.0, 0.0, 0.5, input=[0.3, 0.0], couplings=couplings)
    return spu.compile_network(problem, "neurons")


def annealing():
    return spu.compile_network(spu.Ising([[0, 1], [1, 0]], h=[0.2, 0.0], duration=5.0), "neurons")


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    """Whatever somebody may hand to a door, by name."""
    folder = tmp_path_factory.mktemp("doors")
    found = {}
    kinds = {"linear": linear(), "drift": drift(), "network": network(), "annealing": annealing()}
    for kind, made in {
        **kinds,
        "exponential": exponential(),
        "system": system(),
        "determinant": determinant(),
        "held": held(),
    }.items():
        write_folder(folder / kind, made)
        found |= {
            f"{kind} device": made.device,
            f"{kind} compilation": made,
            f"{kind} circuit": circuits(made.device)[0],
            f"{kind} folder": read_folder(folder / kind),
            f"{kind} folder path": folder / kind,
            f"{kind} device.json": str(folder / kind / "device.json"),
        }
    read = read_netlist(NETLIST, densities={"i1": 1e-24})
    write_import(folder / "imported", read)
    (folder / "clipper.cir").write_text(CLIPPER)
    nonlinear = read_any(folder / "clipper.cir")
    write_import(folder / "clipper", nonlinear)
    found |= {
        "netlist": read,
        "netlist path": folder / "imported" / "device.cir",
        "imported folder path": folder / "imported",
        "nonlinear": nonlinear,
        "nonlinear path": folder / "clipper.cir",
        "nonlinear folder path": folder / "clipper",
        "problem": spu.GaussianSampling(precision=A),
        "drift problem": spu.LyapunovEquation(DRIFT, A),
        "network problem": spu.ThermodynamicNetwork(units=2),
        "annealing problem": spu.Ising([[0, 1], [1, 0]], duration=5.0),
        "exponential problem": spu.MatrixExponential([[0.2, 1.0], [-0.7, -0.6]], 0.5),
        "determinant problem": spu.Determinant(A),
        "system problem": spu.GeneralSystem([[0.0, 1.0], [1.0, 0.3]], [1.0, 2.0]),
        "least-squares problem": spu.LeastSquares([[0.0, 1.0], [1.0, 0.3], [0.5, 0.5]], [1.0, 2.0, 0.5]),
        "held problem": spu.ConditionalGaussian(precision=A, held={"x2": 0.5}),
        "array": np.array(A),
        "list": A,
        "nothing": None,
        "number": 3,
        "no such path": str(folder / "nowhere"),
    }
    np.savetxt(folder / "matrix.csv", A, delimiter=",")
    found["matrix path"] = folder / "matrix.csv"
    return found


DEVICES = ("device", "compilation", "folder", "folder path", "device.json")
FEWER = [
    f"{kind} {name}" for kind in ("exponential", "system", "determinant", "held") for name in ("device", "folder path")
]
RAMPED = ["determinant device", "determinant folder path"]
LINEAR = [*(f"{kind} {name}" for kind in ("linear", "drift") for name in DEVICES), *FEWER]
ANNEALING = [f"annealing {name}" for name in ("device", "folder path")]
NETWORK = [*(f"network {name}" for name in DEVICES), *ANNEALING]
READ = ["netlist", "netlist path", "imported folder path"]
ALONE = ["nonlinear", "nonlinear path", "nonlinear folder path"]
CIRCUITS = ["linear circuit", "network circuit"]
ALGEBRA = [f"{kind} problem" for kind in ("drift", "exponential", "system", "determinant", "least-squares", "held")]
POSED = ["problem", *ALGEBRA, "array", "list", "matrix path"]
PROBLEMS = [*POSED, "network problem", "annealing problem"]
ELSE = ["nothing", "number", "no such path"]
EVERYTHING = [*LINEAR, *NETWORK, *READ, *ALONE, *CIRCUITS, *PROBLEMS, *ELSE]


def calibrated(given):
    """From a record of the first cell, of which it tells little."""
    try:
        name = str(circuits(given)[0].probes[0])
    except SpuError:
        name = "x1"
    samples = 1e-4 * np.random.default_rng(0).standard_normal((200, 1))
    return spu.calibrate(given, samples, names=[name], independent=True, fit=["readout.gain"])


def few(given):
    """Samples, of what is simulated at all."""
    alone = isinstance(given, NonlinearDeck) or "clipper" in str(given)
    return {} if alone else {"samples": 200}


DOORS = {
    "compile": lambda given, _: spu.compile(given),
    "predict": lambda given, _: spu.predict(given),
    "simulate": lambda given, _: spu.simulate(given, trajectories=2),
    "spectrum": lambda given, _: spu.spectrum(given),
    "relaxation": lambda given, _: spu.relaxation(given, start="rest", times=[0.0, 1e-6]),
    "check": lambda given, _: spu.check(given, levels=["ideal"]),
    "report": lambda given, where: spu.report(given, where / "report.html", levels=["ideal"], **few(given)),
    "netlist": lambda given, _: spu.netlist(given),
    "anneal": lambda given, _: spu.anneal(given, runs=2),
    "calibrate": lambda given, _: calibrated(given),
    "plan": lambda given, _: spu.plan(given, error=0.3),
    "answer": lambda given, _: spu.answer(given, error=0.3),
    "yields": lambda given, _: spu.yields(given, 0.1, tolerance="cell.capacitance=1%", draws=4, distance=False),
    "corners": lambda given, _: spu.corners(given, tolerance="cell.capacitance.process=1%", temperatures=[300.0]),
}

WORKS = {
    "compile": PROBLEMS,
    "predict": [*LINEAR, *NETWORK, *READ, *CIRCUITS],
    "simulate": [*LINEAR, *NETWORK, *READ, *CIRCUITS],
    "spectrum": [*LINEAR, *READ, "linear circuit"],
    "relaxation": [*(name for name in LINEAR if name not in RAMPED), *READ, "linear circuit"],
    "check": [*LINEAR, *NETWORK, *READ, *ALONE],
    "report": [*LINEAR, *NETWORK, *READ, *ALONE],
    "netlist": [*LINEAR, *NETWORK, *READ],
    "anneal": [*ANNEALING, "annealing problem"],
    "calibrate": [name for name in LINEAR if name not in RAMPED],
    "plan": [*LINEAR, *POSED],
    "answer": [*LINEAR, *POSED],
    "yields": LINEAR,
    "corners": LINEAR,
}
"""What each door takes; the rest it refuses."""

TABLE = [(door, subject) for door in DOORS for subject in EVERYTHING]


@pytest.mark.parametrize(("door", "subject"), [(d, s) for d, s in TABLE if s in WORKS[d]])
def test_a_door_that_works(door, subject, subjects, tmp_path):
    assert DOORS[door](subjects[subject], tmp_path) is not None


@pytest.fixture
def no_work(monkeypatch):
    """Whatever takes long is an error: a refusal comes first."""

    def worked(*_, **__):
        raise AssertionError("work was done before it was refused")

    for name in (
        "spu.emulator.laws.law.stationary",
        "spu.spice.simulators.ngspice.run",
        "spu.emulator.runs.sampling.run",
        "spu.emulator.runs.relaxation.run",
    ):
        monkeypatch.setattr(name, worked)


@pytest.mark.parametrize(("door", "subject"), [(d, s) for d, s in TABLE if s not in WORKS[d]])
def test_a_door_that_is_closed(door, subject, subjects, tmp_path, no_work):
    with pytest.raises(SpuError) as refused:
        DOORS[door](subjects[subject], tmp_path)
    said = str(refused.value)
    assert refused.value.kind != "internal", said
    assert "\n" not in said and 20 < len(said) < 300, said
    assert not list(tmp_path.iterdir())


VERBS = {
    "predict": [],
    "simulate": ["--no-output"],
    "check": ["--level", "ideal"],
    "report": ["--level", "ideal"],
    "inspect": [],
    "export": [],
    "yield": ["--limit", "10%", "--tolerance", "cell.capacitance=1%", "--draws", "4"],
    "corners": ["--tolerance", "cell.capacitance.process=1%"],
}

BOARDS = ("yield", "corners")
"""Verbs of boards, which nonlinear cells and netlists have none of."""


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "kind", ["linear", "drift", "exponential", "system", "determinant", "held", "network", "imported", "nonlinear"]
)
def test_verbs(verb, kind, subjects, tmp_path):
    """The command line takes the same: of imported netlists export is refused, as they are netlists already."""
    path = subjects["imported folder path" if kind == "imported" else f"{kind} folder path"]
    options = [*VERBS[verb], *(["-o", str(tmp_path / "r.html")] if verb == "report" else [])]
    done = CliRunner().invoke(cli, [verb, str(path), *options, "--json"])
    found = json.loads(done.stdout)
    if kind == "nonlinear" and verb in ("predict", "simulate", "export", *BOARDS):
        assert done.exit_code == 2 and found["error"]["kind"] == "nonlinear"
        assert "spu import, inspect, check and report take it" in found["error"]["message"]
    elif (verb, kind) == ("export", "imported") or (verb in BOARDS and kind in ("network", "imported")):
        assert done.exit_code == 2 and found["error"]["kind"] == "usage"
    else:
        assert done.exit_code == 0, found
