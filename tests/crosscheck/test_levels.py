"""The register of levels: what each says of each kind of circuit, and one that is added from outside of the package."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binom

import spu
from spu import crosscheck
from spu.base.constants import UNIT_NOISE_DENSITY
from spu.cli import cli
from spu.crosscheck import LEVELS, check, levels
from spu.crosscheck.context import Context
from spu.crosscheck.levels import LevelKind, Way
from spu.crosscheck.levels.moments import TWIN, TwinTest
from spu.crosscheck.levels.recording import Declared, Recording
from spu.crosscheck.result import Level
from spu.device.lower import lower
from spu.emulator.runs.noise import normals
from spu.folder import write_folder
from spu.reports.wording import level_table
from spu.spice.simulators import find_simulator
from spu.spice.simulators.analyses import OperatingPoint
from spu.spice.simulators.ngspice import Ngspice
from tests.crosscheck.test_crosscheck import COMPILED
from tests.crosscheck.test_network_check import changed, made

IMPORTED = """* an RC ladder of other names
r1 in 0 1k
c1 in 0 1n
r2 in out 2k
c2 out 0 2n
.save v(out)
.end
"""

SUBJECTS = {
    "rlc": lambda _: COMPILED["rlc"]().device,
    "rc": lambda _: COMPILED["resistive"]().device,
    "voltage": lambda _: made("rc-conductance", 2).device,
    "flux": lambda _: made("rlc-flux", 2).device,
    "charge": lambda _: made("rc-charge", 2).device,
    "imported": lambda folder: write(folder / "ladder.cir", IMPORTED),
}

SAYS = {
    #            ideal      answer     op         ac         replay  noise
    "rlc": "     pass       pass       skipped    pass       pass    pass",
    "rc": "      pass       pass       pass       pass       pass    pass",
    "voltage": " pass       pass       pass       skipped    pass    pass",
    "flux": "    pass       pass       skipped    skipped    pass    pass",
    "charge": "  pass       pass       pass       skipped    pass    pass",
    "imported": "skipped    skipped    pass       pass       pass    pass",
}


def write(file, text):
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", SUBJECTS)
def test_what_each_level_says_of_each_kind_of_circuit(name, tmp_path):
    found = check(SUBJECTS[name](tmp_path))
    said = {level.name: level.verdict for level in found.levels.values()}
    assert said == dict(zip(LEVELS, SAYS[name].split(), strict=True)), found.levels
    for level in found.levels.values():
        assert level.message  # a level that is skipped says why
        assert (level.verdict == "skipped") == (level.false_alarm_rate is None), level.name
    between = {pair.between for pair in found.comparisons}
    assert any("ngspice" in pair[1] for pair in between)
    assert all(pair.within for pair in found.comparisons)
    assert found.comparisons == found.corners and crosscheck.Corner is crosscheck.Comparison  # the old names
    assert found.to_dict()["comparisons"] == found.to_dict()["corners"]
    assert "corner" not in str(found)


# --- a level from outside --------------------------------------------------------------------


def supply(context):
    (found,) = context.run(context.deck.text(), OperatingPoint())
    largest = max(float(np.abs(volts[0])) for volts in found.values())
    return Level("supply", "pass" if largest < 5 else "fail", f"{largest:.3g} V at most", largest, 5.0)


@pytest.fixture
def added():
    level = LevelKind("supply", Way(supply, (OperatingPoint,)), "{} DC voltages against the supply's", "it burns")
    yield levels.register(level)
    del levels.LEVELS["supply"]


class WithoutDc(Ngspice):
    name = "nodc"
    analyses = tuple(kind for kind in Ngspice.analyses if kind is not OperatingPoint)


@pytest.mark.parametrize("name", ["rc", "voltage"])
def test_a_level_from_outside(added, name, tmp_path):
    device = SUBJECTS[name](tmp_path)
    found = check(device, levels=["ideal", "supply"])
    assert {level.name: level.verdict for level in found.levels.values()} == {"ideal": "pass", "supply": "pass"}
    assert "ngspice DC voltages against the supply's" in {row[1] for row in level_table(found)[1]}
    skipped = check(device, levels=["supply"], simulator=WithoutDc()).levels["supply"]
    assert (skipped.verdict, skipped.message) == ("skipped", "the simulator nodc has no operating points")


def test_a_level_from_outside_for_one_kind_of_dynamics(added, tmp_path):
    only = levels.register(replace(added, ways={"linear": added.ways}))
    assert check(SUBJECTS["rc"](tmp_path), levels=["supply"]).verdict == "pass"
    skipped = check(SUBJECTS["voltage"](tmp_path), levels=["supply"]).levels["supply"]
    assert (skipped.verdict, skipped.message) == ("skipped", "level supply is not for networks")
    assert only.name in levels.LEVELS


def test_a_level_from_outside_on_the_command_line(added, tmp_path):
    write_folder(tmp_path / "d", COMPILED["resistive"]())
    said = CliRunner().invoke(cli, ["check", str(tmp_path / "d"), "--level", "supply", "--json"])
    assert json.loads(said.stdout)["levels"]["supply"]["verdict"] == "pass"


# --- what is checked -------------------------------------------------------------------------


def test_check_takes_whatever_holds_a_device_or_a_netlist(tmp_path):
    compilation = COMPILED["resistive"]()
    write_folder(tmp_path / "d", compilation)
    deck = write(tmp_path / "ladder.cir", IMPORTED)
    for subject in (
        compilation,
        compilation.device,
        tmp_path / "d",
        str(tmp_path / "d" / "device.json"),
        tmp_path / "d" / "device.cir",
        deck,
        spu.read_netlist(deck),
        made("rc-charge", 2),
    ):
        assert check(subject, levels=["ideal", "op"]).verdict == "pass", subject


def test_a_bare_circuit_is_refused(tmp_path):
    deck = write(tmp_path / "ladder.cir", IMPORTED)
    with pytest.raises(spu.SpuError, match="a bare circuit has no netlist to be run: pass the device, or the netlist"):
        check(spu.read_netlist(deck).circuit)
    with pytest.raises(spu.SpuError, match="is no device"):
        check(3)


# --- networks: edited netlists, and how much is seen -----------------------------------------


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A compiled network, and its netlist's text; not to be changed."""
    folder = tmp_path_factory.mktemp("network") / "d"
    write_folder(folder, made("rc-conductance", 2))
    return folder, (folder / "device.cir").read_text()


def test_an_edited_netlist_of_a_network(network, tmp_path):
    folder, text = network
    other = changed(text, r"^xcell_x2 .* p1=", 2.0)
    found = check(folder, netlist=write(tmp_path / "e.cir", other))
    assert {name: level.verdict for name, level in found.levels.items() if level.verdict == "fail"}.keys() >= {
        "answer",
        "op",
        "replay",
        "noise",
    }
    changes = found.changes
    assert [edit.name for edit in changes.edits] == ["xcell_x2"]
    assert "p1=" in changes.edits[0].before
    assert changes.source == "ngspice" and "samples of its own noise" in changes.how
    # A potential twice as stiff: its variance falls, by more than samples scatter.
    assert changes.covariance[1, 1] < changes.covariance_before[1, 1] - 3 * changes.covariance_error[1, 1]
    assert "another circuit, by level op and replay and noise" in found.levels["answer"].message
    said = CliRunner().invoke(cli, ["check", str(folder), "--netlist", str(tmp_path / "e.cir"), "--level", "answer"])
    assert said.exit_code == 0
    assert "only its text was compared" in " ".join(said.stdout.split()) and "INCONCLUSIVE" in said.stdout


def test_lines_that_change_nothing_are_judged_by_the_levels_that_ran(network, tmp_path):
    folder, text = network
    other = write(tmp_path / "e.cir", text.replace("\n.subckt", "\nrspare spare 0 1k\n.subckt", 1))
    found = check(folder, netlist=other)
    answer = found.levels["answer"]
    assert (found.verdict, answer.verdict) == ("pass", "pass")
    assert "new: rspare spare 0 1k" in answer.message
    assert not found.changes.moved_covariances()
    looked = check(folder, netlist=other, levels=["answer", "op"]).levels["answer"]
    assert looked.verdict == "inconclusive"
    assert "what they do was not looked at: replay and noise did not pass here" in looked.message


def test_a_line_that_wakes_up_later_is_inconclusive(network, tmp_path):
    folder, text = network
    other = text.replace("\n.subckt", "\niq 0 cell_x1 pulse(0 1 1 1n 1n 1 2)\n.subckt", 1)
    found = check(folder, netlist=write(tmp_path / "e.cir", other), levels=["answer", "op", "replay", "noise"])
    assert found.levels["answer"].verdict == found.verdict == "inconclusive"
    assert "iq (line" in found.levels["answer"].message


def test_an_edited_netlist_without_a_cell_is_refused(network, tmp_path):
    folder, text = network
    with pytest.raises(spu.InputError, match="there is no node cell_x2"):
        check(folder, netlist=write(tmp_path / "e.cir", text.replace("cell_x2", "cell_y")))
    write_folder(tmp_path / "flux", made("rlc-flux", 2))
    text = (tmp_path / "flux" / "device.cir").read_text()
    with pytest.raises(spu.InputError, match="there is no instance xcell_x2; check reads a voltage inside it"):
        check(tmp_path / "flux", netlist=write(tmp_path / "f.cir", text.replace("xcell_x2", "xother")))


def test_a_network_is_run_until_a_change_shows():
    found = check(made("rc-conductance", 1).device, levels=["noise"], detect=0.45).levels["noise"]
    assert found.verdict == "pass", found.message
    assert found.detects["variance"] <= 0.45
    assert found.data["runs"] > 1


@pytest.mark.long  # that of linear devices, and --detect of networks, are in `make test`
def test_a_network_is_run_for_so_many_seconds():
    found = check(made("rc-conductance", 1).device, levels=["noise"], budget=8.0).levels["noise"]
    assert found.verdict == "pass", found.message
    assert found.detects["variance"] < 2.0
    assert found.seconds < 40  # machines that are busy take longer, and not for ever


def test_what_twins_see_of_a_variance():
    """Runs of the emulator itself stand for the simulator's: alike, and wider by what is said to show."""
    circuit = lower(made("rc-charge", 1).device)
    context = Context(circuit, None, None, None)
    interval = context.dynamics.sample_time
    source = Declared(UNIT_NOISE_DENSITY / np.sqrt(2 * interval), interval, 0.0, 0)
    count, runs, rate = 4096, 60, 1e-3
    shared: dict = {}

    def of(path):
        test = TwinTest(context, source, 200)
        test._known = shared
        test.begin(count)
        test.add(Recording(path, path, np.zeros((0, 1)), 0.0, np.zeros(1), 1.0, 0.0))
        return test

    paths = []
    for number in range(runs):
        noise = source.rms * normals(0, count + 201, 1, purpose=TWIN, trajectory=10_000 + number)
        paths.append(context.dynamics.respond(noise, interval, hold=True, finer=0.125)[201:])
    alike = [of(path).tests()["moments"] for path in paths]
    assert {test.name for test in alike[0]} == {"means", "variances", "third moments", "fourth moments"}
    p_values = np.array([test.p_value for tests in alike for test in tests])
    assert np.sum(p_values < 0.05) <= binom.isf(1e-6, len(p_values), 0.05)
    assert np.sum(p_values < rate) <= 2
    change = of(paths[0]).smallest_variance(count, 1, rate).max()
    wider = [path.mean(axis=0) + (path - path.mean(axis=0)) * np.sqrt(1 + change) for path in paths]
    found = [of(path).tests()["moments"][1].p_value < rate for path in wider]
    assert np.sum(found) >= runs - binom.isf(1e-6, runs, 0.03)
    # Four runs show half of that.
    assert of(paths[0]).smallest_variance(count, 4, rate).max() == pytest.approx(change / 2, rel=0.05)


def test_many_units_of_long_names(tmp_path):
    n = 40
    names = tuple(f"unit_{k:02d}_{'of_a_long_name_' * 3}" for k in range(n))
    network = spu.ThermodynamicNetwork(units=n, variables=names)
    device = spu.compile_network(network, "neurons").device
    found = check(device, levels=["ideal", "answer", "replay"])
    assert found.verdict == "pass", found.levels
    assert re.search(names[0], found.levels["answer"].message) is None


def test_a_mean_that_is_only_scatter_is_measured_by_the_noise():
    """Five coupled units: no law is known, and by symmetry their means are zero."""
    chain = np.diag(np.full(4, 0.3), 1)
    network = spu.ThermodynamicNetwork(units=5, couplings=chain + chain.T)
    found = check(spu.compile(network, hardware="neurons"), levels=["ideal", "noise"])
    pairs = {pair.quantity: pair for pair in found.comparisons}
    assert set(pairs) == {"covariance", "mean"} and "ideal" not in found.means
    assert pairs["mean"].between == ("emulator", "ngspice")
    assert pairs["mean"].found < 5 * pairs["mean"].scatter < 1


def test_a_simulator_of_any_name_has_its_comparison(tmp_path):
    other = find_simulator("ngspice")

    class Named(type(other)):
        name = "solver"

    found = check(made("rc-conductance", 1).device, levels=["ideal", "noise"], simulator=Named())
    assert {pair.between for pair in found.comparisons} == {
        ("ideal", "emulator"),
        ("emulator", "solver"),
        ("ideal", "solver"),
    }


def test_what_a_device_was_promised_to_miss_is_allowed_until_it_is_changed():
    matrix = [[2.0, -0.83, 0.0], [-0.83, 1.5, -0.47], [0.0, -0.47, 1.1]]
    device = spu.compile(matrix, hardware="spu8")
    level = check(device, levels=["ideal"]).levels["ideal"]
    assert level.verdict == "pass" and 1e-6 < level.error < level.tolerance
    device.cell_columns.arrays["conductance"][0] *= 1.01
    assert check(device, levels=["ideal"]).verdict == "fail"
